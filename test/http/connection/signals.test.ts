/**
 * The two signals of a request: a client that leaves, in each of the ways in which a client can, and a server that stops.
 */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { Connection } from '../../../http/connection/connection.ts';
import { abortErrorOf, isClientGone } from '../../../http/http-error.ts';
import {
  ClientGoneError,
  defaultLimits,
  type Handler,
  type HttpRequest,
  type ServeOptions,
  type Server,
  serve,
} from '../../../http/index.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import type { Stream } from '../../../simplenet/loop/event-loop.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { MemoryCommons, MemoryStream } from '../../support/memory-server.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const UPGRADE = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n';

function serving(t: Test, handler: Handler, options: ServeOptions = {}): { server: Server; client: RawClient } {
  const server = serve(handler, options);
  t.teardown(() => server.close({ graceMs: 0 }));
  return { server, client: new RawClient(portOf(server.address)) };
}

function causesOf(reason: unknown): string[] {
  const names: string[] = [];
  for (let current = reason; current instanceof Error; current = current.cause) names.push(current.name);
  return names;
}

for (const backend of backends) {
  const skip = missingBackend[backend];

  test(`a FIN aborts the signal of the request at work, whose response can still be sent (${backend})`, {
    skip,
  }, async (t) => {
    const seen: { reason: unknown; before: boolean }[] = [];
    const { client } = serving(
      t,
      async ({ signal }, response) => {
        const before = signal.aborted;
        client.socket.end();
        await once(signal, 'abort');
        seen.push({ reason: signal.reason, before });
        response.text('for those who still read\n');
      },
      { backend },
    );
    client.write(GET);
    await client.ended();
    t.match(client.text, /^HTTP\/1\.1 200 [\s\S]*for those who still read\n$/);
    t.equal(seen[0]?.before, false);
    t.ok(seen[0]?.reason instanceof DOMException);
    t.same(causesOf(seen[0]?.reason), ['AbortError', 'ClientGoneError']);
    t.match(String(seen[0]?.reason), /ended its side/);
  });

  test(`an RST aborts the signal, and its cause names the error of the connection (${backend})`, {
    skip,
  }, async (t) => {
    const reasons: unknown[] = [];
    const { client } = serving(
      t,
      async ({ signal }) => {
        client.socket.resetAndDestroy();
        await once(signal, 'abort');
        reasons.push(signal.reason);
        throw signal.reason;
      },
      { backend, onError: (error) => t.fail(`reported: ${error}`) },
    );
    client.write(GET);
    await until(() => reasons.length === 1);
    t.same(causesOf(reasons[0]), ['AbortError', 'ClientGoneError', 'SystemError']);
  });

  test(`upgraded streams are counted, told that the server stops, and waited for (${backend})`, {
    skip,
  }, async (t) => {
    const { server, client } = serving(
      t,
      (request, response) => {
        response.upgrade('x', (stream) => {
          request.closing.addEventListener('abort', () => {
            stream.write(Buffer.from('goodbye'));
            stream.end();
          });
          return { onData: (_stream, bytes) => stream.write(bytes) };
        });
      },
      { backend },
    );
    client.write(UPGRADE).write('hello');
    await client.until(() => client.text.endsWith('hello'), 'the other protocol');
    t.equal(server.connectionCount, 1);
    const closed = server.close({ graceMs: 60_000, idleGraceMs: 1 });
    await client.ended();
    t.ok(client.text.endsWith('hellogoodbye'));
    t.equal(server.connectionCount, 1, 'the client has not ended its side');
    client.socket.end();
    await closed;
    t.equal(server.connectionCount, 0);
  });

  test(`upgraded streams whose handler was replaced are counted, and ended when the grace ends (${backend})`, {
    skip,
  }, async (t) => {
    let ends = 0;
    const { server, client } = serving(
      t,
      (_request, response) => {
        response.upgrade('x', (stream) => ({
          onData() {
            stream.handler = { onData: () => {}, onClose: () => ends++ };
            stream.write(Buffer.from('replaced'));
          },
        }));
      },
      { backend },
    );
    client.write(UPGRADE).write('x');
    await client.until(() => client.text.endsWith('replaced'), 'the other handler');
    let isClosed = false;
    const closed = server.close({ graceMs: 150, idleGraceMs: 1 }).then(() => {
      isClosed = true;
    });
    await sleep(30);
    t.notOk(isClosed, 'it waits for the stream');
    t.equal(ends, 0);
    await closed;
    t.equal(ends, 1);
    await client.ended();
  });
}

test("with halfClose 'serve' a FIN aborts nothing; another word is an error", async (t) => {
  const seen: boolean[] = [];
  const { client } = serving(
    t,
    async ({ signal }, response) => {
      seen.push(signal.aborted);
      client.socket.end();
      await sleep(30);
      seen.push(signal.aborted);
      response.text('hello');
    },
    { halfClose: 'serve' },
  );
  client.write(GET);
  await client.ended();
  t.match(client.text, /hello$/);
  t.same(seen, [false, false]);
  // @ts-expect-error -- what a program in JavaScript may pass
  t.throws(() => serve(() => {}, { halfClose: 'close' }), {
    name: 'TypeError',
    message: /'abort' or 'serve', not close/,
  });
});

/** A connection in memory, and the requests that its handler has got. */
function connected(handler: Handler = () => {}) {
  const requests: HttpRequest[] = [];
  const stream = new MemoryStream(false);
  const context = new MemoryCommons((request, response) => {
    requests.push(request);
    return handler(request, response);
  }, defaultLimits);
  const connection = new Connection(context, stream);
  stream.handler = connection;
  return { requests, stream, context, connection };
}

test('a response that another handler begins in the turn of its deadline is not refused', async (t) => {
  let begun: Promise<void> | null = null;
  const { stream, connection } = connected((_request, response) => {
    begun = null;
    queueMicrotask(() => {
      begun = response.write('first');
      connection.onTimeout(stream); // the deadline is judged before the tick in which the piece is sent
      void begun.then(() => response.end());
    });
  });
  connection.onData(stream, Buffer.from(GET));
  await until(() => stream.sent.includes('0\r\n\r\n'));
  t.match(stream.sent.toString(), /^HTTP\/1\.1 200 OK[\s\S]*first/);
});

test('the outcome of a request whose handler is late has the status and the reason', async (t) => {
  const { requests, stream, connection } = connected();
  connection.onData(stream, Buffer.from(GET));
  const done = requests[0]?.done;
  connection.onTimeout(stream);
  connection.onClose(stream, null);
  t.match(await done, { status: 503, error: /no response began within \d+ ms/ });
});

test('a FIN behind a pipeline aborts the request at work, and those behind it begin with an aborted signal', (t) => {
  const { requests, stream, connection } = connected((request, response) => {
    if (request.path === '/2') response.text('second');
    else request.signal.addEventListener('abort', () => response.text('first'));
  });
  connection.onData(stream, Buffer.from('GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n'));
  t.equal(requests[0]?.signal.aborted, false);
  connection.onEnd(stream);
  t.equal(requests[0]?.signal.aborted, true);
  t.equal(requests.length, 2);
  t.match(stream.sent.toString(), /first[\s\S]*second$/);
  t.ok(stream.isClosed);
  t.equal(requests[1]?.signal.aborted, false, 'its response was complete before the signal was read');
  const late = connected();
  late.connection.onData(late.stream, Buffer.from(GET));
  late.connection.onEnd(late.stream);
  t.equal(late.requests[0]?.signal.aborted, true, 'read after the FIN');
  t.same(causesOf(late.requests[0]?.signal.reason), ['AbortError', 'ClientGoneError']);
  t.end();
});

for (const wraps of [false, true]) {
  test(`a handler that stops at a FIN${wraps ? ' with an error of another library' : ''} is not reported, and a client that still reads sees it`, async (t) => {
    const { stream, context, connection } = connected(async ({ signal }) => {
      if (wraps) await sleep(60_000, null, { signal });
      await once(signal, 'abort');
      throw signal.reason;
    });
    connection.onData(stream, Buffer.from(GET));
    connection.onEnd(stream);
    await until(() => stream.sent.length > 0);
    t.match(stream.sent.toString(), /^HTTP\/1\.1 499 [\s\S]*ended its side/);
    t.same(context.reported, []);
  });
}

test('a handler that stops at a FIN within its response cuts it, and after its response nothing happens', async (t) => {
  const cut = connected(async ({ signal }, response) => {
    await response.write('half');
    await once(signal, 'abort');
    throw signal.reason;
  });
  cut.connection.onData(cut.stream, Buffer.from(GET));
  await until(() => cut.stream.sent.length > 0);
  cut.connection.onEnd(cut.stream);
  await until(() => cut.stream.wasAborted || cut.stream.isEnded);
  t.notMatch(cut.stream.sent.toString(), /\r\n0\r\n/);
  t.same(cut.context.reported, []);
  const ended = connected(async ({ signal }, response) => {
    signal.throwIfAborted();
    response.text('whole');
    throw abortErrorOf(new ClientGoneError());
  });
  ended.connection.onData(ended.stream, Buffer.from(GET));
  await sleep(0);
  t.match(ended.stream.sent.toString(), /whole$/);
  t.same(ended.context.reported, []);
});

test('an error is about a client that has gone by itself or by its causes, which may be a circle', (t) => {
  const circle = new Error('a');
  circle.cause = new Error('b', { cause: circle });
  t.equal(isClientGone(circle), false);
  t.equal(isClientGone(new ClientGoneError()), true);
  t.equal(isClientGone(new Error('query failed', { cause: abortErrorOf(new ClientGoneError()) })), true);
  t.equal(isClientGone('the client has gone'), false);
  let deep: Error = new ClientGoneError();
  for (let i = 0; i < 7; i++) deep = new Error('outer', { cause: deep });
  t.equal(isClientGone(deep), true, 'eight');
  t.equal(isClientGone(new Error('outer', { cause: deep })), false, 'nine');
  t.end();
});

test('a response under way is told that the server stops, and so is each request that begins later', (t) => {
  const { requests, stream, context, connection } = connected((request, response) => {
    if (request.path === '/') request.closing.addEventListener('abort', () => response.text('the last event'));
    else response.text(String(request.closing.aborted));
  });
  connection.onData(stream, Buffer.from(GET));
  t.equal(requests[0]?.closing, requests[0]?.closing);
  t.equal(requests[0]?.closing.aborted, false);
  context.isStopping = true;
  connection.stop();
  t.match(stream.sent.toString(), /the last event$/);
  t.equal(requests[0]?.closing.aborted, true);
  t.equal(requests[0]?.closing.reason.name, 'AbortError');
  const late = connected((request, response) => response.text(String(request.closing.aborted)));
  late.context.isStopping = true;
  late.connection.onData(late.stream, Buffer.from(GET));
  t.match(late.stream.sent.toString(), /true$/);
  t.end();
});

test('after a response its closing signal is not aborted any more; without one nothing is', (t) => {
  const { requests, stream, context, connection } = connected((request, response) => {
    if (request.path === '/silent') return;
    request.closing.throwIfAborted();
    response.text('hello');
  });
  connection.onData(stream, Buffer.from(GET));
  connection.onData(stream, Buffer.from('GET /silent HTTP/1.1\r\nHost: x\r\n\r\n'));
  context.isStopping = true;
  connection.stop();
  t.equal(requests[0]?.closing.aborted, false);
  t.end();
});

test('a client that leaves within its body aborts no signal of the server', async (t) => {
  const failed: unknown[] = [];
  const { requests, stream, connection } = connected((request) => {
    request.closing.throwIfAborted();
    request.text().catch((error: unknown) => failed.push(error));
  });
  connection.onData(stream, Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf'));
  connection.onClose(stream, null);
  await until(() => failed.length === 1);
  t.ok(failed[0] instanceof ClientGoneError);
  t.equal(requests[0]?.closing.aborted, false);
});

test('server.closing is aborted when the server begins to stop', async (t) => {
  const server = serve(() => {});
  const { closing } = server;
  t.equal(server.closing, closing);
  t.equal(closing.aborted, false);
  const closed = server.close();
  await once(closing, 'abort');
  t.equal(closing.reason.name, 'AbortError');
  await closed;
  const late = serve(() => {});
  await late.close();
  t.equal(late.closing.aborted, true);
});

test('a stream that is closed calls whenClosed soon, and each callback is called once, after onClose', async (t) => {
  const calls: string[] = [];
  let kept: Stream | null = null;
  const { client } = serving(t, (_request, response) => {
    response.upgrade('x', (stream) => {
      kept = stream;
      stream.whenClosed(() => calls.push('first'));
      stream.whenClosed(() => calls.push('second'));
      return { onData: () => {}, onClose: () => calls.push('onClose') };
    });
  });
  client.write(UPGRADE);
  await client.until(() => client.text.includes('101'), 'the switch');
  client.socket.resetAndDestroy();
  await until(() => calls.length === 3);
  t.same(calls, ['onClose', 'first', 'second']);
  (kept as Stream | null)?.whenClosed(() => calls.push('late'));
  await until(() => calls.length === 4);
  t.equal(calls[3], 'late');
});
