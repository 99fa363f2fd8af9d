/**
 * socketd: programs whose sockets belong to another process. The daemon is a process of its own, so its clients may be here,
 * with calls that wait. What concerns sockets runs on both kinds: sockets of the kernel, and sockets that are made of an event loop.
 */

import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import root, { type Test, test } from 'tap';
import { MAX_SOCKETS } from '../../examples/socketd/client-sockets.ts';
import { remoteLibc } from '../../examples/socketd/remote-libc.ts';
import {
  encodeRequest,
  MAX_DATA_BYTES,
  ProtocolError,
  REPLY_HEAD_BYTES,
  RequestReader,
} from '../../examples/socketd/wire.ts';
import * as abi from '../../simplenet/kernel/abi.ts';
import type { Libc } from '../../simplenet/kernel/libc.ts';
import { portOf } from '../../simplenet/kernel/socket-address.ts';
import { NetSocket } from '../../simplenet/sockets/net-socket.ts';
import { UdpSocket } from '../../simplenet/sockets/udp-socket.ts';
import { runExampleWith } from '../support/examples.ts';
import { buildFolder, missing, Program } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { descriptorsOf } from '../support/server-process.ts';

const LOOPBACK = { address: '127.0.0.1', port: 0 };
const { EAFNOSUPPORT, EBADF, EINVAL, EMFILE, ENETDOWN, ENOPROTOOPT, ENOSYS, EOPNOTSUPP, EPROTO, EPROTONOSUPPORT } =
  constants.errno;

const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) => runExampleWith(env, ...args);

function temporaryPath(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return join(folder, 'socketd');
}

type Kind = 'sockets of the kernel' | 'sockets on an event loop';

/** The daemon as a program of its own. */
function daemonProgram(kind: Kind, path: string): Program {
  if (kind === 'sockets of the kernel') return run(['socketd', path]);
  return new Program(process.execPath, [join(buildFolder, 'test/support/socketd-on-loop.js'), path]);
}

class RunningDaemon {
  readonly path: string;
  readonly program: Program;
  readonly #test: Test;

  private constructor(t: Test, kind: Kind, path: string) {
    this.#test = t;
    this.path = path;
    this.program = daemonProgram(kind, path);
    t.teardown(() => this.program.kill());
  }

  static async start(t: Test, kind: Kind = 'sockets of the kernel', path = temporaryPath(t)): Promise<RunningDaemon> {
    const daemon = new RunningDaemon(t, kind, path);
    await daemon.program.prints(/are owned by process \d+\n/);
    return daemon;
  }

  /** An example that runs over the daemon. */
  run(...args: string[]): Program {
    const program = run(args, { SIMPLENET_SOCKETD: this.path });
    this.#test.teardown(() => program.kill());
    return program;
  }

  /** A table of calls, for a client in this process that leaves when the test is over. */
  client(t = this.#test): Libc {
    const socket = NetSocket.connectTo({ path: this.path });
    t.teardown(() => socket.close());
    return remoteLibc(socket);
  }

  get sockets(): number {
    return descriptorsOf(this.program.child.pid as number).sockets;
  }

  /** Until it has so many sockets, which only /proc tells. */
  async hasSockets(count: number): Promise<void> {
    const giveUpAt = performance.now() + 60_000;
    while (this.sockets !== count && performance.now() < giveUpAt) await sleep(10);
    this.#test.equal(this.sockets, count, `${count} sockets in the daemon`);
  }
}

async function waitingServer(daemon: RunningDaemon): Promise<[Program, string]> {
  const server = daemon.run('hello-server', '0');
  const [, port] = await server.prints(/waiting on 127\.0\.0\.1:(\d+)\n/);
  return [server, port as string];
}

async function saidHello(t: Test, server: Program): Promise<void> {
  const { code, stdout, stderr } = await server.ends();
  t.equal(code, 0, stderr);
  const [, ...pieces] = stdout.trimEnd().split('\n');
  t.equal(pieces.pop(), 'Total size: 12');
  t.equal(pieces.join(''), 'hello world!');
}

const HELLO = 'written bytes: 6\nwritten bytes: 6\n';

/** What is about sockets. `shared` is for tests of single calls; those that count its sockets or end it have a daemon of their own. */
function testSockets(kind: Kind, shared: RunningDaemon): void {
  test(`hello-server and hello-client over the daemon, as without it (${kind})`, async (t) => {
    const daemon = await RunningDaemon.start(t, kind);
    const before = daemon.sockets;
    const [server, port] = await waitingServer(daemon);
    await daemon.hasSockets(before + 2); // one to the client, and its listener
    const client = await daemon.run('hello-client', port).ends();
    t.same([client.code, client.stdout], [0, HELLO], client.stderr);
    await saidHello(t, server);
    await daemon.hasSockets(before);
  });

  test(`nc talks to a server whose sockets are the daemon’s (${kind})`, { skip: missing('nc') }, async (t) => {
    const daemon = await RunningDaemon.start(t, kind);
    const [server, port] = await waitingServer(daemon);
    const nc = new Program('nc', ['-N', '127.0.0.1', port]);
    t.teardown(() => nc.kill());
    nc.child.stdin?.end('hello world!');
    await saidHello(t, server);
  });

  test(`a client that waits in accept does not stop another (${kind})`, async (t) => {
    const daemon = await RunningDaemon.start(t, kind);
    const [waiting, port] = await waitingServer(daemon);
    const [other, otherPort] = await waitingServer(daemon);
    t.equal((await daemon.run('hello-client', otherPort).ends()).stdout, HELLO);
    await saidHello(t, other);
    t.equal(waiting.child.exitCode, null);
    t.equal((await daemon.run('hello-client', port).ends()).stdout, HELLO);
    await saidHello(t, waiting);
  });

  test(`a client that is killed leaves no socket behind (${kind})`, async (t) => {
    const daemon = await RunningDaemon.start(t, kind);
    const before = daemon.sockets;
    const [server, port] = await waitingServer(daemon);
    await daemon.hasSockets(before + 2);
    server.kill('SIGKILL');
    await daemon.hasSockets(before);
    const address = { address: '127.0.0.1', port: Number(port) };
    t.throws(() => NetSocket.connectTo(address), { code: 'ECONNREFUSED' });
  });

  test(`a conversation by calls that wait, half closed at its end (${kind})`, async (t) => {
    const libc = shared.client(t);
    const listener = NetSocket.listenOn(LOOPBACK, { libc, noDelay: true });
    const client = NetSocket.connectTo(listener.localAddress, { libc });
    const server = listener.accept();
    t.same(server.remoteAddress, client.localAddress);
    t.equal(server.getOption(abi.IPPROTO_TCP, abi.TCP_NODELAY), 1, 'inherited');
    const large = Buffer.alloc(100_000, 'x');
    t.equal(client.write(large), 65_536, 'as much as a request holds');
    t.notOk(client.wait('readable', 20));
    t.ok(server.wait('readable', 10_000));
    let size = 0;
    const buffer = Buffer.alloc(large.length);
    while (size < 65_536) size += server.read(buffer, size);
    t.ok(buffer.subarray(0, size).equals(large.subarray(0, size)));
    client.shutdown('write');
    t.equal(server.read(buffer), 0);
    server.writeAll(Buffer.from('and good bye'));
    server.close();
    t.equal(buffer.toString('utf8', 0, client.read(buffer)), 'and good bye');
    client.setNonBlocking(true);
    listener.setNonBlocking(true);
    t.throws(() => listener.accept(), { code: 'EAGAIN', syscall: 'accept4' });
    t.equal(libc.fcntl(listener.fd, abi.F_GETFL, 0) & abi.O_NONBLOCK, abi.O_NONBLOCK);
    t.throws(() => server.read(buffer), { code: 'EBADF' });
  });

  test(`datagrams with their senders (${kind})`, async (t) => {
    const libc = shared.client(t);
    const [here, there] = [UdpSocket.bindTo(LOOPBACK, { libc }), UdpSocket.bindTo(LOOPBACK, { libc })];
    here.sendTo(Buffer.from('a longer datagram'), there.localAddress);
    const buffer = Buffer.alloc(8);
    t.same(there.receiveFrom(buffer), { length: 8, truncated: true, from: here.localAddress });
    t.equal(buffer.toString(), 'a longer');
    t.throws(() => here.sendTo(Buffer.alloc(70_000), there.localAddress), { code: 'EMSGSIZE' });
  });

  test(`errors arrive as the kernel says them (${kind})`, async (t) => {
    const [libc, other] = [shared.client(t), shared.client(t)];
    const listener = NetSocket.listenOn(LOOPBACK, { libc });
    const address = listener.localAddress;
    t.throws(() => NetSocket.listenOn(address, { libc: other }), { code: 'EADDRINUSE', port: portOf(address) });
    listener.close();
    t.throws(() => NetSocket.connectTo(address, { libc }), { code: 'ECONNREFUSED', syscall: 'connect' });
    t.throws(() => NetSocket.openFor({ path: '/x' }, { libc }), { code: 'EAFNOSUPPORT' });
  });

  test(`a descriptor is its client’s only (${kind})`, async (t) => {
    const daemon = await RunningDaemon.start(t, kind);
    const [libc, other] = [daemon.client(), daemon.client()];
    const { fd } = NetSocket.listenOn(LOOPBACK, { libc });
    const own = descriptorsOf(daemon.program.child.pid as number).all;
    for (let number = -1; number < own + 10; number++) {
      t.equal(other.close(number), -EBADF, `close(${number})`);
    }
    t.equal(libc.listen(fd, 1), 0, 'it is still there');
  });

  test(`what could stop the daemon is refused (${kind})`, async (t) => {
    const libc = shared.client(t);
    t.equal(libc.socket(abi.AF_UNIX, abi.SOCK_STREAM, 0), -EAFNOSUPPORT);
    t.equal(libc.socket(abi.AF_INET, 3, 0), -EPROTONOSUPPORT, 'SOCK_RAW');
    t.equal(libc.epoll_create1(0), -ENOSYS);
    const socket = NetSocket.openFor(LOOPBACK, { libc });
    const linger = (on: number, seconds: number) => Buffer.from(new Int32Array([on, seconds]).buffer);
    const setLinger = (value: Buffer) => libc.setsockopt(socket.fd, abi.SOL_SOCKET, abi.SO_LINGER, value, 8);
    t.equal(setLinger(linger(1, 60)), -EOPNOTSUPP);
    t.equal(setLinger(linger(1, 0)), 0);
    t.equal(libc.send(socket.fd, Buffer.alloc(1), 0, 1, 1), -EOPNOTSUPP, 'MSG_OOB');
    const attached = libc.setsockopt(socket.fd, abi.SOL_SOCKET, abi.SO_ATTACH_FILTER, linger(1, 1), 8);
    t.ok([-EINVAL, -ENOPROTOOPT].includes(attached), 'a filter is refused, or there are none');
    t.equal(libc.poll(Buffer.alloc(16), 2, 0), -EINVAL, 'more than one descriptor');
    t.equal(libc.fcntl(socket.fd, 99, 0), -EINVAL);
  });

  test(`no call touches bytes outside of its buffer (${kind})`, async (t) => {
    const libc = shared.client(t);
    const { fd } = NetSocket.openFor(LOOPBACK, { libc });
    t.throws(() => libc.recv(fd, Buffer.alloc(4), 2, 3, 0), RangeError);
    t.throws(() => libc.send(fd, Buffer.alloc(4), -1, 3, 0), RangeError);
    t.throws(() => libc.close(fd + 0.5), TypeError);
  });

  test(`a client has at most ${MAX_SOCKETS} sockets, and the lowest number that is free (${kind})`, async (t) => {
    const libc = shared.client(t);
    const numbers = Array.from({ length: MAX_SOCKETS }, () => libc.socket(abi.AF_INET, abi.SOCK_STREAM, 0));
    t.same(
      numbers,
      numbers.map((_, i) => i + 3),
    );
    t.equal(libc.socket(abi.AF_INET, abi.SOCK_STREAM, 0), -EMFILE);
    t.equal(libc.close(10), 0);
    t.equal(libc.socket(abi.AF_INET, abi.SOCK_STREAM, 0), 10);
  });

  const lessons = {
    'short-writes': /each byte arrived once, and in its place\n$/,
    deadlock: /right has sent 1000000 bytes and received 1000000\n$/,
    'datagram-limits': /65508 bytes: EMSGSIZE\n(.*\n)*room for 5: 'hello', truncated: true\n/,
  };
  for (const [lesson, expected] of Object.entries(lessons)) {
    test(`the lesson ${lesson} (${kind})`, async (t) => {
      const { code, stdout, stderr } = await shared.run(lesson).ends();
      t.equal(code, 0, stderr);
      t.match(stdout, expected);
    });
  }

  test(`blocking-http: its answers, and a client that breaks off (${kind})`, async (t) => {
    const daemon = await RunningDaemon.start(t, kind);
    const server = daemon.run('blocking-http', '0');
    const [, port] = await server.prints(/waiting on http:\/\/127\.0\.0\.1:(\d+)\/\n/);
    const asking = (text: string): RawClient => {
      const client = new RawClient(Number(port)).write(text);
      t.teardown(() => client.destroy());
      return client;
    };
    const first = asking('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await first.ended();
    t.ok(first.text.endsWith('Hello from a blocking server.\n'));
    const breaking = asking('GET');
    await breaking.connected();
    const waiting = asking('GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n');
    await waiting.connected();
    breaking.reset();
    await waiting.ended();
    t.match(waiting.text, /^HTTP\/1\.1 404 /);
    t.match(server.stdout, /recv ECONNRESET/);
  });
}

const shared = await RunningDaemon.start(root);
testSockets('sockets of the kernel', shared);
testSockets('sockets on an event loop', await RunningDaemon.start(root, 'sockets on an event loop'));

/** What the daemon answers to these bytes, to its end. */
async function answerTo(path: string, bytes: Uint8Array): Promise<Buffer> {
  const socket = connect({ path, allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.write(bytes);
  await once(socket, 'end');
  socket.destroy();
  return Buffer.concat(chunks);
}

test('whoever does not speak the language is told so, and loses only its own connection', async (t) => {
  const daemon = await RunningDaemon.start(t);
  const before = daemon.sockets;
  const [server, port] = await waitingServer(daemon);
  const good = encodeRequest('socket', [abi.AF_INET, abi.SOCK_STREAM, 0]);
  const changed = (at: number, value: number) => Buffer.from(good).fill(value, at, at + 1);
  const malformed: Readonly<Record<string, Uint8Array>> = {
    'another protocol': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    'no such call': changed(2, 200),
    'too much data': changed(6, 255),
    'two requests at once': Buffer.concat([good, good]),
    'far more than a request': Buffer.alloc(1_000_000, good),
  };
  for (const [what, bytes] of Object.entries(malformed)) {
    const answer = await answerTo(daemon.path, bytes);
    t.equal(answer.length, REPLY_HEAD_BYTES, what);
    t.equal(answer.readInt32LE(4), -EPROTO, what);
  }
  t.equal((await daemon.run('hello-client', port).ends()).stdout, HELLO);
  await saidHello(t, server);
  await daemon.hasSockets(before);
});

test('a request while the last one waits ends the connection, and what it opened', async (t) => {
  const daemon = await RunningDaemon.start(t);
  const before = daemon.sockets;
  const socket = connect({ path: daemon.path });
  socket.write(encodeRequest('socket', [abi.AF_INET, abi.SOCK_DGRAM, 0]));
  const [opened] = (await once(socket, 'data')) as [Buffer];
  const fd = opened.readInt32LE(4);
  socket.write(encodeRequest('poll', [fd, abi.POLLIN, -1]));
  await sleep(50); // whether it waits already or not, the answer is the same
  socket.write(encodeRequest('close', [fd]));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  t.equal(answer.readInt32LE(4), -EPROTO);
  await once(socket, 'close');
  await daemon.hasSockets(before);
});

test('a request may come in pieces of any size', async (t) => {
  const reader = new RequestReader();
  const frame = encodeRequest('sendto', [7, -1, 5, 0], Buffer.from('hello'));
  for (let round = 0; round < 2; round++) {
    for (const byte of frame.subarray(0, -1)) t.equal(reader.push(Buffer.of(byte)), null);
    const last = reader.push(frame.subarray(-1));
    t.same(last, { call: 'sendto', args: [7, -1, 5, 0], data: Buffer.from('hello') });
  }
});

test('a request has at most so many bytes', async (t) => {
  const longest = encodeRequest('send', [3], Buffer.alloc(MAX_DATA_BYTES));
  t.equal(new RequestReader().push(longest)?.data.length, MAX_DATA_BYTES);
  const longer = encodeRequest('send', [3], Buffer.alloc(MAX_DATA_BYTES + 1));
  t.throws(() => new RequestReader().push(longer), ProtocolError);
  t.throws(() => new RequestReader().push(longer.subarray(0, 100)), ProtocolError, 'told by its head already');
});

test('the path is private, cleared away on Ctrl-C, and taken over from a daemon that was killed', async (t) => {
  const first = await RunningDaemon.start(t);
  const { path } = first;
  t.equal(statSync(path).mode & 0o777, 0o600);

  const second = await run(['socketd', path]).ends();
  t.match([second.code, second.stderr], [1, /^bind EADDRINUSE: [^\n]+\n$/]);

  const libc = first.client();
  first.program.kill('SIGKILL');
  await first.program.ends();
  t.ok(existsSync(path), 'left behind');
  t.equal(libc.socket(abi.AF_INET, abi.SOCK_STREAM, 0), -ENETDOWN);
  t.equal(libc.close(3), -ENETDOWN);
  const stranded = await run(['hello-server', '0'], { SIMPLENET_SOCKETD: path }).ends();
  t.equal(stranded.code, 1);
  t.match(stranded.stderr, /^There is no socketd on \/.*: connect ECONNREFUSED.*\n$/);

  const third = await RunningDaemon.start(t, 'sockets of the kernel', path);
  third.program.kill('SIGINT');
  t.same(await third.program.ends().then(({ code, stderr }) => [code, stderr]), [0, '']);
  t.notOk(existsSync(path));
});

test('64 clients, and the next is not let in', async (t) => {
  const daemon = await RunningDaemon.start(t);
  const clients = Array.from({ length: 64 }, () => daemon.client());
  for (const libc of clients) t.equal(libc.close(3), -EBADF);
  t.equal(daemon.client().close(3), -ENETDOWN);
});

test('an event loop cannot live in another process, and says so in one line', async (t) => {
  const daemon = await RunningDaemon.start(t);
  const { code, stderr } = await daemon.run('chat', '0').ends();
  t.same([code, stderr], [1, 'epoll_create1 ENOSYS: function not implemented\n']);
});

test('what was typed wrong is said in one line', async (t) => {
  const ofStack = ['--stack', 'tap0', '--address', '10.9.0.2/24'];
  for (const args of [
    [],
    ['a', 'b'],
    ['--no-such', 'a'],
    ofStack,
    [...ofStack.slice(0, 2), 'a'],
    [...ofStack.slice(2), 'a'],
    [...ofStack.slice(2), 'a', '--stack'],
    ['--gateway', '10.9.0.1', 'a'],
  ]) {
    const { code, stderr } = await run(['socketd', ...args]).ends();
    t.equal(code, 1);
    t.match(stderr, /^Usage: npm run example -- socketd \[--stack [^\n]* PATH\n$/, args.join(' '));
  }
  const loopback = ['socketd', '--stack', 'lo', ...ofStack.slice(2), temporaryPath(t)];
  t.match((await run(loopback).ends()).stderr, /^(ioctl|open) E[A-Z]+: [^\n]+\n$/);
});
