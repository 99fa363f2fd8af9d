/**
 * Bodies that are too large, too deep or too many, over real sockets, on both loops.
 */

import { test } from 'tap';
import { type Handler, Router, serve } from '../../../http/index.ts';
import { portOf } from '../../../simplenet/index.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';

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
      'above the memory for bodies others wait, and one that does not go on holds up none of them',
      async (t) => {
        const limits = { bodyMemoryBytes: BODY_BYTES - 1 };
        await using server = serve(router, { backend, limits, timeouts: { bodyWaitMs: 200 } });
        const port = portOf(server.address);
        const stuck = new RawClient(port).write(head('/bytes', BODY_BYTES)).write(Buffer.alloc(BODY_BYTES - 1));
        await until(() => server.commons.bodyMemory.usedBytes >= BODY_BYTES);
        for (let round = 0; round < 3; round++) {
          const other = new RawClient(port).write(head('/bytes', BODY_BYTES)).write(Buffer.alloc(BODY_BYTES));
          await answered(other);
          t.equal(statusOf(other), 200);
          other.destroy();
        }
        stuck.destroy();
        await until(() => server.connectionCount === 0);
        t.equal(server.commons.bodyMemory.usedBytes, 0);
        t.equal(server.commons.bodyMemory.waitingCount, 0);
      },
    );

    await t.test(
      'above the memory for bodies all that do not go on get 503 in the end, and then there is room',
      async (t) => {
        const limits = { bodyMemoryBytes: BODY_BYTES - 1 };
        await using server = serve(router, { backend, limits, timeouts: { bodyWaitMs: 50 } });
        const port = portOf(server.address);
        const stuck = Array.from({ length: 5 }, () =>
          new RawClient(port).write(head('/bytes', BODY_BYTES)).write(Buffer.alloc(BODY_BYTES - 1)),
        );
        // One may be left, with the exemption and nobody who needs it.
        await until(() => stuck.filter((client) => client.answers > 0).length >= 4);
        for (const client of stuck.filter(({ answers }) => answers > 0)) {
          t.equal(statusOf(client), 503);
          t.match(client.text, /\r\nRetry-After: 1\r\n/);
          t.match(client.text, /\r\nConnection: close\r\n/);
        }
        const next = new RawClient(port).write(head('/bytes', BODY_BYTES)).write(Buffer.alloc(BODY_BYTES));
        await answered(next);
        t.equal(statusOf(next), 200);
        for (const client of [...stuck, next]) client.destroy();
        await until(() => server.connectionCount === 0);
        t.equal(server.commons.bodyMemory.usedBytes, 0);
        t.equal(server.commons.bodyMemory.waitingCount, 0);
      },
    );

    await t.test(
      'a body that is whole and whose answer has begun takes no memory of others, however long that lasts',
      async (t) => {
        const endless: Handler = async (request, response) => void response.write(await request.bytes());
        await using server = serve(endless, { backend });
        const client = new RawClient(portOf(server.address))
          .write(head('/', BODY_BYTES))
          .write(Buffer.alloc(BODY_BYTES));
        await until(() => client.text.length > BODY_BYTES);
        t.equal(server.commons.bodyMemory.usedBytes, 0);
        client.reset(); // a client that only closes its side may still read, so close() would wait for the end of the response
        await until(() => server.connectionCount === 0);
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
      t.equal(server.commons.bodyMemory.usedBytes, 0);
      t.equal(server.commons.bodyMemory.waitingCount, 0);
    });
  });
}
