/** What a request can tell, and forms of every kind, over real sockets, on both loops. */

import { once } from 'node:events';
import { test } from 'tap';
import { Router, type Server, StateKey, serve } from '../../../http/index.ts';
import { portOf } from '../../../simplenet/index.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';

const USER = new StateKey<string>('user');
const MB = 1024 * 1024;

const head = (path: string, length: number, type = 'multipart/form-data; boundary=b') =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`;
const post = (path: string, body: string, type?: string) => `${head(path, Buffer.byteLength(body), type)}${body}`;
const part = (disposition: string, content: string) =>
  `--b\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n`;
const TWO = `${part('name=a', 'one')}${part('name=f; filename=x', 'two')}--b--\r\n`;
const bodyOf = (client: RawClient) => client.text.slice(client.text.indexOf('\r\n\r\n') + 4);

function siteOf(): Router {
  const router = new Router();
  router.use((request, _response, next) => {
    request.state.set(USER, request.cookies.get('user') ?? 'nobody');
    return next();
  });
  router.all('/tell/:what', (request, response) => {
    const { url, search, scheme, remotePort, localAddress, clientAddress, route } = request;
    const user = request.state.require(USER);
    response.json({ url, search, scheme, hasPort: Number(remotePort) > 0, localAddress, clientAddress, route, user });
  });
  router.post('/form-data', async (request, response) => {
    const form = await request.formData();
    response.json([...form].map(([name, value]) => [name, typeof value === 'string' ? value : value.size]));
  });
  router.post('/parts', async (request, response) => {
    const parts: unknown[] = [];
    for await (const each of request.multipart()) parts.push([each.name, await each.text()]);
    response.json(parts);
  });
  router.post('/first', async (request, response) => {
    for await (const each of request.multipart()) {
      response.text(each.name);
      return;
    }
  });
  router.post('/form', async (request, response) => response.json((await request.form()).size));
  router.post('/json', async (request, response) => response.json(await request.json()));
  return router;
}

async function ask(server: Server, text: string): Promise<RawClient> {
  const client = new RawClient(portOf(server.address)).write(text);
  await client.until(() => client.answers > 0 || client.isOver, 'an answer');
  return client;
}

for (const backend of backends) {
  test(`on ${backend}`, { skip: missingBackend[backend] }, async (t) => {
    await t.test('what a request can tell', async (t) => {
      await using server = serve(siteOf(), { backend });
      const modern = await ask(server, 'GET /tell/a?b=c HTTP/1.1\r\nHost: example.org:81\r\nCookie: user=Ada\r\n\r\n');
      const address = '127.0.0.1';
      t.same(JSON.parse(bodyOf(modern)), {
        url: 'http://example.org:81/tell/a?b=c',
        search: '?b=c',
        scheme: 'http',
        hasPort: true,
        localAddress: address,
        clientAddress: address,
        route: '/tell/:what',
        user: 'Ada',
      });
      const old = await ask(server, 'GET /tell/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
      t.match(JSON.parse(bodyOf(old)), { url: `${server.url}/tell/a`, user: 'nobody' });
      for (const client of [modern, old]) client.destroy();
    });

    await t.test('forms, and what is refused with its place', async (t) => {
      await using server = serve(siteOf(), { backend, limits: { formDataBytes: 500, partCount: 2 } });
      const cases: [text: string, status: number, body: string][] = [
        [post('/form-data', TWO), 200, '[["a","one"],["f",3]]'],
        [post('/parts', TWO), 200, '[["a","one"],["f","two"]]'],
        [post('/form-data', 'a=1', 'application/x-www-form-urlencoded'), 200, '[["a","1"]]'],
        [post('/parts', TWO.slice(0, 60)), 400, 'the multipart body ends before its last boundary, at byte 60\n'],
        [post('/form-data', TWO.slice(0, 60)), 400, 'the multipart body ends before its last boundary, at byte 60\n'],
        [post('/parts', part('name=a', '') + TWO), 413, 'a form of more than 2 parts\n'],
        [post('/form-data', part('name=a', 'x'.repeat(501)) + TWO), 413, 'a multipart form of more than 500 bytes\n'],
        [
          post('/form', TWO),
          415,
          'form() reads application/x-www-form-urlencoded: for multipart/form-data use formData() or multipart()\n',
        ],
        [post('/parts', 'a', 'text/plain'), 415, 'multipart() reads multipart/form-data alone\n'],
        [post('/form', 'a=%'), 400, 'the form has a % that begins no escape, at byte 2\n'],
        [
          post('/json', '[1,\n2,]', 'application/json'),
          400,
          'the body is not valid JSON: unexpected character at line 2, column 3\n',
        ],
      ];
      cases[9] = [post('/form', 'a=%', 'application/x-www-form-urlencoded'), 400, cases[9]?.[2] as string];
      for (const [text, status, body] of cases) {
        const client = await ask(server, text);
        t.match(client.text, new RegExp(`^HTTP/1\\.1 ${status} `), body);
        await client.until(() => bodyOf(client).length >= body.length, 'the body');
        t.equal(bodyOf(client), body);
        t.notMatch(client.text, /Connection: close/, 'the connection can be used again');
        client.destroy();
      }
    });

    await t.test('a handler that stops early: the rest is dropped, and the connection goes on', async (t) => {
      await using server = serve(siteOf(), { backend });
      const client = new RawClient(portOf(server.address));
      const body = `${part('name=a', '')}${part('name=big; filename=x', 'x'.repeat(200_000))}--b--`;
      client.write(post('/first', body) + post('/parts', TWO));
      await client.until(() => client.answers === 2, 'both answers');
      t.match(client.text, /one/);
      client.destroy();
    });

    await t.test('a slow handler slows the client, and a whole part waits in memory that is counted', async (t) => {
      const router = siteOf();
      let isFirstRead = false;
      let go = () => {};
      const gone = new Promise<void>((resolve) => {
        go = resolve;
      });
      router.post('/slow', async (request, response) => {
        const parts = request.multipart({ partBytes: 64 * MB });
        const first = (await parts.next()).value;
        t.equal((await first?.bytes())?.length, MB);
        isFirstRead = true;
        await gone;
        let bytes = 0;
        for await (const each of parts) for await (const piece of each) bytes += piece.length;
        response.text(`${bytes}`);
      });
      await using server = serve(router, { backend, limits: { bodyBytes: 64 * MB } });
      const client = new RawClient(portOf(server.address));
      const first = Buffer.from(part('name=a', 'x'.repeat(MB)));
      const second = Buffer.from(`${part('name=b', '').slice(0, -2)}`);
      const rest = Buffer.concat([first, second, Buffer.alloc(30 * MB, 'y'), Buffer.from('\r\n--b--')]);
      client.write(head('/slow', rest.length)).write(rest);
      await until(() => isFirstRead);
      const { bodyMemory } = server.commons;
      t.ok(bodyMemory.usedBytes >= MB, `${bodyMemory.usedBytes}`);
      t.ok(bodyMemory.usedBytes <= 4 * MB, `${bodyMemory.usedBytes}: the second part is not in memory`);
      go();
      await client.until(() => client.answers > 0, 'an answer');
      t.equal(bodyOf(client), `${30 * MB}`);
      await until(() => bodyMemory.usedBytes === 0);
      client.destroy();
    });

    await t.test('a client that leaves within a part', async (t) => {
      const router = siteOf();
      const errors: unknown[] = [];
      let fail = (_error: unknown) => {};
      const failed = new Promise((resolve) => {
        fail = resolve;
      });
      router.post('/wait', async (request) => {
        for await (const each of request.multipart()) await each.bytes().catch(fail);
      });
      await using server = serve(router, { backend, onError: (error) => errors.push(error) });
      const client = new RawClient(portOf(server.address))
        .write(head('/wait', 1_000))
        .write(part('name=a', 'x').slice(0, -2));
      await until(() => server.connectionCount === 1);
      await new Promise(setImmediate);
      client.reset();
      t.match(await failed, { name: 'ClientGoneError' });
      await until(() => server.connectionCount === 0);
      t.same(errors, []);
    });
  });
}

test('on a Unix socket', async (t) => {
  const { connect } = await import('node:net');
  const path = `${t.testdir()}/socket`;
  await using _server = serve(siteOf(), { path });
  const client = connect(path);
  client.end('GET /tell/a HTTP/1.0\r\n\r\n');
  let text = '';
  client.on('data', (bytes) => {
    text += bytes;
  });
  await once(client, 'end');
  t.match(JSON.parse(text.slice(text.indexOf('\r\n\r\n'))), {
    url: 'http://localhost/tell/a',
    hasPort: false,
    localAddress: path,
  });
});
