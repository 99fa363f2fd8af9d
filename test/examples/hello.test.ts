import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, Program } from '../support/programs.ts';

const run = (...args: string[]) => new Program(process.execPath, [join(buildFolder, 'examples/run.js'), ...args]);

test('hello-server prints what hello-client writes, four bytes at a time', async (t) => {
  const server = run('hello-server', '0');
  t.teardown(() => server.kill());
  const [, port] = await server.prints(/waiting on 127\.0\.0\.1:(\d+)\n/);
  const client = await run('hello-client', port as string).ends();
  t.same([client.code, client.stdout], [0, 'written bytes: 6\nwritten bytes: 6\n'], client.stderr);
  const { code, stdout } = await server.ends();
  t.equal(code, 0);
  const [, ...pieces] = stdout.trimEnd().split('\n');
  t.equal(pieces.pop(), 'Total size: 12');
  t.equal(pieces.join(''), 'hello world!');
  t.ok(pieces.every((piece) => piece.length <= 4));
});

test('what the kernel refuses and what was typed wrong is told in one line', async (t) => {
  const typo = await run('hello-server', '8o8o').ends();
  t.same([typo.code, typo.stdout, typo.stderr], [1, '', 'a port is an integer from 0 to 65535, not NaN\n']);
  const first = run('hello-server', '0');
  t.teardown(() => first.kill());
  const [, port] = await first.prints(/waiting on 127\.0\.0\.1:(\d+)\n/);
  const second = await run('hello-server', port as string).ends();
  t.equal(second.code, 1);
  t.match(second.stderr, /^listen EADDRINUSE: .*\n$|^bind EADDRINUSE: .*\n$/);
});

test('without a name the examples are listed, a wrong name is told', async (t) => {
  const { stdout } = await run().ends();
  t.match(stdout, /hello-client +The client of hello-server/);
  t.match(stdout, /hello-server +A TCP server in the eight classic calls/);
  const wrong = await run('no-such').ends();
  t.equal(wrong.code, 1);
  t.match(wrong.stderr, /^There is no example 'no-such'\. There are: .*hello-client, hello-server/);
});
