/**
 * Limits of one route: as an option and as a middleware, larger and smaller than those of the server, at n and n + 1.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { type Handler, limit, type RouteLimits, Router, type ServeOptions, serve } from '../../../http/index.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { RawClient } from '../../support/raw-client.ts';

const read: Handler = async (request, response) => response.text(`read ${(await request.bytes()).length}`);

async function sent(t: Test, site: Handler | Router, message: string, options: ServeOptions = {}): Promise<string> {
  const server = serve(site, { onError: () => {}, ...options });
  t.teardown(() => server.close({ graceMs: 0 }));
  const client = new RawClient(portOf(server.address)).write(message);
  client.socket.end();
  await client.ended();
  client.socket.destroy();
  return client.text;
}

const declared = (bytes: number, path = '/', length = bytes) =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n${'b'.repeat(bytes)}`;
const chunked = (bytes: number, path = '/') =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${bytes.toString(16)}\r\n${'b'.repeat(bytes)}\r\n0\r\n\r\n`;

const SERVER: ServeOptions = { limits: { bodyBytes: 100 } };

/** The same limits in each of the ways in which a route can get them. */
function sitesWith(limits: RouteLimits): Record<string, Router> {
  const inner = new Router();
  inner.post('/', read);
  return {
    'as an option': new Router().post('/', { limits }, read),
    'as a middleware': new Router().use(limit(limits)).post('/', read),
    'registered later': new Router().post('/', read).use(limit(limits)),
    'of a mounted router': new Router().use(new Router().use(limit(limits)).post('/', read)),
    'around a mounted router': new Router().use('/', limit(limits)).use(inner),
    'behind middleware that waits': new Router()
      .use(async (_request, _response, next) => {
        await sleep(5);
        await next();
      })
      .use(limit(limits))
      .post('/', read),
    'inside a handler of errors': new Router().onError(() => {}).post('/', { limits }, read),
    'for a param': new Router().use('/:any', limit({ bodyBytes: 1 })).post('/', { limits }, read),
  };
}

for (const [how, site] of Object.entries(sitesWith({ bodyBytes: 1_000 }))) {
  test(`a larger bodyBytes ${how}: at n and n + 1, declared and chunked`, async (t) => {
    t.match(await sent(t, site, declared(1_000), SERVER), /read 1000$/);
    t.match(await sent(t, site, declared(1_001), SERVER), /^HTTP\/1\.1 413 [\s\S]*a body of more than 1000 bytes\n$/);
    t.match(await sent(t, site, chunked(1_000), SERVER), /read 1000$/);
    t.match(await sent(t, site, chunked(1_001), SERVER), /^HTTP\/1\.1 413 [\s\S]*a body of more than 1000 bytes\n$/);
  });
}

for (const [how, site] of Object.entries(sitesWith({ bodyBytes: 10 }))) {
  test(`a smaller bodyBytes ${how}: at n and n + 1, declared and chunked`, async (t) => {
    t.match(await sent(t, site, declared(10), SERVER), /read 10$/);
    t.match(await sent(t, site, declared(11), SERVER), /^HTTP\/1\.1 413 [\s\S]*a body of more than 10 bytes\n$/);
    t.match(await sent(t, site, chunked(10), SERVER), /read 10$/);
    t.match(await sent(t, site, chunked(11), SERVER), /^HTTP\/1\.1 413 [\s\S]*a body of more than 10 bytes\n$/);
  });
}

test('without limits of its own a declared length above those of the server is 413, and no handler is called', async (t) => {
  let calls = 0;
  const counting: Handler = (_request, response) => {
    calls++;
    response.text('hello');
  };
  const router = new Router()
    .use((_request, _response, next) => {
      calls++;
      return next();
    })
    .post('/', counting)
    .post('/other', { limits: { answerMs: 1_000 } }, counting)
    .post('/smaller', { limits: { bodyBytes: 50 } }, counting);
  for (const path of ['/', '/other', '/smaller', '/none', '/%ff']) {
    const text = await sent(t, router, declared(0, path, 101), SERVER);
    t.match(text, /^HTTP\/1\.1 413 [\s\S]*Connection: close\r\n\r\na body of more than 100 bytes\n$/, path);
  }
  t.match(await sent(t, counting, declared(0, '/', 101), SERVER), /^HTTP\/1\.1 413 /);
  t.equal(calls, 0);
  const broken = {
    handle: counting,
    limitsFor(): null {
      throw new TypeError('a mistake');
    },
  };
  t.equal(calls, 0);
  const server = serve(broken, SERVER);
  t.teardown(() => server.close({ graceMs: 0 }));
  t.throws(() => server.commons.routeLimits('GET', '/'), { message: 'a mistake' });
});

test('the option of a route wins over a middleware, the inner middleware over the outer, each limit by itself', async (t) => {
  const router = new Router()
    .use(limit({ bodyBytes: 10, jsonBytes: 5 }))
    .use('/in', limit({ bodyBytes: 20 }))
    .post('/in', read)
    .post('/in/own', { limits: { bodyBytes: 30 } }, read)
    .post('/out', read);
  t.same(router.limitsFor('POST', '/out'), { bodyBytes: 10, jsonBytes: 5 });
  t.same(router.limitsFor('POST', '/in'), { bodyBytes: 20, jsonBytes: 5 });
  t.same(router.limitsFor('POST', '/in/own'), { bodyBytes: 30, jsonBytes: 5 });
  t.equal(router.limitsFor('POST', '/none'), null);
  t.equal(new Router().post('/', read).limitsFor('POST', '/'), null);
  t.match(await sent(t, router, declared(30, '/in/own')), /read 30$/);
  t.match(await sent(t, router, declared(31, '/in/own')), /413 /);
  t.match(await sent(t, router, declared(20, '/in')), /read 20$/);
  t.match(await sent(t, router, declared(21, '/in')), /413 /);
});

test('a limit for a name counts for a route whose param has that value', async (t) => {
  const router = new Router().use('/big', limit({ bodyBytes: 1_000 })).post('/:size', read);
  t.match(await sent(t, router, declared(1_000, '/big'), SERVER), /read 1000$/);
  t.match(await sent(t, router, declared(101, '/small'), SERVER), /413 /);
});

test('limits that a program puts in force by itself count from then on', async (t) => {
  const json = limit({ jsonBytes: 4 });
  const site: Handler = async (request, response) => {
    await json(request, response, () => {});
    await limit({ jsonDepth: 1 })(request, response, () => {});
    response.json(await request.json());
  };
  t.match(await sent(t, site, declared(4).replace('bbbb', '[12]')), /\[12\]$/);
  t.match(await sent(t, site, declared(5).replace('bbbbb', '[123]')), /^HTTP\/1\.1 413 /);
  t.match(await sent(t, site, declared(4).replace('bbbb', '[[]]')), /^HTTP\/1\.1 400 [\s\S]*more than 1 levels/);
});

test('answerMs of a route: a short one and a long one', async (t) => {
  const later: Handler = async (_request, response) => {
    await sleep(250);
    response.text('later');
  };
  const router = new Router()
    .get('/short', { limits: { answerMs: 50 } }, () => new Promise(() => {}))
    .get('/long', { limits: { answerMs: 60_000 } }, later)
    .get('/late', async (request, response) => {
      await sleep(1);
      await limit({ answerMs: 60_000 })(request, response, () => {});
      await later(request, response);
    })
    .get('/plain', () => new Promise(() => {}));
  const errors: unknown[] = [];
  const options = {
    timeouts: { answerMs: 100 },
    halfClose: 'serve',
    onError: (error: unknown) => errors.push(error),
  } as const;
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const [short, long, late, plain] = await Promise.all(
    ['/short', '/long', '/late', '/plain'].map((path) => sent(t, router, get(path), options)),
  );
  t.match(short, /^HTTP\/1\.1 503 /);
  t.match(long, /later$/);
  t.match(late, /later$/);
  t.match(plain, /^HTTP\/1\.1 503 /);
  t.same(errors.map(String).sort(), [
    'Error: no response began within 100 ms (answerMs)',
    'Error: no response began within 50 ms (answerMs)',
  ]);
});

test('bodyMs and the rate of a route', async (t) => {
  const router = new Router()
    .post('/short', { limits: { bodyMs: 50 } }, read)
    .post('/rate', { limits: { bodyGraceMs: 50, bodyMinBytesPerSecond: 1_000_000 } }, read);
  for (const path of ['/short', '/rate']) {
    const server = serve(router);
    t.teardown(() => server.close({ graceMs: 0 }));
    const client = new RawClient(portOf(server.address)).write(declared(1, path, 10));
    await client.ended();
    t.match(client.text, /^HTTP\/1\.1 408 /);
    client.socket.destroy();
  }
});

test('limits after the response change nothing', async (t) => {
  let isDone = false;
  const text = await sent(
    t,
    (request, response) => {
      response.text('hello');
      void limit({ bodyBytes: 1 })(request, response, () => {});
      isDone = true;
    },
    declared(10),
  );
  t.match(text, /hello$/);
  t.ok(isDone);
});

test('what a route cannot limit, and what is no limit, is an error at once', (t) => {
  // @ts-expect-error -- a limit of the server alone
  t.throws(() => limit({ headBytes: 1 }), {
    name: 'RangeError',
    message: /'headBytes' is not a limit of a route: use one of bodyBytes, /,
  });
  t.throws(() => limit({ bodyBytes: 0 }), RangeError);
  t.throws(() => limit({ bodyBytes: 1.5 }), RangeError);
  t.throws(() => limit({ answerMs: -1 }), RangeError);
  t.throws(() => new Router().get('/', { limits: { answerMs: Number.NaN } }, read), RangeError);
  // @ts-expect-error -- an unknown option
  t.throws(() => new Router().get('/', { limit: {} }, read), { name: 'TypeError', message: /unknown option 'limit'/ });
  // @ts-expect-error -- no handler
  t.throws(() => new Router().get('/', { limits: {} }), TypeError);
  t.doesNotThrow(() => limit({ answerMs: Number.POSITIVE_INFINITY }));
  t.doesNotThrow(() => new Router().get('/', {}, read));
  t.end();
});
