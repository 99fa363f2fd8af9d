/** datagram-filter: what the kernel keeps from it, and what gets through. */

import { createSocket } from 'node:dgram';
import { test } from 'tap';
import { printsAsInPage } from '../docs/pages.ts';
import { startExample } from '../support/examples.ts';

test('only datagrams that begin with the magic byte arrive', async (t) => {
  const example = startExample(t, 'datagram-filter', '0');
  const [, port] = await example.prints(/waiting on 127\.0\.0\.1:(\d+) for datagrams that begin with \*\n/);
  const client = createSocket('udp4');
  t.teardown(() => client.close());
  for (const text of ['noise', '*hello', '', ' *', '\\*', '*', 'the end', '*end']) {
    await new Promise((resolve) => client.send(text, Number(port), '127.0.0.1', resolve));
  }
  await example.prints(/"\*end"\n/);
  example.kill('SIGINT');
  const { code, stdout, stderr } = await example.ends();
  t.same([code, stderr], [0, '']);
  const [started = '', hello = ''] = stdout.split('\n');
  t.ok(printsAsInPage('npm run example -- datagram-filter', `${started}\n${hello}`), 'as docs/examples.md says');
  t.same(
    stdout.trimEnd().split('\n').slice(1),
    ['*hello', '*', '*end'].map((text) => `127.0.0.1:${client.address().port} sent "${text}"`),
  );
});

test('a port that is none is told', async (t) => {
  const { code, stderr } = await startExample(t, 'datagram-filter', 'x').ends();
  t.same([code, stderr], [1, "'x' is not a port: a port is a number from 0 to 65535\n"]);
});
