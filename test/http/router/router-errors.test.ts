/** `router.onError` and `router.notFound`, also of mounted routers. */

import { test } from 'tap';
import type { Handler } from '../../../http/handler.ts';
import { abortErrorOf, ClientGoneError, HttpError } from '../../../http/http-error.ts';
import { Router } from '../../../http/router/router.ts';
import { ask } from './router-exchange.ts';

const throws: Handler = () => {
  throw new Error('boom');
};
const rejects: Handler = async () => {
  throw new HttpError(409, 'conflict');
};

test('a handler of errors answers what is thrown in a route and in middleware, wherever it is registered', async (t) => {
  const router = new Router();
  router.get('/throws', throws);
  router.get('/rejects', rejects);
  router.use('/guarded', throws);
  router.onError((error, request, response) => response.text(`${request.path}: ${(error as Error).message}`));
  router.get('/guarded', (_request, response) => response.text('never'));
  router.get('/fine', (_request, response) => response.text('fine'));
  router.get('/early', (_request, response) => {
    response.text('sent');
    throw new Error('too late');
  });
  router.get('/gone', () => {
    throw abortErrorOf(new ClientGoneError());
  });
  t.match(ask(router, 'GET', '/throws'), { status: 500, body: '/throws: boom' });
  const rejected = ask(router, 'GET', '/rejects');
  await rejected.returned;
  t.match(rejected, { status: 409, body: '/rejects: conflict' });
  t.match(ask(router, 'GET', '/guarded'), { status: 500, body: '/guarded: boom' });
  t.match(ask(router, 'GET', '/guarded/unknown'), { status: 500, body: '/guarded/unknown: boom' });
  t.match(ask(router, 'GET', '/fine'), { status: 200, body: 'fine' });
  t.match(ask(router, 'GET', '/none'), { status: 404, body: 'Not Found\n' });
  t.throws(() => ask(router, 'GET', '/early'), { message: 'too late' });
  t.throws(() => ask(router, 'GET', '/gone'), { name: 'AbortError' }, 'no answer can reach it');
});

test('an error that is not answered, or thrown in the handler of errors, goes on: outwards, then to the server', async (t) => {
  const inner = new Router();
  inner.get('/a', throws);
  inner.get('/b', rejects);
  inner.onError((error) => {
    if (error instanceof HttpError) throw new Error('worse');
  });
  const outer = new Router();
  outer.use('/in', inner);
  t.throws(() => ask(outer, 'GET', '/in/a'), { message: 'boom' });
  await t.rejects(Promise.resolve(ask(outer, 'GET', '/in/b').returned), { message: 'worse' });
  outer.onError(async (error, _request, response) => response.text(`outer: ${(error as Error).message}`));
  for (const [path, body] of Object.entries({ '/in/a': 'outer: boom', '/in/b': 'outer: worse' })) {
    const answer = ask(outer, 'GET', path);
    await answer.returned;
    t.equal(answer.body, body);
  }
  const silent = new Router();
  silent.get('/', throws);
  silent.onError(async () => {});
  await t.rejects(Promise.resolve(ask(silent, 'GET', '/').returned), { message: 'boom' });
});

test('a mounted router answers its own errors and those of routers in it, and not those around it', (t) => {
  const answering = (name: string) => {
    const router = new Router();
    router.onError((error, _request, response) => response.text(`${name}: ${(error as Error).message}`));
    return router;
  };
  const inmost = new Router();
  inmost.get('/deep', throws);
  const child = answering('child');
  child.use('/more', inmost);
  child.get('/a', throws);
  const parent = answering('parent');
  parent.get('/own', throws);
  parent.use('/guarded/:id', (_request, _response, next) => next());
  parent.use('/child', child);
  parent.get('/:any/a', throws);
  child.get('/late', throws);
  const guarded = answering('guarded');
  guarded.get('/x', throws);
  parent.use('/before', throws);
  parent.use('/before', guarded);
  t.equal(ask(parent, 'GET', '/child/a').body, 'child: boom');
  t.equal(ask(parent, 'GET', '/child/late').body, 'child: boom');
  t.equal(ask(parent, 'GET', '/child/more/deep').body, 'child: boom');
  t.equal(ask(parent, 'GET', '/own').body, 'parent: boom');
  t.equal(ask(parent, 'GET', '/other/a').body, 'parent: boom');
  t.equal(ask(parent, 'GET', '/before/x').body, 'parent: boom', 'its middleware stands outside');
  t.end();
});

test('a handler of errors that is added after requests, in a mounted router, counts from then on', (t) => {
  const child = new Router();
  child.get('/a', throws);
  const parent = new Router();
  parent.use('/in', child);
  t.throws(() => ask(parent, 'GET', '/in/a'), { message: 'boom' });
  child.onError((_error, _request, response) => response.text('caught'));
  t.equal(ask(parent, 'GET', '/in/a').body, 'caught');
  t.equal(ask(child, 'GET', '/a').body, 'caught');
  t.throws(() => child.onError(() => {}), { message: /already has a handler of errors/ });
  // @ts-expect-error -- what a program in JavaScript may pass
  t.throws(() => child.onError('x'), TypeError);
  // @ts-expect-error
  t.throws(() => child.notFound({}), TypeError);
  t.end();
});

test('notFound answers unknown paths, inside the middleware; the longest prefix wins, and a name over a param', (t) => {
  const naming = (name: string) =>
    new Router().notFound((request, response) => response.text(`${name} ${request.path}`));
  const root = naming('root');
  root.use((_request, response, next) => {
    response.header('X', 'y');
    return next();
  });
  root.use('/api', naming('api'));
  root.use('/:param', naming('param'));
  root.use('/api/v1', naming('v1'));
  root.get('/known', (_request, response) => response.text('known'));
  const answer = ask(root, 'GET', '/none/x');
  t.match(answer, { status: 404, body: 'param /none/x', headers: { X: 'y' } });
  t.match(ask(root, 'GET', '/'), { status: 404, body: 'root /' });
  t.match(ask(root, 'GET', '/api/x'), { status: 404, body: 'api /api/x' });
  t.match(ask(root, 'GET', '/api/v1'), { status: 404, body: 'v1 /api/v1' });
  t.match(ask(root, 'GET', '/known'), { status: 200, body: 'known' });
  t.match(ask(root, 'POST', '/known'), { status: 405 });
  t.match(ask(root, 'OPTIONS', '*'), { status: 204 });
  t.match(ask(root, 'TRACE', '/none'), { status: 501 });
  t.throws(() => root.notFound(() => {}), { message: /'\/' already has a handler for unknown paths/ });
  t.throws(() => root.use('/api', naming('again')), { message: /'\/api' already has/ });
  t.end();
});
