/** HandOver and takeOver: who gets the listening socket, and what becomes of a successor that does not begin. */

import { closeSync, existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { HandOver, HandOverError, type Inheritance, type Server, serve, takeOver } from '../../../http/index.ts';
import { LEAVE_MS, SUCCESSOR_MS } from '../../../http/workers/hand-over.ts';
import { type Alarm, abi, nodeHost } from '../../../simplenet/index.ts';
import { libc } from '../../../simplenet/kernel/libc.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { sendDescriptors } from '../../../simplenet/sockets/pass-descriptors.ts';
import { UdpSocket } from '../../../simplenet/sockets/udp-socket.ts';
import { inProcess } from '../../support/in-process.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';
import { RawClient } from '../../support/raw-client.ts';
import { quiet, until } from '../../support/waiting.ts';

let paths = 0;

interface Scene {
  readonly path: string;
  readonly server: Server;
  readonly way: HandOver;
  taken: number;
}

function scene(t: Test): Scene {
  const path = join(tmpdir(), `simplenet-way-${process.pid}-${paths++}`);
  const server = serve((_request, response) => response.text('old'));
  const way = new HandOver(path, server, () => {
    it.taken++;
  });
  const it: Scene = { path, server, way, taken: 0 };
  t.teardown(async () => {
    way.close();
    await server.close();
    rmSync(path, { force: true });
  });
  return it;
}

/** takeOver waits without turns of the loop, so the successor is another process. */
const successor = (path: string, then: string) =>
  inProcess(`
    const { serve, takeOver } = await import(build + '/http/index.js');
    const inheritance = takeOver(${JSON.stringify(path)});
    ${then}
  `);

test('a successor gets the socket, begins, and the path is free', async (t) => {
  const it = scene(t);
  const program = successor(
    it.path,
    `const server = serve((_request, response) => response.text('new'), { fd: inheritance.fds });
     await inheritance.begun();
     const again = takeOver(${JSON.stringify(it.path)});
     console.log('begun', again);
     process.stdin.once('end', () => server.close()).resume();`,
  );
  await program.prints(/begun null/);
  t.equal(it.taken, 1);
  t.ok(it.server.isShared);
  await it.server.close();
  t.equal(await (await fetch(it.server.url)).text(), 'new', 'one socket, another process');
  program.child.stdin?.end();
  t.equal((await program.ends()).code, 0);
});

test('a successor gets all sockets, in their order', async (t) => {
  const sockets = ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map((address) => NetSocket.listenOn({ address, port: 0 }));
  const path = `\0simplenet-way-${process.pid}-all`;
  const server = serve((_request, response) => response.text('old'), { fd: sockets.map((each) => each.release()) });
  const way = new HandOver(path, server, () => void server.close());
  t.teardown(() => {
    way.close();
    return server.close();
  });
  const program = successor(
    path,
    `const server = serve((_request, response) => response.text('new'), { fd: inheritance.fds });
     await inheritance.begun();
     console.log(server.urls.join());
     process.stdin.once('end', () => server.close()).resume();`,
  );
  const [printed] = await program.prints(/.+(?=\n)/);
  t.same(printed.split(','), server.urls);
  await server.close();
  for (const url of server.urls) t.equal(await (await fetch(url)).text(), 'new');
  program.child.stdin?.end();
  t.equal((await program.ends()).code, 0);
});

test('a successor gets the port of the metrics, if it wants that port; the predecessor leaves it at once', async (t) => {
  for (const [wanted, isSame] of [
    ['{ port: Number(process.argv[1]), fd: inheritance.takeMetricsFd() }', true],
    ['{ port: 0, fd: inheritance.takeMetricsFd() }', true],
    ["{ port: 0, host: '127.0.0.2', fd: inheritance.takeMetricsFd() }", false],
    ['{ port: 0 }', false],
  ] as const) {
    const path = `\0simplenet-way-${process.pid}-metrics`;
    const server = serve((_request, response) => response.text('old'), { metrics: { port: 0 } });
    const { metricsUrl } = server as { metricsUrl: string };
    let closed = Promise.resolve();
    const way = new HandOver(path, server, () => {
      closed = server.close({ graceMs: 60_000 });
    });
    const stays = new RawClient(server.port as number).write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n');
    await until(() => server.busyCount === 1);
    const program = successor(
      path,
      `process.argv[1] = ${JSON.stringify(new URL(metricsUrl).port)};
       const server = serve((_request, response) => response.text('new'), { fd: inheritance.fds, metrics: ${wanted} });
       await inheritance.begun();
       console.log(server.metricsUrl);
       process.stdin.once('end', () => server.close()).resume();`,
    );
    const [printed] = await program.prints(/.+(?=\n)/);
    t.equal(printed === metricsUrl, isSame, `${wanted}: ${printed}`);
    t.ok(server.isStopping);
    for (let i = 0; i < 5; i++) t.equal((await fetch(`${printed}/readyz`)).status, 200, 'the predecessor drains still');
    if (!isSame) await t.rejects(fetch(`${metricsUrl}/readyz`), 'nobody listens there');
    stays.destroy();
    await closed;
    program.child.stdin?.end();
    t.equal((await program.ends()).code, 0);
    way.close();
  }
});

test('a successor that ends before it has begun changes nothing', async (t) => {
  const it = scene(t);
  const { code } = await successor(it.path, 'process.exit(inheritance.fds[0] > 2 ? 5 : 1);').ends();
  t.equal(code, 5);
  const second = await successor(it.path, 'process.exit(inheritance.fds[0] > 2 ? 6 : 1);').ends();
  t.equal(second.code, 6, 'the next one can try');
  t.equal(it.taken, 0);
  t.equal(await (await fetch(it.server.url)).text(), 'old');
});

test('there is one successor at a time', async (t) => {
  const it = scene(t);
  const slow = NetSocket.connectTo({ path: it.path });
  await until(() => slow.wait('readable', 0));
  const { stderr, code } = await successor(it.path, '').ends();
  t.equal(code, 1);
  t.match(stderr, /gives its socket to another process, or to another user/);
  slow.close();
});

test('another user gets nothing', { skip: process.getuid?.() === 0 ? false : 'takes root' }, async (t) => {
  const path = `\0simplenet-way-${process.pid}`;
  const server = serve((_request, response) => response.text('old'));
  const way = new HandOver(path, server, t.fail);
  t.teardown(() => server.close());
  t.teardown(() => way.close());
  const program = inProcess(`
    const { takeOver } = await import(build + '/http/index.js');
    process.setuid(65534);
    try { takeOver(${JSON.stringify(path)}); } catch (error) { console.log(error.message); }
  `);
  t.match((await program.ends()).stdout, /to another user/);
});

test('without a server at the path there is nothing to take over', async (t) => {
  const before = openDescriptors();
  t.equal(takeOver(join(tmpdir(), 'simplenet-no-such-way')), null);
  const path = join(tmpdir(), `simplenet-other-${process.pid}`);
  const datagrams = UdpSocket.bindTo({ path });
  t.throws(() => takeOver(path), { message: /connect/ }, 'another kind of socket');
  datagrams.close();
  rmSync(path);
  const silent = NetSocket.listenOn({ path });
  t.throws(() => takeOver(path, 20), { message: /does not answer/ });
  silent.close();
  rmSync(path);
  t.same(openDescriptors(), before);
});

test('a server that has lost its socket, and a client that has gone', async (t) => {
  const it = scene(t);
  NetSocket.connectTo({ path: it.path }).close(); // accepted, and at its end at once
  await it.server.close();
  t.same(it.server.listenerFds, [-1]);
  const { stderr } = await successor(it.path, '').ends();
  t.match(stderr, /gives its socket to another process/);
  t.equal(it.taken, 0);
  it.way.close();
  it.way.close();
  t.equal(takeOver(it.path), null);
});

/** A predecessor in this process, which does what the test says. */
function talker(t: Test, greeting = 'socket', count = 1): { inheritance: Inheritance; predecessor: NetSocket } {
  const path = `\0simplenet-talker-${process.pid}-${paths++}`;
  const listener = NetSocket.listenOn({ path });
  let predecessor: NetSocket | undefined;
  const { connect } = libc;
  t.teardown(() => {
    listener.close();
    predecessor?.close();
  });
  Object.assign(libc, {
    // takeOver waits without turns of the loop, so the predecessor answers inside of its call.
    connect: (...args: Parameters<typeof connect>) => {
      const result = connect(...args);
      predecessor = listener.accept();
      sendDescriptors(predecessor, Buffer.from(greeting), Array(count).fill(listener.fd));
      return result;
    },
  });
  try {
    const inheritance = takeOver(path) as Inheritance;
    t.ok(inheritance.fds.every((fd) => fd > 2));
    for (const fd of inheritance.fds) closeSync(fd);
    return { inheritance, predecessor: predecessor as NetSocket };
  } finally {
    Object.assign(libc, { connect });
  }
}

/** As much of a server as `begun` needs. */
function heir(): Server {
  const { signal } = new AbortController();
  return { isShared: true, isWatchShared: true, address: { path: '' }, closing: signal } as unknown as Server;
}

/** Gathers the alarms that are set from now on, and lets them ring when the test says so. */
function alarms(t: Test): { readonly ms: number; ring(): void; isCancelled: boolean }[] {
  const all: ReturnType<typeof alarms> = [];
  const { alarm } = nodeHost;
  t.teardown(() => Object.assign(nodeHost, { alarm }));
  Object.assign(nodeHost, {
    alarm: (ms: number, ring: () => void): Alarm => {
      const it = { ms, ring, isCancelled: false };
      all.push(it);
      return {
        cancel: () => {
          it.isCancelled = true;
        },
      } as Alarm;
    },
  });
  return all;
}

test('begun: the predecessor says yes, and its end is the end', async (t) => {
  const { inheritance, predecessor } = talker(t);
  let hasLeft: boolean | undefined;
  const begun = inheritance.begun().then((left) => {
    hasLeft = left;
  });
  t.equal(`${readNow(predecessor)}`, 'begun');
  predecessor.writeAll(Buffer.from('yes'));
  await quiet();
  t.equal(hasLeft, undefined, 'only its end counts');
  predecessor.close();
  await begun;
  t.equal(hasLeft, true);
  inheritance.abandon(); // too late, and no error
});

function readNow(socket: NetSocket): Buffer {
  const bytes = Buffer.alloc(64);
  return bytes.subarray(0, socket.read(bytes));
}

test('begun: without a yes the predecessor goes on', async (t) => {
  const before = talker(t);
  before.predecessor.close();
  await t.rejects(before.inheritance.begun(), {
    name: 'HandOverError',
    message: /^the process at @.* has not consented/,
  });
  const { inheritance, predecessor } = talker(t);
  const begun = inheritance.begun();
  predecessor.shutdown('both');
  await t.rejects(begun, HandOverError);
});

test('begun: a predecessor that stands still has the word', async (t) => {
  const set = alarms(t);
  const server = heir();
  const { inheritance, predecessor } = talker(t, 'socket own');
  const begun = inheritance.begun(server);
  t.match(set, [{ ms: LEAVE_MS }]);
  set[0]?.ring();
  t.equal(await begun, false);
  t.ok(server.isShared, 'it may still accept');
  predecessor.writeAll(Buffer.from('yes'));
  predecessor.close();
  await until(() => !server.isShared);
  t.notOk(server.isWatchShared);
  const soon = talker(t);
  t.equal(
    await Promise.race([soon.inheritance.begun(undefined, 1), quiet().then(() => 'never')]),
    'never',
    'a limit of its own',
  );
  set.at(-1)?.ring();
  soon.inheritance.abandon();
  t.equal(set.at(-1)?.ms, 1);
});

test('whose the sockets are then', async (t) => {
  for (const [greeting, count, isShared] of [
    ['socket', 1, true],
    ['socket own', 1, false],
    ['socket own metrics', 2, false],
  ] as const) {
    const server = heir();
    const { inheritance, predecessor } = talker(t, greeting, count);
    const begun = inheritance.begun(server);
    predecessor.writeAll(Buffer.from('yes'));
    predecessor.close();
    t.equal(await begun, true);
    t.match(server, { isShared, isWatchShared: false }, greeting);
  }
});

test('a successor that abandons it', async (t) => {
  const first = talker(t, 'socket metrics', 2);
  const descriptors = openDescriptors().length;
  first.inheritance.abandon();
  first.inheritance.abandon();
  t.equal(readNow(first.predecessor).length, 0, 'its connection ends, without the word');
  t.equal(openDescriptors().length, descriptors - 2, 'the socket of the metrics is closed, too');
  const second = talker(t);
  const begun = second.inheritance.begun();
  second.inheritance.abandon();
  await t.rejects(begun, { name: 'HandOverError', message: /abandoned/ });
  t.equal(`${readNow(second.predecessor)}`, 'begun');
  t.throws(() => second.predecessor.writeAll(Buffer.from('yes')), { code: 'EPIPE' });
});

test('a successor has a minute', async (t) => {
  const it = scene(t);
  const set = alarms(t);
  const slow = NetSocket.connectTo({ path: it.path });
  await until(() => set.length === 1);
  t.equal(set[0]?.ms, SUCCESSOR_MS);
  t.match(`${readNow(slow)}`, /^socket/);
  set[0]?.ring();
  t.equal(readNow(slow).length, 0, 'it gets no yes');
  t.throws(() => slow.writeAll(Buffer.from('begun')), { code: 'EPIPE' });
  slow.close();
  const inTime = NetSocket.connectTo({ path: it.path });
  await until(() => set.length === 2);
  inTime.writeAll(Buffer.from('begun'));
  t.equal(it.taken, 0, 'as of a process that stands still');
  set[1]?.ring();
  t.equal(it.taken, 1, 'its word had come before');
  t.ok(set[1]?.isCancelled);
  inTime.close();
});

test('a successor that has gone behind its word has not taken over', async (t) => {
  const it = scene(t);
  const gone = NetSocket.connectTo({ path: it.path });
  await until(() => gone.wait('readable', 0));
  gone.writeAll(Buffer.from('begun'));
  gone.close();
  await quiet();
  const next = NetSocket.connectTo({ path: it.path });
  await until(() => next.wait('readable', 0));
  t.equal(it.taken, 0);
  t.notOk(it.server.isShared);
  next.writeAll(Buffer.from('begun'));
  await until(() => it.taken === 1);
  next.close();
});

test('sockets of another user are refused', async (t) => {
  const it = scene(t);
  const { getsockopt } = libc;
  const before = openDescriptors();
  Object.assign(libc, {
    getsockopt: (...args: Parameters<typeof getsockopt>) => {
      const result = getsockopt(...args);
      if (args[2] === abi.SO_PEERCRED) (args[3] as Buffer).writeUInt32LE(65_534, 4);
      return result;
    },
  });
  try {
    t.throws(() => takeOver(it.path), { name: 'HandOverError', message: /^the process at .* belongs to another user/ });
  } finally {
    Object.assign(libc, { getsockopt });
  }
  t.same(openDescriptors(), before);
});

test('a process of another user that waits at the path', {
  skip: process.getuid?.() === 0 ? false : 'takes root',
}, async (t) => {
  const path = `\0simplenet-way-${process.pid}-other`;
  const program = inProcess(`
    const { HandOver, serve } = await import(build + '/http/index.js');
    process.setuid(65534);
    const server = serve((_request, response) => response.text('another one'));
    const way = new HandOver(${JSON.stringify(path)}, server, () => {});
    console.log('waits');
    process.stdin.once('end', () => {
      way.close();
      server.close();
    }).resume();
  `);
  await program.prints(/waits/);
  t.throws(() => takeOver(path), { name: 'HandOverError', message: /belongs to another user/ });
  program.child.stdin?.end();
  t.equal((await program.ends()).code, 0);
});

test('the file of a Unix socket is removed by its last owner', async (t) => {
  const path = join(tmpdir(), `simplenet-site-${process.pid}`);
  const way = `${path}-way`;
  const server = serve((_request, response) => response.text('old'), { path });
  let closed: Promise<void> | undefined;
  new HandOver(way, server, () => {
    closed = server.close();
  });
  const program = successor(
    way,
    `const server = serve((_request, response) => response.text('new'), { fd: inheritance.fds });
     console.log('begun', await inheritance.begun(server));
     process.stdin.once('end', () => server.close()).resume();`,
  );
  await program.prints(/begun true/);
  await closed;
  t.ok(existsSync(path));
  program.child.stdin?.end();
  t.equal((await program.ends()).code, 0);
  t.notOk(existsSync(path));
});

test('spurious news', async (t) => {
  const it = scene(t);
  const { accept4, recv } = libc;
  t.teardown(() => Object.assign(libc, { accept4, recv }));
  let refused = 0;
  Object.assign(libc, {
    accept4: (...args: Parameters<typeof accept4>) => (refused++ === 0 ? -11 : accept4(...args)),
  });
  const client = NetSocket.connectTo({ path: it.path });
  await until(() => client.wait('readable', 0));
  t.ok(refused >= 2, 'a connection that was not there yet');
  let again = 0;
  Object.assign(libc, { recv: (...args: Parameters<typeof recv>) => (again++ === 0 ? -11 : recv(...args)) });
  client.writeAll(Buffer.from('begun'));
  await until(() => it.taken === 1);
  t.ok(again >= 2);
  client.close();
});
