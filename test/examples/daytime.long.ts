/** daytime-server and daytime-query: against each other, against nc and socat, and against peers that say nothing. */

import t, { type Test, test } from 'tap';
import { NetSocket, portOf, UdpSocket } from '../../simplenet/index.ts';
import { printsAsInPage } from '../docs/pages.ts';
import { pipeInto, runExample } from '../support/examples.ts';
import { hasProgram, type Program } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';

const LINE = /^[A-Z][a-z]+day, [A-Z][a-z]+ \d{1,2}, \d{4} \d\d:\d\d:\d\d-UTC\r?\n$/;
const ATTEMPTS = 5;

interface Daytime {
  readonly server: Program;
  readonly port: number;
  /** 127.0.0.1, and [::1] where there is IPv6. */
  readonly hosts: readonly string[];
}

/** The kernel chooses a port that is free for the first socket. For one of the others it may be taken. */
async function started(t: Test): Promise<Daytime> {
  for (let attempt = 1; ; attempt++) {
    const server = runExample('daytime-server', '0');
    t.teardown(() => server.kill());
    try {
      const second =
        /waiting on 127\.0\.0\.1:(\d+), TCP and UDP\n(?:waiting on (\[::1\]):\1, TCP and UDP|without IPv6.*)\n/;
      const [, port, v6] = await server.prints(second);
      return { server, port: Number(port), hosts: v6 === undefined ? ['127.0.0.1'] : ['127.0.0.1', v6] };
    } catch (error) {
      if (attempt === ATTEMPTS || !server.stderr.includes('EADDRINUSE')) throw error;
    }
  }
}

const { server, port, hosts } = await started(t);

test('daytime-query is answered over TCP and UDP, IPv4 and IPv6, by address and by name', async (t) => {
  const isWithIPv6 = hosts.length > 1;
  const isAsInPage = printsAsInPage('npm run example -- daytime-server', server.stdout);
  t.equal(isAsInPage, isWithIPv6, 'as docs/examples.md says');
  const asked = [...hosts, 'localhost'].flatMap((host) => [[`${host}:${port}`], ['-u', `${host}:${port}`]]);
  const answers = await Promise.all(asked.map((args) => runExample('daytime-query', ...args).ends()));
  for (const [i, { code, stdout, stderr }] of answers.entries()) {
    t.same([code, stderr], [0, ''], asked[i]?.join(' ') as string);
    t.match(stdout, LINE);
    t.ok(printsAsInPage('npm run example -- daytime-query localhost:8013', stdout), 'as docs/examples.md says');
    const told = Date.parse(stdout.replace('-UTC', ' UTC'));
    t.ok(Math.abs(Date.now() - told) < 60_000, 'it is the right time');
  }
});

test('nc is told the time over TCP', async (t) => {
  if (!hasProgram('nc')) return void t.pass('skipped: nc is not installed');
  for (const host of hosts) {
    const { stdout } = await pipeInto('nc', [host.replace(/[[\]]/g, ''), String(port)]).ends();
    t.match(stdout, LINE, host);
  }
});

test('socat is told the time over UDP, whatever it sends', async (t) => {
  if (!hasProgram('socat')) return void t.pass('skipped: socat is not installed');
  for (const host of hosts) {
    const address = host.startsWith('[') ? `UDP6:${host}:${port}` : `UDP4:${host}:${port}`;
    const { stdout } = await pipeInto('socat', ['-t0.5', '-', address], 'what time is it?').ends();
    t.match(stdout, LINE, host);
  }
});

test('what a TCP client sends is thrown away', async (t) => {
  const client = new RawClient(port);
  t.teardown(() => client.destroy());
  client.write('x'.repeat(1_000_000));
  await client.until(() => client.hasEnded, 'the end');
  t.match(client.text, LINE);
});

test('a datagram that could come from another such service is not answered', async (t) => {
  const twin = UdpSocket.bindTo({ address: '127.0.0.2', port });
  const client = UdpSocket.bindTo({ address: '127.0.0.2', port: 0 });
  t.teardown(() => twin.close());
  t.teardown(() => client.close());
  for (const socket of [twin, client]) socket.sendTo(Buffer.from('?'), { address: '127.0.0.1', port });
  t.ok(client.wait('readable', 10_000), 'a client is');
  t.notOk(twin.wait('readable', 0), 'and that was asked later');
});

test('daytime-query does not wait for ever', async (t) => {
  const datagrams = UdpSocket.bindTo({ address: '127.0.0.1', port: 0 });
  const stream = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  const silent = [datagrams, stream].map((socket) => String(portOf(socket.localAddress)));
  const [overUdp, overTcp] = await Promise.all([
    runExample('daytime-query', '-u', `127.0.0.1:${silent[0]}`).ends(),
    runExample('daytime-query', `127.0.0.1:${silent[1]}`).ends(),
  ]);
  for (const [i, { code, stdout, stderr }] of [overUdp, overTcp].entries()) {
    t.same([code, stdout, stderr], [1, '', `no answer from 127.0.0.1:${silent[i]} within 2000 ms\n`]);
  }
  datagrams.close();
  stream.close();
  const [udpRefused, tcpRefused] = await Promise.all([
    runExample('daytime-query', '-u', `127.0.0.1:${silent[0]}`).ends(),
    runExample('daytime-query', `127.0.0.1:${silent[1]}`).ends(),
  ]);
  t.same(
    [udpRefused.code, udpRefused.stderr],
    [1, `recvfrom ECONNREFUSED: connection refused 127.0.0.1:${silent[0]}\n`],
  );
  t.same(
    [tcpRefused.code, tcpRefused.stderr],
    [1, `connect ECONNREFUSED: connection refused 127.0.0.1:${silent[1]}\n`],
  );
});

test('daytime-query takes no more than a line from a stranger, and no commands for the terminal', async (t) => {
  for (const [said, expected] of [
    ['\x1b[2Jtea time\x07\r\n', { code: 0, stdout: '[2Jtea time\n' }],
    ['x'.repeat(2000), { code: 1, stdout: '', stderr: /does not tell the time: it sends more than a line\n$/ }],
  ] as const) {
    const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
    const port = portOf(listener.localAddress);
    const query = runExample('daytime-query', `127.0.0.1:${port}`);
    t.ok(listener.wait('readable', 10_000));
    const client = listener.accept();
    client.writeAll(Buffer.from(said));
    client.close();
    listener.close();
    t.match(await query.ends(), expected);
  }
});

test('Ctrl-C ends the server, clients or not', async (t) => {
  const client = new RawClient(port);
  t.teardown(() => client.destroy());
  await client.until(() => client.hasEnded, 'the end');
  server.kill('SIGINT');
  const { code, signal, stderr } = await server.ends();
  t.same([code, signal, stderr], [0, null, '']);
});
