/**
 * A listener on the io_uring loop, on the real kernel, with results of accept4(2) that a test chooses.
 *
 * Next: uring-loop.test.ts
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Test, test } from 'tap';
import { UringLoop } from '../../../simplenet/io-uring/uring-loop.ts';
import { ECONNABORTED, EINVAL, EMFILE } from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import type { SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { Stream } from '../../../simplenet/loop/event-loop.ts';
import type { Host } from '../../../simplenet/loop/host.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { noUring } from '../../support/backends.ts';
import { quiet, until } from '../../support/waiting.ts';

const skip = noUring;
const anyPort: SocketAddress = { address: '127.0.0.1', port: 0 };

interface Scene {
  readonly loop: UringLoop;
  /** May be changed. */
  readonly libc: Libc;
  readonly raised: unknown[];
  readonly recorders: Recorder[];
  onConnection(stream: Stream): Recorder;
  connect(address: SocketAddress): NetSocket;
  /** The next answer to accept4(2), instead of the kernel's. */
  answer(result: number): void;
}

function scene(t: Test): Scene {
  const raised: unknown[] = [];
  const host: Host = { ...nodeHost, raise: (error) => void raised.push(error) };
  const table = { ...libc };
  const loop = new UringLoop(table, host, { ...defaultLoopLimits, acceptRestMs: 30 });
  const recorders: Recorder[] = [];
  const peers: NetSocket[] = [];
  t.teardown(async () => {
    for (const peer of peers) peer.close();
    loop.close();
    await until(() => loop.openCount === 0);
  });
  return {
    loop,
    libc: table,
    raised,
    recorders,
    onConnection(stream) {
      const recorder = new Recorder();
      recorder.stream = stream;
      recorders.push(recorder);
      return recorder;
    },
    connect(address) {
      const peer = NetSocket.connectTo(address);
      peers.push(peer);
      return peer;
    },
    answer(result) {
      table.accept4 = () => {
        table.accept4 = libc.accept4;
        return result;
      };
    },
  };
}

/** The loop that takes it over closes it. */
const listening = (): NetSocket => NetSocket.listenOn(anyPort);

test('a listener goes on after a connection that failed before it was accepted', { skip }, async (t) => {
  const { loop, recorders, onConnection, connect, answer } = scene(t);
  const { address } = loop.listen(anyPort, onConnection);
  answer(-ECONNABORTED);
  connect(address);
  await until(() => recorders.length === 1);
});

test('an error that no waiting can mend closes the listener and is raised', { skip }, async (t) => {
  const { loop, raised, onConnection, connect, answer } = scene(t);
  const { address } = loop.listen(anyPort, onConnection);
  answer(-EINVAL);
  connect(address);
  await until(() => loop.openCount === 0);
  t.match(raised, [{ code: 'EINVAL', syscall: 'accept4', ...address }]);
});

test('a resting listener accepts waiting connections when the rest ends, or when a descriptor comes free', {
  skip,
}, async (t) => {
  const { loop, recorders, onConnection, connect, answer } = scene(t);
  const { address } = loop.listen(anyPort, onConnection);
  connect(address);
  await until(() => recorders.length === 1);
  answer(-EMFILE);
  connect(address);
  await until(() => loop.resting.size === 1);
  connect(address);
  await until(() => recorders.length >= 2);
  answer(-EMFILE);
  connect(address);
  await until(() => loop.resting.size === 1);
  connect(address);
  recorders[0]?.stream?.close();
  await until(() => recorders[0]?.isClosed === true);
  t.equal(loop.resting.size, 0);
  await until(() => recorders.length >= 3);
});

test('a closed listener accepts no more connections; a shared socket goes on for other processes', {
  skip,
}, async (t) => {
  const { loop, onConnection } = scene(t);
  const ours = loop.listen(anyPort, onConnection);
  await quiet();
  ours.close();
  await new Promise<void>((resolve) => queueMicrotask(() => queueMicrotask(resolve)));
  t.throws(() => NetSocket.connectTo(ours.address), { code: 'ECONNREFUSED' });

  const socket = listening();
  const other = spawn('sleep', ['20'], { stdio: ['ignore', 'ignore', 'ignore', socket.fd] });
  t.teardown(() => other.kill());
  await once(other, 'spawn');
  const shared = loop.adoptListener(socket, onConnection);
  await quiet();
  shared.close();
  await until(() => loop.openCount === 0);
  t.doesNotThrow(() => NetSocket.connectTo(shared.address).close());
});
