/**
 * How an upgrade hands the stream over while bytes are still coming, on both loops. What the answer says is tested in
 * connection.test.ts and response-writer.test.ts.
 *
 * Next: serve-endings.test.ts
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { Handover } from '../../http/connection/handover.ts';
import { serve } from '../../http/index.ts';
import { PendingInput } from '../../http/request/pending-input.ts';
import { portOf } from '../../simplenet/kernel/socket-address.ts';
import type { Stream, StreamHandler } from '../../simplenet/loop/event-loop.ts';
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

  test(`a new protocol that ends its side at once still gets what the client has sent and sends (${backend})`, {
    skip,
  }, async (t) => {
    const texts: string[] = [];
    let wasTold = false;
    const server = serve(
      (_request, response) => {
        response.upgrade('x', (stream) => {
          stream.end();
          return {
            onData: (_stream, bytes) => void texts.push(bytes.toString()),
            onEnd: () => {
              wasTold = true;
            },
          };
        });
      },
      { backend },
    );
    t.teardown(() => server.close({ graceMs: 0 }));
    const client = new RawClient(portOf(server.address)).write(`${REQUEST}abc`);
    await until(() => texts.length === 1);
    client.write('def');
    await until(() => texts.length === 2);
    client.socket.end();
    await until(() => wasTold);
    t.same(texts, ['abc', 'def']);
  });

  test(`a new protocol that closes the stream at once hears of nothing but the end (${backend})`, {
    skip,
  }, async (t) => {
    const news: string[] = [];
    const server = serve(
      (_request, response) => {
        response.upgrade('x', (stream) => {
          stream.close();
          return { onData: () => void news.push('data'), onClose: () => void news.push('close') };
        });
      },
      { backend },
    );
    t.teardown(() => server.close({ graceMs: 0 }));
    new RawClient(portOf(server.address)).write(`${REQUEST}abc`);
    await until(() => news.length > 0);
    t.same(news, ['close']);
  });

  for (const [moment, wait] of Object.entries(moments)) {
    test(`a turn that a new protocol asks for at once comes, and once: ${moment} (${backend})`, { skip }, async (t) => {
      let turns = 0;
      const server = serve(
        async (_request, response) => {
          const waiting = wait();
          if (waiting !== null) await waiting;
          response.upgrade('x', (stream) => {
            stream.awaitTurn();
            const onTurn = () => {
              turns++;
              stream.end();
            };
            return { onData() {}, onTurn, onEnd() {} };
          });
        },
        { backend },
      );
      t.teardown(() => server.close({ graceMs: 0 }));
      const client = new RawClient(portOf(server.address)).write(REQUEST);
      await client.ended();
      t.equal(turns, 1);
    });
  }

  test(`a new protocol that throws at what came behind its request loses its stream, as one that throws later (${backend})`, {
    skip,
  }, async (t) => {
    const surfaced: string[] = [];
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => void surfaced.push(error.message));
    t.teardown(() => {
      process.removeAllListeners('uncaughtException');
      for (const other of others) process.on('uncaughtException', other);
    });
    let closes = 0;
    const onData = () => {
      throw new Error('boom');
    };
    const server = serve(
      (_request, response) => void response.upgrade('x', () => ({ onData, onClose: () => closes++ })),
      {
        backend,
      },
    );
    t.teardown(() => server.close({ graceMs: 0 }));
    const client = new RawClient(portOf(server.address)).write(`${REQUEST}abc`);
    await client.ended();
    await until(() => closes === 1);
    t.same(surfaced, ['boom']);
  });
}

/** As much of a stream as a handover asks for. */
function streamFor(handover: Handover, isEnded = false) {
  const stream = {
    handler: handover as StreamHandler,
    isEnded,
    ends: 0,
    aborts: 0,
    turns: 0,
    end: () => void stream.ends++,
    abort: () => void stream.aborts++,
    awaitTurn: () => void stream.turns++,
  };
  return stream as unknown as Stream & { ends: number; aborts: number; turns: number };
}

test('during a handover bytes and the end wait, and all other news reach the new handler at once', (t) => {
  const news: string[] = [];
  const handler: StreamHandler = {
    onData: (_stream, bytes) => void news.push(bytes.toString()),
    onEnd: () => void news.push('end'),
    onDrain: () => void news.push('drain'),
    onTurn: () => void news.push('turn'),
    onTimeout: () => void news.push('timeout'),
    onClose: (_stream, error) => void news.push(`close ${error}`),
  };
  const handover = new Handover(handler);
  const stream = streamFor(handover);
  handover.onData(stream, Buffer.from('b'));
  handover.onData(stream, Buffer.from('c'));
  handover.onEnd(stream);
  handover.onDrain(stream);
  handover.onTurn(stream);
  handover.onTimeout?.(stream);
  t.same(news, ['drain', 'turn', 'timeout']);
  handover.complete(stream, new PendingInput(Buffer.from('a'), 0), false);
  t.same(news, ['drain', 'turn', 'timeout', 'abc', 'end']);
  t.not(stream.handler, handover);
  stream.handler.onData(stream, Buffer.from('d'));
  t.equal(news.at(-1), 'd');
  handover.onClose(stream, null);
  t.equal(news.at(-1), 'close null');
  t.end();
});

test('a function that returns no handler has failed; its client is cut off, and the process goes on', async (t) => {
  const wrong = [() => undefined, () => ({}), () => Promise.reject(new Error('async'))];
  const reported: string[] = [];
  const server = serve(
    (request, response) =>
      void response.upgrade('x', wrong[Number(request.search.slice(1))] as unknown as () => StreamHandler),
    { onError: (error) => reported.push((error as Error).message) },
  );
  t.teardown(() => server.close({ graceMs: 0 }));
  for (const index of wrong.keys()) {
    const client = new RawClient(portOf(server.address));
    client.write(REQUEST.replace('/switch', `/?${index}`)).write('for the new protocol');
    await client.ended();
  }
  t.same(reported, Array(3).fill('upgrade() takes a function that returns a handler, an object with onData'));
});

test('a handover adds no callback that the new handler lacks', (t) => {
  const handover = new Handover({ onData: () => {} });
  const stream = streamFor(handover);
  t.equal(handover.onTimeout, undefined);
  handover.onDrain(stream);
  handover.onTurn(stream);
  handover.onClose(stream, null);
  handover.complete(stream, null, true);
  t.equal(stream.ends, 1);
  const { onEnd, onDrain, onTurn, onTimeout, onClose, endsAtBreak } = stream.handler;
  t.same([onEnd, onDrain, onTurn, onTimeout, onClose, endsAtBreak], [...Array(5).fill(undefined), false]);
  t.end();
});

test('the callbacks of the new handler get it as this, and its properties are passed on', (t) => {
  class Protocol implements StreamHandler {
    readonly calls: string[] = [];
    endsAtBreak = false;

    onData(_stream: Stream, bytes: Buffer): void {
      this.calls.push(bytes.toString());
    }

    onEnd(): void {
      this.calls.push('end');
    }

    onDrain(): void {
      this.calls.push('drain');
    }

    onTurn(): void {
      this.calls.push('turn');
    }

    onTimeout(): void {
      this.calls.push('timeout');
    }

    onClose(): void {
      this.calls.push('close');
    }
  }
  const protocol = new Protocol();
  const handover = new Handover(protocol);
  const stream = streamFor(handover);
  handover.complete(stream, null, false);
  const { handler } = stream;
  t.equal(handler.endsAtBreak, false);
  protocol.endsAtBreak = true;
  t.equal(handler.endsAtBreak, true);
  handler.onData(stream, Buffer.from('x'));
  handler.onEnd?.(stream);
  handler.onDrain?.(stream);
  handler.onTurn?.(stream);
  handler.onTimeout?.(stream);
  handler.onClose?.(stream, null);
  t.same(protocol.calls, ['x', 'end', 'drain', 'turn', 'timeout', 'close']);
  t.end();
});

test('what one upgraded stream stores in its async context no other one sees, and each begins with that of its request', (t) => {
  const storage = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const upgraded = (name: string) => {
    const handler: StreamHandler = {
      onData() {
        seen.push(storage.getStore());
        storage.enterWith(`of ${name}`);
      },
    };
    const handover = storage.run(`request ${name}`, () => new Handover(handler));
    const stream = streamFor(handover);
    handover.onData(stream, Buffer.from('x'));
    return { handover, stream };
  };
  // All of it in one callback, as in a turn of the loop.
  for (const { handover, stream } of [upgraded('a'), upgraded('b')]) handover.complete(stream, null, false);
  t.same(seen, ['request a', 'request b']);
  t.equal(storage.getStore(), undefined);
  t.end();
});

/** What an ended stream was told, once it is known that the stream is not closed. */
function toldTo(tell: (handover: Handover, stream: Stream) => void, hadPeerEnded = false): string[] {
  const news: string[] = [];
  const handover = new Handover({
    onData: (_stream, bytes) => void news.push(bytes.toString()),
    onEnd: () => void news.push('end'),
    onTurn: () => void news.push('turn'),
  });
  const stream = streamFor(handover, true);
  handover.complete(stream, new PendingInput(Buffer.from('a'), 0), hadPeerEnded);
  if (news.length > 0 || stream.turns !== 1) throw new Error('it was not waited for');
  stream.turns = 0;
  tell(handover, stream);
  if (stream.turns === 1) news.push('turn asked for');
  return news;
}

test('a stream that has ended or is closed gets no bytes before an event shows which; then it gets them in order', (t) => {
  t.same(
    toldTo(() => {}),
    [],
  );
  t.same(
    toldTo((handover, stream) => handover.onTurn(stream)),
    ['a', 'turn asked for'],
  );
  t.same(
    toldTo((handover, stream) => handover.onTurn(stream), true),
    ['a', 'end', 'turn asked for'],
  );
  t.same(
    toldTo((handover, stream) => handover.onData(stream, Buffer.from('b'))),
    ['ab'],
  );
  t.same(
    toldTo((handover, stream) => handover.onEnd(stream)),
    ['a', 'end'],
  );
  t.end();
});

test('a new protocol that had the turn it asked for, and ended its side there, gets no second one', (t) => {
  const news: string[] = [];
  const handover = new Handover({
    onData: (_stream, bytes) => void news.push(bytes.toString()),
    onTurn: () => void news.push('turn'),
  });
  const stream = streamFor(handover, true);
  handover.onTurn(stream);
  handover.complete(stream, new PendingInput(Buffer.from('a'), 0), false);
  handover.onTurn(stream);
  t.same(news, ['turn', 'a']);
  t.equal(stream.turns, 1);
  t.end();
});

test('an earlier end of the client is not delivered if the handler ends or closes the stream on the bytes before it', (t) => {
  const handover = new Handover({
    onData: (stream) => Object.assign(stream, { isEnded: true }),
    onEnd: () => t.fail('the end'),
  });
  const stream = streamFor(handover);
  handover.onData(stream, Buffer.from('x'));
  handover.complete(stream, null, true);
  t.ok(stream.isEnded);
  t.end();
});

test('an exception in the microtask ends the stream, and surfaces', (t) => {
  const handover = new Handover({
    onData() {
      throw new Error('boom');
    },
  });
  const stream = streamFor(handover);
  handover.onData(stream, Buffer.from('x'));
  t.throws(() => handover.complete(stream, null, false), { message: 'boom' });
  t.equal(stream.aborts, 1);
  t.end();
});

test('a handover leaves alone a stream that has ended of which there is no news, and a handler that has replaced the first', (t) => {
  const handler: StreamHandler = { onData: () => t.fail('the first handler') };
  const handover = new Handover(handler);
  const ended = streamFor(handover, true);
  handover.complete(ended, null, false);
  t.equal(ended.turns, 0);
  t.not(ended.handler, handover);
  const replaced = streamFor(handover);
  const texts: string[] = [];
  replaced.handler = { onData: (_stream, bytes) => void texts.push(bytes.toString()) };
  handover.onData(replaced, Buffer.from('x'));
  handover.complete(replaced, null, false);
  t.same(texts, ['x']);
  t.end();
});
