/** The params of a pattern, as the compiler sees them: each line marked as an error must be one. */

import t from 'tap';
import type { Handler, Middleware } from '../../../http/handler.ts';
import type { ParamsOf } from '../../../http/router/route-pattern.ts';
import { Router } from '../../../http/router/router.ts';
import { ask } from './router-exchange.ts';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Each line compiles only if the two types are the same. */
const proofs: readonly true[] = [
  true satisfies Same<keyof ParamsOf<'/'>, never>,
  true satisfies Same<keyof ParamsOf<'/users'>, never>,
  true satisfies Same<ParamsOf<'/:id'>, { readonly id: string }>,
  true satisfies Same<ParamsOf<'/users/:id/posts/:post'>, { readonly id: string; readonly post: string }>,
  true satisfies Same<ParamsOf<'/files/*'>, { readonly '*': string }>,
  true satisfies Same<ParamsOf<'/:user/*path'>, { readonly user: string; readonly path: string }>,
  true satisfies Same<ParamsOf<'/a:b/'>, ParamsOf<'/'>>,
  true satisfies Same<ParamsOf<string>, Readonly<Record<string, string>>>,
];

t.test('the proofs hold', async (t) => t.ok(proofs.every(Boolean)));

t.test('a handler knows the params of its pattern, and no others', async (t) => {
  const router = new Router();
  router.get('/users/:id/posts/:post', (request, response) => {
    const id: string = request.params.id;
    const post: string = request.params.post;
    // @ts-expect-error: the pattern has no such param.
    const nope: unknown = request.params.nope;
    response.text(`${id} ${post} ${nope}`);
  });
  router.get('/', (request, response) => {
    // @ts-expect-error: a pattern without params has none.
    response.text(`${request.params.id}`);
  });
  router.get('/files/*', (request, response) => {
    // @ts-expect-error: the wildcard is named '*'.
    response.text(`${request.params['*']} ${request.params.path}`);
  });
  router.get('/readonly/:id', (request, response) => {
    // @ts-expect-error: what the request said is not for changing.
    request.params.id = 'other';
    response.text(request.params.id);
  });
  t.match(ask(router, 'GET', '/users/1/posts/2'), { body: '1 2 undefined' });
  t.match(ask(router, 'GET', '/'), { body: 'undefined' });
  t.match(ask(router, 'GET', '/files/a'), { body: 'a undefined' });
  t.match(ask(router, 'GET', '/readonly/1'), { body: 'other' });
});

t.test('a handler of its own says what it needs', async (t) => {
  const needsId: Handler<{ id: string }> = (request, response) => response.text(request.params.id);
  const needsNothing: Handler = (_, response) => response.text('nothing');
  const router = new Router();
  router.get('/users/:id', needsId).get('/both/:id/:other', needsId).get('/none', needsNothing);
  router.get('/:some', needsNothing);
  // @ts-expect-error: this pattern has no id.
  router.get('/a/:name', needsId);
  const path: string = ['', 'computed', ':id'].join('/');
  router.get(path, (request, response) => response.text(`${request.params.id}`));
  t.match(ask(router, 'GET', '/computed/7'), { body: '7' });
});

t.test('a middleware knows the params of its prefix', async (t) => {
  const router = new Router();
  router.use('/users/:id', (request, response, next) => {
    // @ts-expect-error: the prefix has no such param.
    response.header('X-Id', `${request.params.id} ${request.params.post}`);
    return next();
  });
  const needsId: Middleware<{ id: string }> = (_request, _response, next) => next();
  router.use('/users/:id', needsId);
  // @ts-expect-error: not everything has an id.
  router.use(needsId);
  t.match(ask(router, 'GET', '/users/1'), { status: 404, headers: { 'X-Id': '1 undefined' } });
});

t.test('a router says which params the prefix must have', async (t) => {
  const posts = new Router<{ id: string }>();
  posts.get('/posts/:post', (request, response) => response.text(`${request.params.id} ${request.params.post}`));
  posts.use((request, response, next) => {
    response.header('X-Id', request.params.id);
    return next();
  });
  const router = new Router();
  router.use('/users/:id', posts);
  router.use('/members/:id', new Router());
  // @ts-expect-error: this prefix has no id.
  router.use('/people/:name', posts);
  // @ts-expect-error: nor does this one.
  router.use(posts);
  const inner = new Router<{ id: string; post: string }>();
  posts.use('/posts/:post/comments', inner);
  // @ts-expect-error: here the post is missing.
  posts.use('/comments', inner);
  // @ts-expect-error: a router that needs params cannot be asked without a prefix.
  const handler: Handler = posts.handle;
  t.type(handler, 'function');
  t.match(ask(router, 'GET', '/users/1/posts/2'), { body: '1 2', headers: { 'X-Id': '1' } });
});
