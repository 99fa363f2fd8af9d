/** Streams as bodies and the hooks of middleware on a real server: a small compression, a small ETag, and clients that leave. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGzip, gunzipSync } from 'node:zlib';
import { type Test, test } from 'tap';
import {
  type Handler,
  HttpError,
  type Middleware,
  Router,
  type ServeOptions,
  type Server,
  serve,
} from '../../http/index.ts';
import type { InternetAddress } from '../../simplenet/index.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';

function serving(
  t: Test,
  site: Handler | Router,
  options: ServeOptions = {},
): { server: Server; port: number; errors: unknown[] } {
  const errors: unknown[] = [];
  const server = serve(site, { onError: (error) => void errors.push(error), ...options });
  t.teardown(() => server.close({ graceMs: 1 }));
  return { server, port: (server.address as InternetAddress).port, errors };
}

/** Sends one request, and returns all that comes until the server ends the connection. */
async function ask(port: number, request: string): Promise<string> {
  const client = new RawClient(port).write(request);
  await until(() => client.isOver);
  client.socket.destroy();
  return client.text;
}

const get = (path: string, fields = '', method = 'GET') =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${fields}\r\n`;

const compression: Middleware = (request, response, next) => {
  response.transformBody((body) => {
    const type = response.getHeader('Content-Type') ?? '';
    if (!type.startsWith('text/') || (body !== null && body.byteLength < 100)) return null;
    response.append('Vary', 'Accept-Encoding');
    if (!/\bgzip\b/.test(request.headers.get('Accept-Encoding') ?? '')) return null;
    response.header('Content-Encoding', 'gzip');
    return createGzip();
  });
  return next();
};

const etag: Middleware = (request, response, next) => {
  response.beforeHead((body) => {
    if (body === null || response.statusCode !== 200) return;
    const tag = `W/"${createHash('sha256').update(body).digest('base64url')}"`;
    response.header('ETag', tag);
    if (request.headers.get('If-None-Match') === tag) response.status(304);
  });
  return next();
};

const PAGE = 'hello world '.repeat(1_000);

const site = new Router()
  .use((_request, response, next) => {
    response.header('Access-Control-Allow-Origin', '*').append('Vary', 'Origin').header('X-Request-Id', '7');
    return next();
  })
  .use(etag)
  .use(compression)
  .get('/page', (_request, response) => response.header('Cache-Control', 'public').text(PAGE))
  .get('/short', (_request, response) => response.text('short'))
  .get('/stream', async (_request, response) => {
    async function* pieces() {
      for (let i = 0; i < 100; i++) yield PAGE;
    }
    await response.header('Content-Type', 'text/plain').body(pieces());
  })
  .get('/error', (_request, response) => {
    response.header('Cache-Control', 'public').header('ETag', '"x"');
    throw new Error('handler');
  });

function bodyOf(answer: string): Buffer {
  const [head = '', ...rest] = answer.split('\r\n\r\n');
  const body = Buffer.from(rest.join('\r\n\r\n'), 'latin1');
  if (!head.includes('chunked')) return body;
  const pieces: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = body.indexOf('\r\n', at);
    const size = Number.parseInt(body.toString('latin1', at, end), 16);
    if (size === 0) return Buffer.concat(pieces);
    pieces.push(body.subarray(end + 2, end + 2 + size));
    at = end + 4 + size;
  }
}

test('a compression and an ETag stand on the hooks', async (t) => {
  const { port, errors } = serving(t, site);
  const gzip = 'Accept-Encoding: gzip\r\n';
  const page = await ask(port, get('/page', gzip));
  t.match(
    page,
    /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nVary: Origin, Accept-Encoding\r\n[\s\S]*\r\nContent-Encoding: gzip\r\n/,
  );
  t.notMatch(page, /Content-Length/);
  t.equal(String(gunzipSync(bodyOf(page))), PAGE);
  const tag = /ETag: (\S+)/.exec(page)?.[1];
  const head = await ask(port, get('/page', gzip, 'HEAD'));
  const withoutDate = (text: string) => text.replace(/Date: .*\r\n/, '');
  t.equal(withoutDate(head), withoutDate(page.slice(0, page.indexOf('\r\n\r\n') + 4)), 'HEAD has the head of GET');
  const plain = await ask(port, get('/page'));
  t.match(plain, /\r\nVary: Origin, Accept-Encoding\r\n[\s\S]*\r\nContent-Length: 12000\r\n/);
  t.equal(String(bodyOf(plain)), PAGE);
  t.match(await ask(port, get('/short', gzip)), /Vary: Origin\r\n[\s\S]*Content-Length: 5\r\n[\s\S]*short$/);
  const notModified = await ask(port, get('/page', `${gzip}If-None-Match: ${tag}\r\n`));
  t.match(notModified, /^HTTP\/1\.1 304 Not Modified\r\n/);
  t.notMatch(notModified, /Content-Encoding|chunked|Content-Length/);
  const streamed = await ask(port, get('/stream', gzip));
  t.equal(String(gunzipSync(bodyOf(streamed))), PAGE.repeat(100));
  t.notMatch(streamed, /ETag/);
  const old = await ask(port, `GET /stream HTTP/1.0\r\n${gzip}\r\n`);
  t.equal(String(gunzipSync(bodyOf(old))), PAGE.repeat(100));
  t.same(errors, []);
});

test('error responses keep what middleware has set', async (t) => {
  const { port } = serving(t, site);
  for (const [path, status] of [
    ['/error', 500],
    ['/nothing', 404],
  ] as const) {
    const text = await ask(port, get(path));
    t.match(text, new RegExp(`^HTTP/1\\.1 ${status} `));
    t.match(text, /\r\nAccess-Control-Allow-Origin: \*\r\nVary: Origin\r\nX-Request-Id: 7\r\n/);
    t.notMatch(text, /Cache-Control|ETag/);
  }
});

/** Yields one piece, and waits until it is cancelled. */
function waitingStream(): { stream: ReadableStream; cancelled: Promise<unknown> } {
  let cancel = (_reason: unknown) => {};
  const cancelled = new Promise((resolve) => {
    cancel = resolve;
  });
  const stream = new ReadableStream({
    start: (controller) => controller.enqueue('first'),
    cancel: (reason) => cancel(reason),
  });
  return { stream, cancelled };
}

test('a stream is cancelled when its client leaves, whatever the handler does with the promise', async (t) => {
  for (const isAwaited of [true, false]) {
    const { stream, cancelled } = waitingStream();
    const { port, errors } = serving(t, async (_request, response) => {
      const sending = response.body(stream);
      if (isAwaited) await sending;
    });
    const client = new RawClient(port).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => client.text.includes('first'));
    client.socket.resetAndDestroy();
    t.match(await cancelled, { name: 'ClientGoneError' });
    t.same(errors, []);
  }
});

test('a client that ends its side while a stream is sent gets all of it, and the handler is told', async (t) => {
  let client: RawClient | null = null;
  async function* pieces(signal: AbortSignal) {
    yield 'one';
    client?.socket.end();
    await once(signal, 'abort');
    yield 'two';
  }
  const { port, errors } = serving(t, ({ signal }, response) => response.body(pieces(signal)));
  client = new RawClient(port).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => client?.isOver === true);
  t.match(client.text, /one[\s\S]*two\r\n0\r\n\r\n$/);
  t.same(errors, []);
});

test('a client that had ended its side before gets the stream, and so does one that may do so', async (t) => {
  async function* pieces(client: RawClient) {
    yield 'one';
    client.socket.end();
    await sleep(5);
    yield 'two';
  }
  for (const halfClose of ['abort', 'serve'] as const) {
    let client: RawClient | null = null;
    const handler: Handler = async ({ signal }, response) => {
      if (halfClose === 'abort' && !signal.aborted)
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await response.body(pieces(client as RawClient));
    };
    const { port, errors } = serving(t, handler, { halfClose });
    client = new RawClient(port).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    if (halfClose === 'abort') client.socket.end();
    await until(() => client?.isOver === true);
    t.match(client.text, /one[\s\S]*two\r\n0\r\n\r\n$/);
    t.same(errors, []);
  }
});

test('a transform is destroyed when its client leaves', async (t) => {
  const stage = createGzip();
  const { port, errors } = serving(t, (_request, response) => {
    response.transformBody(() => stage);
    void response.write('x');
  });
  const client = new RawClient(port).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => client.text.includes('\r\n\r\n'));
  client.socket.resetAndDestroy();
  await until(() => stage.destroyed);
  t.same(errors, []);
});

test('a stream that fails midway cuts the connection, is reported once, and never ends well', async (t) => {
  for (const isAwaited of [true, false]) {
    for (const version of ['1.1', '1.0']) {
      const { port, errors } = serving(t, (_request, response) => {
        async function* pieces() {
          yield 'first';
          await sleep(1);
          throw new Error('midway');
        }
        const sending = response.body(pieces());
        return isAwaited ? sending : undefined;
      });
      const client = new RawClient(port).write(`GET / HTTP/${version}\r\nHost: x\r\n\r\n`);
      await until(() => client.isOver);
      t.notMatch(client.text, /\r\n0\r\n/);
      if (version === '1.0') {
        await until(() => client.isClosed);
        t.equal(client.error?.code, 'ECONNRESET', 'only RST shows that it is incomplete');
      }
      client.socket.destroy();
      t.match(errors, [{ message: 'midway' }]);
      t.equal(errors.length, 1);
    }
  }
});

test('a stream that fails before its first piece leads to an error response, and is reported once', async (t) => {
  for (const isAwaited of [true, false]) {
    const { port, errors } = serving(t, (request, response) => {
      const error = request.path === '/teapot' ? new HttpError(418, 'short and stout') : new Error('secret');
      const source = new ReadableStream({ start: (controller) => controller.error(error) });
      const sending = response.body(source);
      return isAwaited ? sending : undefined;
    });
    t.match(await ask(port, get('/')), /^HTTP\/1\.1 500 (?![\s\S]*secret)/);
    t.match(await ask(port, get('/teapot')), /^HTTP\/1\.1 418 [\s\S]*short and stout/);
    t.match(errors, [{ message: 'secret' }]);
    t.equal(errors.length, 1);
  }
});

test('a whole body in a slow transform: the handler has returned, and the response is completed', async (t) => {
  const { port, errors } = serving(t, async (_request, response) => {
    response.transformBody(() => createGzip()).text(PAGE);
  });
  const [one, two] = (await ask(port, `GET / HTTP/1.1\r\nHost: x\r\n\r\n${get('/')}`)).split(/(?=HTTP\/1\.1)/);
  for (const answer of [one, two]) t.equal(String(gunzipSync(bodyOf(answer as string))), PAGE, 'also in a pipeline');
  t.same(errors, []);
});

test('informational responses leave at once, and do not end the deadline of the final one', async (t) => {
  const { port, errors } = serving(
    t,
    async (request, response) => {
      response.informational(103, { Link: '</a.css>; rel=preload' });
      await sleep(request.path === '/later' ? 5 : 10_000, undefined, { signal: request.signal });
      response.informational(102);
      response.text('done');
    },
    { timeouts: { answerMs: 100 } },
  );
  t.match(
    await ask(port, get('/later')),
    /^HTTP\/1\.1 103 Early Hints\r\nLink: [^\r]*\r\n\r\nHTTP\/1\.1 102 Processing\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*done$/,
  );
  t.match(await ask(port, get('/never')), /^HTTP\/1\.1 103 Early Hints\r\nLink: [^\r]*\r\n\r\nHTTP\/1\.1 503 /);
  t.match(errors[0], { message: /no response began within 100 ms/ });
  t.match(await ask(port, 'GET /later HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 OK\r\n/);
});
