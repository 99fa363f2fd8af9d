/** The syntax of text/event-stream. test/peers/content-oracles.test.ts has a library read it back. */

import { test } from 'tap';
import { encodeComment, encodeEvent, type ServerEvent } from '../../../http/content/event-stream.ts';

test('the fields of an event, in lines', async (t) => {
  t.equal(encodeEvent({ data: 'a' }), 'data: a\n\n');
  t.equal(encodeEvent({ data: '' }), 'data: \n\n');
  t.equal(
    encodeEvent({ event: 'price', data: 'one\ntwo\rthree\r\nfour\n', id: '7', retry: 0 }),
    'event: price\nid: 7\nretry: 0\ndata: one\ndata: two\ndata: three\ndata: four\ndata: \n\n',
  );
  t.equal(encodeComment('still here'), ': still here\n\n');
  t.equal(encodeComment('data: x\r\n\ndata: y'), ': data: x\n: \n: data: y\n\n');
});

test('what could forge a field throws, and so does what is no text', async (t) => {
  for (const lineEnd of ['\n', '\r', '\r\n', 'a\nb']) {
    t.throws(() => encodeEvent({ data: '', event: lineEnd }), TypeError);
    t.throws(() => encodeEvent({ data: '', id: lineEnd }), TypeError);
  }
  t.throws(() => encodeEvent({ data: '', id: '\0' }), /the id of an event must not have a line end or a NUL/);
  t.doesNotThrow(() => encodeEvent({ data: '\0', event: '\0' }));
  const wrong = (event: object) => () => encodeEvent(event as ServerEvent);
  t.throws(wrong({}), /the data of an event must be a string, not undefined/);
  t.throws(wrong({ data: null }), /not null/);
  t.throws(wrong({ data: 1 }), TypeError);
  t.throws(wrong({ data: '', id: 1 }), /the id of an event must be a string, not number/);
  t.throws(wrong({ data: '', event: {} }), TypeError);
  t.throws(() => encodeComment(1 as unknown as string), TypeError);
  for (const retry of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1' as unknown as number]) {
    t.throws(() => encodeEvent({ data: '', retry }), RangeError);
  }
});
