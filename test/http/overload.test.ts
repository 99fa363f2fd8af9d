/**
 * A server with more clients or requests than it may have at once, on the real kernel and either loop: who is served, who waits, and who is
 * turned away.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { AddressCounts } from '../../http/connection/address-counts.ts';
import {
  type ContextApp,
  contextHandler,
  type Handler,
  type HttpRequest,
  type Outcome,
  type ResponseWriter,
  type ServeOptions,
  serve,
} from '../../http/index.ts';
import type { SocketAddress, Stream } from '../../simplenet/index.ts';
import { defaultLoopLimits } from '../../simplenet/loop/loop-limits.ts';
import { backends, missingBackend } from '../support/backends.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

function serving(t: Test, handler: Handler, options: ServeOptions) {
  const clients: RawClient[] = [];
  const server = serve(handler, options);
  t.teardown(async () => {
    for (const client of clients) client.destroy();
    await server.close({ graceMs: 1 });
  });
  const dial = (text = '') => {
    const client = new RawClient(server.port as number).write(text);
    clients.push(client);
    return client;
  };
  return { server, dial };
}

for (const backend of backends) {
  const skip = missingBackend[backend];

  test(`connections of one address: n, one more, and one in the place of another (${backend})`, { skip }, async (t) => {
    const limits = { connectionsPerAddress: 2, connections: 2 };
    const { server, dial } = serving(t, (_request, response) => response.text('hello'), { backend, limits });
    const first = dial(get('/'));
    await first.until(() => first.answers === 1, 'an answer');
    const second = dial(get('/'));
    await second.until(() => second.answers === 1, 'an answer');
    const third = dial(get('/'));
    await third.ended();
    t.equal(third.answers, 0);
    t.equal(server.connectionCount, 2, 'the idle ones have not made room for it');
    first.destroy();
    await until(() => server.connectionCount === 1);
    const fourth = dial(get('/'));
    await fourth.until(() => fourth.answers === 1, 'an answer');
  });

  test(`the clients of a Unix socket are not counted (${backend})`, { skip }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'overload-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'socket');
    const { server } = serving(t, (_request, response) => response.text('hello'), {
      backend,
      path,
      limits: { connectionsPerAddress: 1 },
    });
    const sockets = [connect(path), connect(path)];
    await until(() => server.connectionCount === 2);
    for (const socket of sockets) socket.destroy();
  });

  test(`requests in flight: one at work, one in line, and the next gets 503 on a connection that stays (${backend})`, {
    skip,
  }, async (t) => {
    const atWork: [HttpRequest, ResponseWriter][] = [];
    const { dial } = serving(t, (request, response) => void atWork.push([request, response]), {
      backend,
      limits: { requestsInFlight: 1, requestsQueued: 1 },
    });
    const finish = () => {
      const [request, response] = atWork.shift() as [HttpRequest, ResponseWriter];
      response.text(request.path);
    };
    const first = dial(get('/first'));
    await until(() => atWork.length === 1);
    const second = dial(get('/second'));
    const third = dial();
    // The second one is in line when the third one is turned away, and not before.
    while (third.answers === 0) {
      third.write(get('/third'));
      await until(() => third.answers === 1 || atWork.length > 1);
    }
    t.match(third.text, /^HTTP\/1\.1 503 .*\r\nRetry-After: 1\r\n/s);
    t.notMatch(third.text, /Connection: close/);
    t.equal(atWork.length, 1);
    finish();
    await first.until(() => first.text.endsWith('/first'), 'the first answer');
    await until(() => atWork.length === 1);
    finish();
    await second.until(() => second.text.endsWith('/second'), 'the second answer');
    third.write(get('/again'));
    await until(() => atWork.length === 1);
    finish();
    await third.until(() => third.text.endsWith('/again'), 'an answer on the same connection');
  });

  test(`a client that leaves the line, and one that leaves its place (${backend})`, { skip }, async (t) => {
    const begun: string[] = [];
    const { server, dial } = serving(
      t,
      (request, response) => {
        begun.push(request.path);
        if (request.path !== '/stays') response.text('hello');
      },
      { backend, limits: { requestsInFlight: 1 } },
    );
    const first = dial(get('/stays'));
    await until(() => begun.length === 1);
    const impatient = dial(get('/impatient'));
    const patient = dial(get('/patient'));
    await until(() => server.busyCount === 3);
    impatient.reset();
    await until(() => server.busyCount === 2);
    first.reset();
    await patient.until(() => patient.text.endsWith('hello'), 'an answer');
    t.same(begun, ['/stays', '/patient']);
  });

  for (const halfClose of ['abort', 'serve'] as const) {
    test(`halfClose '${halfClose}': clients that end their side while they wait, or before (${backend})`, {
      skip,
    }, async (t) => {
      const begun: string[] = [];
      const held: [AbortSignal, ResponseWriter][] = [];
      const outcomes: Outcome[] = [];
      const { server, dial } = serving(
        t,
        (request, response) => {
          begun.push(request.path);
          if (request.path === '/held' || request.path === '/behind') held.push([request.signal, response]);
          else response.text(request.path);
        },
        { backend, halfClose, limits: { requestsInFlight: 1 }, onDone: (outcome) => void outcomes.push(outcome) },
      );
      const first = dial(get('/held') + get('/next'));
      await until(() => held.length === 1);
      const waiting = dial(get('/waiting'));
      await until(() => server.commons.admission?.queued === 1);
      const line = dial(get('/behind'));
      await until(() => server.commons.admission?.queued === 2);
      waiting.socket.end();
      first.socket.end();
      const [signal, response] = held[0] as [AbortSignal, ResponseWriter];
      if (halfClose === 'abort') await until(() => signal.aborted && server.commons.admission?.queued === 1);
      response.text('/held');
      // Then /next comes to the line behind /behind, and its client has ended its side already.
      if (halfClose === 'abort') await first.until(() => first.answers === 2, 'an answer to /next');
      else await until(() => server.commons.admission?.queued === 1);
      await until(() => begun.includes('/behind'));
      held[1]?.[1].text('/behind');
      await Promise.all([waiting.ended(), first.ended()]);
      await line.until(() => line.answers === 1, 'an answer');
      const paths = halfClose === 'abort' ? ['/held', '/behind'] : ['/held', '/waiting', '/behind', '/next'];
      t.same(begun, paths);
      t.equal(first.answers, 2);
      await until(() => outcomes.length === 4);
      for (const { path, status, error } of outcomes) {
        const isServed = paths.includes(path);
        t.equal(status, isServed ? 200 : 499, path);
        t.equal(error instanceof Error && /has ended its side/.test(error.message), !isServed);
      }
      t.equal(server.commons.admission?.queued, 0);
    });
  }

  test(`a request with a body waits in line, and its handler reads all of it (${backend})`, { skip }, async (t) => {
    const held: ResponseWriter[] = [];
    const { server, dial } = serving(
      t,
      (request, response) => {
        if (request.method === 'GET') return void held.push(response);
        return request.bytes().then(({ length }) => response.text(`${length} bytes`));
      },
      { backend, limits: { requestsInFlight: 1 } },
    );
    dial(get('/'));
    await until(() => held.length === 1);
    const length = 500_000;
    const upload = dial(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n${'b'.repeat(length / 2)}`);
    await until(() => server.busyCount === 2);
    held[0]?.text('done');
    upload.write('b'.repeat(length / 2));
    await upload.until(() => upload.text.endsWith(`${length} bytes`), 'the answer to the upload');
  });

  test(`who watches the server on its own port is answered, however long the line is (${backend})`, {
    skip,
  }, async (t) => {
    const held: ResponseWriter[] = [];
    const { server, dial } = serving(t, (_request, response) => void held.push(response), {
      backend,
      metrics: { path: '/numbers' },
      limits: { requestsInFlight: 1, requestsQueued: 1 },
    });
    dial(get('/'));
    await until(() => held.length === 1);
    dial(get('/'));
    await until(() => server.commons.admission?.queued === 1);
    for (const [path, status] of [
      ['/healthz', 200],
      ['/readyz', 503],
      ['/numbers', 200],
      ['/metrics', 503],
    ] as const) {
      const client = dial(get(path));
      await client.until(() => client.answers === 1, 'an answer');
      t.ok(client.text.startsWith(`HTTP/1.1 ${status} `), path);
      t.equal(/\r\nRetry-After: /.test(client.text), path === '/metrics', path);
    }
    t.same([held.length, server.commons.admission?.inFlight, server.commons.admission?.queued], [1, 1, 1]);
  });

  test(`a long line of handlers that answer at once does not hold up the rest of the process (${backend})`, {
    skip,
  }, async (t) => {
    const cell = new Int32Array(new SharedArrayBuffer(4));
    const held: ResponseWriter[] = [];
    let rounds = 0;
    const roundsBefore: number[] = [];
    const { server, dial } = serving(
      t,
      (request, response) => {
        if (request.path === '/held') return void held.push(response);
        roundsBefore.push(rounds);
        Atomics.wait(cell, 0, 0, 2 * defaultLoopLimits.turnMs);
        response.text('hello');
      },
      { backend, limits: { requestsInFlight: 1 }, timeouts: { queueMs: 60_000 } },
    );
    dial(get('/held'));
    await until(() => held.length === 1);
    const line = Array.from({ length: 5 }, () => dial(get('/')));
    await until(() => server.commons.admission?.queued === 5);
    let next = setImmediate(function count() {
      rounds++;
      next = setImmediate(count);
    });
    t.teardown(() => clearImmediate(next));
    held[0]?.text('hello');
    await Promise.all(line.map((client) => client.until(() => client.answers === 1, 'an answer')));
    t.equal(roundsBefore.length, 5);
    t.equal(
      new Set(roundsBefore.slice(1)).size,
      4,
      'each begins in a round of its own: the one before has spent the turn',
    );
  });

  test(`a client that sends its body slowly loses its place to others, and gets 408 (${backend})`, {
    skip,
  }, async (t) => {
    const begun: string[] = [];
    const { server, dial } = serving(
      t,
      async (request, response) => {
        begun.push(request.path);
        await request.bytes();
        response.text('hello');
      },
      { backend, limits: { requestsInFlight: 1 }, timeouts: { queueMs: 20 } },
    );
    const slow = dial('POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\nbegin');
    await until(() => begun.length === 1);
    const other = dial();
    for (let answers = 1; !other.text.endsWith('hello'); answers++) {
      other.write(get('/other'));
      await other.until(() => other.answers === answers, 'an answer');
    }
    await slow.until(() => slow.answers === 1, '408');
    t.match(slow.text, /^HTTP\/1\.1 408 /);
    t.same(begun, ['/slow', '/other']);
    t.equal(server.commons.admission?.inFlight, 0);
  });

  test(`what has waited for queueMs gets 503, and its handler never begins (${backend})`, { skip }, async (t) => {
    let begun = 0;
    const { dial } = serving(t, () => void begun++, {
      backend,
      limits: { requestsInFlight: 1 },
      timeouts: { queueMs: 30 },
    });
    dial(get('/'));
    await until(() => begun === 1);
    const late = dial(get('/'));
    await late.until(() => late.answers === 1, 'an answer');
    t.match(late.text, /^HTTP\/1\.1 503 /);
    t.equal(begun, 1);
  });

  test(`what is refused while it waits leaves the line, and does not begin either (${backend})`, {
    skip,
  }, async (t) => {
    const begun: ResponseWriter[] = [];
    const { server, dial } = serving(
      t,
      (_request, response) => {
        begun.push(response);
        void response.write('begun'); // so it has no deadline
      },
      { backend, limits: { requestsInFlight: 1 }, timeouts: { answerMs: 30, queueMs: 60_000 }, onError: () => {} },
    );
    dial(get('/'));
    await until(() => begun.length === 1);
    const second = dial(get('/'));
    await second.until(() => second.answers === 1, 'an answer');
    t.match(second.text, /^HTTP\/1\.1 503 /);
    t.same([server.commons.admission?.inFlight, server.commons.admission?.queued], [1, 0]);
    begun[0]?.end();
    await until(() => server.commons.admission?.inFlight === 0);
    t.equal(begun.length, 1);
  });

  const overWithoutTheirClient: Readonly<Record<string, [request: string, handler: Handler]>> = {
    'a malformed body': [
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n',
      (request) => request.bytes().then(() => {}),
    ],
    'a handler that begins too late': [get('/'), () => {}],
    'a response that breaks off, and whose client does not read': [
      'GET / HTTP/1.0\r\n\r\n',
      (_request, response) => {
        void response.write(Buffer.alloc(16_000_000));
        throw new Error('broken off');
      },
    ],
  };
  for (const [what, [request, handler]] of Object.entries(overWithoutTheirClient)) {
    test(`an answer that is over has no place, however long its connection lingers: ${what} (${backend})`, {
      skip,
    }, async (t) => {
      let begun = 0;
      const { server, dial } = serving(
        t,
        (request, response) => {
          if (request.path === '/other') return response.text('hello');
          begun++;
          return handler(request, response);
        },
        {
          backend,
          limits: { requestsInFlight: 1 },
          timeouts: { lingerMs: 60_000, queueMs: 60_000, answerMs: 30 },
          onError: () => {},
        },
      );
      const client = dial();
      client.socket.pause();
      client.write(request);
      await until(() => begun === 1 && server.commons.admission?.inFlight === 0);
      const other = dial(get('/other'));
      await other.until(() => other.text.endsWith('hello'), 'an answer');
      t.equal(server.connectionCount, 2, 'the connection of the first is still there');
    });
  }

  test(`a client that is refused while it waits, and stays, gets neither a place nor a second answer (${backend})`, {
    skip,
  }, async (t) => {
    let first: ResponseWriter | undefined;
    let begun = 0;
    const { server, dial } = serving(
      t,
      (request, response) => {
        begun++;
        if (request.path === '/last') response.text('hello');
        else void response.write('begun');
        first ??= response;
      },
      { backend, limits: { requestsInFlight: 1 }, timeouts: { answerMs: 200, queueMs: 250 }, onError: () => {} },
    );
    dial(get('/first'));
    await until(() => begun === 1);
    const early = dial(get('/early'));
    await until(() => server.busyCount === 2);
    await early.until(() => early.answers === 1, '503 after answerMs');
    const late = dial(get('/late'));
    await late.until(() => late.answers === 1, '503: by then the queueMs of the early one are over, too');
    first?.end();
    const last = dial(get('/last'));
    await last.until(() => last.text.endsWith('hello'), 'an answer');
    t.equal(begun, 2);
    t.same([early.answers, late.answers], [1, 1]);
  });

  test(`a tunnel has no place (${backend})`, { skip }, async (t) => {
    const app: ContextApp = {
      fetch: () => new Response('hello'),
      connect: async (context) => {
        await context.accept();
        return undefined;
      },
    };
    const { server, dial } = serving(t, contextHandler(app), { backend, limits: { requestsInFlight: 1 } });
    const tunnel = dial('CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n');
    await tunnel.until(() => tunnel.answers === 1, '200');
    t.equal(server.commons.admission?.inFlight, 0);
    const other = dial(get('/'));
    await other.until(() => other.text.includes('hello'), 'an answer');
    t.equal(server.connectionCount, 2);
  });

  test(`a stream that was handed over has no place (${backend})`, { skip }, async (t) => {
    const { dial } = serving(
      t,
      (request, response) => {
        if (request.path === '/upgrade') response.upgrade('x', () => ({ onData: () => {} }));
        else response.text('hello');
      },
      { backend, limits: { requestsInFlight: 1 } },
    );
    const upgraded = dial('GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
    await upgraded.until(() => upgraded.answers === 1, '101');
    const other = dial(get('/'));
    await other.until(() => other.text.endsWith('hello'), 'an answer');
  });

  test(`requests that have waited for a busy loop get 503, and the next ones are served (${backend})`, {
    skip,
  }, async (t) => {
    const cell = new Int32Array(new SharedArrayBuffer(4));
    let begun = 0;
    const { dial } = serving(
      t,
      (_request, response) => {
        begun++;
        Atomics.wait(cell, 0, 0, 200);
        response.text('hello');
      },
      { backend, timeouts: { loopDelayMs: 100 } },
    );
    const crowd = Array.from({ length: 10 }, () => dial());
    await Promise.all(crowd.map((client) => client.connected()));
    for (const client of crowd) client.write(get('/'));
    await Promise.all(crowd.map((client) => client.until(() => client.answers === 1, 'an answer')));
    const refused = crowd.filter(({ text }) => text.startsWith('HTTP/1.1 503 '));
    t.ok(refused.length > 0 && refused.length < 10, `${refused.length} of 10`);
    t.equal(begun, 10 - refused.length);
    const later = crowd[0] as RawClient;
    for (let answers = 2; !/hello$/.test(later.text); answers++) {
      later.write(get('/'));
      await later.until(() => later.answers === answers, 'an answer');
    }
  });
}

test('of IPv6 the addresses of a /64 count together', async (t) => {
  const counts = new AddressCounts(2);
  const closings: (() => void)[] = [];
  const comes = (address: string) =>
    counts.admits({
      remoteAddress: { address, port: 1 } as SocketAddress,
      whenClosed: (callback: () => void) => void closings.push(callback),
    } as Stream);
  t.same(['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8:0:1::1'].map(comes), [true, true, false, true]);
  closings.shift()?.();
  t.same(['2001:db8::4', '2001:db8::5'].map(comes), [true, false]);
});

test('an address whose connections have all closed takes no memory', async (t) => {
  const counts = new AddressCounts(1);
  let close = () => {};
  const stream = {
    remoteAddress: { address: '192.0.2.1', port: 1 },
    whenClosed: (callback: () => void) => {
      close = callback;
    },
  } as Stream;
  for (let i = 0; i < 3; i++) {
    t.equal(counts.admits(stream), true);
    t.equal(counts.admits(stream), false);
    close();
  }
});
