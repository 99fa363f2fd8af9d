/**
 * The file of a Unix socket: a listener or a port makes it and removes it. The file of a process that has ended is replaced, the file
 * of a running one never.
 *
 * Next: epoll.test.ts
 */

import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { ECONNREFUSED } from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import type { EventLoop } from '../../../simplenet/loop/event-loop.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { bindReplacingStale, SocketFile } from '../../../simplenet/sockets/socket-file.ts';
import { UdpSocket } from '../../../simplenet/sockets/udp-socket.ts';
import { realLoops } from '../../contracts/real-world.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { Program } from '../../support/programs.ts';
import { until } from '../../support/waiting.ts';

const NOBODY = 65_534;

const onConnection = () => new Recorder();

function pathFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return join(folder, 'sock');
}

/** A file that a socket has left behind. */
function leaveBehind(path: string): void {
  NetSocket.listenOn({ path }).close();
}

function filesBeside(path: string): string[] {
  return readdirSync(join(path, '..'));
}

for (const backend of backends) {
  const skip = missingBackend[backend];

  const loopFor = (t: Test, table: Libc = libc): EventLoop => {
    const loop = new realLoops[backend](table, nodeHost, defaultLoopLimits);
    t.teardown(async () => {
      loop.close();
      await until(() => loop.openCount === 0);
    });
    return loop;
  };

  test(`the file of a listener goes with it (${backend})`, { skip }, async (t) => {
    const path = pathFor(t);
    const loop = loopFor(t);
    for (let times = 0; times < 2; times++) {
      const listener = loop.listen({ path }, onConnection);
      t.ok(lstatSync(path).isSocket());
      NetSocket.connectTo({ path }).close();
      listener.close();
      listener.close();
      await until(() => !existsSync(path));
    }
  });

  test(`the file of a port goes with it (${backend})`, { skip }, async (t) => {
    const path = pathFor(t);
    const loop = loopFor(t);
    UdpSocket.bindTo({ path }).close();
    for (let times = 0; times < 2; times++) {
      const port = loop.bindUdp({ path }, { onMessage() {} });
      t.throws(() => loopFor(t).bindUdp({ path }, { onMessage() {} }), { code: 'EADDRINUSE' });
      port.close();
      await until(() => !existsSync(path));
    }
  });

  test(`a stale file is removed; the file of a socket in use is not (${backend})`, {
    skip,
  }, async (t) => {
    const path = pathFor(t);
    leaveBehind(path);
    loopFor(t).listen({ path }, onConnection);
    t.throws(() => loopFor(t).listen({ path }, onConnection), { code: 'EADDRINUSE', syscall: 'bind', path });
    NetSocket.connectTo({ path }).close();
    t.same(filesBeside(path), ['sock']);
  });

  test(`a listener whose file another has replaced leaves that alone (${backend})`, { skip }, async (t) => {
    const path = pathFor(t);
    const loop = loopFor(t);
    const first = loop.listen({ path }, onConnection);
    unlinkSync(path);
    loop.listen({ path }, onConnection);
    first.close();
    await until(() => loop.openCount === 1);
    NetSocket.connectTo({ path }).close();
  });

  test(`the file of a listener that was adopted stays (${backend})`, { skip }, async (t) => {
    const path = pathFor(t);
    const loop = loopFor(t);
    loop.adoptListener(NetSocket.listenOn({ path }), onConnection).close();
    await until(() => loop.openCount === 0);
    t.ok(existsSync(path));
  });

  test(`the file goes although the program has changed its folder, and with a loop that is closed (${backend})`, {
    skip,
  }, async (t) => {
    const path = pathFor(t);
    const before = process.cwd();
    t.teardown(() => process.chdir(before));
    process.chdir(join(path, '..'));
    const loop = loopFor(t);
    loop.listen({ path: 'sock' }, onConnection);
    process.chdir(before);
    t.ok(existsSync(path));
    loop.close();
    await until(() => !existsSync(path));
  });

  test(`a listener that cannot be put on the loop leaves no file behind (${backend})`, { skip }, async (t) => {
    const path = pathFor(t);
    const loop = loopFor(t, { ...libc, open: () => -24 });
    t.throws(() => loop.listen({ path }, onConnection), { code: 'EMFILE' });
    t.notOk(existsSync(path));
  });
}

const listenAt = (path: string, table: Libc = libc) =>
  bindReplacingStale({ path }, table, () => NetSocket.listenOn({ path }, { libc: table }));

test('a file that is not a socket is never removed, nor a link to a socket', async (t) => {
  const path = pathFor(t);
  writeFileSync(path, 'precious');
  t.throws(() => listenAt(path), { code: 'EADDRINUSE' });
  t.equal(readFileSync(path, 'utf8'), 'precious');
  leaveBehind(`${path}.stale`);
  symlinkSync(`${path}.stale`, `${path}.link`);
  t.throws(() => listenAt(`${path}.link`), { code: 'EADDRINUSE' });
  mkdirSync(`${path}.folder`);
  t.throws(() => listenAt(`${path}.folder`), { code: 'EADDRINUSE' });
  t.same(filesBeside(path).sort(), ['sock', 'sock.folder', 'sock.link', 'sock.stale']);
});

test('a name in the abstract namespace has no file, and is taken or free', async (t) => {
  const path = `\0simplenet-${process.pid}`;
  const socket = listenAt(path);
  t.throws(() => listenAt(path), { code: 'EADDRINUSE' });
  socket.close();
  listenAt(path).close();
  t.equal(SocketFile.of({ path }), null);
  t.equal(SocketFile.of({ path: pathFor(t) }), null, 'nor has a path that is not bound');
});

test('a socket with a full queue is in use, and so is a datagram socket', async (t) => {
  const path = pathFor(t);
  const full = NetSocket.listenOn({ path }, { backlog: 0 });
  const waiting = NetSocket.connectTo({ path }, { nonBlocking: true });
  t.throws(() => listenAt(path), { code: 'EADDRINUSE' });
  for (const socket of [full, waiting]) socket.close();
  unlinkSync(path);
  const datagrams = UdpSocket.bindTo({ path });
  t.throws(() => listenAt(path), { code: 'EADDRINUSE' });
  datagrams.close();
  listenAt(path).close();
});

test('a server that has bound and does not listen yet keeps its path', async (t) => {
  const path = pathFor(t);
  const slow = NetSocket.openFor({ path });
  slow.bind({ path });
  let asked = 0;
  const table: Libc = {
    ...libc,
    connect(fd, address, length) {
      if (++asked === 2) slow.listen();
      return libc.connect(fd, address, length);
    },
  };
  t.throws(() => listenAt(path, table), { code: 'EADDRINUSE' });
  t.equal(asked, 2);
  NetSocket.connectTo({ path }).close();
  slow.close();
});

test('a file that another server has just put there is put back', async (t) => {
  const path = pathFor(t);
  leaveBehind(path);
  let faster: NetSocket | undefined;
  let asked = 0;
  const table: Libc = {
    ...libc,
    connect(fd, address, length) {
      if (++asked !== 2) return libc.connect(fd, address, length);
      unlinkSync(path);
      faster = NetSocket.listenOn({ path });
      return -ECONNREFUSED; // of the file that was there a moment ago
    },
  };
  t.throws(() => listenAt(path, table), { code: 'EADDRINUSE' });
  NetSocket.connectTo({ path }).close();
  t.same(filesBeside(path), ['sock']);
  faster?.close();
});

test('a file that disappears during the check does not make the start fail', async (t) => {
  const path = pathFor(t);
  for (const when of [1, 2]) {
    leaveBehind(path);
    let asked = 0;
    const table: Libc = {
      ...libc,
      connect(fd, address, length) {
        const result = libc.connect(fd, address, length);
        if (++asked === when) unlinkSync(path);
        return result;
      },
    };
    listenAt(path, table).close();
    unlinkSync(path);
  }
  let binds = 0;
  const table: Libc = {
    ...libc,
    bind(fd, address, length) {
      if (++binds > 1) return libc.bind(fd, address, length);
      leaveBehind(path);
      const result = libc.bind(fd, address, length);
      unlinkSync(path);
      return result;
    },
  };
  listenAt(path, table).close();
});

test('a path that is stale again and again is given up', async (t) => {
  const path = pathFor(t);
  let binds = 0;
  const table: Libc = {
    ...libc,
    bind(fd, address, length) {
      binds++;
      if (!existsSync(path)) leaveBehind(path);
      return libc.bind(fd, address, length);
    },
  };
  t.throws(() => listenAt(path, table), { code: 'EADDRINUSE' });
  t.equal(binds, 4);
});

/** Runs it as a user who may change nothing in that folder. */
function withoutRights(folder: string, run: () => void): void {
  const isRoot = process.getuid?.() === 0;
  chmodSync(folder, 0o555);
  if (isRoot) process.seteuid?.(NOBODY);
  try {
    run();
  } finally {
    if (isRoot) process.seteuid?.(0);
    chmodSync(folder, 0o755);
  }
}

test('a folder in which nothing may be removed is named, and closing goes on', async (t) => {
  const path = pathFor(t);
  leaveBehind(path);
  chmodSync(path, 0o777);
  const file = SocketFile.of({ path });
  withoutRights(join(path, '..'), () => {
    t.throws(() => listenAt(path), {
      code: 'EACCES',
      message: /^rename EACCES: .*sock \(no server listens on that socket, and this process may not remove it: .*\)$/,
    });
    t.doesNotThrow(() => file?.remove());
  });
  t.ok(existsSync(path));
  file?.remove();
  t.notOk(existsSync(path));
});

test('of many that start at once on a stale path one gets it, and is reached', async (t) => {
  const path = pathFor(t);
  leaveBehind(path);
  const script = `
    const { createEventLoop } = await import(build + '/simplenet/index.js');
    process.stdin.once('data', () => {
      try {
        createEventLoop().listen({ path: ${JSON.stringify(path)} }, (stream) => {
          stream.write(Buffer.from(String(process.pid)));
          return { onData() {} };
        });
        console.log('listening');
      } catch (error) {
        console.log(error.code);
        process.exit();
      }
    });
    console.log('ready');`;
  const programs = [1, 2, 3, 4].map(() => Program.script(script));
  t.teardown(() => {
    for (const program of programs) program.kill();
  });
  await Promise.all(programs.map((program) => program.prints(/ready\n/)));
  for (const program of programs) program.child.stdin?.write('go');
  await Promise.all(programs.map((program) => program.prints(/ready\n(listening|E[A-Z]+)\n/)));
  const winners = programs.filter((program) => program.stdout.includes('listening'));
  const losers = programs.filter((program) => program.stdout.includes('EADDRINUSE'));
  t.same([winners.length, losers.length], [1, 3], programs.map((program) => program.stdout).join());
  const client = NetSocket.connectTo({ path });
  const answer = Buffer.alloc(20);
  t.equal(answer.toString('latin1', 0, client.read(answer)), String(winners[0]?.child.pid));
  client.close();
  t.same(filesBeside(path), ['sock']);
});

test('a file that was moved stays, and closing goes on', async (t) => {
  const path = pathFor(t);
  const loop = new realLoops.epoll(libc, nodeHost, defaultLoopLimits);
  loop.listen({ path }, onConnection);
  renameSync(path, `${path}.moved`);
  loop.close();
  await until(() => loop.openCount === 0);
  t.same(filesBeside(path), ['sock.moved']);
});
