/**
 * Errors that answer: by the server's `onError`, by a router's, by default; and values that handlers return by mistake.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { errorLine } from '../../http/connection/error-line.ts';
import {
  contextHandler,
  type Handler,
  HttpError,
  type HttpRequest,
  type Middleware,
  PROTOCOL_MARKER,
  type ResponseWriter,
  Router,
  type ServeOptions,
  type ServerContext,
  serve,
} from '../../http/index.ts';
import { portOf } from '../../simplenet/kernel/socket-address.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';

async function asked(
  t: Test,
  site: Handler | Router,
  options: ServeOptions = {},
  fields = '',
  path = '/',
): Promise<string> {
  const server = serve(site, { onError: () => {}, ...options });
  t.teardown(() => server.close({ graceMs: 0 }));
  const client = new RawClient(portOf(server.address));
  client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${fields}\r\n`);
  await client.ended();
  client.socket.destroy();
  return client.text;
}

const throws: Handler = () => {
  throw new Error('secret');
};

test('onError answers at once, later, or not at all', async (t) => {
  const at = await asked(t, throws, { onError: (_error, _request, response) => response?.text('sorry') });
  t.match(at, /^HTTP\/1\.1 500 [\s\S]*sorry$/);
  const later = await asked(t, throws, {
    onError: async (_error, _request, response) => {
      await sleep(5);
      response?.status(503).text('later');
    },
  });
  t.match(later, /^HTTP\/1\.1 503 [\s\S]*later$/);
  const none = await asked(t, throws, { onError: async (_error, _request, response) => void response?.status(200) });
  t.match(none, /^HTTP\/1\.1 500 [\s\S]*Internal Server Error\n$/);
  const piecewise = await asked(t, throws, {
    onError: (_error, _request, response) => {
      void response?.write('a');
      setTimeout(() => response?.end('b'), 5);
    },
  });
  t.match(piecewise, /1\r\na\r\n1\r\nb\r\n0\r\n\r\n$/);
  const status = await asked(
    t,
    () => {
      throw new HttpError(502, 'the backend is down');
    },
    { onError: (_error, _request, response) => response?.text('by the status of the error') },
  );
  t.match(status, /^HTTP\/1\.1 502 [\s\S]*by the status of the error$/);
});

test('an onError that fails leaves the default answer, and a response that it has begun is cut', async (t) => {
  const printed: unknown[][] = [];
  t.intercept(console, 'error', { value: (...all: unknown[]) => printed.push(all) });
  const boom = new Error('boom');
  const options: ServeOptions[] = [
    {
      onError() {
        throw boom;
      },
    },
    { onError: () => Promise.reject(boom) },
  ];
  for (const each of options) t.match(await asked(t, throws, each), /^HTTP\/1\.1 500 [\s\S]*Internal Server Error\n$/);
  const cut = await asked(t, throws, {
    onError: async (_error, _request, response) => {
      await response?.write('half');
      throw boom;
    },
  });
  t.notMatch(cut, /\r\n0\r\n/);
  t.same(
    printed.map((all) => all[1]),
    [boom, boom, boom],
  );
});

test('onError gets no response where it is too late for one', async (t) => {
  const seen: unknown[] = [];
  const onError: ServeOptions['onError'] = (_error, _request, response) => seen.push(response);
  await asked(
    t,
    async (_request, response) => {
      await response.write('half');
      throw new Error('boom');
    },
    { onError },
  );
  await asked(t, () => {}, { onError, timeouts: { answerMs: 20 } });
  await asked(
    t,
    (_request, response) => {
      response.text('whole');
      throw new Error('boom');
    },
    { onError },
  );
  t.same(seen, [null, null, null]);
});

test('a refusal keeps what middleware has set: of a late answer, of a body, and of a client that has ended its side', async (t) => {
  const site: Handler = async (request, response) => {
    response
      .header('Access-Control-Allow-Origin', '*')
      .header('ETag', '"a"')
      .header('Date', 'never')
      .cookie('seen', '1');
    if (request.path === '/gone') {
      await new Promise((_resolve, reject) => {
        request.signal.addEventListener('abort', () => reject(request.signal.reason));
      });
    }
    await (request.method === 'POST' ? request.text() : new Promise(() => {}));
  };
  const server = serve(site, { onError: () => {}, timeouts: { answerMs: 20 }, limits: { bodyBytes: 3 } });
  t.teardown(() => server.close({ graceMs: 0 }));
  const refused = async (request: string, isEnded = false) => {
    const client = new RawClient(portOf(server.address)).write(request);
    if (isEnded) client.socket.end();
    await client.ended();
    t.match(client.text, /\r\nAccess-Control-Allow-Origin: \*\r\nDate: never\r\nSet-Cookie: seen=1; /);
    t.notMatch(client.text, /ETag/);
    t.equal(client.text.split('Date: ').length, 2);
    return client.text.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length);
  };
  const chunked = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
  t.equal(await refused('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), '503');
  t.equal(await refused(`${chunked}4\r\nabcd\r\n`), '413');
  t.equal(await refused(`${chunked}x\r\n`), '400');
  t.equal(await refused('GET /gone HTTP/1.1\r\nHost: x\r\n\r\n', true), '499');
});

/** Requests that a connection refuses while a handler is at work, with the status and the reason that the client gets. */
const POST = 'POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n';
const refusals: readonly (readonly [
  request: string,
  body: string,
  isEnded: boolean,
  status: number,
  reason: RegExp,
])[] = [
  ['GET / HTTP/1.1\r\nHost: x\r\n', '', false, 503, /Service Unavailable/],
  [POST, '4\r\nabcd\r\n', false, 413, /a body of more than 3 bytes/],
  [POST, 'x\r\n', false, 400, /malformed/],
  [POST, '', true, 400, /ended within a body/],
  ['GET /gone HTTP/1.1\r\nHost: x\r\n', '', true, 499, /ended its side/],
];

function refusing(
  t: Test,
  middleware: Middleware,
): { ask(head: string, body: string, isEnded: boolean): Promise<string>; errors: string[] } {
  const errors: string[] = [];
  const router = new Router()
    .use(middleware)
    .post('/read', async (request) => void (await request.text()))
    .get('/', () => new Promise<void>(() => {}))
    .get(
      '/gone',
      ({ signal }) =>
        new Promise((_resolve, reject) => {
          if (signal.aborted) reject(signal.reason);
          else signal.addEventListener('abort', () => reject(signal.reason));
        }),
    );
  const onError = (error: unknown) => void errors.push((error as Error).message);
  const server = serve(router, { onError, timeouts: { answerMs: 50 }, limits: { bodyBytes: 3 } });
  t.teardown(() => server.close({ graceMs: 0 }));
  const ask = async (head: string, body: string, isEnded: boolean) => {
    const client = new RawClient(portOf(server.address)).write(`${head}\r\n${body}`);
    if (isEnded) client.socket.end();
    await until(() => client.isOver);
    return client.text;
  };
  return { ask, errors };
}

for (const [head, body, isEnded, status, reason] of refusals) {
  test(`the callbacks of beforeHead run for a refusal, and it is JSON for who prefers that: ${status}, ${String(reason)}`, async (t) => {
    const bodies: string[] = [];
    const { ask, errors } = refusing(t, (_request, response, next) => {
      response.trailer('X-Trailer', '1').beforeHead((bytes) => {
        bodies.push(String(bytes));
        response.header('X-Status', response.statusCode).removeHeader('Date');
      });
      response.beforeHead(() => {
        throw new Error('of the callback');
      });
      return next();
    });
    const text = await ask(head, body, isEnded);
    t.match(
      text,
      new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*\r\nX-Status: ${status}\r\n[\\s\\S]*Connection: close\r\n\r\n`),
    );
    t.match(text, reason);
    t.same(bodies, [text.split('\r\n\r\n')[1]]);
    const callback =
      status === 503 ? ['no response began within 50 ms (answerMs)', 'of the callback'] : ['of the callback'];
    t.same(errors, callback, 'the error of the other callback is reported, and harms no client');
    const json = await ask(`${head}Accept: application/json\r\n`, body, isEnded);
    t.match(json, /\r\nContent-Type: application\/json\r\n/);
    t.match(JSON.parse(json.split('\r\n\r\n')[1] as string), { status });
    t.match(json, reason);
  });
}

test('a callback of beforeHead may change the status of a refusal, and the framing fits it', async (t) => {
  const { ask } = refusing(t, (request, response, next) => {
    response.header('Retry-After', '9').beforeHead(() => {
      response
        .status(Number(request.headers.get('x-status')), 'My Reason')
        .header('Content-Length', '5')
        .removeHeader('Content-Type');
    });
    return next();
  });
  const get = (status: number, method = 'GET') =>
    ask(`${method} / HTTP/1.1\r\nHost: x\r\nX-Status: ${status}\r\n`, '', false);
  t.match(await get(304), /^HTTP\/1\.1 304 My Reason\r\nDate: [^\r]*\r\nRetry-After: 9\r\nConnection: close\r\n\r\n$/);
  t.match(await get(205), /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n$/);
  t.match(await get(504), /\r\nContent-Length: 20\r\nConnection: close\r\n\r\nService Unavailable\n$/);
  t.match(await get(504, 'HEAD'), /\r\nContent-Length: 20\r\nConnection: close\r\n\r\n$/);
});

test('a callback of beforeHead that breaks the response off ends the connection without the refusal', async (t) => {
  for (const before of ['', 'GET /first HTTP/1.1\r\nHost: x\r\n\r\n']) {
    let context: ServerContext | null = null;
    const router = new Router()
      .get('/first', (_request, response) => response.text('first'))
      .use((_request, response, next) => {
        response.beforeHead(() => context?.deny(Object.assign(new Error(), { code: 'ERR_HTTP_INTERNAL_ERROR' })));
        return next();
      })
      .all(
        '/',
        contextHandler({
          [PROTOCOL_MARKER]: 1,
          fetch: (ctx: ServerContext) => {
            context = ctx;
            return new Promise<Response>(() => {});
          },
        }),
      );
    const errors: string[] = [];
    const server = serve(router, { onError: (error) => void errors.push(String(error)), timeouts: { answerMs: 20 } });
    t.teardown(() => server.close({ graceMs: 0 }));
    const client = new RawClient(portOf(server.address)).write(`${before}GET / HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until(() => client.isOver);
    t.notMatch(client.text, / 503 /);
    client.socket.destroy();
    await until(() => server.connectionCount === 0);
    t.match(errors, ['no response began']);
  }
});

test('a body that is refused by its declared length is refused as JSON to who prefers that', async (t) => {
  const { ask, errors } = refusing(t, (_request, _response, next) => next());
  const head = 'POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n';
  t.match(await ask(head, '', false), /^HTTP\/1\.1 413 [\s\S]*\r\n\r\na body of more than 3 bytes\n$/);
  t.match(
    await ask(`${head}Accept: application/json\r\n`, '', false),
    /^HTTP\/1\.1 413 [\s\S]*"detail":"a body of more than 3 bytes"\}$/,
  );
  t.same(errors, []);
});

test('a client that prefers JSON gets its errors as JSON', async (t) => {
  const router = new Router();
  router.get('/known', () => {
    throw new HttpError(409, 'a "conflict"');
  });
  router.post('/post', () => {});
  const ask = (path: string, accept: string) => asked(t, router, {}, `Accept: ${accept}\r\n`, path);
  t.match(
    await ask('/known', 'application/json'),
    /Content-Type: application\/json\r\n[\s\S]*\{"status":409,"title":"Conflict","detail":"a \\"conflict\\""\}$/,
  );
  t.match(await ask('/none', 'application/json'), /^HTTP\/1\.1 404 [\s\S]*\{"status":404,"title":"Not Found"\}$/);
  t.match(await ask('/none', 'application/problem+json'), /Content-Type: application\/problem\+json\r\n[\s\S]*\}$/);
  t.match(await ask('/none', '*/*'), /text\/plain[\s\S]*Not Found\n$/);
  t.match(await ask('/none', 'image/png'), /text\/plain[\s\S]*Not Found\n$/);
  t.match(await ask('/post', 'application/json'), /^HTTP\/1\.1 405 [\s\S]*Allow: OPTIONS, POST\r\n[\s\S]*"status":405/);
  t.match(
    await asked(t, throws, {}, 'Accept: application/json\r\n'),
    /\{"status":500,"title":"Internal Server Error"\}$/,
  );
});

const mistakes: readonly (readonly [value: unknown, advice: RegExp])[] = [
  ['hello', /returned a string.*response\.text\(\)/],
  [{ a: 1 }, /returned an object.*response\.json\(\)/],
  [Object.create(null), /returned an object/],
  [[1], /returned an array.*response\.json\(\)/],
  [Buffer.from('x'), /returned bytes.*response\.bytes\(\)/],
  [new ArrayBuffer(1), /returned bytes/],
];
for (const [value, advice] of mistakes) {
  test(`a handler that returns a value is told at once what to do: ${String(advice)}`, async (t) => {
    const handler = (() => value) as Handler;
    const router = new Router();
    router.use((_request, _response, next) => next());
    router.use(async (_request, _response, next) => void (await next()));
    router.get('/', handler);
    const later = new Router();
    later.use((_request, _response, next) => void setTimeout(next, 1));
    later.get('/', handler);
    const sites = {
      'at once': handler,
      later: (async () => value) as Handler,
      'in middleware': router,
      'after a timer': later,
    };
    for (const [how, site] of Object.entries(sites)) {
      const errors: unknown[] = [];
      t.match(await asked(t, site, { onError: (error) => errors.push(error) }), /^HTTP\/1\.1 500 /, how);
      t.equal(errors.length, 1, how);
      t.ok(errors[0] instanceof TypeError);
      t.match(String(errors[0]), advice);
    }
  });
}

test('values that say nothing are no mistake, and none is after a response', async (t) => {
  for (const value of [null, 1, true, new Set(), new Date(), Symbol('x')]) {
    const handler = ((_request: HttpRequest, response: ResponseWriter) => {
      setTimeout(() => response.text('later'), 1);
      return value;
    }) as unknown as Handler;
    t.match(await asked(t, handler), /later$/);
  }
  const afterwards = ((_request: HttpRequest, response: ResponseWriter) => {
    response.text('sent');
    return { a: 1 };
  }) as unknown as Handler;
  t.match(await asked(t, afterwards), /sent$/);
});

test('the default log names the method, the path and the place in the program', async (t) => {
  const printed: unknown[][] = [];
  t.intercept(console, 'error', { value: (...all: unknown[]) => printed.push(all) });
  const server = serve(throws);
  t.teardown(() => server.close({ graceMs: 0 }));
  const client = new RawClient(portOf(server.address)).write('GET /a%20b HTTP/1.1\r\nHost: x\r\n\r\n');
  await client.until(() => client.answers === 1, 'the answer');
  client.socket.destroy();
  const ofServer = new Error('the listener is lost');
  t.equal(server.commons.report(ofServer, null, null), true);
  t.same(printed[1], [ofServer]);
  t.equal(printed[0]?.[0], '%s:');
  t.match(printed[0]?.[1], /^GET \/a%20b failed at .*error-answer\.test\.[jt]s:\d+:\d+$/);
  t.match(printed[0]?.[2], { message: 'secret' });
  const request = (path: string) => ({ method: 'GET', path }) as HttpRequest;
  t.equal(errorLine('no error', request('/')), 'GET / failed');
  t.equal(errorLine(new Error('x'), request('/\u009b2J\u0085')).split(' failed')[0], 'GET /%C2%9B2J%C2%85');
  const long = errorLine(null, request(`/${'a'.repeat(300)}`));
  t.equal(long, `GET /${'a'.repeat(199)}... failed`);
  t.equal(errorLine(null, request(`/${'a'.repeat(199)}`)), `GET /${'a'.repeat(199)} failed`);
  const stack = (lines: string) => Object.assign(new Error('x'), { stack: `Error: x\n${lines}` });
  t.equal(
    errorLine(stack('    at node:internal/x:1:1\n    at async load (file:///app/a.ts:1:2)'), request('/')),
    'GET / failed at file:///app/a.ts:1:2',
  );
  t.equal(errorLine(stack('    at async file:///app/a.ts:1:2'), request('/')), 'GET / failed at file:///app/a.ts:1:2');
  t.equal(errorLine(stack('    at node:internal/x:1:1'), request('/')), 'GET / failed');
  t.equal(errorLine(Object.assign(new Error('x'), { stack: undefined }), request('/')), 'GET / failed');
});
