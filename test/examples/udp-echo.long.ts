/** udp-echo-server and udp-echo-client: against each other, against socat, and against nobody. */

import { type Test, test } from 'tap';
import { portOf, UdpSocket } from '../../simplenet/index.ts';
import { printsAsInPage } from '../docs/pages.ts';
import { pipeInto, runExample, waitsIn } from '../support/examples.ts';
import { hasProgram, type Program } from '../support/programs.ts';

async function started(t: Test): Promise<{ server: Program; port: string }> {
  const server = runExample('udp-echo-server', '0');
  t.teardown(() => server.kill());
  const [, port] = await server.prints(/waiting on 127\.0\.0\.1:(\d+)\n/);
  return { server, port: port as string };
}

test('each word comes back', async (t) => {
  const { server, port } = await started(t);
  const { code, stdout, stderr } = await runExample('udp-echo-client', port).ends();
  t.same([code, stdout, stderr], [0, 'echo: hello\necho: world!\n', '']);
  t.ok(printsAsInPage('npm run example -- udp-echo-client', stdout), 'as docs/examples.md says');
  await server.prints(/5 bytes from 127\.0\.0\.1:\d+\n6 bytes from 127\.0\.0\.1:\d+\n/);
  t.ok(printsAsInPage('npm run example -- udp-echo-server', server.stdout), 'as docs/examples.md says');
  const own = await runExample('udp-echo-client', port, 'äöü', 'x'.repeat(1025)).ends();
  t.same([own.code, own.stdout], [0, `echo: äöü\necho: ${'x'.repeat(1024)}\n`]);
  await server.prints(/1024 bytes from 127\.0\.0\.1:\d+, the rest is lost\n/);
});

test('socat is echoed', async (t) => {
  if (!hasProgram('socat')) return void t.pass('skipped: socat is not installed');
  const { port } = await started(t);
  const { stdout, stderr } = await pipeInto('socat', ['-t0.5', '-', `UDP:127.0.0.1:${port}`], 'ping').ends();
  t.same([stdout, stderr], ['ping', '']);
});

test('the client of a silent server gives up, and the client of none is told', async (t) => {
  const silent = UdpSocket.bindTo({ address: '127.0.0.1', port: 0 });
  const port = portOf(silent.localAddress);
  const first = await runExample('udp-echo-client', String(port), 'ping').ends();
  t.same([first.code, first.stdout, first.stderr], [1, "no echo of 'ping' within 1000 ms\n", '']);
  silent.close();
  const second = await runExample('udp-echo-client', String(port), 'ping').ends();
  t.same([second.code, second.stdout], [1, '']);
  t.equal(second.stderr, `recvfrom ECONNREFUSED: connection refused 127.0.0.1:${port}\n`);
});

test('Ctrl-C ends the server while it waits in recvfrom', async (t) => {
  const { server } = await started(t);
  if (!(await waitsIn(server.child.pid as number, 'recvfrom'))) t.comment('the kernel does not tell where it waits');
  server.kill('SIGINT');
  const { code, signal, stderr } = await server.ends();
  t.same([code, signal, stderr], [null, 'SIGINT', '']);
});
