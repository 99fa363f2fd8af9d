/**
 * The examples through socketd on our own TCP/IP, in a network namespace with Linux at 10.9.0.1 and the stack at 10.9.0.2:
 * socketd-stack.long.ts starts this program in one. It prints a line of JSON for each scenario.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runExample, runExampleWith } from '../support/examples.ts';
import { missing, Program } from '../support/programs.ts';

export interface Outcome {
  readonly name: string;
  readonly error?: string;
  readonly skipped?: string;
}

const LINUX = '10.9.0.1';
const OURS = '10.9.0.2';
const BULK_BYTES = 20_000_000;
const HELLO = 'written bytes: 6\nwritten bytes: 6\n';

const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
const path = join(folder, 'socketd');
const running: Program[] = [];

function started(program: Program): Program {
  running.push(program);
  return program;
}

/** An example whose sockets are Linux's. */
const onLinux = (...args: string[]) => started(runExample(...args));
/** An example whose sockets are the daemon's. */
const onStack = (...args: string[]) => started(runExampleWith({ SIMPLENET_SOCKETD: path }, ...args));

/** Returns the port that a server has chosen. */
async function portOf(server: Program, host: string): Promise<string> {
  const [, found, port] = await server.prints(/waiting on (?:http:\/\/)?([\d.]+):(\d+)/);
  assert.equal(found, host);
  return port as string;
}

async function scenario(name: string, run: () => Promise<void>, skipped: string | false = false): Promise<void> {
  let outcome: Outcome = { name };
  try {
    if (skipped === false) await run();
    else outcome = { name, skipped };
  } catch (error) {
    outcome = { name, error: (error as Error).stack ?? String(error) };
  }
  console.log(JSON.stringify(outcome));
  for (const program of running.splice(0)) program.kill();
}

async function saidHello(server: Program): Promise<void> {
  const { code, stdout, stderr } = await server.ends();
  assert.equal(code, 0, stderr);
  const [, ...pieces] = stdout.trimEnd().split('\n');
  assert.equal(pieces.pop(), 'Total size: 12');
  assert.equal(pieces.join(''), 'hello world!');
}

/** What curl prints: the body, and the status. */
async function curl(port: string, ...args: string[]): Promise<string> {
  const url = `http://${OURS}:${port}/`;
  const program = started(new Program('curl', ['-sS', '-m', '20', '-w', '%{http_code}', ...args, url]));
  const { code, stdout, stderr } = await program.ends();
  assert.equal(code, 0, stderr);
  return stdout;
}

const daemon = runExample('socketd', '--stack', 'tap0', '--address', `${OURS}/24`, path);
await daemon.prints(/are owned by process \d+ and have 10\.9\.0\.2\/24 on tap0\n/);

await scenario('hello-client on the stack, hello-server on Linux', async () => {
  const server = onLinux('hello-server', `${LINUX}:0`);
  const client = await onStack('hello-client', `${LINUX}:${await portOf(server, LINUX)}`).ends();
  assert.deepEqual([client.code, client.stdout], [0, HELLO], client.stderr);
  await saidHello(server);
});

await scenario('hello-server on the stack, hello-client on Linux', async () => {
  const server = onStack('hello-server', `${OURS}:0`);
  const client = await onLinux('hello-client', `${OURS}:${await portOf(server, OURS)}`).ends();
  assert.deepEqual([client.code, client.stdout], [0, HELLO], client.stderr);
  await saidHello(server);
});

await scenario(
  'nc, and a server of any address',
  async () => {
    const server = onStack('hello-server', '0.0.0.0:0');
    const nc = started(new Program('nc', ['-N', OURS, await portOf(server, OURS)]));
    nc.child.stdin?.end('hello world!');
    await saidHello(server);
  },
  missing('nc'),
);

await scenario(
  'curl and blocking-http, while another client waits in accept',
  async () => {
    const waiting = onStack('hello-server', `${OURS}:0`);
    const waitingPort = await portOf(waiting, OURS);
    const port = await portOf(onStack('blocking-http', `${OURS}:8080`), OURS);
    assert.equal(port, '8080');
    assert.equal(await curl(port), 'Hello from a blocking server.\n200');
    assert.equal(await curl(port, '-d', 'a body'), 'Only GET is known here.\n501');
    const all = await Promise.all(Array.from({ length: 8 }, () => curl(port)));
    assert.deepEqual(new Set(all), new Set(['Hello from a blocking server.\n200']));
    assert.equal(waiting.child.exitCode, null);
    assert.equal((await onLinux('hello-client', `${OURS}:${waitingPort}`).ends()).stdout, HELLO);
    await saidHello(waiting);
  },
  missing('curl'),
);

await scenario('bulk: what Linux sends comes back, byte for byte', async () => {
  // Blocking calls over the daemon: it echoes, and reads and writes in pieces of a size that fits nothing.
  const server = started(
    Program.script(`
      const { useSocketd } = await import(build + '/examples/socketd/remote-libc.js');
      const { NetSocket } = await import(build + '/simplenet/index.js');
      useSocketd(${JSON.stringify(path)});
      const listener = NetSocket.listenOn({ address: '${OURS}', port: 0 });
      console.log('waiting on ${OURS}:' + listener.localAddress.port);
      const client = listener.accept();
      const buffer = Buffer.alloc(50_001);
      for (let size = client.read(buffer); size > 0; size = client.read(buffer)) client.writeAll(buffer.subarray(0, size));
      client.close();
    `),
  );
  const sent = randomBytes(BULK_BYTES);
  const socket = connect({ host: OURS, port: Number(await portOf(server, OURS)), allowHalfOpen: true });
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  socket.end(sent);
  await once(socket, 'end');
  assert.ok(Buffer.concat(pieces).equals(sent));
  assert.deepEqual(await server.ends().then(({ code, stderr }) => [code, stderr]), [0, '']);
});

await scenario('datagrams, from Linux and to Linux', async () => {
  const server = onStack('udp-echo-server', `${OURS}:0`);
  const client = await onLinux('udp-echo-client', `${OURS}:${await portOf(server, OURS)}`, 'to', 'you').ends();
  assert.deepEqual([client.stdout, client.stderr], ['echo: to\necho: you\n', '']);
  const other = onLinux('udp-echo-server', `${LINUX}:0`);
  const back = await onStack('udp-echo-client', `${LINUX}:${await portOf(other, LINUX)}`, 'and', 'back').ends();
  assert.deepEqual([back.stdout, back.stderr], ['echo: and\necho: back\n', '']);
});

await scenario('errors are those of Linux', async () => {
  const outcomeOf = async (...args: string[]) => (await onStack(...args).ends()).stderr;
  assert.match(await outcomeOf('hello-client', `${LINUX}:9`), /^connect ECONNREFUSED: [^\n]*10\.9\.0\.1:9\n$/);
  assert.match(await outcomeOf('hello-client', '10.9.0.77:9'), /^connect EHOSTUNREACH: /);
  assert.match(await outcomeOf('hello-client', '192.0.2.1:9'), /^connect ENETUNREACH: /);
  assert.match(await outcomeOf('hello-client', '[fe80::1]:9'), /^socket EAFNOSUPPORT: /);
  assert.match(await outcomeOf('hello-server', '8080'), /^bind EADDRNOTAVAIL: [^\n]*127\.0\.0\.1:8080 /);
  const first = onStack('hello-server', `${OURS}:0`);
  const port = await portOf(first, OURS);
  assert.match(await outcomeOf('hello-server', `${OURS}:${port}`), /^(bind|listen) EADDRINUSE: /);
  assert.match(await outcomeOf('udp-echo-client', `${LINUX}:9`, 'x'), /^recvfrom ECONNREFUSED: /);
});

await scenario('a client that is killed leaves no listener behind', async () => {
  const server = onStack('hello-server', `${OURS}:0`);
  const port = await portOf(server, OURS);
  server.kill();
  await server.ends();
  const { stderr } = await onLinux('hello-client', `${OURS}:${port}`).ends();
  assert.match(stderr, /^connect ECONNREFUSED: /);
});

await scenario('a second daemon cannot have the interface', async () => {
  const second = started(runExample('socketd', '--stack', 'tap0', '--address', `${OURS}/24`, `${path}-2`));
  const { code, stderr } = await second.ends();
  assert.equal(code, 1);
  assert.match(stderr, /^ioctl EBUSY: [^\n]*tap0 \(another program has opened this interface\)\n$/);
});

await scenario('an interface that is deleted ends its daemon, and the clients get ENETDOWN', async () => {
  const ip = (...args: string[]) => assert.equal(spawnSync('ip', args).status, 0, args.join(' '));
  ip('tuntap', 'add', 'tap1', 'mode', 'tap');
  ip('link', 'set', 'tap1', 'up');
  const other = started(runExample('socketd', '--stack', 'tap1', '--address', '10.9.1.2/24', `${path}-2`));
  await other.prints(/are owned by process/);
  const server = started(runExampleWith({ SIMPLENET_SOCKETD: `${path}-2` }, 'hello-server', '10.9.1.2:0'));
  await server.prints(/waiting on 10\.9\.1\.2:/);
  ip('link', 'delete', 'tap1');
  assert.match((await server.ends()).stderr, /^accept4 ENETDOWN: /);
  const { code, stderr } = await other.ends();
  assert.equal(code, 1);
  assert.match(stderr, /read EBADFD: .* tap1 \(the interface was deleted\)/);
});

await scenario('Ctrl-C ends the daemon', async () => {
  daemon.kill('SIGINT');
  const { code, stderr } = await daemon.ends();
  assert.deepEqual([code, stderr], [0, '']);
});

daemon.kill();
rmSync(folder, { recursive: true });
