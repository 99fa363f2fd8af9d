/** The syntax of text/event-stream, read back by a library. */

import { test } from 'tap';
import { encodeComment, encodeEvent, type ServerEvent } from '../../../http/content/event-stream.ts';
import { importPeer, missingPeer } from '../../peers/peers.ts';
import { Random } from '../../simulation/random.ts';

interface Read {
  readonly event?: string;
  readonly data: string;
  readonly id?: string;
}

interface ParserModule {
  createParser(callbacks: {
    onEvent(event: Read): void;
    onRetry(retry: number): void;
    onComment(comment: string): void;
    onError(error: Error): void;
  }): { feed(text: string): void };
}

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

test('a library reads back what was written', { skip: missingPeer('eventsource-parser') }, async (t) => {
  const { createParser } = await importPeer<ParserModule>('node_modules/eventsource-parser/dist/index.js');
  const random = new Random(17);
  const letters = ['a', ' ', ':', '\n', '\r', '\r\n', 'data', 'id: ', 'é', '💧', '\0', '\ufeff', '0'];
  const textOf = (allowed: readonly string[]) =>
    Array.from({ length: random.below(6) }, () => random.pick(allowed)).join('');
  const inOneLine = letters.filter((letter) => !/[\r\n\0]/.test(letter));
  let stream = '';
  const expected: unknown[] = [];
  for (let i = 0; i < 20_000; i++) {
    if (random.chance(0.1)) {
      stream += encodeComment(textOf(letters));
      continue;
    }
    const event: ServerEvent = {
      data: textOf(letters),
      ...(random.chance(0.5) ? { event: textOf(inOneLine) } : {}),
      ...(random.chance(0.5) ? { id: textOf(inOneLine) } : {}),
    };
    stream += encodeEvent(event);
    const data = event.data.replace(/\r\n|\r/g, '\n');
    expected.push([event.event || undefined, data, event.id]);
  }
  const read: unknown[] = [];
  const parser = createParser({
    onEvent: ({ event, data, id }) => read.push([event, data, id]),
    onRetry: () => t.fail('no retry was written'),
    onComment: () => {},
    onError: (error) => t.fail(String(error)),
  });
  for (let at = 0; at < stream.length; at += 1_000) parser.feed(stream.slice(at, at + 1_000));
  t.equal(read.length, expected.length);
  t.same(read, expected);
});
