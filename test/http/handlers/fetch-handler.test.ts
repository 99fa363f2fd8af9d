/** fetchHandler and serve(app): what the app is called with, what it must return, and how it is asked for. */

import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { type FetchInfo, fetchHandler, inject, Router, serve } from '../../../http/index.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';

test('an app that is an object is called with its own this, also if its fetch is replaced', async (t) => {
  class App {
    readonly text = 'this';
    fetch(request: Request): Response {
      return new Response(`${this.text} ${new URL(request.url).pathname}`);
    }
  }
  const app = new App();
  const server = serve(app);
  t.equal(await (await fetch(`${server.url}/a`)).text(), 'this /a');
  app.fetch = () => new Response('replaced');
  t.equal(await (await fetch(server.url)).text(), 'replaced');
  await server.close({ idleGraceMs: 1 });
});

test('mounted in a router, it gets the whole path', async (t) => {
  const router = new Router();
  router.all(
    '/api/*',
    fetchHandler(async (request) => new Response(`${request.method} ${request.url}`)),
  );
  router.get('/', (_request, response) => response.text('ours'));
  const answer = await inject(router, { method: 'PUT', url: '/api/x?y', headers: { host: 'h:81' } });
  t.equal(answer.text(), 'PUT http://h:81/api/x?y');
  t.equal((await inject(router)).text(), 'ours');
});

test('what is no function is refused at once', async (t) => {
  t.throws(() => fetchHandler({} as never), { message: 'fetchHandler() takes a function, not object' });
});

test('an app that returns no Response is told so, and its client gets 500', async (t) => {
  for (const [returned, what] of [
    [undefined, 'undefined'],
    [null, 'null'],
    ['x', 'string'],
    [Promise.resolve({}), 'object'],
  ]) {
    const errors: unknown[] = [];
    const answer = await inject({ fetch: () => returned as never }, { onError: (error) => errors.push(error) });
    t.equal(answer.status, 500);
    t.match(errors, [{ message: `fetch() of the app must return a Response, not ${what as string}` }]);
  }
});

test('an error of the app is a 500 that says nothing, and a report', async (t) => {
  for (const isAsync of [false, true]) {
    const errors: unknown[] = [];
    const fail = () => {
      throw new Error('secret');
    };
    const app = { fetch: isAsync ? async () => fail() : fail };
    const answer = await inject(app, { onError: (error) => errors.push(error) });
    t.same([answer.status, answer.text()], [500, 'Internal Server Error\n']);
    t.match(errors, [{ message: 'secret' }]);
  }
});

test('a body above the limit is 413, if the app passes the error on', async (t) => {
  const app = { fetch: async (request: Request) => new Response(await request.text()) };
  const server = serve(app, { limits: { bodyBytes: 4 } });
  t.equal((await fetch(server.url, { method: 'POST', body: '1234' })).status, 200);
  t.equal((await fetch(server.url, { method: 'POST', body: '12345' })).status, 413);
  await server.close({ idleGraceMs: 1 });
});

test('a body that is not JSON is a SyntaxError: 500, unless the app catches it', async (t) => {
  const read = async (request: Request) => Response.json(await request.json());
  const careful = (request: Request) => read(request).catch(() => new Response('not JSON', { status: 400 }));
  const errors: unknown[] = [];
  for (const lazy of [true, false]) {
    for (const [app, status] of [
      [read, 500],
      [careful, 400],
    ] as const) {
      const asked = { method: 'POST', body: '{bad' };
      const answer = await inject(fetchHandler(app, { lazy }), { ...asked, onError: (error) => errors.push(error) });
      t.equal(answer.status, status);
    }
  }
  t.match(errors, [{ name: 'SyntaxError' }, { name: 'SyntaxError' }]);
  t.equal(errors.length, 2);
});

test('an invalid Host is 400, and the server goes on', async (t) => {
  const server = serve({ fetch: (request) => new Response(new URL(request.url).host) });
  for (const host of ['1.2.3.4.5', '%41%', 'a_b', 'x'.repeat(300)]) {
    const client = new RawClient(Number(new URL(server.url).port));
    client.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    await until(() => client.isOver);
    const isValid = URL.canParse(`http://${host}`);
    t.match(client.text, isValid ? /^HTTP\/1.1 200 / : /^HTTP\/1.1 400 /, host);
  }
  t.equal((await fetch(server.url)).status, 200);
  await server.close({ idleGraceMs: 1 });
});

/** What an app finds in its second and third argument. */
function infoApp(look: (info: FetchInfo) => unknown) {
  return {
    fetch: (_request: Request, info: FetchInfo, context: FetchInfo) => Response.json([info === context, look(info)]),
  };
}

test('the second argument says who the client is, as Deno and Bun do', async (t) => {
  const app = infoApp((info) => [info.remoteAddr, info.requestIP(), info.request.path]);
  const server = serve(app);
  const [isSame, [address, ip, path]] = (await (await fetch(`${server.url}/p`)).json()) as [
    boolean,
    [object, object, string],
  ];
  t.equal(isSame, true);
  t.match(address, { transport: 'tcp', hostname: '127.0.0.1', port: Number });
  t.match(ip, { address: '127.0.0.1', family: 'IPv4', port: Number });
  t.equal(path, '/p');
  await server.close({ idleGraceMs: 1 });
  const injected = await inject(
    infoApp((info) => info.requestIP()),
    { remoteAddress: '::1' },
  );
  t.same(injected.json(), [true, { address: '::1', family: 'IPv6', port: 0 }]);
});

test('on a Unix socket there is a path instead', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'sock');
  const app = infoApp((info) => [info.remoteAddr.transport, info.requestIP()]);
  const server = serve(app, { path });
  const text = await new Promise<string>((resolve) => {
    httpRequest({ socketPath: path, agent: false }, (response) => {
      response.setEncoding('utf8').on('data', resolve);
    }).end();
  });
  t.same(JSON.parse(text), [true, ['unix', null]]);
  await server.close({ idleGraceMs: 1 });
});

test('close waits for what waitUntil was called with, and its error is reported', async (t) => {
  const errors: unknown[] = [];
  let finish = () => {};
  const work = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const app = {
    fetch(_request: Request, info: FetchInfo) {
      info.waitUntil(work);
      info.waitUntil(Promise.reject(new Error('work failed')));
      return new Response('at once');
    },
  };
  const server = serve(app, { onError: (error, request) => errors.push([error, request?.path]) });
  t.equal(await (await fetch(`${server.url}/w`)).text(), 'at once');
  let isClosed = false;
  const closed = server.close({ idleGraceMs: 1 }).then(() => {
    isClosed = true;
  });
  await until(() => server.connectionCount === 0);
  t.equal(isClosed, false);
  finish();
  await closed;
  t.match(errors, [[{ message: 'work failed' }, '/w']]);
});

test('the grace ends that wait', async (t) => {
  const app = {
    fetch(_request: Request, info: FetchInfo) {
      info.waitUntil(new Promise(() => {}));
      return new Response('at once');
    },
  };
  const server = serve(app);
  t.equal(await (await fetch(server.url)).text(), 'at once');
  await server.close({ idleGraceMs: 1, graceMs: 20 });
});

test('completed resolves when the answer is over, and rejects if the app has failed or the client has left', async (t) => {
  const ends: unknown[] = [];
  const app = {
    fetch(request: Request, info: FetchInfo) {
      info.completed.then(
        () => ends.push('sent'),
        (error: Error) => ends.push(error.name),
      );
      info.waitUntil(info.completed);
      if (request.url.endsWith('/throws')) throw new RangeError('x');
      return request.url.endsWith('/stream') ? new Response(new ReadableStream({})) : new Response('x');
    },
  };
  const errors: unknown[] = [];
  const server = serve(app, { onError: (error) => errors.push((error as Error).name) });
  await (await fetch(`${server.url}/`)).text();
  await until(() => ends.length === 1);
  await (await fetch(`${server.url}/throws`)).text();
  await until(() => ends.length === 2);
  const client = new RawClient(server.port as number).write('GET /stream HTTP/1.1\r\nHost: a\r\n\r\n');
  await until(() => server.connectionCount > 0 && client.isConnected);
  client.socket.resetAndDestroy();
  await until(() => ends.length === 3);
  t.same(ends, ['sent', 'RangeError', 'ClientGoneError']);
  await server.close({ idleGraceMs: 1 });
  t.same(errors, ['RangeError', 'RangeError'], 'of the app, and of waitUntil; a client that leaves is no error');
});
