/**
 * A handler that answers and then ends the process: the answer arrives, on both loops. exit.long.ts tries more lengths and ways.
 */

import { connect } from 'node:net';
import { type Test, test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { Program, plainEnvironment } from '../support/programs.ts';

const program = (backend: string) => `
const { Router, serve } = await import(build + '/http/index.js');
const router = new Router();
router.get('/whole', (_request, response) => {
  response.text('good');
  process.exit(0);
});
router.get('/pieces', (_request, response) => {
  void response.write('go');
  void response.write('od');
  process.exit(0);
});
router.get('/text/:length', (request, response) => {
  response.text('x'.repeat(Number(request.params.length)));
  process.exit(0);
});
router.get('/bytes/:length', (request, response) => {
  response.bytes(Buffer.alloc(Number(request.params.length), 'x'));
  process.exit(0);
});
router.get('/many/:length', (request, response) => {
  for (let left = Number(request.params.length); left > 0; left -= 10_000) void response.write('x'.repeat(10_000));
  process.exit(0);
});
router.get('/pipelined', (_request, response) => response.text('first'));
const other = serve(router, { backend: '${backend}' });
await other.close();
const server = serve(router, { backend: '${backend}' });
console.log(server.url);
`;

/** Larger ones are put off to a later turn, or to the next completion, and the kernel has room for them: on loopback for 2 MB. */
const lengths = (process.env.LENGTHS ?? '500000').split(',').map(Number);
const ways = (process.env.WAYS ?? 'many').split(',');

/** All that the server sends in answer to those requests, until its end. */
async function answerTo(t: Test, backend: string, paths: readonly string[]): Promise<string> {
  const server = Program.script(program(backend), { env: plainEnvironment() });
  t.teardown(() => server.kill());
  const [, port] = await server.prints(/:(\d+)\n/);
  const socket = connect(Number(port), '127.0.0.1');
  socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
  let text = '';
  for await (const bytes of socket) text += bytes;
  t.equal((await server.ends()).code, 0);
  return text;
}

for (const backend of backends) {
  test(`on ${backend}`, { skip: missingBackend[backend] }, async (t) => {
    t.match(await answerTo(t, backend, ['/whole']), /\r\n\r\ngood$/, 'in one piece');
    t.match(await answerTo(t, backend, ['/pieces']), /\r\n\r\n2\r\ngo\r\n2\r\nod\r\n$/, 'in pieces');
    t.match(await answerTo(t, backend, ['/pipelined', '/whole']), /first.*\r\n\r\ngood$/s, 'behind another one');
    for (const length of lengths) {
      for (const path of ways.map((way) => `/${way}/${length}`)) {
        const answer = await answerTo(t, backend, [path]);
        t.equal(answer.replace(/^.*\r\n\r\n/s, '').replace(/[^x]/g, '').length, length, path);
      }
    }
  });
}
