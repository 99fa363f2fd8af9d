/** HeadCache: right for every status and type, made once in each second. */

import { test } from 'tap';
import { HeadCache } from '../../../http/response/head-cache.ts';

const first = 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n';
const second = 'Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n';

const text = (head: Uint8Array) => Buffer.from(head).toString('latin1');

test('status line, Date, Content-Type, and where the length is to stand', async (t) => {
  const heads = new HeadCache(() => first);
  t.equal(
    text(heads.get(200, 'text/plain')),
    `HTTP/1.1 200 OK\r\n${first}Content-Type: text/plain\r\nContent-Length: `,
  );
  t.equal(text(heads.get(404, 'a/b')), `HTTP/1.1 404 Not Found\r\n${first}Content-Type: a/b\r\nContent-Length: `);
  t.equal(
    text(heads.get(299, 'a/b')),
    `HTTP/1.1 299 \r\n${first}Content-Type: a/b\r\nContent-Length: `,
    'without a phrase',
  );
});

test('for a client that asks to keep the connection alive, two more lines, beside those for others', async (t) => {
  const heads = new HeadCache(() => first);
  const line = 'Keep-Alive: timeout=5\r\n';
  const plain = heads.get(200, 'a/b');
  const asked = heads.get(200, 'a/b', line);
  t.equal(
    text(asked),
    `HTTP/1.1 200 OK\r\n${first}Content-Type: a/b\r\nConnection: keep-alive\r\n${line}Content-Length: `,
  );
  t.equal(heads.get(200, 'a/b', line), asked);
  t.equal(heads.get(200, 'a/b'), plain);
});

test('a cache of lines has them in the place of the Content-Type', async (t) => {
  const heads = HeadCache.ofLines(() => first);
  const lines = 'ETag: "x"\r\nContent-Type: a/b\r\n';
  t.equal(text(heads.get(200, lines)), `HTTP/1.1 200 OK\r\n${first}${lines}Content-Length: `);
  t.equal(heads.get(200, lines), heads.get(200, lines));
});

test('each is made once while the second lasts', async (t) => {
  let line = first;
  const heads = new HeadCache(() => line);
  const pairs = [200, 201, 404].flatMap((status) => ['text/plain', 'text/html'].map((type) => [status, type] as const));
  const before = pairs.map(([status, type]) => heads.get(status, type));
  const asked = heads.get(200, 'text/html', 'Keep-Alive: timeout=5\r\n');
  for (const [i, [status, type]] of pairs.entries()) t.equal(heads.get(status, type), before[i]);
  line = second;
  t.equal(text(heads.get(200, 'text/html', 'Keep-Alive: timeout=5\r\n')), text(asked).replace(':37', ':38'));
  for (const [i, [status, type]] of pairs.entries()) {
    t.equal(text(heads.get(status, type)), text(before[i] as Uint8Array).replace(':37', ':38'));
  }
});

test('16 content types of one status are kept, with and without keep-alive; with one more it begins again', async (t) => {
  for (const line of ['', 'Keep-Alive: timeout=5\r\n']) {
    const heads = new HeadCache(() => first);
    const types = Array.from({ length: 16 }, (_, i) => `a/${i}`);
    const before = types.map((type) => heads.get(200, type, line));
    for (const [i, type] of types.entries()) t.equal(heads.get(200, type, line), before[i]);
    const more = heads.get(200, 'a/16', line);
    t.equal(heads.get(200, 'a/16', line), more);
    t.not(heads.get(200, 'a/0', line), before[0]);
    t.equal(text(heads.get(200, 'a/0', line)), text(before[0] as Uint8Array));
  }
});
