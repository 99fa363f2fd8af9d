/**
 * Streams on the real kernel, on either loop: peers that die in every state leave nothing behind. That ten thousand idle ones weigh little is in
 * idle-streams.long.ts.
 *
 * Next: epoll-stream.test.ts
 */

import { test } from 'tap';
import { libc } from '../../../simplenet/kernel/libc.ts';
import type { InternetAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { Stream } from '../../../simplenet/loop/event-loop.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { realLoops } from '../../contracts/real-world.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';
import { Program } from '../../support/programs.ts';
import { until } from '../../support/waiting.ts';

const anyPort: InternetAddress = { address: '127.0.0.1', port: 0 };

/** The sockets of this process and what watches them, as the kernel sees them. */
function openSockets(): string[] {
  return openDescriptors().filter((descriptor) => /socket:|eventpoll|io_uring/.test(descriptor));
}

/** Writes until the kernel takes no more. */
function flood(stream: Stream): void {
  while (stream.write(Buffer.alloc(100_000)));
}

/** What a peer, a process of its own, is doing when it is killed. PORT stands for the server's. */
const states: Readonly<Record<string, { readonly client: string; readonly isReady: (server: Recorder[]) => boolean }>> =
  {
    'just connected': {
      client: `socket.on('connect', () => {});`,
      isReady: (server) => server.length > 0,
    },
    'in the middle of a message': {
      client: `socket.write('half a mess');`,
      isReady: (server) => (server[0]?.byteLength ?? 0) > 0,
    },
    'while it is written to': {
      client: `socket.pause(); socket.write('flood me');`,
      isReady: (server) => (server[0]?.stream?.queuedBytes ?? 0) > 0,
    },
    'after it has ended its side': {
      client: `socket.end('bye');`,
      isReady: (server) => (server[0]?.ends ?? 0) > 0,
    },
    'after we have ended ours': {
      client: `socket.write('end it');`,
      isReady: (server) => server[0]?.stream?.isEnded === true,
    },
    'while we do not read': {
      client: `socket.write('pause');`,
      isReady: (server) => (server[0]?.byteLength ?? 0) > 0,
    },
  };

for (const backend of backends) {
  const skip = missingBackend[backend];

  for (const [state, { client, isReady }] of Object.entries(states)) {
    test(`a peer that is killed ${state} leaves no descriptor behind (${backend})`, { skip }, async (t) => {
      const before = openSockets();
      const loop = new realLoops[backend](libc, nodeHost, { ...defaultLoopLimits, tickMs: 10 });
      const server: Recorder[] = [];
      const listener = loop.listen(anyPort, (stream) => {
        const recorder = new Recorder({
          onData(_stream, bytes) {
            const text = bytes.toString();
            if (text === 'flood me') flood(stream);
            if (text === 'end it') stream.end();
            if (text === 'pause') stream.pause();
          },
          onDrain: flood,
          onEnd: () => {}, // an answer is still being prepared
        });
        recorder.stream = stream;
        server.push(recorder);
        return recorder;
      });
      const { port } = listener.address as InternetAddress;
      const peer = Program.script(`
        import { connect } from 'node:net';
        const socket = connect({ port: ${port}, host: '127.0.0.1', allowHalfOpen: true });
        setInterval(() => {}, 1_000);
        ${client}`);
      await until(() => isReady(server));
      peer.kill('SIGKILL');
      await peer.ends();
      // Some states are only noticed by writing, as with any TCP server; a program has a deadline for that.
      for (const recorder of server) recorder.stream?.setDeadline(50);
      await until(() => server.every((recorder) => recorder.isClosed));
      for (const recorder of server) t.same(recorder.complaints, []);
      listener.close();
      loop.close();
      await until(() => loop.openCount === 0);
      t.same(openSockets(), before);
    });
  }

  test(`bytes written just before abort arrive, if the kernel has room, and then the break (${backend})`, {
    skip,
  }, async (t) => {
    const loop = new realLoops[backend](libc, nodeHost, defaultLoopLimits);
    t.teardown(() => loop.close());
    const recorders: Recorder[] = [];
    const { address } = loop.listen(anyPort, () => {
      recorders.push(new Recorder());
      return recorders.at(-1) as Recorder;
    });
    // No more than a peer has offered to take: what must wait for it is lost on either loop.
    for (const lengths of [[1], [6], [500, 500], [10_000, 20_000], [20_000, 10_000]]) {
      const last = lengths.map((length, i) => Buffer.alloc(length, 65 + i));
      const client = new Recorder();
      const stream = loop.connect(address, client);
      await until(() => client.opens > 0 && recorders.length === 1);
      const server = recorders.pop() as Recorder;
      client.calling(() => {
        for (const bytes of last) t.equal(stream.write(bytes), true);
        stream.abort();
        stream.abort();
      });
      await until(() => client.isClosed && server.isClosed);
      t.same([client.error, server.error?.code, server.ends], [null, 'ECONNRESET', 0]);
      t.ok(server.received.equals(Buffer.concat(last)), `${server.byteLength} bytes of ${lengths}`);
    }
  });

  test(`abort waits for no room, and sends nothing that was queued (${backend})`, { skip }, async (t) => {
    const loop = new realLoops[backend](libc, nodeHost, defaultLoopLimits);
    t.teardown(() => loop.close());
    const listening = NetSocket.listenOn(anyPort, { receiveBufferBytes: 4_096 });
    const client = new Recorder();
    const stream = loop.connect(listening.localAddress, client, { sendBufferBytes: 4_096 });
    await until(() => client.opens > 0);
    const peer = listening.accept();
    flood(stream);
    await until(() => stream.queuedBytes > 0);
    client.calling(() => {
      stream.write(Buffer.alloc(10));
      stream.abort();
    });
    await until(() => client.isClosed);
    t.equal(client.error, null);
    peer.close();
    listening.close();
  });

  for (const where of ['the process', 'a worker']) {
    test(`bytes written in the turn in which ${where} ends arrive (${backend})`, { skip }, async (t) => {
      const listening = NetSocket.listenOn(anyPort);
      const { port } = listening.localAddress as InternetAddress;
      const body = `import(build + '/simplenet/index.js').then(({ createEventLoop }) => {
        const loop = createEventLoop({ backend: '${backend}' });
        loop.connect({ address: '127.0.0.1', port: ${port} }, {
          onOpen(stream) {
            stream.write(Buffer.alloc(40_000, 'a'));
            stream.write(Buffer.alloc(60_000, 'b'));
            queueMicrotask(() => {
              stream.write(Buffer.from('bye'));
              process.exit(0);
            });
          },
          onData() {},
          onDrain() { console.log('a callback'); },
          onClose() { console.log('a callback'); },
        });
      });`;
      const inWorker = `
        import { Worker } from 'node:worker_threads';
        const build_ = 'const build = ' + JSON.stringify(build) + ';';
        new Worker(build_ + ${JSON.stringify(body)}, { eval: true, execArgv: [] });`;
      const program = Program.script(where === 'the process' ? body : inWorker);
      t.teardown(() => program.kill());
      const outcome = await program.ends();
      t.match(outcome, { code: 0, stdout: '', stderr: '' });
      if (!listening.wait('readable', 0)) return void t.fail('it did not connect');
      const peer = listening.accept();
      const parts: Buffer[] = [];
      const room = Buffer.alloc(65_536);
      for (let length = peer.read(room); length > 0; length = peer.read(room)) {
        parts.push(Buffer.from(room.subarray(0, length)));
      }
      const received = Buffer.concat(parts);
      t.equal(received.length, 100_003);
      t.equal(received.subarray(-5).toString(), 'bbbye');
      peer.close();
      listening.close();
    });
  }

  test(`a peer that is killed before it is accepted leaves no descriptor behind (${backend})`, { skip }, async (t) => {
    const before = openSockets();
    const socket = NetSocket.listenOn(anyPort);
    const { port } = socket.localAddress as InternetAddress;
    const peer = Program.script(`
      import { connect } from 'node:net';
      connect(${port}, '127.0.0.1').on('connect', function () { this.write('x'); console.log('connected'); });`);
    await peer.prints(/connected/);
    peer.kill('SIGKILL');
    await peer.ends();
    const loop = new realLoops[backend](libc, nodeHost, defaultLoopLimits);
    const recorders: Recorder[] = [];
    loop.adoptListener(socket, () => {
      recorders.push(new Recorder());
      return recorders[0] as Recorder;
    });
    await until(() => recorders[0]?.isClosed === true);
    t.same(recorders[0]?.complaints, []);
    loop.close();
    await until(() => loop.openCount === 0);
    t.same(openSockets(), before);
  });
}
