/** What can be served: a function, an object with `handle`, an object with `fetch`. */

import { test } from 'tap';
import { handlerOf } from '../../../http/handlers/handler-source.ts';
import { type Handler, inject, Router } from '../../../http/index.ts';

test('a function is its own handler', async (t) => {
  const handler: Handler = (_request, response) => response.text('x');
  t.equal(handlerOf(handler), handler);
});

test('a class is no handler, and the error says what is', async (t) => {
  t.throws(() => handlerOf(Router as unknown as Handler), {
    name: 'TypeError',
    message: 'serve needs an object of the class Router: new Router()',
  });
});

test('an object with handle is called with its own this', async (t) => {
  const object = {
    text: 'mine',
    handle(_request: unknown, response: { text(body: string): void }) {
      response.text(this.text);
    },
  };
  t.equal((await inject(object)).text(), 'mine');
});

test('a Router has both, and its handle is called', async (t) => {
  const router = new Router().get('/', (_request, response) => response.text('routed'));
  router.fetch satisfies unknown;
  t.equal((await inject(router)).text(), 'routed');
});

test('an object with fetch is a Fetch app', async (t) => {
  t.equal((await inject({ fetch: () => new Response('fetched') })).text(), 'fetched');
});
