/** TunnelStreams: at which byte the client is stopped, and a write has to wait. connect-context.test.ts has the rest, on sockets. */

import { test } from 'tap';
import { TunnelStreams } from '../../../http/handlers/tunnel-streams.ts';
import { MemoryStream } from '../../support/memory-server.ts';

const LIMIT = 10;

test('a client is stopped at tunnelBufferBytes, and goes on when the program reads', async (t) => {
  const stream = new MemoryStream(false);
  const streams = new TunnelStreams(stream, Number.POSITIVE_INFINITY, LIMIT);
  streams.onData(stream, Buffer.alloc(LIMIT - 1));
  t.notOk(stream.isPaused, 'one byte below');
  streams.onData(stream, Buffer.alloc(1));
  t.ok(stream.isPaused);
  const reader = streams.readable.getReader();
  t.equal((await reader.read()).value?.byteLength, LIMIT - 1);
  t.notOk(stream.isPaused);
  streams.onData(stream, Buffer.alloc(LIMIT));
  t.ok(stream.isPaused, 'one byte above');
});

test('a program may write tunnelBufferBytes before it has to wait', async (t) => {
  const stream = new MemoryStream(true);
  const streams = new TunnelStreams(stream, Number.POSITIVE_INFINITY, LIMIT);
  const writer = streams.writable.getWriter();
  void writer.write(new Uint8Array(LIMIT - 1));
  t.equal(writer.desiredSize, 1);
  void writer.write(new Uint8Array(1));
  t.equal(writer.desiredSize, 0, 'not ready');
  let isReady = false;
  const ready = writer.ready.then(() => {
    isReady = true;
  });
  await new Promise(setImmediate);
  t.notOk(isReady);
  stream.handler = streams;
  stream.drain();
  await ready;
  t.equal(stream.sentBytes, LIMIT);
});
