import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { test } from 'tap';
import { outlive, taken } from '../../command/standard-streams.ts';

test('an error of an output ends nothing', (t) => {
  const stream = new EventEmitter();
  outlive(stream as PassThrough);
  t.ok(stream.emit('error', new Error('EPIPE')));
  t.end();
});

test('the end waits until a slow reader has all', async (t) => {
  const stream = new PassThrough({ highWaterMark: 1 });
  stream.write('the last line\n');
  stream.write('and one more\n');
  let isTaken = false;
  const end = taken(stream).then(() => {
    isTaken = true;
  });
  await new Promise(setImmediate);
  t.notOk(isTaken);
  stream.resume();
  await end;
});

test('it does not wait for a reader that has stopped', async (t) => {
  const stuck = new PassThrough({ highWaterMark: 1 });
  stuck.write('never read');
  stuck.write('nor this');
  await taken(stuck, 1);
  t.equal(stuck.readableLength, 'never read'.length);
});
