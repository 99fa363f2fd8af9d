/**
 * Deadlines and a stall of the process, on the simulated kernel: bytes that were sent in time are delivered, in every order in which
 * an alarm and the news can come, and also if a turn cannot deliver all news.
 */

import { test } from 'tap';
import { EpollLoop } from '../../../simplenet/epoll/epoll-loop.ts';
import { AF_INET, ENOMEM, MSG_DONTWAIT, SOCK_NONBLOCK, SOCK_STREAM } from '../../../simplenet/kernel/abi.ts';
import { encodeSocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { StreamHandler } from '../../../simplenet/loop/event-loop.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { SimulatedHost } from '../../simulation/simulated-host.ts';
import { SimulatedKernel } from '../../simulation/simulated-kernel.ts';

const TICK_MS = 10;
const DEADLINE_MS = 1_000;

/** A loop whose turn delivers four events, and a listener on it. */
class Place {
  readonly kernel: SimulatedKernel;
  readonly host: SimulatedHost;
  readonly loop: EpollLoop;
  readonly #address: Uint8Array;

  constructor(seed: number, handler: StreamHandler, receiveBufferBytes = 1_000) {
    this.kernel = new SimulatedKernel({ seed });
    this.host = new SimulatedHost(this.kernel, { seed });
    const limits = { ...defaultLoopLimits, tickMs: TICK_MS, maxEventsPerTurn: 4, receiveBufferBytes };
    this.loop = new EpollLoop(this.kernel.libc, this.host, limits);
    const listener = this.loop.listen({ address: '127.0.0.1', port: 0 }, (stream) => {
      stream.setDeadline(DEADLINE_MS);
      return handler;
    });
    this.#address = encodeSocketAddress(listener.address);
  }

  connect(): number {
    const { peerLibc } = this.kernel;
    const fd = peerLibc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    peerLibc.connect(fd, this.#address, this.#address.length);
    return fd;
  }

  send(fd: number, length = 1): void {
    this.kernel.peerLibc.send(fd, Buffer.alloc(length, 'x'), 0, length, MSG_DONTWAIT);
  }

  /** Delivers everything to the kernel, and nothing to the loop. */
  deliver(): void {
    while (this.kernel.canDeliver) this.kernel.deliver();
  }

  pass(ms: number): void {
    let isOver = false;
    this.host.alarm(ms, () => {
      isOver = true;
    });
    this.host.run(() => isOver);
  }
}

const STREAMS = 50;

test('a stall of any length: bytes that lie in the kernel are delivered, and no stream times out', async (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const heard = new Set<unknown>();
    let timeouts = 0;
    const place = new Place(seed, {
      onData(stream) {
        heard.add(stream);
        stream.setDeadline(Number.POSITIVE_INFINITY);
      },
      onTimeout: () => void timeouts++,
    });
    const fds = Array.from({ length: STREAMS }, () => place.connect());
    place.host.run(() => place.loop.openCount === STREAMS + 1);
    place.pass(DEADLINE_MS / 2);
    for (const fd of fds) place.send(fd);
    place.deliver();
    place.host.advance([600, 5_000, 3_600_000][seed % 3] as number);
    place.pass(10 * DEADLINE_MS);
    t.same([heard.size, timeouts], [STREAMS, 0], `seed ${seed}`);
  }
});

test('a look that the kernel refuses is none', async (t) => {
  for (const refusals of [1, 16, 20]) {
    const heard = new Set<unknown>();
    let timeouts = 0;
    const place = new Place(refusals, {
      onData(stream) {
        heard.add(stream);
        stream.setDeadline(Number.POSITIVE_INFINITY);
      },
      onTimeout: () => void timeouts++,
    });
    const fds = Array.from({ length: 8 }, () => place.connect());
    place.host.run(() => place.loop.openCount === 9);
    for (const fd of fds) place.send(fd);
    const { libc } = place.kernel;
    const { epoll_wait } = libc;
    let refused = 0;
    libc.epoll_wait = (...call) => (++refused > refusals ? epoll_wait(...call) : -ENOMEM);
    place.deliver();
    place.host.advance(5_000);
    place.pass(10 * DEADLINE_MS);
    t.same([heard.size, timeouts], [8, 0], `${refusals} refusals`);
  }
});

test('a stream whose peer has sent nothing times out after the stall, no later than without it', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const times: number[] = [];
    const place = new Place(seed, { onData: () => {}, onTimeout: () => void times.push(place.host.now()) });
    place.connect();
    place.host.run(() => place.loop.openCount === 2);
    place.pass(DEADLINE_MS / 2);
    place.host.advance(60_000);
    const resumedAt = place.host.now();
    place.pass(10 * DEADLINE_MS);
    t.equal(times.length, 1);
    const lateMs = (times[0] as number) - resumedAt;
    t.ok(lateMs >= 0 && lateMs <= TICK_MS, `${lateMs} ms after the stall`);
  }
});

test('a deadline that is set behind a stall, in the same turn, has all of its time', async (t) => {
  const times: number[] = [];
  let resumedAt = 0;
  const place: Place = new Place(3, {
    onData(stream) {
      if (resumedAt === 0) {
        place.host.advance(30_000); // a handler that blocks
        resumedAt = place.host.now();
      }
      stream.setDeadline(DEADLINE_MS);
    },
    onTimeout: () => void times.push(place.host.now()),
  });
  const fds = [place.connect(), place.connect(), place.connect()];
  place.host.run(() => place.loop.openCount === 4);
  for (const fd of fds) place.send(fd);
  place.deliver();
  place.pass(50_000);
  t.equal(times.length, 3);
  for (const at of times) {
    const afterMs = at - resumedAt;
    t.ok(afterMs >= DEADLINE_MS - TICK_MS && afterMs <= DEADLINE_MS + 2 * TICK_MS, `${afterMs} ms`);
  }
});

test('in a loop that never comes to rest a silent stream still times out', async (t) => {
  let timeouts = 0;
  const place: Place = new Place(
    5,
    { onData: (stream) => stream.setDeadline(60_000), onTimeout: () => void timeouts++ },
    1,
  );
  const busy = Array.from({ length: 8 }, () => place.connect());
  place.connect();
  place.host.run(() => place.loop.openCount === 10);
  for (const fd of busy) place.send(fd, 4_000);
  place.deliver();
  place.host.advance(DEADLINE_MS + TICK_MS);
  for (let steps = 0; steps < 200 && timeouts === 0; steps++) place.host.step();
  t.equal(timeouts, 1);
  t.ok(place.kernel.isReadable(place.loop.epoll.fd), 'and there was always more to read');
});
