/**
 * The loop inside Node's: what it costs in system calls, and how it lives beside everything else in the process.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { ENOMEM, EPOLLIN } from '../../simplenet/abi.ts';
import { EpollLoop } from '../../simplenet/epoll-loop.ts';
import type { EventLoop, StreamHandler } from '../../simplenet/event-loop.ts';
import { libc } from '../../simplenet/libc.ts';
import { NetSocket } from '../../simplenet/net-socket.ts';
import { nodeHost } from '../../simplenet/node-host.ts';
import { type InternetAddress, portOf } from '../../simplenet/socket-address.ts';
import { defaultLoopLimits } from '../../simplenet/socket-loop.ts';
import { Recorder } from '../contracts/recorder.ts';
import { SimulatedWorld } from '../contracts/simulated-world.ts';
import { noFaults } from '../simulation/simulated-faults.ts';
import { CountingLibc } from '../support/counting-libc.ts';
import { Program } from '../support/programs.ts';

const anyPort: InternetAddress = { address: '127.0.0.1', port: 0 };

const echo: StreamHandler = {
  onData(stream, bytes) {
    if (!stream.write(bytes)) stream.pause();
  },
  onDrain: (stream) => stream.resume(),
};

/** One message there and back, over a client that is not ours. */
function exchange(client: Socket, message: string): Promise<string> {
  client.write(message);
  return once(client, 'data').then(([bytes]) => String(bytes));
}

test('the budget of system calls', async (t) => {
  const counting = new CountingLibc();
  const loop = new EpollLoop(counting.libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  let closes = 0;
  const listener = loop.listen(anyPort, () => ({ ...echo, onClose: () => void closes++ }), { noDelay: true });
  counting.take();

  const clients: Socket[] = [];
  for (let i = 0; i < 10; i++) {
    const client = createConnection(portOf(listener.address), '127.0.0.1');
    clients.push(client);
    await exchange(client, 'hello');
  }
  const { epoll_wait: waits = 0, ...connecting } = counting.take();
  t.same(connecting, { accept4: 10, epoll_ctl: 10, recv: 10, send: 10 }, 'a connection: accept4 and epoll_ctl, once');
  t.ok(waits <= 20, `${waits} turns for 10 connections and 10 messages`);

  for (let round = 0; round < 10; round++) await Promise.all(clients.map((client) => exchange(client, 'again')));
  const { epoll_wait: laterWaits = 0, ...talking } = counting.take();
  t.same(talking, { recv: 100, send: 100 }, 'a message: recv and send, once');
  t.ok(laterWaits <= 100);

  for (const client of clients) client.end();
  while (closes < clients.length) await new Promise((resolve) => setTimeout(resolve, 1));
  const { epoll_wait: _, ...closing } = counting.take();
  t.same(closing, { recv: 10, close: 10 }, 'an end: the recv that says so, and close');
});

test('pausing and resuming within one callback costs nothing', async (t) => {
  const counting = new CountingLibc();
  const loop = new EpollLoop(counting.libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const listener = loop.listen(anyPort, () => ({
    onData(stream, bytes) {
      stream.pause();
      stream.write(bytes);
      stream.resume();
    },
  }));
  const client = createConnection(portOf(listener.address), '127.0.0.1');
  await exchange(client, 'hello');
  counting.take();
  await exchange(client, 'again');
  t.equal(counting.take().epoll_ctl, undefined);
  client.destroy();
});

test('a crowd that connects at once is taken in a few turns', async (t) => {
  const counting = new CountingLibc();
  const loop = new EpollLoop(counting.libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const listener = loop.listen(anyPort, () => echo);
  const clients = Array.from({ length: 200 }, () => createConnection(portOf(listener.address), '127.0.0.1'));
  await Promise.all(clients.map((client) => exchange(client, 'hello')));
  const { accept4 = 0 } = counting.take();
  t.ok(accept4 < 220, `${accept4} calls of accept4 for 200 connections`);
  for (const client of clients) client.destroy();
});

test('timers, promises, fs and fetch go on under full load', async (t) => {
  const program = Program.script(`
    import { readFile } from 'node:fs/promises';
    import { createServer } from 'node:http';
    const { createEventLoop } = await import(build + '/simplenet/index.js');
    const loop = createEventLoop();
    const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData: (s, b) => void s.write(b) }));
    let echoes = 0;
    for (let i = 0; i < 32; i++) {
      loop.connect(listener.address, {
        onOpen: (s) => void s.write(Buffer.from('x')),
        onData: (s, b) => { echoes++; s.write(b); },
      });
    }
    const http = createServer((_, response) => response.end('fetched')).listen(0, '127.0.0.1', async () => {
      const seen = { timers: 0, files: 0, fetches: 0, immediates: 0 };
      const timer = setInterval(() => seen.timers++, 5);
      const goesOn = () => Object.values(seen).some((count) => count < 10) && echoes < 100_000;
      while (goesOn()) {
        await readFile(process.execPath + '/../../nothing').catch(() => seen.files++);
        const answer = await fetch('http://127.0.0.1:' + http.address().port);
        if (await answer.text() === 'fetched') seen.fetches++;
        await new Promise((resolve) => setImmediate(resolve));
        seen.immediates++;
      }
      clearInterval(timer);
      http.close();
      http.closeAllConnections();
      loop.close();
      console.log(JSON.stringify({ ...seen, echoes }));
    });`);
  const { code, stdout, stderr } = await program.ends();
  t.equal(code, 0, stderr);
  // Counted in echoes and not in time: how much of that there is, a busy machine decides.
  const { echoes = 0, ...seen } = JSON.parse(stdout) as Record<string, number>;
  for (const [what, count] of Object.entries(seen)) t.ok(count >= 10, `${what}: ${count} beside ${echoes} echoes`);
  t.ok(echoes > 100, `${echoes} echoes meanwhile`);
});

test('a promise awaited in a callback resolves before the next turn of anything else', async (t) => {
  const loop = new EpollLoop(libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const listener = loop.listen(anyPort, () => ({
    async onData(stream, bytes) {
      const copy = Buffer.from(bytes);
      await null;
      await null;
      stream.write(copy);
    },
  }));
  const client = createConnection(portOf(listener.address), '127.0.0.1');
  t.equal(await exchange(client, 'hello'), 'hello');
  client.destroy();
});

const throwing = `
  const { createEventLoop } = await import(build + '/simplenet/index.js');
  const loop = createEventLoop();
  const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({
    onData(stream, bytes) {
      if (bytes.toString() === 'throw') throw new Error('a mistake in a callback');
      stream.write(bytes);
    },
  }));
  const talk = (text, handler = {}) => loop.connect(listener.address, {
    onOpen: (s) => void s.write(Buffer.from(text)), onData: () => {}, ...handler });
`;

test('an exception in a callback ends the process, as everywhere in Node', async (t) => {
  const { code, stderr } = await Program.script(`${throwing} talk('throw');`).ends();
  t.equal(code, 1);
  t.match(stderr, /a mistake in a callback[\s\S]*onData/, 'with the stack of where it was thrown');
});

test('or reaches uncaughtException, and the loop goes on', async (t) => {
  const { code, stdout } = await Program.script(`${throwing}
    process.on('uncaughtException', (error) => {
      console.log('caught: ' + error.message);
      talk('still there', { onData: (_, bytes) => { console.log(bytes.toString()); loop.close(); } });
    });
    talk('throw', { onClose: (_, error) => console.log('peer: ' + error.code) });`).ends();
  t.equal(code, 0);
  t.match(stdout, /caught: a mistake in a callback/);
  t.match(stdout, /peer: ECONNRESET/);
  t.match(stdout, /still there/);
});

test('an open loop keeps the process alive, an empty or unref’ed one does not', async (t) => {
  const head = `const { createEventLoop } = await import(build + '/simplenet/index.js');
    const loop = createEventLoop(); const listen = () => loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData() {} }));`;
  t.equal((await Program.script(head).ends()).code, 0, 'empty');
  t.equal((await Program.script(`${head} listen(); loop.unref();`).ends()).code, 0, 'unref’ed');
  t.equal((await Program.script(`${head} loop.unref(); listen();`).ends()).code, 0, 'unref’ed beforehand');
  t.equal((await Program.script(`${head} listen().close();`).ends()).code, 0, 'closed listener');
  t.equal((await Program.script(`${head} listen(); loop.close();`).ends()).code, 0, 'closed loop');
  const alive = Program.script(
    `${head} listen(); loop.unref(); loop.ref(); setTimeout(() => console.log('alive'), 50).unref();`,
  );
  await alive.prints(/alive/);
  alive.kill();
  t.equal((await alive.ends()).signal, 'SIGKILL');
});

test('it serves from a worker thread', async (t) => {
  const { code, stdout, stderr } = await Program.script(`
    import { Worker } from 'node:worker_threads';
    const worker = new Worker(\`
      const { parentPort } = require('node:worker_threads');
      import(\${JSON.stringify(build + '/simplenet/index.js')}).then(({ createEventLoop }) => {
        const loop = createEventLoop();
        const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData: (s, b) => void s.write(b) }));
        parentPort.postMessage(listener.address);
        parentPort.once('message', () => { loop.close(); parentPort.close(); });
      });\`, { eval: true, execArgv: [] });
    worker.once('message', async (address) => {
      const { createEventLoop } = await import(build + '/simplenet/index.js');
      const loop = createEventLoop();
      loop.connect(address, {
        onOpen: (s) => void s.write(Buffer.from('from thread to thread')),
        onData: (s, bytes) => { console.log(bytes.toString()); loop.close(); worker.postMessage('stop'); },
      });
    });
    worker.once('exit', (code) => console.log('worker ended with ' + code));`).ends();
  t.equal(code, 0, stderr);
  t.match(stdout, /from thread to thread\nworker ended with 0/);
});

const workerEnds = {
  'that is terminated while it waits': `
    stream.pause();
    setInterval(() => {}, 1_000);
    setTimeout(() => parentPort.postMessage('waiting'), 10);`,
  'that calls process.exit under load': `
    stream.write(bytes);
    process.exit(0);`,
};
for (const [how, ending] of Object.entries(workerEnds)) {
  test(`a worker ${how} takes its loop with it and not the process`, async (t) => {
    // The parent does not load the library, so that what the worker has loaded is unloaded with it.
    const { code, signal, stdout, stderr } = await Program.script(`
      import { once } from 'node:events';
      import { Worker } from 'node:worker_threads';
      const program = \`
        const { parentPort } = require('node:worker_threads');
        import('\${build}/simplenet/index.js').then(({ createEventLoop }) => {
          const loop = createEventLoop();
          const echo = { onData: (stream, bytes) => void stream.write(bytes) };
          const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => echo);
          let echoes = 0;
          loop.connect(listener.address, {
            onOpen: (stream) => void stream.write(Buffer.from('x')),
            onData(stream, bytes) {
              if (++echoes < 1_000) stream.write(bytes);
              else { ${ending} }
            },
          });
        });\`;
      for (let i = 0; i < 5; i++) {
        const worker = new Worker(program, { eval: true, execArgv: [] });
        worker.once('message', () => worker.terminate());
        await once(worker, 'exit');
      }
      console.log('survived');`).ends();
    t.same([code, signal], [0, null], stderr);
    t.match(stdout, /survived/);
  });
}

test('limits that make no sense are refused', async (t) => {
  for (const value of [0, -1, 1.5, Number.NaN]) {
    t.throws(
      () => new EpollLoop(libc, nodeHost, { ...defaultLoopLimits, tickMs: value }),
      /tickMs must be an integer >= 1/,
    );
  }
});

test('connect gives up after its timeout', async (t) => {
  const loop: EventLoop = new EpollLoop(libc, nodeHost, { ...defaultLoopLimits, tickMs: 10 });
  t.teardown(() => loop.close());
  // A listener that accepts nothing, with room for one: the next SYN is dropped, as if the host were not there.
  const full = NetSocket.listenOn(anyPort, { backlog: 0 });
  t.teardown(() => full.close());
  const outcome = (connectTimeoutMs: number) =>
    new Promise<string>((resolve) => {
      loop.connect(
        full.localAddress,
        {
          onData: () => {},
          onOpen: () => resolve('open'),
          onClose: (_stream, error) => resolve(error?.message ?? 'null'),
        },
        { connectTimeoutMs },
      );
    });
  t.equal(await outcome(5_000), 'open');
  t.match(await outcome(60), /^connect ETIMEDOUT: connection timed out 127\.0\.0\.1:\d+$/);
});

test('who connects again and again from onClose leaves time for others', async (t) => {
  const loop: EventLoop = new EpollLoop(libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  let isOver = false;
  const again = () => {
    if (!isOver) loop.connect({ path: `\0nobody-${process.pid}` }, { onData: () => {}, onClose: again });
  };
  again();
  await new Promise((resolve) => setTimeout(resolve, 10));
  isOver = true;
  while (loop.openCount > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  t.pass('timers run');
});

/** Both ends of a connection, as plain sockets that wait. */
function connectedPair(t: Test): { ours: NetSocket; theirs: NetSocket } {
  const listener = NetSocket.listenOn(anyPort);
  const theirs = NetSocket.connectTo(listener.localAddress);
  const ours = listener.accept();
  listener.close();
  t.teardown(() => {
    theirs.close();
    ours.close();
  });
  return { ours, theirs };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(1);
}

test('a connected socket that is taken over is a stream like any other', async (t) => {
  const loop: EventLoop = new EpollLoop(libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const { ours, theirs } = connectedPair(t);
  const peer = ours.remoteAddress;
  const recorder = new Recorder(echo);
  const stream = loop.adoptStream(ours, recorder);
  t.same(stream.remoteAddress, peer);
  t.equal(loop.openCount, 1);
  t.throws(() => loop.adoptStream(ours, recorder), /the loop has this socket already/);
  theirs.write(Buffer.from('hello'));
  await until(() => recorder.byteLength === 5);
  const answer = Buffer.alloc(10);
  t.equal(answer.toString('latin1', 0, theirs.read(answer)), 'hello');
  theirs.shutdown('write');
  await until(() => recorder.isClosed);
  t.same(recorder.complaints, []);
  t.equal(recorder.error, null);
  t.equal(recorder.opens, 0, 'it was open');
  t.equal(theirs.read(answer), 0, 'our side has ended, too');
  t.ok(ours.isClosed);
  t.equal(loop.openCount, 0);
});

test('a stream taken over from a process that keeps its socket is heard of no more once it is closed', async (t) => {
  const counting = new CountingLibc();
  const loop = new EpollLoop(counting.libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const { ours, theirs } = connectedPair(t);
  const other = spawn('sleep', ['20'], { stdio: ['ignore', 'ignore', 'ignore', ours.fd] });
  t.teardown(() => other.kill());
  await once(other, 'spawn');
  const recorder = new Recorder();
  loop.adoptStream(ours, recorder).close();
  await until(() => recorder.isClosed);
  counting.take();
  theirs.write(Buffer.from('for the other process'));
  await sleep(20);
  t.equal(counting.take().epoll_wait, undefined, 'close(2) alone would have left it in the epoll set');
});

test('what cannot be taken over stays what it was', async (t) => {
  const table = { ...libc };
  const loop = new EpollLoop(table, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const { ours } = connectedPair(t);
  const unconnected = NetSocket.openFor(anyPort);
  t.teardown(() => unconnected.close());
  t.throws(() => loop.adoptListener(ours, () => echo), { name: 'TypeError', message: 'the socket does not listen' });
  t.throws(() => loop.adoptStream(unconnected, echo), { code: 'ENOTCONN', syscall: 'getpeername' });
  table.epoll_ctl = () => -ENOMEM;
  t.throws(() => loop.adoptStream(ours, echo), { code: 'ENOMEM', syscall: 'epoll_ctl' });
  t.notOk(ours.isClosed);
  t.notOk(unconnected.isClosed);
  t.equal(loop.openCount, 0);
});

test('a socket that was made for nothing is closed', async (t) => {
  const counting = new CountingLibc();
  const loop = new EpollLoop(counting.libc, nodeHost, defaultLoopLimits);
  const listener = loop.listen(anyPort, () => echo);
  const before = counting.openFds.size;
  const { epoll_ctl, connect } = counting.libc;
  counting.libc.epoll_ctl = () => -ENOMEM;
  const noRoom = { code: 'ENOMEM', syscall: 'epoll_ctl' };
  t.throws(() => loop.listen(anyPort, () => echo), noRoom);
  t.throws(() => loop.connect(listener.address, echo), noRoom);
  t.throws(() => loop.bindUdp(anyPort, { onMessage: () => {} }), noRoom);
  counting.libc.epoll_ctl = epoll_ctl;
  // A refusal is told by onClose; a mistake is none.
  counting.libc.connect = () => {
    throw new TypeError('a mistake');
  };
  t.throws(() => loop.connect(listener.address, echo), { name: 'TypeError', message: 'a mistake' });
  counting.libc.connect = connect;
  t.equal(counting.openFds.size, before);
  t.equal(loop.openCount, 1);
  loop.close();
  await until(() => counting.openFds.size === 0);
  t.same(counting.violations, []);
});

test('a time limit for connect that is none is refused before there is a socket', async (t) => {
  const counting = new CountingLibc();
  const loop: EventLoop = new EpollLoop(counting.libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  counting.take();
  for (const connectTimeoutMs of [0, -1, Number.NaN]) {
    t.throws(() => loop.connect(anyPort, echo, { connectTimeoutMs }), RangeError, String(connectTimeoutMs));
  }
  t.same(counting.take(), {});
});

test('what epoll tells of a descriptor that nobody has is passed over', async (t) => {
  // epoll(7): one that was closed here while another process holds it as well stays in the set.
  const loop = new EpollLoop(libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const { ours, theirs } = connectedPair(t);
  loop.epoll.add(ours.fd, EPOLLIN);
  theirs.write(Buffer.from('x'));
  const listener = loop.listen(anyPort, () => echo);
  const client = createConnection(portOf(listener.address), '127.0.0.1');
  t.equal(await exchange(client, 'hello'), 'hello');
  loop.epoll.delete(ours.fd);
  client.destroy();
});

test('who keeps the process alive: what is open, as long as the loop is not unref’ed', async (t) => {
  const world = new SimulatedWorld(1, noFaults);
  const { loop, host } = world;
  t.notOk(host.isAlive(), 'an empty loop');
  const listener = loop.listen(world.anyAddress, () => echo);
  t.ok(host.isAlive());
  loop.unref();
  t.notOk(host.isAlive());
  loop.ref();
  loop.ref();
  t.ok(host.isAlive());
  listener.close();
  await world.quiet();
  t.notOk(host.isAlive(), 'empty again');
  loop.ref();
  t.notOk(host.isAlive(), 'ref has nothing to hold on to');
  await world.close();
});
