/** Middleware and mounting: who is called around whom, for which paths, with which params. */

import t from 'tap';
import type { Handler, Middleware } from '../../../http/handler.ts';
import { Router } from '../../../http/router/router.ts';
import { ask } from './router-exchange.ts';

/** Notes who was called, on the way in and on the way out. */
function journal() {
  const notes: string[] = [];
  return {
    taken: () => notes.splice(0).join(' '),
    /** A middleware that goes on. */
    pass:
      (name: string): Middleware =>
      (_request, _response, next) => {
        notes.push(`${name}(`);
        const done = next();
        notes.push(`)${name}`);
        return done;
      },
    /** A middleware that notes the params it was given, on both ways. */
    params:
      (name: string): Middleware =>
      (request, _response, next) => {
        notes.push(`${name}${JSON.stringify(request.params)}(`);
        const done = next();
        notes.push(`)${name}${JSON.stringify(request.params)}`);
        return done;
      },
    handler:
      (name: string): Handler =>
      (request, response) => {
        notes.push(`${name}${Object.keys(request.params).length > 0 ? JSON.stringify(request.params) : ''}`);
        response.text(name);
      },
  };
}

t.test('the first registered is the outermost, also around routes that came before it', async (t) => {
  const { taken, pass, handler } = journal();
  const router = new Router();
  router.get('/early', handler('early')).use(pass('a')).get('/middle', handler('middle')).use(pass('b'));
  router.get('/late', handler('late'));
  for (const name of ['early', 'middle', 'late']) {
    ask(router, 'GET', `/${name}`);
    t.equal(taken(), `a( b( ${name} )b )a`);
  }
});

t.test('what has no route goes through it too', async (t) => {
  const { taken, pass, handler } = journal();
  const router = new Router().use(pass('a')).get('/x', handler('x'));
  const cases: readonly (readonly [string, string, number])[] = [
    ['GET', '/unknown', 404],
    ['POST', '/x', 405],
    ['OPTIONS', '/x', 204],
    ['OPTIONS', '*', 204],
    ['TRACE', '/x', 501],
    ['CONNECT', 'example.com:443', 501],
  ];
  for (const [method, path, status] of cases) {
    t.equal(ask(router, method, path).status, status);
    t.equal(taken(), 'a( )a', `${method} ${path}`);
  }
  t.throws(() => ask(router, 'GET', '/%'), { name: 'HttpError' });
  t.equal(taken(), '', 'a path that is not valid is below no prefix');
});

t.test('a middleware can answer itself, answer for others, and catch what they throw', async (t) => {
  const router = new Router();
  router.use((_request, response, next) => {
    try {
      return next();
    } catch (error) {
      response.status(500).text((error as Error).message);
    }
  });
  router.use('/closed', (_request, response) => response.status(403).text('closed'));
  router.get('/closed/x', () => {
    t.fail('must not be reached');
  });
  router.get('/broken', () => {
    throw new Error('broken');
  });
  t.match(ask(router, 'GET', '/closed/x'), { status: 403, body: 'closed' });
  t.match(ask(router, 'GET', '/closed/unknown'), { status: 403 });
  t.match(ask(router, 'GET', '/broken'), { status: 500, body: 'broken' });
});

t.test('a prefix ends where a segment ends', async (t) => {
  const { taken, pass, handler } = journal();
  const router = new Router().use('/api', pass('m'));
  for (const path of ['/api', '/api/', '/api/x', '/apis', '/API', '/x/api', '/:a/:b/:c'])
    router.get(path, handler('h'));
  const cases: Record<string, string> = {
    '/api': 'm( h )m',
    '/api/': 'm( h )m',
    '/api/x': 'm( h )m',
    '/%61pi/x': 'm( h )m',
    '/api/unknown': 'm( )m',
    '/apis': 'h',
    '/API': 'h',
    '/x/api': 'h',
    '/api/1/2': 'm( h{"a":"api","b":"1","c":"2"} )m',
    '/x/1/2': 'h{"a":"x","b":"1","c":"2"}',
    '//api': '',
    '/api%2Fx': '',
    '/': '',
  };
  for (const [path, expected] of Object.entries(cases)) {
    ask(router, 'GET', path);
    t.equal(taken(), expected, path);
  }
});

t.test('a guard cannot be walked around by a route that is wider than its prefix', async (t) => {
  const { taken, pass, handler } = journal();
  const router = new Router();
  router.get('/:page', handler('page')).get('/:page/settings', handler('settings')).get('/*', handler('rest'));
  router.use('/admin', pass('guard')).use(pass('log')).use('/admin/keys', pass('keys'));
  const cases: Record<string, string> = {
    '/admin': 'guard( log( page{"page":"admin"} )log )guard',
    '/%61dmin': 'guard( log( page{"page":"admin"} )log )guard',
    '/other': 'log( page{"page":"other"} )log',
    '/admin/settings': 'guard( log( settings{"page":"admin"} )log )guard',
    '/admin/keys/1': 'guard( log( keys( rest{"*":"admin/keys/1"} )keys )log )guard',
    '/admin/': 'guard( log( rest{"*":"admin/"} )log )guard',
    '/x/admin': 'log( rest{"*":"x/admin"} )log',
  };
  for (const [path, expected] of Object.entries(cases)) {
    ask(router, 'GET', path);
    t.equal(taken(), expected, path);
  }
});

t.test('a middleware has the params of its prefix wherever it runs, the handler those of its route', async (t) => {
  const { taken, params, handler } = journal();
  const router = new Router();
  router.use('/users/:id', params('m')).use(params('all'));
  router.get('/users/me', handler('me')).get('/users/:id/posts/:post', handler('post'));
  router.get('/:id/x/y', handler('other')).get('/users/:id', handler('user'));
  const cases: Record<string, string> = {
    '/users/7': 'm{"id":"7"}( all{"id":"7"}( user{"id":"7"} )all{"id":"7"} )m{"id":"7"}',
    '/users/me': 'm{"id":"me"}( all{}( me )all{} )m{"id":"me"}',
    '/users/a%2Fb/z': 'm{"id":"a/b"}( all{}( )all{} )m{"id":"a/b"}',
    '/users/x/y': 'm{"id":"x"}( all{"id":"users"}( other{"id":"users"} )all{"id":"users"} )m{"id":"x"}',
    '/users/': 'all{}( )all{}',
    '/z/x/y': 'all{"id":"z"}( other{"id":"z"} )all{"id":"z"}',
  };
  for (const [path, expected] of Object.entries(cases)) {
    ask(router, 'GET', path);
    t.equal(taken(), expected, path);
  }
  const wide = new Router().use('/users/:id', params('m')).get('/:id/:b', handler('wide'));
  ask(wide, 'GET', '/users/7');
  t.equal(
    taken(),
    'm{"id":"7","b":"7"}( wide{"id":"users","b":"7"} )m{"id":"7","b":"7"}',
    'also where two patterns use one name for two things',
  );
});

t.test('its params are back after an await, and after a failure', async (t) => {
  const seen: unknown[] = [];
  const router = new Router();
  router.use('/users/:id', async (request, response, next) => {
    try {
      await next();
    } catch (error) {
      seen.push((error as Error).message);
      response.status(500).text('sorry');
    }
    seen.push(request.params.id);
  });
  router.get('/users/me', async (request) => {
    await null;
    seen.push(request.params);
    throw new Error('broken');
  });
  await ask(router, 'GET', '/users/me').returned;
  t.same(seen, [{}, 'broken', 'me']);
});

t.test('sync stays sync, async is awaited', async (t) => {
  const { taken, pass, handler } = journal();
  const router = new Router().use(pass('a')).use('/:x', pass('b')).get('/x', handler('x'));
  t.equal(ask(router, 'GET', '/x').returned, undefined);
  taken();
  const order: string[] = [];
  router.use(async (_request, _response, next) => {
    order.push('before');
    await next();
    order.push('after');
  });
  router.get('/y', async () => {
    await null;
    order.push('handler');
  });
  await ask(router, 'GET', '/y').returned;
  t.same(order, ['before', 'handler', 'after']);
});

t.test('next() twice is an error, from a sync and from an async middleware', async (t) => {
  let calls = 0;
  const count: Handler = () => {
    calls++;
  };
  const twice = new Router().get('/', count).use((_request, _response, next) => {
    next();
    return next();
  });
  t.throws(() => ask(twice, 'GET', '/'), { message: 'a middleware called next() twice' });
  const later = new Router().get('/', count).use(async (_request, _response, next) => {
    await next();
    await next();
  });
  await t.rejects(Promise.resolve(ask(later, 'GET', '/').returned), { message: 'a middleware called next() twice' });
  t.equal(calls, 2, 'the handler ran once for each');
  ask(
    new Router().get('/', count).use(() => {}),
    'GET',
    '/',
  );
  t.equal(calls, 2, 'and not at all without next()');
});

t.test('a middleware that forgets to return next() does not lose the handler', async (t) => {
  const router = new Router();
  router.use((_request, _response, next) => {
    next();
  });
  router.get('/', async () => {
    await null;
    throw new Error('late');
  });
  await t.rejects(Promise.resolve(ask(router, 'GET', '/').returned), { message: 'late' });
});

for (const how of ['throws', 'rejects'] as const) {
  t.test(`what a handler ${how} whose middleware calls next() from a callback goes to the response`, async (t) => {
    const error = new Error('late');
    const handler: Handler =
      how === 'throws'
        ? () => {
            throw error;
          }
        : () => Promise.reject(error);
    let call: (() => void | Promise<void>) | undefined;
    const middlewares: Middleware[] = [
      (_request, _response, next) => {
        call = next;
      },
      async (_request, _response, next) => {
        call = next;
      },
      async (_request, _response, next) => {
        call = next;
        throw new Error('and this is its own');
      },
    ];
    for (const middleware of middlewares) {
      const answer = ask(new Router().get('/', handler).use(middleware), 'GET', '/');
      await Promise.allSettled([answer.returned]);
      t.equal(answer.failure, undefined);
      await call?.();
      t.equal(answer.failure, error);
    }
  });
}

t.test('a handler whose middleware calls next() from a callback answers as any other', async (t) => {
  const handlers: Handler[] = [
    (_request, response) => response.text('late'),
    async (_request, response) => {
      await null;
      response.text('late');
    },
  ];
  for (const handler of handlers) {
    let call: (() => void | Promise<void>) | undefined;
    const middleware: Middleware = (_request, _response, next) => {
      call = next;
    };
    const answer = ask(new Router().get('/', handler).use(middleware), 'GET', '/');
    t.equal(answer.body, null);
    await call?.();
    t.equal(answer.body, 'late');
    t.equal(answer.failure, undefined);
  }
});

t.test('middleware added between requests is seen by the next', async (t) => {
  const { taken, pass, handler } = journal();
  const router = new Router().get('/x', handler('x')).get('/:y/z', handler('y'));
  ask(router, 'GET', '/x');
  t.equal(taken(), 'x');
  router.use(pass('a'));
  ask(router, 'GET', '/x');
  t.equal(taken(), 'a( x )a');
  router.use('/q', pass('b'));
  ask(router, 'GET', '/x');
  t.equal(taken(), 'a( x )a');
  ask(router, 'GET', '/q/z');
  t.equal(taken(), 'a( b( y{"y":"q"} )b )a');
});

t.test('a router is mounted below a prefix', async (t) => {
  const { taken, handler } = journal();
  const inner = new Router().get('/', handler('root')).get('/a', handler('a')).get('/:x/b', handler('b'));
  inner.get('/files/*', handler('files')).post('/a', handler('post'));
  const router = new Router().use('/api/:version', inner).get('/api/list', handler('list'));
  const cases: Record<string, string> = {
    '/api/v1': 'root{"version":"v1"}',
    '/api/v1/': '',
    '/api/v1/a': 'a{"version":"v1"}',
    '/api/v1/q/b': 'b{"version":"v1","x":"q"}',
    '/api/v1/files/c/d': 'files{"version":"v1","*":"c/d"}',
    '/api/list': 'list',
    '/api/list/a': 'a{"version":"list"}',
    '/a': '',
  };
  for (const [path, expected] of Object.entries(cases)) {
    ask(router, 'GET', path);
    t.equal(taken(), expected, path);
  }
  t.match(ask(router, 'DELETE', '/api/v1/a'), { status: 405, headers: { Allow: 'GET, HEAD, OPTIONS, POST' } });
  t.equal(router.find('GET', '/api/v1/a')?.pattern, '/api/:version/a');
  ask(inner, 'GET', '/a');
  t.equal(taken(), 'a', 'and still works alone');
});

t.test('the path stays whole', async (t) => {
  const inner = new Router().get('/a', (request, response) => response.text(request.path));
  t.match(ask(new Router().use('/x', inner), 'GET', '/x/%61'), { body: '/x/%61' });
});

t.test('mounted at the root, in depth, and twice', async (t) => {
  const { taken, pass, handler } = journal();
  const leaf = new Router().get('/', handler('leaf')).use(pass('l'));
  const branch = new Router().use(pass('b')).use('/leaf', leaf);
  const router = new Router().use(pass('r')).use('/one', branch).use('/two', branch);
  for (const path of ['/one/leaf', '/two/leaf']) {
    ask(router, 'GET', path);
    t.equal(taken(), 'r( b( l( leaf )l )b )r', path);
  }
  router.use(leaf);
  ask(router, 'GET', '/');
  t.equal(taken(), 'r( l( leaf )l )r');
  ask(router, 'GET', '/one/leaf');
  t.equal(taken(), 'r( b( l( l( leaf )l )l )b )r', 'everything is below the root, for the middleware of a router too');
});

t.test('its middleware stays below its prefix, in the order of registration', async (t) => {
  const { taken, pass, handler } = journal();
  const inner = new Router().use(pass('in')).get('/a', handler('a')).use('/a', pass('deep'));
  const router = new Router().use(pass('before')).use('/x', inner).use(pass('after')).get('/y', handler('y'));
  ask(router, 'GET', '/x/a');
  t.equal(taken(), 'before( in( deep( after( a )after )deep )in )before');
  ask(router, 'GET', '/x/unknown');
  t.equal(taken(), 'before( in( after( )after )in )before');
  ask(router, 'GET', '/y');
  t.equal(taken(), 'before( after( y )after )before');
});

t.test('what is added to a mounted router later is there, at every depth', async (t) => {
  const { taken, pass, handler } = journal();
  const leaf = new Router();
  const branch = new Router().use('/leaf', leaf);
  const router = new Router().use('/branch', branch).use('/other', leaf);
  t.match(ask(router, 'GET', '/branch/leaf/late'), { status: 404 });
  leaf.get('/late', handler('late')).use(pass('m'));
  for (const path of ['/branch/leaf/late', '/other/late']) {
    ask(router, 'GET', path);
    t.equal(taken(), 'm( late )m', path);
  }
  t.throws(() => leaf.get('/late', handler('again')), { message: /already has a handler/ });
  router.get('/other/taken', handler('taken'));
  t.throws(() => leaf.get('/taken', handler('no')), { message: "'/other/taken' already has a handler for GET" });
});

t.test('conflicts of a mount throw when mounting', async (t) => {
  const { handler } = journal();
  const inner = new Router().get('/:id', handler('x'));
  t.throws(() => new Router().get('/a/:name', handler('y')).use('/a', inner), {
    message: /where '\/a\/:name' has 'name'/,
  });
  t.throws(() => new Router().get('/a/:id', handler('y')).use('/a', inner), { message: /already has a handler/ });
  t.throws(() => new Router().use('/:id', inner), { message: /two params named 'id'/ });
  t.throws(() => new Router().use('/a/', inner), { message: /write '\/a'/ });
});

t.test('a router cannot be inside itself', async (t) => {
  const a = new Router();
  const b = new Router();
  const c = new Router();
  t.throws(() => a.use(a), { message: "a router cannot be mounted in itself, at '/'" });
  a.use('/b', b);
  b.use('/c', c);
  t.throws(() => c.use('/a', a), { message: "a router cannot be mounted in itself, at '/a'" });
  t.throws(() => b.use('/a', a), { message: /in itself/ });
});
