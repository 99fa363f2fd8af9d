/** Router: which handler a request belongs to, with which params, and what is answered when it belongs to none. */

import t from 'tap';
import type { Handler } from '../../../http/handler.ts';
import { HttpError } from '../../../http/http-error.ts';
import { Router } from '../../../http/router/router.ts';
import { cpuMsOf } from '../../support/machine-time.ts';
import { ask, exchange } from './router-exchange.ts';

const nothing: Handler = () => {};

function routerWith(...patterns: string[]): Router {
  const router = new Router();
  for (const pattern of patterns) router.get(pattern, nothing);
  return router;
}

/** Patterns, and per path the pattern that matches it and its params. */
const lookups: readonly {
  readonly patterns: readonly string[];
  readonly paths: Readonly<Record<string, readonly [pattern: string, params?: Record<string, string>] | null>>;
}[] = [
  { patterns: [], paths: { '/': null, '/a': null, '*': null, '': null } },
  { patterns: ['/'], paths: { '/': ['/'], '//': null, '/a': null, '*': null, '': null, a: null } },
  {
    patterns: ['/a', '/a/b', '/c/'],
    paths: {
      '/a': ['/a'],
      '/a/': null,
      '/a/b': ['/a/b'],
      '/a/b/': null,
      '/c': null,
      '/c/': ['/c/'],
      '//a': null,
      '/A': null,
    },
  },
  {
    patterns: ['/users/:id'],
    paths: {
      '/users/7': ['/users/:id', { id: '7' }],
      '/users/': null,
      '/users': null,
      '/users/7/': null,
      '/users/7/x': null,
      '/users/:id': ['/users/:id', { id: ':id' }],
      '/users/__proto__': ['/users/:id', { id: '__proto__' }],
      '/users/..': ['/users/:id', { id: '..' }],
    },
  },
  {
    patterns: ['/users/:id/posts/:post', '/users/:id'],
    paths: {
      '/users/7/posts/8': ['/users/:id/posts/:post', { id: '7', post: '8' }],
      '/users/7/posts': null,
      '/users/7': ['/users/:id', { id: '7' }],
    },
  },
  {
    patterns: ['/files/*'],
    paths: {
      '/files': null,
      '/files/': ['/files/*', { '*': '' }],
      '/files/a': ['/files/*', { '*': 'a' }],
      '/files/a/b//c/': ['/files/*', { '*': 'a/b//c/' }],
      '/files/a%2Fb/%63': ['/files/*', { '*': 'a/b/c' }],
      '/filesystem': null,
    },
  },
  {
    patterns: ['/files/*path', '/:user/files/*'],
    paths: {
      '/files/a/b': ['/files/*path', { path: 'a/b' }],
      '/files/files/b': ['/files/*path', { path: 'files/b' }],
      '/me/files/b': ['/:user/files/*', { user: 'me', '*': 'b' }],
    },
  },
  {
    patterns: ['/*', '/:a', '/b', '/'],
    paths: {
      '/': ['/'],
      '/b': ['/b'],
      '/c': ['/:a', { a: 'c' }],
      '/b/c': ['/*', { '*': 'b/c' }],
      '//': ['/*', { '*': '/' }],
    },
  },
  {
    patterns: ['/users/me', '/users/:id/posts', '/users/me/settings', '/*', '/users/:id/:tab/x'],
    paths: {
      '/users/me': ['/users/me'],
      '/users/me/posts': ['/users/:id/posts', { id: 'me' }],
      '/users/me/settings': ['/users/me/settings'],
      '/users/me/settings/x': ['/users/:id/:tab/x', { id: 'me', tab: 'settings' }],
      '/users/me/settings/y': ['/*', { '*': 'users/me/settings/y' }],
      '/users/you': ['/*', { '*': 'users/you' }],
    },
  },
  {
    patterns: ['/a/:x/c/d', '/:y/b/:z/e', '/a/*'],
    paths: {
      '/a/b/c/d': ['/a/:x/c/d', { x: 'b' }],
      '/a/b/c/f': ['/a/*', { '*': 'b/c/f' }],
      '/a/b/c/e': ['/a/*', { '*': 'b/c/e' }],
      '/z/b/c/e': ['/:y/b/:z/e', { y: 'z', z: 'c' }],
    },
  },
  {
    patterns: ['/a/b/c', '/a/:x/d', '/:y/b/e'],
    paths: {
      '/a/b/c': ['/a/b/c'],
      '/a/b/d': ['/a/:x/d', { x: 'b' }],
      '/a/b/e': ['/:y/b/e', { y: 'a' }],
      '/a/b/f': null,
    },
  },
  {
    patterns: ['/café', '/a b', '/100%', '/:name/x'],
    paths: {
      '/caf%C3%A9': ['/café'],
      '/%63%61%66%c3%a9': ['/café'],
      '/café': ['/café'],
      '/cafe%CC%81': null,
      '/a%20b': ['/a b'],
      '/a+b': null,
      '/100%25': ['/100%'],
      '/caf%C3%A9/x': ['/:name/x', { name: 'café' }],
    },
  },
  {
    patterns: ['/a/b', '/:x', '/:x/:y'],
    paths: {
      '/a%2Fb': ['/:x', { x: 'a/b' }],
      '/a%2fb': ['/:x', { x: 'a/b' }],
      '/%2F': ['/:x', { x: '/' }],
      '/%2Fa/b%2F': ['/:x/:y', { x: '/a', y: 'b/' }],
      '/a/b': ['/a/b'],
      '/a/%62': ['/a/b'],
      '%2Fa': null,
      '/%252F': ['/:x', { x: '%2F' }],
      '/%2e%2e/%2e': ['/:x/:y', { x: '..', y: '.' }],
    },
  },
  {
    patterns: ['/:a/:b/:c', '/:a/:b/:c/:d'],
    paths: {
      '/1/2/3': ['/:a/:b/:c', { a: '1', b: '2', c: '3' }],
      '/1/2/3/4': ['/:a/:b/:c/:d', { a: '1', b: '2', c: '3', d: '4' }],
      '/1//3': null,
    },
  },
];

for (const { patterns, paths } of lookups) {
  t.test(`with ${patterns.join(' ') || 'no routes'}`, async (t) => {
    // The order of registration means nothing.
    for (const router of [routerWith(...patterns), routerWith(...patterns.toReversed())]) {
      for (const [path, expected] of Object.entries(paths)) {
        const match = router.find('GET', path);
        if (expected === null) {
          t.equal(match, null, `${path} is unknown`);
          continue;
        }
        t.strictSame(match, { pattern: expected[0], params: expected[1] ?? {}, handler: nothing }, path);
      }
    }
  });
}

t.test('the handler gets the params, and the path as it came', async (t) => {
  const router = new Router();
  router.get('/users/:id', (request, response) => response.text(`${request.params.id} from ${request.path}`));
  t.match(ask(router, 'GET', '/users/%C3%A9'), { status: 200, body: 'é from /users/%C3%A9' });
  t.match(ask(router, 'GET', '/users/b'), { body: 'b from /users/b' }, 'each request its own');
});

t.test('params of one request stay as they are during the next', async (t) => {
  const router = new Router().get('/:a/:b', nothing);
  const first = router.find('GET', '/1/2')?.params;
  const second = router.find('GET', '/3/4')?.params;
  t.same(
    [first, second],
    [
      { a: '1', b: '2' },
      { a: '3', b: '4' },
    ],
  );
});

t.test('params that were there before are gone', async (t) => {
  const router = new Router().get('/', nothing);
  for (const path of ['/', '/unknown']) {
    const { request, response } = exchange('GET', path);
    request.params = { left: 'over' };
    router.handle(request, response);
    t.same(request.params, {}, path);
  }
});

t.test('a malformed path is 400 whatever the routes are', async (t) => {
  for (const router of [new Router(), routerWith('/*'), routerWith('/%', '/:x')]) {
    for (const path of ['/%', '/%4', '/%GG', '/%C0%AF', '/%00', '/a/%FF']) {
      for (const look of [() => router.find('GET', path), () => ask(router, 'GET', path)]) {
        const error = t.throws(look) as unknown;
        t.ok(error instanceof HttpError && error.status === 400, path);
      }
    }
  }
});

t.test('methods', async (t) => {
  const router = new Router();
  const said =
    (name: string): Handler =>
    (_, response) =>
      response.text(name);
  router.get('/', said('get')).post('/', said('post')).put('/', said('put')).patch('/', said('patch'));
  router.delete('/', said('delete')).head('/', said('head')).options('/', said('options'));
  for (const method of ['get', 'post', 'put', 'patch', 'delete', 'head', 'options']) {
    t.match(ask(router, method.toUpperCase(), '/'), { status: 200, body: method });
    t.match(ask(router, method, '/'), { status: 405 }, 'RFC 9110 section 9.1: methods are case-sensitive');
  }
});

t.test('all: every method without its own handler', async (t) => {
  const router = new Router();
  router.all('/', (request, response) => response.text(`all ${request.method}`));
  router.post('/', (_, response) => response.text('post'));
  for (const method of ['GET', 'HEAD', 'PUT', 'OPTIONS', 'PROPFIND', 'BREW', '*', 'constructor']) {
    t.match(ask(router, method, '/'), { status: 200, body: `all ${method}` });
  }
  t.match(ask(router, 'POST', '/'), { body: 'post' });
});

t.test('CONNECT and TRACE reach no handler', async (t) => {
  const router = new Router().all('/*', nothing).all('/', nothing).get('/', nothing);
  for (const method of ['CONNECT', 'TRACE']) {
    for (const path of ['/', '/a', '*', 'example.com:443', '']) {
      t.match(ask(router, method, path), { status: 501, body: 'Not Implemented\n' }, `${method} ${path}`);
      t.equal(router.find(method, path), null);
    }
    t.match(ask(new Router(), method, '/'), { status: 501 });
  }
});

t.test('HEAD comes from GET', async (t) => {
  const router = new Router();
  router.get('/a', (_, response) => response.header('X-From', 'get').text('content'));
  router.get('/b', nothing).head('/b', (_, response) => response.header('X-From', 'head').empty());
  router.get('/c', (_, response) => response.text('get')).all('/c', (_, response) => response.text('all'));
  router.post('/d', nothing);
  t.match(ask(router, 'HEAD', '/a').headers, { 'X-From': 'get' });
  t.match(ask(router, 'HEAD', '/b').headers, { 'X-From': 'head' }, 'its own handler wins');
  t.match(ask(router, 'HEAD', '/c'), { body: 'get' }, 'before the one for all methods');
  t.match(ask(router, 'HEAD', '/d'), { status: 405, headers: { Allow: 'OPTIONS, POST' } });
});

t.test('a branch without the method is left again', async (t) => {
  const router = new Router();
  router.post('/users/me', (_, response) => response.text('post me'));
  router.get('/users/:id', (request, response) => response.text(`get ${request.params.id}`));
  router.delete('/*', (request, response) => response.text(`delete ${request.params['*']}`));
  t.match(ask(router, 'POST', '/users/me'), { body: 'post me' });
  t.match(ask(router, 'GET', '/users/me'), { body: 'get me' });
  t.match(ask(router, 'HEAD', '/users/me'), { body: 'get me' });
  t.match(ask(router, 'DELETE', '/users/me'), { body: 'delete users/me' });
  t.match(ask(router, 'PUT', '/users/me'), { status: 405, headers: { Allow: 'DELETE, GET, HEAD, OPTIONS, POST' } });
  t.match(ask(router, 'POST', '/users/you'), { status: 405, headers: { Allow: 'DELETE, GET, HEAD, OPTIONS' } });
});

t.test('404 and 405', async (t) => {
  const router = new Router().get('/a', nothing).post('/a', nothing).delete('/users/:id', nothing);
  const expected: readonly (readonly [string, string, number, string?])[] = [
    ['GET', '/nope', 404],
    ['BREW', '/nope', 404],
    ['OPTIONS', '/nope', 404],
    ['GET', '*', 404],
    ['GET', '/a/', 404],
    ['PUT', '/a', 405, 'GET, HEAD, OPTIONS, POST'],
    ['BREW', '/a', 405, 'GET, HEAD, OPTIONS, POST'],
    ['GET', '/users/1', 405, 'DELETE, OPTIONS'],
    ['GET', '/users/', 404],
    ['OPTIONS', '/a', 204, 'GET, HEAD, OPTIONS, POST'],
    ['OPTIONS', '/users/1', 204, 'DELETE, OPTIONS'],
    ['OPTIONS', '*', 204, 'DELETE, GET, HEAD, OPTIONS, POST'],
  ];
  const bodies: Record<number, string> = { 204: '', 404: 'Not Found\n', 405: 'Method Not Allowed\n' };
  for (const [method, path, status, allow] of expected) {
    const { returned, ...answer } = ask(router, method, path);
    const headers = allow === undefined ? {} : { Allow: allow };
    t.same(answer, { status, headers, body: bodies[status] }, `${method} ${path}`);
    t.equal(returned, undefined);
  }
});

t.test('OPTIONS of the server', async (t) => {
  t.match(ask(new Router(), 'OPTIONS', '*'), { status: 204, headers: { Allow: 'OPTIONS' } }, 'without routes');
  const every = 'DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT';
  t.match(ask(new Router().all('/*', nothing), 'OPTIONS', '*'), { status: 204, headers: { Allow: every } });
  t.match(ask(new Router().options('/*', nothing), 'OPTIONS', '*'), { headers: { Allow: 'OPTIONS' } }, 'is no path');
});

t.test('mistakes throw at registration', async (t) => {
  const router = new Router();
  router.get('/a', nothing).get('/users/:id', nothing).all('/a', nothing).get('/files/*', nothing).get('/', nothing);
  t.throws(() => router.get('/a', nothing), { message: "'/a' already has a handler for GET" });
  t.throws(() => router.all('/a', nothing), { message: "'/a' already has a handler for all methods" });
  t.throws(() => router.get('/', nothing), { message: /already has a handler/ });
  t.throws(() => router.get('/files/*', nothing), { message: /already has a handler/ });
  t.throws(() => router.get('/users/:id', nothing), { message: /already has a handler/ });
  t.throws(() => router.post('/users/:name', nothing), {
    name: 'TypeError',
    message: "'/users/:name' has the name 'name' where '/users/:id' has 'id': use one name",
  });
  t.throws(() => router.get('/users/:name/posts', nothing), { message: /where '\/users\/:id' has/ });
  t.throws(() => router.use('/users/:name', (_request, _response, next) => next()), { message: /use one name/ });
  t.throws(() => router.post('/files/*path', nothing), {
    message: "'/files/*path' has the name 'path' where '/files/*' has '*': use one name",
  });
  t.throws(() => router.get('users', nothing), { message: /does not start with/ });
  t.throws(() => router.get('/x', undefined as unknown as Handler), {
    message: "the handler of '/x' must be a function, not undefined",
  });
  t.throws(() => router.use('/x', 'nonsense' as unknown as Router), {
    message: /a function or a Router, not nonsense/,
  });
  t.throws(() => router.use('/x' as unknown as Router), {
    message: /use\('\/'\) takes a function or a Router, not \/x/,
  });
  router.post('/a', nothing).post('/users/:id', nothing).get('/:other/:id', nothing);
  t.equal(router.find('POST', '/users/7')?.pattern, '/users/:id', 'and the router still works');
});

t.test('what the handler returns is returned: no promise where there was none', async (t) => {
  const promise = Promise.resolve();
  const router = new Router().get('/sync', nothing).get('/async', () => promise);
  t.equal(ask(router, 'GET', '/sync').returned, undefined);
  t.equal(ask(router, 'GET', '/async').returned, promise);
  const failing = new Router().get('/', () => {
    throw new Error('broken');
  });
  t.throws(() => ask(failing, 'GET', '/'), { message: 'broken' });
});

t.test('handle is a handler by itself', async (t) => {
  const { handle } = new Router().get('/', (_, response) => response.text('hello'));
  t.match(ask({ handle }, 'GET', '/'), { body: 'hello' });
});

t.test('routes can be added while requests come', async (t) => {
  const router = new Router();
  t.match(ask(router, 'GET', '/a'), { status: 404 });
  router.get('/a', (_, response) => response.text('a'));
  t.match(ask(router, 'GET', '/a'), { status: 200 });
});

t.test('the time of a lookup does not depend on the number of routes', async (t) => {
  const build = (routes: number): Router => {
    const router = new Router();
    for (let i = 0; i < routes; i++) {
      router.get(`/static${i}/list`, nothing).get(`/thing${i}/:id/part/:part`, nothing).get(`/files${i}/*`, nothing);
      router.use(`/guarded${i}`, (_request, _response, next) => next());
    }
    return router;
  };
  const paths = (routes: number) =>
    [0, routes >> 1, routes - 1].flatMap((i) => [
      `/static${i}/list`,
      `/thing${i}/7/part/8`,
      `/files${i}/a/b`,
      `/thing${i}/unknown`,
      `/guarded${i}/unknown`,
    ]);
  /** The best of several rounds, in CPU time: others may use this machine too. */
  const cost = (router: Router, asked: readonly string[]): number => {
    const exchanges = asked.map((path) => exchange('GET', path));
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 12; round++) {
      const before = process.cpuUsage();
      for (let i = 0; i < 2_000; i++) for (const { request, response } of exchanges) router.handle(request, response);
      best = Math.min(best, process.cpuUsage(before).user);
    }
    return best / 2_000 / asked.length;
  };
  const few = cost(build(10), paths(10));
  const many = cost(build(10_000), paths(10_000));
  t.comment(`${(few * 1000).toFixed(0)} ns with 10, ${(many * 1000).toFixed(0)} ns with 10,000`);
  // A list would be a thousand times slower. Caches are what is left of the difference.
  t.ok(many < few * 5, `${many} us against ${few} us`);
});

t.test('going back costs what the routes allow, however long the path', async (t) => {
  const router = new Router();
  router.get('/a/:b/a/:d/a/:f/x', nothing).get('/:a/a/:c/a/:e/a/y', nothing).get('/*', nothing);
  const path = '/a'.repeat(50_000);
  const tookMs = await cpuMsOf(() => {
    for (let i = 0; i < 100; i++) t.equal(router.find('GET', path)?.pattern, '/*');
  });
  t.ok(tookMs < 2_000, `${tookMs} ms`);
});

t.test('route: the pattern that matched, also for middleware, with the prefix of a mounted router', async (t) => {
  const seen: (string | null)[] = [];
  const inner = new Router<{ id: string }>();
  inner.get('/posts/:post', (request, response) => response.text(`${request.route}`));
  const router = new Router();
  router.use((request, _response, next) => {
    seen.push(request.route);
    return next();
  });
  router.use('/users/:id', inner);
  router.all('/files/*path', (request, response) => response.text(`${request.route}`));
  t.equal(ask(router, 'GET', '/users/1/posts/2').body, '/users/:id/posts/:post');
  t.equal(ask(router, 'PUT', '/files/a/b').body, '/files/*path');
  ask(router, 'GET', '/none');
  ask(router, 'POST', '/users/1/posts/2');
  t.same(seen, ['/users/:id/posts/:post', '/files/*path', null, null]);
});
