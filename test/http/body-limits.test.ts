/**
 * Bodies that are too large, too deep or too many, over real sockets, on both loops.
 */

import { test } from 'tap';
import { Router, serve } from '../../http/index.ts';
import { portOf } from '../../simplenet/index.ts';
import { backends, missingBackend } from '../support/backends.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';

const BODY_BYTES = 200_000;

const router = new Router();
router.post('/json', async (request, response) => response.json(await request.json()));
router.post('/form', async (request, response) => response.json((await request.form()).size));
router.post('/bytes', async (request, response) => response.json((await request.bytes()).length));

const head = (path: string, length: number) => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`;
const post = (path: string, body: string) => `${head(path, body.length)}${body}`;
const statusOf = (client: RawClient) => Number(/^HTTP\/1\.1 (\d+) /.exec(client.text)?.[1]);
const answered = (client: RawClient) => client.until(() => client.answers > 0 || client.isOver, 'an answer');

for (const backend of backends) {
  test(`on ${backend}`, { skip: missingBackend[backend] }, async (t) => {
    await t.test('a declared length above the limit is refused before a byte of the body has come', async (t) => {
      await using server = serve(router, { backend });
      for (const path of ['/json', '/form']) {
        const client = new RawClient(portOf(server.address)).write(head(path, 1024 * 1024 + 1));
        await answered(client);
        t.match(client.text, /^HTTP\/1\.1 413 .*\r\nConnection: close\r\n/s, path);
        client.destroy();
      }
    });

    await t.test('depth and fields at the limit, and one more', async (t) => {
      await using server = serve(router, { backend, limits: { jsonDepth: 5, formFields: 5 } });
      const cases: [path: string, body: string, status: number][] = [
        ['/json', '[[[[[]]]]]', 200],
        ['/json', '[[[[[[]]]]]]', 400],
        ['/form', 'a&b&c&d&e', 200],
        ['/form', 'a&b&c&d&e&f', 413],
      ];
      const client = new RawClient(portOf(server.address));
      for (const [path, body, status] of cases) {
        client.text = '';
        client.answers = 0;
        client.write(post(path, body));
        await answered(client);
        t.equal(statusOf(client), status, `${path} ${body}`);
      }
      client.destroy();
    });

    await t.test(
      'above the memory for bodies others wait, then get 503, and are served when there is room',
      async (t) => {
        await using server = serve(router, {
          backend,
          limits: { bodyMemoryBytes: BODY_BYTES - 1 },
          timeouts: { bodyWaitMs: 50 },
        });
        const port = portOf(server.address);
        const slow = new RawClient(port).write(head('/bytes', BODY_BYTES)).write(Buffer.alloc(BODY_BYTES - 1));
        await until(() => server.bodyMemory.usedBytes >= BODY_BYTES);
        const others = Array.from({ length: 5 }, () =>
          new RawClient(port).write(head('/bytes', BODY_BYTES)).write(Buffer.alloc(BODY_BYTES)),
        );
        for (const other of others) {
          await answered(other);
          t.equal(statusOf(other), 503);
          t.match(other.text, /\r\nRetry-After: 1\r\nConnection: close\r\n/);
          other.destroy();
        }
        slow.write(Buffer.alloc(1));
        await answered(slow);
        t.match(slow.text, /^HTTP\/1\.1 200 .*\r\n\r\n200000$/s, 'the one that was there first');
        slow.destroy();
        const next = new RawClient(port).write(head('/bytes', BODY_BYTES)).write(Buffer.alloc(BODY_BYTES));
        await answered(next);
        t.equal(statusOf(next), 200);
        next.destroy();
        await until(() => server.connectionCount === 0);
        t.equal(server.bodyMemory.usedBytes, 0);
        t.equal(server.bodyMemory.waitingCount, 0);
      },
    );

    await t.test('a crowd with memory for one: all are served, and the account is even', async (t) => {
      const limits = { bodyMemoryBytes: BODY_BYTES };
      await using server = serve(router, { backend, limits, timeouts: { bodyWaitMs: 60_000 } });
      const clients = Array.from({ length: 30 }, () =>
        new RawClient(portOf(server.address)).write(head('/bytes', BODY_BYTES)).write(Buffer.alloc(BODY_BYTES)),
      );
      for (const client of clients) await answered(client);
      t.same(clients.map(statusOf), Array(30).fill(200));
      for (const client of clients) client.destroy();
      await until(() => server.connectionCount === 0);
      t.equal(server.bodyMemory.usedBytes, 0);
      t.equal(server.bodyMemory.waitingCount, 0);
    });
  });
}
