/**
 * A listener that closes when it is empty, on both loops: it accepts all that have connected, in portions and in spite of a descriptor
 * shortage; a filter that the program has attached stays; and a queue that other processes share is left to them.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Test, test } from 'tap';
import type { Listener, SocketAddress } from '../../../simplenet/index.ts';
import { BPF_K, BPF_RET, EMFILE, SO_ATTACH_FILTER } from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import type { Host } from '../../../simplenet/loop/host.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { realLoops } from '../../contracts/real-world.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { until } from '../../support/waiting.ts';

const anyPort = { address: '127.0.0.1', port: 0 };

/**
 * Rings an alarm without a delay before the loop can take a turn. Otherwise the turns of a fast machine could accept all
 * connections first, and leave nothing to the listener that closes.
 */
const hostAtOnce: Host = {
  ...nodeHost,
  alarm(delayMs, callback, keepsAlive) {
    if (delayMs > 0) return nodeHost.alarm(delayMs, callback, keepsAlive);
    let isCancelled = false;
    queueMicrotask(() => {
      if (!isCancelled) callback();
    });
    return {
      cancel: () => {
        isCancelled = true;
      },
    };
  },
};

for (const kind of backends) {
  const skip = missingBackend[kind];

  /** A loop whose calls a test can answer, and which takes two connections in a turn. */
  function scene(t: Test) {
    const table: Libc = { ...libc };
    const loop = new realLoops[kind](table, hostAtOnce, { ...defaultLoopLimits, acceptsPerTurn: 2, acceptRestMs: 10 });
    t.teardown(() => loop.close());
    let count = 0;
    const onConnection = () => {
      count++;
      return { onData: () => {} };
    };
    const clients: NetSocket[] = [];
    t.teardown(() => {
      for (const client of clients) client.close();
    });
    const connect = (address: SocketAddress, howMany: number) => {
      for (let i = 0; i < howMany; i++) clients.push(NetSocket.connectTo(address));
    };
    const closing = (listener: Listener, waitMs: number) =>
      new Promise<void>((resolve) => listener.closeWhenEmpty(waitMs, resolve));
    return { table, loop, onConnection, connect, closing, accepted: () => count };
  }

  test(`a queue that is longer than a turn may take is emptied (${kind})`, { skip }, async (t) => {
    const { loop, onConnection, connect, closing, accepted } = scene(t);
    const listener = loop.listen(anyPort, onConnection);
    connect(listener.address, 7);
    await closing(listener, 0);
    t.equal(accepted(), 7);
    t.throws(() => NetSocket.connectTo(listener.address), { code: 'ECONNREFUSED' });
  });

  test(`one without descriptors rests, and goes on when there are some (${kind})`, { skip }, async (t) => {
    const { table, loop, onConnection, connect, closing, accepted } = scene(t);
    const listener = loop.listen(anyPort, onConnection);
    let refusals = 0;
    table.accept4 = (...args) => (refusals++ === 0 ? -EMFILE : libc.accept4(...args));
    connect(listener.address, 3);
    await closing(listener, 0);
    t.equal(accepted(), 3);
  });

  test(`a filter that is there already is not replaced (${kind})`, { skip }, async (t) => {
    const { table, loop, onConnection, connect, closing, accepted } = scene(t);
    let attached = 0;
    table.setsockopt_fprog = (...args) => {
      attached++;
      return libc.setsockopt_fprog(...args);
    };
    const keepAll = [{ code: BPF_RET | BPF_K, k: 0xffff_ffff }];
    const filtered = loop.listen(anyPort, onConnection, { control: (socket) => socket.attachFilter(keepAll) });
    t.equal(attached, 1);
    connect(filtered.address, 1);
    await closing(filtered, 60_000);
    t.equal(attached, 1);
    t.equal(accepted(), 1);
  });

  test(`if the kernel takes no filter, the listener does not wait (${kind})`, { skip }, async (t) => {
    const { table, loop, onConnection, connect, closing, accepted } = scene(t);
    table.setsockopt_fprog = (fd, option) => (option === SO_ATTACH_FILTER && fd > 0 ? -1 : 0);
    const listener = loop.listen(anyPort, onConnection);
    connect(listener.address, 1);
    await closing(listener, 60_000);
    t.equal(accepted(), 1);
  });

  test(`of a queue that others share, one portion is taken at most (${kind})`, { skip }, async (t) => {
    const { loop, onConnection, connect, closing, accepted } = scene(t);
    const socket = NetSocket.listenOn(anyPort);
    const address = socket.localAddress;
    const other = spawn('sleep', ['20'], { stdio: ['ignore', 'ignore', 'ignore', socket.fd] });
    t.teardown(() => other.kill());
    await once(other, 'spawn');
    connect(address, 100);
    await closing(loop.adoptListener(socket, onConnection), 60_000);
    t.ok(accepted() > 0 && accepted() < 100, `${accepted()} were taken`);
    t.doesNotThrow(() => connect(address, 1), 'and they go on listening');
  });

  test(`onClosed of a listener that is closed while it waits is called at once (${kind})`, { skip }, async (t) => {
    const { loop, onConnection, closing } = scene(t);
    const listener = loop.listen(anyPort, onConnection);
    const closed = closing(listener, 60_000);
    listener.close();
    await closed;
    await until(() => loop.openCount === 0);
    t.pass();
  });
}
