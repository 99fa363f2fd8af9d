/**
 * How an upgrade hands the stream over while bytes are still coming, on both loops. What the answer says is tested in
 * connection.test.ts and response-writer.test.ts.
 *
 * Next: serve-endings.test.ts
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { Handover } from '../../http/handover.ts';
import { serve } from '../../http/index.ts';
import { PendingInput } from '../../http/pending-input.ts';
import type { Stream, StreamHandler } from '../../simplenet/event-loop.ts';
import { portOf } from '../../simplenet/socket-address.ts';
import { backends, missingBackend } from '../support/backends.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';

const REQUEST = 'GET /switch HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n';

/** More than several receives, and more than waits behind a request at work. */
const PAYLOAD_BYTES = 600_000;

/** So many at once that a turn is followed by another one before a handler goes on. */
const CLIENTS = 8;

/** When the handler switches: within the callback that brought the request, in a microtask, or when Node has gone round. */
const moments: Readonly<Record<string, () => Promise<unknown> | null>> = {
  'at once': () => null,
  'in a microtask': () => Promise.resolve(),
  'from a timer': () => sleep(20),
};

/** Each number says where it stands. */
function numbered(byteLength: number): Buffer {
  const bytes = Buffer.alloc(byteLength);
  for (let at = 0; at < byteLength; at += 4) bytes.writeUInt32BE(at, at);
  return bytes;
}

for (const backend of backends) {
  const skip = missingBackend[backend];
  for (const [moment, wait] of Object.entries(moments)) {
    test(`what a client sends behind its request reaches the new protocol whole and in order: ${moment} (${backend})`, {
      skip,
    }, async (t) => {
      const payload = numbered(PAYLOAD_BYTES);
      const received: Buffer[] = [];
      const server = serve(
        async (request, response) => {
          if (request.path === '/') return response.text('hello');
          const waiting = wait();
          if (waiting !== null) await waiting;
          response.upgrade('x', () => {
            const pieces: Buffer[] = [];
            return {
              onData: (_stream, bytes) => void pieces.push(Buffer.from(bytes)),
              onEnd(stream) {
                received.push(Buffer.concat(pieces));
                stream.end();
              },
            };
          });
        },
        { backend },
      );
      t.teardown(() => server.close({ graceMs: 0 }));
      const clients = Array.from({ length: CLIENTS }, () => new RawClient(portOf(server.address)));
      // On io_uring a stream that has sent little is received from in many pieces at a time.
      for (const client of clients) client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      await Promise.all(clients.map((client) => client.until(() => client.answers === 1, 'the first answer')));
      for (const client of clients) {
        client.write(REQUEST).write(payload);
        client.socket.end();
      }
      await Promise.all(clients.map((client) => client.ended()));
      t.same(
        received.map((bytes) => bytes.equals(payload)),
        clients.map(() => true),
      );
    });
  }

  test(`a client that has ended before the switch is let go where the new protocol does not listen for it (${backend})`, {
    skip,
  }, async (t) => {
    const listensForNoEnd: StreamHandler = { onData: () => {} };
    const server = serve(
      async (_request, response) => {
        await sleep(20);
        response.upgrade('x', () => listensForNoEnd);
      },
      { backend },
    );
    t.teardown(() => server.close({ graceMs: 0 }));
    const client = new RawClient(portOf(server.address)).write(REQUEST);
    client.socket.end();
    await client.ended(5_000);
    t.match(client.text, /^HTTP\/1\.1 101 /);
    await until(() => client.isClosed);
  });
}

/** As much of a stream as a handover asks for. */
function streamFor(handover: Handover, isEnded = false): Stream & { ends: number } {
  const stream = { handler: handover as StreamHandler, isEnded, ends: 0, end: () => void stream.ends++ };
  return stream as unknown as Stream & { ends: number };
}

test('during a handover bytes and the end wait, and all other news reach the new handler at once', (t) => {
  const news: string[] = [];
  const handler: StreamHandler = {
    onData: (_stream, bytes) => void news.push(bytes.toString()),
    onEnd: () => void news.push('end'),
    onDrain: () => void news.push('drain'),
    onTimeout: () => void news.push('timeout'),
    onClose: (_stream, error) => void news.push(`close ${error}`),
  };
  const handover = new Handover(handler);
  const stream = streamFor(handover);
  handover.onData(stream, Buffer.from('b'));
  handover.onData(stream, Buffer.from('c'));
  handover.onEnd();
  handover.onDrain(stream);
  handover.onTimeout?.(stream);
  t.same(news, ['drain', 'timeout']);
  handover.complete(stream, new PendingInput(Buffer.from('a'), 0), false);
  t.same(news, ['drain', 'timeout', 'abc', 'end']);
  t.equal(stream.handler, handler);
  handover.onClose(stream, null);
  t.equal(news.at(-1), 'close null');
  t.end();
});

test('a handover adds no callback that the new handler lacks', (t) => {
  const handover = new Handover({ onData: () => {} });
  const stream = streamFor(handover);
  t.equal(handover.onTimeout, undefined);
  handover.onDrain(stream);
  handover.onClose(stream, null);
  handover.complete(stream, null, true);
  t.equal(stream.ends, 1);
  t.end();
});

test('a handover leaves alone a stream that has ended, and a handler that has replaced the first', (t) => {
  const handover = new Handover({ onData: () => t.fail('the first handler') });
  const ended = streamFor(handover, true);
  handover.onData(ended, Buffer.from('x'));
  handover.complete(ended, null, true);
  t.equal(ended.ends, 0);
  const texts: string[] = [];
  const replaced = streamFor(handover);
  replaced.handler = { onData: (_stream, bytes) => void texts.push(bytes.toString()) };
  handover.complete(replaced, null, false);
  t.same(texts, ['x']);
  t.end();
});
