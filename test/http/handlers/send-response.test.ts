/** How a Response is framed, and how it ends when the app, its stream or the client does wrong. */

import { type Test, test } from 'tap';
import {
  fastResponse,
  type Handler,
  inject,
  type ResponseWriter,
  Router,
  type ServeOptions,
  type Server,
  serve,
} from '../../../http/index.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';

const Native = Response;
const kinds: [title: string, kind: typeof Response][] = [
  ['of the platform', Native],
  ['FastResponse', fastResponse()],
];

interface Site {
  readonly server: Server;
  readonly errors: Error[];
  ask(line: string): RawClient;
}

function siteOf(t: Test, fetch: (request: Request) => Response | Promise<Response>, options: ServeOptions = {}): Site {
  const errors: Error[] = [];
  const server = serve({ fetch }, { ...options, onError: (error) => errors.push(error as Error) });
  t.teardown(() => server.close({ idleGraceMs: 1, graceMs: 1 }));
  const ask = (line: string) => {
    const client = new RawClient(Number(new URL(server.url).port));
    return client.write(`${line} HTTP/1.1\r\nHost: a\r\n\r\n`);
  };
  return { server, errors, ask };
}

/** An answer without its Date. */
async function answerTo(t: Test, fetch: (request: Request) => Response, method = 'GET'): Promise<string> {
  const { ask } = siteOf(t, fetch);
  const client = ask(`${method} /`);
  await until(() => client.text.includes('\r\n\r\n'));
  client.socket.end();
  await until(() => client.isOver);
  return client.text.replace(/Date: .*\r\n/, '');
}

for (const [title, Kind] of kinds) {
  const TYPE = 'Content-Type: text/plain;charset=UTF-8\r\n';
  const OK = 'HTTP/1.1 200 OK\r\n';
  const answers: [title: string, make: () => Response, expected: string][] = [
    ['a text', () => new Kind('h\xe4'), `${OK}${TYPE}Content-Length: 3\r\n\r\nh\xc3\xa4`],
    ['an empty text', () => new Kind(''), `${OK}${TYPE}Content-Length: 0\r\n\r\n`],
    ['bytes', () => new Kind(Buffer.from('ab')), `${OK}Content-Length: 2\r\n\r\nab`],
    ['nothing', () => new Kind(), `${OK}Content-Length: 0\r\n\r\n`],
    [
      'a type without a body',
      () => new Kind(null, { headers: { 'content-type': 'a/b' } }),
      `${OK}Content-Type: a/b\r\nContent-Length: 0\r\n\r\n`,
    ],
    ['204', () => new Kind(null, { status: 204 }), 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['205', () => new Kind(null, { status: 205 }), 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n'],
    [
      '304',
      () => new Kind(null, { status: 304, headers: { etag: '"x"' } }),
      'HTTP/1.1 304 Not Modified\r\netag: "x"\r\n\r\n',
    ],
    [
      'a status and headers',
      () => new Kind('x', { status: 404, headers: { 'X-A': 'b', 'content-type': 'a/b' } }),
      'HTTP/1.1 404 Not Found\r\nx-a: b\r\nContent-Type: a/b\r\nContent-Length: 1\r\n\r\nx',
    ],
    [
      'several cookies',
      () => {
        const headers = new Headers({ 'content-type': 'a/b' });
        headers.append('set-cookie', 'a=1');
        headers.append('set-cookie', 'b=2');
        return new Kind('x', { headers });
      },
      `${OK}set-cookie: a=1\r\nset-cookie: b=2\r\nContent-Type: a/b\r\nContent-Length: 1\r\n\r\nx`,
    ],
    [
      'fields about the connection of another server',
      () =>
        new Kind('x', {
          headers: { 'content-type': 'a/b', connection: 'close', 'transfer-encoding': 'chunked', te: 'x' },
        }),
      `${OK}Content-Type: a/b\r\nContent-Length: 1\r\n\r\nx`,
    ],
    [
      'a true Content-Length',
      () => new Kind(Buffer.from('ab'), { headers: { 'content-length': '2' } }),
      `${OK}Content-Length: 2\r\n\r\nab`,
    ],
  ];

  for (const [what, make, expected] of answers) {
    test(`${what}, ${title}`, async (t) => {
      t.equal(await answerTo(t, make), expected);
    });
    test(`${what} to HEAD, ${title}`, async (t) => {
      const answer = await answerTo(t, make, 'HEAD');
      // Without a body that could be measured, there is no Content-Length: that of GET may be another one.
      const head =
        what === 'nothing' || what === 'a type without a body'
          ? expected.replace('Content-Length: 0', 'Transfer-Encoding: chunked')
          : expected.replace(/\r\n\r\n[\s\S]*$/, '\r\n\r\n');
      t.equal(answer, head);
    });
  }

  test(`a lying Content-Length is refused, ${title}`, async (t) => {
    for (const length of ['1', '3']) {
      const { ask, errors } = siteOf(t, () => new Kind('ab', { headers: { 'content-length': length } }));
      const client = ask('GET /');
      await until(() => client.isOver);
      t.match(client.text, /^HTTP\/1.1 500 [\s\S]*Connection: close\r\n\r\nInternal Server Error\n$/);
      t.match(errors[0]?.message, `Content-Length is ${length}, but the body has 2 bytes`);
    }
  });

  test(`the same Response cannot be sent twice, ${title}`, async (t) => {
    const once = new Kind('x');
    t.equal((await inject({ fetch: () => once })).status, 200);
    t.equal((await inject({ fetch: () => once }, { onError: () => {} })).status, 500);
  });
}

const encoder = new TextEncoder();

/** A stream under the control of a test. */
function source() {
  let controller: ReadableStreamDefaultController<unknown> | null = null;
  const state = { pulls: 0, cancelled: undefined as unknown, body: null as unknown as ReadableStream<Uint8Array> };
  state.body = new ReadableStream({
    start: (given) => {
      controller = given;
    },
    pull: () => {
      state.pulls++;
    },
    cancel: (reason) => {
      state.cancelled = reason ?? 'cancelled';
    },
  }) as ReadableStream<Uint8Array>;
  return {
    state,
    push: (piece: unknown) => controller?.enqueue(typeof piece === 'string' ? encoder.encode(piece) : piece),
    close: () => controller?.close(),
    error: (error: Error) => controller?.error(error),
  };
}

test('a stream goes out in chunks, as it comes', async (t) => {
  const { state, push, close } = source();
  const client = siteOf(t, () => new Response(state.body, { headers: { 'Content-Type': 'a/b' } })).ask('GET /');
  push('one');
  await until(() => client.text.endsWith('3\r\none\r\n'));
  t.match(client.text, 'Content-Type: a/b\r\nTransfer-Encoding: chunked\r\n');
  push('');
  push('two');
  await until(() => client.text.endsWith('3\r\ntwo\r\n'));
  close();
  await until(() => client.text.endsWith('0\r\n\r\n'));
});

test('a stream of one piece has a length, and one of none too', async (t) => {
  for (const piece of ['', 'whole']) {
    const { state, push, close } = source();
    if (piece !== '') push(piece);
    close();
    const answer = await inject({ fetch: () => new Response(state.body) });
    t.same([answer.headers.get('content-length'), answer.text()], [String(piece.length), piece]);
  }
});

test('HEAD does not wait for a stream, and cancels it', async (t) => {
  for (const piece of ['', 'x']) {
    const { state, push } = source();
    if (piece !== '') push(piece);
    const answer = await inject({ fetch: () => new Response(state.body) }, { method: 'HEAD' });
    t.same([answer.status, answer.headers.get('transfer-encoding'), answer.text()], [200, 'chunked', '']);
    t.ok(state.cancelled);
  }
  const { state } = source();
  const headers = { 'content-length': '5' };
  const answer = await inject({ fetch: () => new Response(state.body, { headers }) }, { method: 'HEAD' });
  t.equal(answer.headers.get('content-length'), '5');
});

test('a stream that fails before its first piece is a 500', async (t) => {
  const { state, error } = source();
  error(new Error('secret'));
  const errors: unknown[] = [];
  const answer = await inject({ fetch: () => new Response(state.body) }, { onError: (each) => errors.push(each) });
  t.same([answer.status, answer.text()], [500, 'Internal Server Error\n']);
  t.match(errors, [{ message: 'secret' }]);
});

test('a stream that fails midway breaks the connection, and never ends it well', async (t) => {
  const { state, push, error } = source();
  const { ask, errors } = siteOf(t, () => new Response(state.body));
  const client = ask('GET /');
  push('one');
  await until(() => client.text.endsWith('one\r\n'));
  error(new Error('midway'));
  await until(() => client.isOver);
  t.ok(client.text.endsWith('3\r\none\r\n'), 'no last chunk');
  t.match(errors, [{ message: 'midway' }]);
});

test('a stream that gives no bytes is an error of the app', async (t) => {
  const { state, push } = source();
  const { ask, errors } = siteOf(t, () => new Response(state.body));
  push({});
  const client = ask('GET /');
  await until(() => client.isOver || client.text !== '');
  t.match(errors, [{ name: 'TypeError' }]);
  t.match(client.text, /^HTTP\/1.1 500 /);
  t.ok(state.cancelled);
});

test('a stream longer or shorter than its Content-Length is cut', async (t) => {
  for (const length of ['2', '5']) {
    const { state, push, close } = source();
    const { ask, errors } = siteOf(t, () => new Response(state.body, { headers: { 'content-length': length } }));
    const client = ask('GET /');
    push('a');
    await until(() => client.text.endsWith('\r\n\r\na'));
    push('bc');
    if (length === '5') close();
    await until(() => client.isOver);
    t.match(errors[0]?.message, `Content-Length is ${length}`);
  }
});

test('a stream is cancelled when the client leaves, also while it is idle', async (t) => {
  const { state, push } = source();
  const { ask, errors } = siteOf(t, () => new Response(state.body));
  const client = ask('GET /');
  push('one');
  await until(() => client.text.endsWith('one\r\n'));
  client.socket.resetAndDestroy();
  await until(() => state.cancelled !== undefined);
  t.same(errors, []);
});

for (const backend of backends) {
  const skip = missingBackend[backend];

  test(`a stream is cancelled when the client ends its side, before and after its first piece (${backend})`, {
    skip,
  }, async (t) => {
    for (const piece of ['', 'one']) {
      const { state, push } = source();
      const { ask, errors, server } = siteOf(t, () => new Response(state.body), { backend });
      const client = ask('GET /');
      if (piece !== '') {
        push(piece);
        await until(() => client.text.endsWith('one\r\n'));
      }
      client.socket.end();
      await until(() => state.cancelled !== undefined);
      t.match(state.cancelled, { name: 'AbortError', cause: { name: 'ClientGoneError' } });
      await until(() => client.isOver && server.connectionCount === 0);
      t.notMatch(client.text, /\r\n0\r\n/, 'it does not look complete');
      t.same(errors, []);
    }
  });

  test(`with halfClose: serve, a client that ends its side gets the whole stream (${backend})`, { skip }, async (t) => {
    const { state, push, close } = source();
    const { ask, errors, server } = siteOf(t, () => new Response(state.body), { backend, halfClose: 'serve' });
    const client = ask('GET /');
    push('one');
    await until(() => client.text.endsWith('one\r\n'));
    client.socket.end();
    push('two');
    close();
    await until(() => client.isOver && server.connectionCount === 0);
    t.match(client.text, /two\r\n0\r\n\r\n$/);
    t.same([state.cancelled, errors], [undefined, []]);
  });
}

test('a client that had ended its side before the stream came gets it, and cancels it by a reset', async (t) => {
  for (const isReset of [false, true]) {
    const { state, push, close } = source();
    const { ask, errors, server } = siteOf(t, async (request) => {
      const { signal } = request;
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return new Response(state.body);
    });
    const client = ask('GET /');
    client.socket.end();
    push('one');
    await until(() => client.text.endsWith('one\r\n'));
    if (isReset) {
      client.socket.resetAndDestroy();
      await until(() => state.cancelled !== undefined);
    } else {
      push('two');
      close();
      await until(() => client.isOver);
      t.match(client.text, /two\r\n0\r\n\r\n$/);
      t.equal(state.cancelled, undefined);
    }
    await until(() => server.connectionCount === 0);
    t.same(errors, []);
  }
});

test('a client that left before the stream came', async (t) => {
  const { state } = source();
  let client: RawClient | null = null;
  const { ask, errors } = siteOf(t, async (request) => {
    const aborted = new Promise((resolve) => request.signal.addEventListener('abort', resolve));
    client?.socket.resetAndDestroy();
    await aborted;
    return new Response(state.body);
  });
  client = ask('GET /');
  await until(() => state.cancelled !== undefined);
  t.same(errors, []);
});

test('a stream is read no faster than the client takes it', async (t) => {
  const PIECE = new Uint8Array(1024 * 1024);
  const PIECES = 32;
  let given = 0;
  const body = new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        controller.enqueue(PIECE);
        if (++given === PIECES) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  const { server } = siteOf(t, () => new Response(body));
  const client = new RawClient(Number(new URL(server.url).port), { keepsText: false });
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n').socket.pause();
  let before = -1;
  // The kernel's buffers take some megabytes, and then nothing is read any more.
  await until(() => {
    const isQuiet = given > 0 && given === before;
    before = given;
    return isQuiet;
  });
  t.ok(given < PIECES, `${given} of ${PIECES}`);
  client.socket.resume();
  await until(() => client.receivedBytes > PIECES * PIECE.length);
  t.equal(given, PIECES);
});

test('a body is streamed both ways', async (t) => {
  const echo = siteOf(t, (request) => new Response(request.body));
  const raw = new RawClient(Number(new URL(echo.server.url).port));
  raw.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n');
  await until(() => raw.text.endsWith('3\r\none\r\n'));
  raw.write('3\r\ntwo\r\n');
  await until(() => raw.text.endsWith('3\r\ntwo\r\n'));
  raw.write('0\r\n\r\n');
  await until(() => raw.text.endsWith('0\r\n\r\n'));
});

test('a Response that a handler returns is sent', async (t) => {
  const make = () => new Response('made', { status: 201 });
  const handlers: [title: string, handler: Handler][] = [
    ['at once', make],
    ['from an async handler', async () => make()],
    ['as a stream', () => new Response(new Blob(['ma', 'de']).stream(), { status: 201 })],
    ['as a stream, later', async () => new Response(new Blob(['made']).stream(), { status: 201 })],
  ];
  for (const [title, handler] of handlers) {
    const server = serve(handler);
    const answer = await fetch(server.url);
    t.same([answer.status, await answer.text()], [201, 'made'], title);
    await server.close({ idleGraceMs: 1 });
    const injected = await inject(handler);
    t.same([injected.status, injected.text()], [201, 'made'], title);
  }
});

test('an async handler whose Response cannot be sent is a 500', async (t) => {
  const errors: unknown[] = [];
  const server = serve(async () => new Response('ab', { headers: { 'content-length': '1' } }), {
    onError: (error) => errors.push(error),
  });
  t.equal((await fetch(server.url)).status, 500);
  t.equal(errors.length, 1);
  await server.close({ idleGraceMs: 1 });
});

test('a Response within middleware is sent where it is returned', async (t) => {
  const router = new Router();
  const order: string[] = [];
  router.use('/a', async (request, response, next) => {
    response.header('X-From', 'middleware');
    await next();
    order.push(`${request.path} ${response.hasEnded}`);
  });
  router.get('/a/sync', () => new Response('sync'));
  router.get('/a/async', async () => new Response('async'));
  router.get('/a/written', (_request, response) => response.text('written'));
  router.get('/a/later', async (_request, response) => response.text('later'));
  router.use('/b', () => new Response('guard', { status: 401 }));
  router.use('/c', async () => new Response('late guard', { status: 401 }));
  router.use('/d', (_request, _response, next) => next());
  router.get('/d/x', () => new Response('through'));
  for (const name of ['sync', 'async', 'written', 'later']) {
    const answer = await inject(router, `/a/${name}`);
    t.same([answer.text(), answer.headers.get('x-from')], [name, 'middleware']);
  }
  await until(() => order.length === 4);
  t.same(order, ['/a/sync true', '/a/async true', '/a/written true', '/a/later true']);
  t.same((await inject(router, '/b/x')).text(), 'guard');
  t.same((await inject(router, '/c/x')).text(), 'late guard');
  t.same((await inject(router, '/d/x')).text(), 'through');
});

test('statusText is sent, and without one the usual phrase', async (t) => {
  for (const [, Kind] of kinds) {
    const phraseOf = async (init: object) => (await inject(() => new Kind('x', init))).statusText;
    t.equal(await phraseOf({ statusText: 'Fine' }), 'Fine');
    t.equal(await phraseOf({ status: 404, statusText: 'Nothing Here' }), 'Nothing Here');
    t.equal(await phraseOf({ status: 404, statusText: 'Not Found' }), 'Not Found');
    t.equal(await phraseOf({ status: 404 }), 'Not Found');
  }
});

test('a Response after a response has begun is an error, and its stream is cancelled', async (t) => {
  const message = 'a handler returned a Response after its response had begun';
  const twice = (response: ResponseWriter, body: string) => {
    response.text('mine');
    return new Response(body);
  };
  const whole: [title: string, handler: Handler][] = [
    ['at once', (_request, response) => twice(response, 'another')],
    ['later', async (_request, response) => twice(response, 'another')],
  ];
  for (const [title, handler] of whole) {
    const errors: unknown[] = [];
    const server = serve(handler, { onError: (error) => errors.push(error) });
    t.equal(await (await fetch(server.url)).text(), 'mine', title);
    await server.close({ idleGraceMs: 1 });
    t.match(errors, [{ message }]);
  }
  const { state } = source();
  const errors: unknown[] = [];
  const pieces: Handler = (_request, response) => {
    void response.write('mine');
    return new Response(state.body);
  };
  await t.rejects(inject(pieces, { onError: (error) => errors.push(error) }), {
    message: 'the response was broken off',
  });
  t.match(errors, [{ message }]);
  await until(() => state.cancelled !== undefined);
  const locked = new Response('another');
  locked.body?.getReader();
  const reader: Handler = async (_request, response) => {
    response.text('mine');
    return locked;
  };
  t.equal((await inject(reader, { onError: () => {} })).text(), 'mine');
});

test('handlers of errors and of unknown paths may return a Response', async (t) => {
  const router = new Router();
  router.notFound(() => new Response('not here', { status: 404 }));
  router.onError(async (error) => Response.json({ error: (error as Error).message }, { status: 418 }));
  router.get('/throws', () => {
    throw new Error('x');
  });
  router.get('/stream', () => new Response(new ReadableStream({ pull: (it) => it.error(new Error('y')) })));
  const server = serve(router);
  const ask = async (path: string) => {
    const answer = await fetch(`${server.url}${path}`);
    return [answer.status, await answer.text()];
  };
  t.same(await ask('/none'), [404, 'not here']);
  t.same(await ask('/throws'), [418, '{"error":"x"}']);
  t.same(await ask('/stream'), [418, '{"error":"y"}'], 'a stream that fails before its first piece');
  await server.close({ idleGraceMs: 1 });
});

test('a Response that says no status gets the one that was set before', async (t) => {
  for (const [, Kind] of kinds) {
    const router = new Router();
    router.notFound((request) => new Kind(request.path === '/empty' ? null : 'not here'));
    t.same((await inject(router, '/x')).status, 404);
    t.same((await inject(router, '/empty')).status, 404);
    t.same((await inject(() => new Kind(null))).status, 200);
  }
});

test('a middleware that calls next() late: the Response of its handler is sent', async (t) => {
  const router = new Router();
  router.use((_request, _response, next) => {
    setImmediate(next);
  });
  router.get('/sync', () => new Response('sync'));
  router.get('/async', async () => new Response('async'));
  for (const name of ['sync', 'async']) t.equal((await inject(router, `/${name}`)).text(), name);
});

test('callbacks and transforms of middleware see a Response of Fetch', async (t) => {
  for (const [title, Kind] of kinds) {
    const router = new Router();
    const bodies: unknown[] = [];
    router.use((_request, response, next) => {
      response.beforeHead((body) => {
        bodies.push([body === null ? null : Buffer.from(body).toString(), response.getHeader('content-type')]);
        response.header('X-Seen', 'yes');
      });
      return next();
    });
    router.get('/', () => new Kind('text'));
    const answer = await inject(router);
    t.same([answer.text(), answer.headers.get('x-seen')], ['text', 'yes'], title);
    t.same(bodies, [['text', 'text/plain;charset=UTF-8']]);
  }
});
