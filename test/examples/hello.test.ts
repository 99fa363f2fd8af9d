import { test } from 'tap';
import { expectedOutput } from '../docs/pages.ts';
import { runExample } from '../support/examples.ts';

test('hello-server prints what hello-client writes, four bytes at a time', async (t) => {
  const server = runExample('hello-server', '0');
  t.teardown(() => server.kill());
  const [, port] = await server.prints(/waiting on 127\.0\.0\.1:(\d+)\n/);
  const client = await runExample('hello-client', port as string).ends();
  const page = 'docs/examples.md';
  t.same([client.code, client.stdout.trimEnd()], [0, expectedOutput(page, 'npm run example -- hello-client')]);
  const { code, stdout } = await server.ends();
  t.equal(code, 0);
  const [, ...pieces] = stdout.trimEnd().split('\n');
  t.equal(pieces.pop(), 'Total size: 12');
  t.equal(pieces.join(''), 'hello world!');
  t.ok(pieces.every((piece) => piece.length <= 4));
  // Where the pieces end is for TCP to decide: the page has one of the ways.
  const text = (output: string) => output.replace(/:\d+\n/, '\n').replaceAll('\n', '');
  t.equal(text(stdout), text(expectedOutput(page, 'npm run example -- hello-server')));
});

test('what the kernel refuses and what was typed wrong is told in one line', async (t) => {
  for (const text of ['8o8o', '65536', '']) {
    const { code, stdout, stderr } = await runExample('hello-server', text).ends();
    t.same([code, stdout, stderr], [1, '', `'${text}' is not a port: a port is a number from 0 to 65535\n`]);
  }
  const first = runExample('hello-server', '0');
  t.teardown(() => first.kill());
  const [, port] = await first.prints(/waiting on 127\.0\.0\.1:(\d+)\n/);
  const second = await runExample('hello-server', port as string).ends();
  t.equal(second.code, 1);
  t.match(second.stderr, /^listen EADDRINUSE: .*\n$|^bind EADDRINUSE: .*\n$/);
});

test('without a name the examples are listed, a wrong name is told', async (t) => {
  const { stdout } = await runExample().ends();
  t.match(stdout, /hello-client +The client of hello-server/);
  t.match(stdout, /hello-server +A TCP server in the eight classic calls/);
  const wrong = await runExample('no-such').ends();
  t.equal(wrong.code, 1);
  t.match(wrong.stderr, /^There is no example 'no-such'\. There are: .*hello-client, hello-server/);
});
