/** withMiddleware: what stands around a program, and what must still reach it. */

import { test } from 'tap';
import { traitsOf } from '../../../http/handlers/context-handler.ts';
import { handlerOf } from '../../../http/handlers/handler-source.ts';
import {
  type ConnectContext,
  type ContextHost,
  compress,
  contextHandler,
  cors,
  type HandlerSource,
  inject,
  type Middleware,
  Router,
  serve,
  withMiddleware,
} from '../../../http/index.ts';
import { clientsOf, marked, request } from '../../support/context-client.ts';

const naming =
  (name: string): Middleware =>
  (_request, response, next) => {
    response.append('X-Around', name);
    return next();
  };

test('it stands around each kind of program, the first one outermost', async (t) => {
  const programs: readonly HandlerSource[] = [
    (_request, response) => response.text('hello'),
    new Router().get('/', (_request, response) => response.text('hello')),
    { fetch: () => new Response('hello') },
    marked({ fetch: () => new Response('hello') }) as unknown as HandlerSource,
  ];
  for (const program of programs) {
    const answer = await inject(withMiddleware(program, naming('outer'), naming('inner')), {});
    t.same([answer.text(), answer.headers.get('x-around')], ['hello', 'outer, inner']);
  }
  t.equal(
    (
      await inject(
        withMiddleware(() => new Response('alone')),
        {},
      )
    ).text(),
    'alone',
    'without any',
  );
});

test('the limits of routes stay in force', async (t) => {
  const router = new Router().post('/large', { limits: { bodyBytes: 100 } }, async (request, response) =>
    response.text(await request.text()),
  );
  const server = serve(withMiddleware(router, naming('x')), { limits: { bodyBytes: 10 } });
  t.teardown(() => server.close({ graceMs: 0 }));
  const answer = await fetch(`${server.url}/large`, { method: 'POST', body: 'x'.repeat(50) });
  t.equal((await answer.text()).length, 50);
});

test('CONNECT and Upgrade reach a program that takes them', async (t) => {
  const app = marked({
    async connect(ctx: ConnectContext) {
      const tunnel = await ctx.accept();
      await tunnel.readable.pipeTo(tunnel.writable);
      return undefined;
    },
  });
  const server = serve(withMiddleware(app, cors({ origin: '*' }), compress()));
  t.teardown(() => server.close({ graceMs: 0 }));
  const { client, ask } = clientsOf(t, server.port as number);
  for (const [head, status] of [
    ['CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nOrigin: https://b\r\nAccept-Encoding: gzip\r\n\r\n', /^HTTP\/1\.1 200 /],
    [request('GET', '/', ['Connection: Upgrade', 'Upgrade: echo']), /^HTTP\/1\.1 101 /],
  ] as const) {
    const asking = client().write(`${head}ping`);
    await asking.until(() => asking.text.endsWith('\r\n\r\nping'), 'the echo');
    t.match(asking.text, status);
    t.notMatch(asking.text, /Content-Encoding|Transfer-Encoding/);
    asking.socket.end();
    await asking.ended();
  }
  t.match(await ask(request('GET', '/', ['Connection: close'])), /ok$/);
});

test('an object with such a handler keeps its traits too', async (t) => {
  const app = { fetch: () => new Response('x'), connect: () => new Response('x') };
  const host = { autoContinue: false } as ContextHost;
  const handle = contextHandler(app, host);
  const wanted = { opensTunnels: true, continuesByHand: true };
  for (const source of [handle, { handle }, withMiddleware({ handle }, naming('x')), withMiddleware(handle)]) {
    t.same(traitsOf(handlerOf(source)), wanted);
  }
});

test('what is not a function throws at once', async (t) => {
  t.throws(() => withMiddleware(() => {}, {} as Middleware), /a middleware is a function, not /);
  t.throws(() => withMiddleware(null as never), /serve needs a handler first/);
});
