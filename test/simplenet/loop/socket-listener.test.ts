/**
 * Listeners on either loop, on the real kernel, with a table whose accept4(2) fails in every way: no error of it ends the process,
 * an error that passes loses no connection, an error that stays does not spin.
 *
 * Next: starvation.test.ts
 */

import { type Test, test } from 'tap';
import {
  EAGAIN,
  EBADF,
  EFAULT,
  EINTR,
  EINVAL,
  EIO,
  EMFILE,
  ENOTSOCK,
  EPERM,
  EPROTO,
  ETIMEDOUT,
} from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import type { SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { SystemError } from '../../../simplenet/kernel/system-error.ts';
import type { EventLoop, ListenerOptions, Stream } from '../../../simplenet/loop/event-loop.ts';
import type { Host } from '../../../simplenet/loop/host.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { realLoops } from '../../contracts/real-world.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { until } from '../../support/waiting.ts';

const REST_MS = 20;
const LAST_ERRNO = 133;
const endOfListener = [EBADF, EFAULT, EINVAL, ENOTSOCK];

interface Scene {
  readonly loop: EventLoop;
  /** What accept4 answers next, each once; then the kernel answers. */
  readonly answers: number[];
  /** What accept4 answers after those, 0 for what the kernel answers. */
  always: number;
  readonly calls: { accept4: number; rests: number };
  readonly recorders: Recorder[];
  readonly raised: unknown[];
  listen(options?: ListenerOptions): SocketAddress;
  connect(address: SocketAddress): void;
}

function scene(t: Test, backend: (typeof backends)[number]): Scene {
  const recorders: Recorder[] = [];
  const raised: unknown[] = [];
  const peers: NetSocket[] = [];
  const calls = { accept4: 0, rests: 0 };
  const table: Libc = {
    ...libc,
    accept4(...args) {
      calls.accept4++;
      const answer = self.answers.shift() ?? self.always;
      return answer === 0 ? libc.accept4(...args) : answer;
    },
  };
  const host: Host = {
    ...nodeHost,
    raise: (error) => void raised.push(error),
    alarm(delayMs, callback) {
      if (delayMs === REST_MS) calls.rests++;
      return nodeHost.alarm(delayMs, callback);
    },
  };
  const loop = new realLoops[backend](table, host, { ...defaultLoopLimits, acceptRestMs: REST_MS });
  t.teardown(async () => {
    for (const peer of peers) peer.close();
    loop.close();
    await until(() => loop.openCount === 0);
  });
  const self: Scene = {
    loop,
    answers: [],
    always: 0,
    calls,
    recorders,
    raised,
    listen(options) {
      const onConnection = () => {
        recorders.push(new Recorder());
        return recorders.at(-1) as Recorder;
      };
      return loop.listen({ address: '127.0.0.1', port: 0 }, onConnection, options).address;
    },
    connect(address) {
      peers.push(NetSocket.connectTo(address));
    },
  };
  return self;
}

for (const backend of backends) {
  const skip = missingBackend[backend];

  test(`after any error of accept4 that can pass, the connection is taken (${backend})`, { skip }, async (t) => {
    const { answers, listen, connect, recorders, raised } = scene(t, backend);
    const address = listen({ onFailure: (error) => t.fail(error.message) });
    for (let errno = 1; errno <= LAST_ERRNO; errno++) {
      if (endOfListener.includes(errno)) continue;
      const before = recorders.length;
      answers.push(-errno, -errno, -errno);
      connect(address);
      await until(() => recorders.length > before);
    }
    t.same(answers, []);
    t.same(raised, []);
  });

  test(`without a descriptor the program is asked, and what it closes ends the rest (${backend})`, {
    skip,
  }, async (t) => {
    const { loop, answers, calls, connect, raised } = scene(t, backend);
    const streams: Stream[] = [];
    let asked = 0;
    const onConnection = (stream: Stream) => {
      streams.push(stream);
      return new Recorder();
    };
    const { address } = loop.listen({ address: '127.0.0.1', port: 0 }, onConnection, {
      onShortage() {
        if (++asked === 2) throw new Error('a mistake in onShortage');
        streams[0]?.close();
        return true;
      },
    });
    connect(address);
    await until(() => streams.length === 1);
    answers.push(-EMFILE);
    connect(address);
    await until(() => streams.length === 2);
    t.equal(asked, 1);
    t.equal(calls.rests, 1);
    t.ok(streams[0]?.isEnded);
    answers.push(-EMFILE);
    connect(address);
    await until(() => streams.length === 3);
    t.equal(asked, 2);
    t.match(
      raised.splice(0),
      [{ message: 'a mistake in onShortage' }],
      'the listener rests as if nobody had been asked',
    );
  });

  for (const errno of endOfListener) {
    test(`error ${errno} of accept4 ends the listener, and onFailure reports it (${backend})`, { skip }, async (t) => {
      const { loop, answers, listen, connect, raised } = scene(t, backend);
      const failures: SystemError[] = [];
      const address = listen({ onFailure: (error) => void failures.push(error) });
      answers.push(-errno);
      connect(address);
      await until(() => loop.openCount === 0);
      t.match(failures, [{ syscall: 'accept4', errno: -errno, ...address }]);
      t.equal(failures.length, 1);
      t.same(raised, []);
    });
  }

  test(`without onFailure the end of a listener is raised, and so is what onFailure throws (${backend})`, {
    skip,
  }, async (t) => {
    const { loop, answers, listen, connect, raised } = scene(t, backend);
    const first = listen();
    answers.push(-EINVAL);
    connect(first);
    await until(() => loop.openCount === 0);
    t.match(raised.splice(0), [{ syscall: 'accept4', code: 'EINVAL' }]);
    const second = listen({
      onFailure() {
        throw new Error('a mistake in onFailure');
      },
    });
    answers.push(-EINVAL);
    connect(second);
    await until(() => loop.openCount === 0);
    t.match(raised.splice(0), [{ message: 'a mistake in onFailure' }]);
  });

  for (const errno of [EPERM, EPROTO, EIO, EINTR, ETIMEDOUT]) {
    test(`error ${errno} of accept4 without end lets the listener rest (${backend})`, { skip }, async (t) => {
      const self = scene(t, backend);
      const { calls, listen, connect, recorders, raised } = self;
      const address = listen();
      self.always = -errno;
      connect(address);
      await until(() => calls.rests === 1);
      t.equal(calls.accept4, 1_000, 'some of it may be single connections that a firewall forbids');
      await until(() => calls.rests === 6);
      t.equal(calls.accept4, 1_000 + 5 * 10, 'and then it tries a few times, after each rest');
      self.always = 0;
      await until(() => recorders.length === 1);
      self.answers.push(...new Array<number>(990).fill(-errno));
      const { rests } = calls;
      connect(address);
      await until(() => recorders.length === 2);
      t.equal(calls.rests, rests, 'a connection that is taken makes up for all that was in vain');
      t.same(raised, []);
    });
  }

  test(`a listener that is reported although accept4 always returns EAGAIN rests, too (${backend})`, {
    skip,
  }, async (t) => {
    const self = scene(t, backend);
    const { calls, listen, connect, recorders } = self;
    const address = listen();
    self.always = -EAGAIN;
    connect(address);
    await until(() => calls.rests === 1);
    t.equal(calls.accept4, 1_000);
    self.always = 0;
    await until(() => recorders.length === 1);
  });

  test(`a listener that another process has shut down ends (${backend})`, { skip }, async (t) => {
    const { loop, raised } = scene(t, backend);
    const failures: SystemError[] = [];
    const socket = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
    loop.adoptListener(socket, () => new Recorder(), { onFailure: (error) => void failures.push(error) });
    socket.shutdown('read');
    await until(() => loop.openCount === 0);
    t.match(failures, [{ syscall: 'accept4', code: 'EINVAL' }]);
    t.same(raised, []);
  });
}
