/** PlainHeads: right for every status and type, made once, and anew when the second is over. */

import { test } from 'tap';
import { PlainHeads } from '../../../http/response/plain-heads.ts';

const first = 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n';
const second = 'Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n';

const text = (head: Uint8Array) => Buffer.from(head).toString('latin1');

test('status line, Date, Content-Type, and where the length is to stand', async (t) => {
  const heads = new PlainHeads(() => first);
  t.equal(text(heads.of(200, 'text/plain')), `HTTP/1.1 200 OK\r\n${first}Content-Type: text/plain\r\nContent-Length: `);
  t.equal(text(heads.of(404, 'a/b')), `HTTP/1.1 404 Not Found\r\n${first}Content-Type: a/b\r\nContent-Length: `);
  t.equal(
    text(heads.of(299, 'a/b')),
    `HTTP/1.1 299 \r\n${first}Content-Type: a/b\r\nContent-Length: `,
    'without a phrase',
  );
});

test('each is made once while the second lasts', async (t) => {
  let line = first;
  const heads = new PlainHeads(() => line);
  const pairs = [200, 201, 404].flatMap((status) => ['text/plain', 'text/html'].map((type) => [status, type] as const));
  const before = pairs.map(([status, type]) => heads.of(status, type));
  for (const [i, [status, type]] of pairs.entries()) t.equal(heads.of(status, type), before[i]);
  line = second;
  for (const [i, [status, type]] of pairs.entries()) {
    t.equal(text(heads.of(status, type)), text(before[i] as Uint8Array).replace(':37', ':38'));
  }
});
