/**
 * NodeHost: gives an event loop its turns inside Node's own loop.
 *
 * An epoll descriptor can itself be watched: it is readable while a descriptor in it is ready. An io_uring has a bell for that.
 * So Node's loop (libuv) watches one descriptor for us, beside its timers, promises, fs and fetch, and they do not delay each
 * other. A turn starts in two steps, and neither calls JavaScript at a moment when it must not run:
 *
 *     libuv finds the descriptor readable   C      it leaves a mark (libuv.ts)
 *     Node runs its immediates              JS     `#round` looks at the mark, and takes a turn if there is one
 *
 * The immediate is `unref`ed: it does not keep the process alive, and does not stop libuv from sleeping. Node runs it at the end of
 * each round of libuv's loop, whatever ended the sleep.
 *
 * While there is traffic, the two loops change roles. libuv stops watching our descriptor, and our loop watches libuv's: it has one, which is
 * readable while libuv has an event. So one system call waits for both, and a lone request costs three calls on epoll instead of
 * four. `#host` takes one turn after the other, and returns to libuv when its descriptor is readable, its next timer is due, or MAX_HOSTED_MS
 * have passed:
 *
 *     #round -> #host: +-> waits for news of either loop, takes a turn
 *                      |   runs what process.nextTick and promises have queued, as Node does after each callback
 *                      +-- nothing for libuv to do?  otherwise it returns, libuv goes round once, and `#round` calls it again
 *
 * The turns between two rounds of libuv share one immediate, so a store of AsyncLocalStorage.enterWith stays for all of them (http/ gives
 * each request a context of its own).
 *
 * One loop in each thread can be in that role, as only one wait at a time is possible. Others are hosted meanwhile.
 *
 * Next: virtual-host.ts
 */

import { clearImmediate, setImmediate } from 'node:timers';
import { SystemError } from '../kernel/system-error.ts';
import type { Alarm, Host, HostingLoop, Watch } from './host.ts';
import { DescriptorWatch, NodeLoop, runQueued } from './libuv.ts';

/** `settled.then` is the cheapest way to queue a microtask: queueMicrotask makes an async resource each time. */
const settled = Promise.resolve();

/** A longer timer of Node would fire at once. */
const MAX_TIMER_MS = 0x7fffffff;

/**
 * How many turns may follow each other before Node's loop goes on. A round of that loop costs as much as half a request. Under load
 * new bytes arrive during a turn, and to look for them costs one epoll_wait, or nothing in a ring.
 */
const MAX_TURNS = 4;

/** And for how long they may: Node's timers wait for all of them. */
const MAX_TURNS_MS = 5;

/** A pause of this length ends the traffic. */
const IDLE_MS = 20;

/** The loops change roles in this round with news of the traffic. To change there and back costs four system calls. */
const ROUNDS_BEFORE_HOSTING = 8;

/** While our loop hosts, libuv goes round after this time at least: Node has immediates that do not keep it awake, as `#round` itself is one. */
const MAX_HOSTED_MS = 5;

/** Node's loop in this thread, and the watch that waits for it at the moment. */
const nodeLoop = new NodeLoop();
let hosting: NodeWatch | null = null;

/**
 * Sleeps until the mark has news or `turnSoon` was called, and then takes turns:
 *
 *     asleep --- `#round` finds mark or request ----> a turn --- it returns false ---> asleep
 *       ^                                             |    ^
 *       |                                             |    +--- it returns true, fewer than MAX_TURNS in a row: a microtask
 *       +--- Node's loop goes round once, `#round` <--+ --- it returns true, and others have waited long enough: `turnSoon`
 *
 * After ROUNDS_BEFORE_HOSTING rounds with news, without a pause of IDLE_MS it hosts Node's loop, until there is such a pause.
 */
class NodeWatch implements Watch {
  readonly #onReadable: () => boolean;
  /** Null if only `turnSoon` asks for turns. */
  readonly #descriptor: DescriptorWatch | null;
  /** Undefined if the loop cannot host another. */
  #loop: HostingLoop | undefined;
  /** Runs at the end of the next round of libuv's loop. */
  #next: NodeJS.Immediate;
  /** The next round takes a turn, whatever the mark says. */
  #isTurnWanted = false;
  #isClosed = false;
  #isKeepingAlive = true;
  #turnsInRow = 0;
  #rowStartedAt = 0;
  /** The rounds with news of the present traffic before the loops changed roles, and when the last news came. */
  #roundsOfTraffic = 0;
  #lastNewsAt = 0;
  /**
   * While the roles are changed, the stopped watch does not keep the process alive. So libuv always has a timer then. With one,
   * `NodeLoop.sleepMs` is never -1. A watch without a descriptor has one all the time.
   */
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(fd: number | null, onReadable: () => boolean, loop: HostingLoop | undefined) {
    this.#descriptor = fd === null ? null : new DescriptorWatch(fd);
    if (fd === null) this.#keepAlive = setInterval(() => {}, MAX_TIMER_MS);
    this.#onReadable = onReadable;
    this.#loop = runQueued && loop;
    this.#next = setImmediate(this.#round).unref();
  }

  readonly #round = (): void => {
    this.#next = setImmediate(this.#round).unref(); // first, so that it does not inherit the async context of the turn
    if (hosting === this) {
      this.#host(this.#loop as HostingLoop);
      return;
    }
    const status = this.#descriptor === null ? null : this.#descriptor.takeMark();
    if (status === null && !this.#isTurnWanted) return;
    this.#isTurnWanted = false;
    if (status !== null && status < 0) {
      nodeHost.raise(new SystemError('uv_poll', status));
      return;
    }
    this.#rowStartedAt = performance.now();
    if (status !== null && this.#startHosting(this.#descriptor as DescriptorWatch)) {
      this.#host(this.#loop as HostingLoop);
      return;
    }
    this.#turnsInRow = 0;
    this.#takeTurn();
  };

  readonly #takeTurn = (): void => {
    if (this.#isClosed) return;
    try {
      if (!this.#onReadable()) return;
    } catch (error) {
      nodeHost.raise(error);
      return;
    }
    if (++this.#turnsInRow < MAX_TURNS && performance.now() - this.#rowStartedAt < MAX_TURNS_MS)
      settled.then(this.#takeTurn); // a microtask: it runs after those that the callbacks have queued
    else this.turnSoon();
  };

  /** Changes the roles, if there has been traffic for long enough. Returns whether they are changed. */
  #startHosting(descriptor: DescriptorWatch): boolean {
    const isTraffic = this.#rowStartedAt - this.#lastNewsAt < IDLE_MS;
    this.#lastNewsAt = this.#rowStartedAt;
    this.#roundsOfTraffic = isTraffic ? this.#roundsOfTraffic + 1 : 1;
    if (this.#roundsOfTraffic < ROUNDS_BEFORE_HOSTING || this.#loop === undefined) return false;
    if (hosting !== null || !this.#isKeepingAlive) return false;
    descriptor.stop(); // first: two epoll descriptors cannot watch each other
    if (!this.#loop.admitGuest(nodeLoop.fd)) {
      this.#loop = undefined;
      descriptor.start();
      return false;
    }
    this.#keepAlive = setTimeout(() => {}, MAX_TIMER_MS);
    hosting = this;
    return true;
  }

  #stopHosting(): void {
    if (hosting !== this) return;
    hosting = null;
    this.#loop?.dismissGuest();
    this.#descriptor?.start();
    clearTimeout(this.#keepAlive);
    this.turnSoon(); // for news since the last wait
  }

  /** Takes turns, and waits between them, until libuv has something to do. */
  #host(loop: HostingLoop): void {
    const startedAt = performance.now();
    try {
      while (this.#hostTurn(loop) && performance.now() - startedAt < MAX_HOSTED_MS) {}
    } finally {
      if (hosting === this) this.#next.ref(); // libuv polls, and does not sleep
    }
  }

  /** Returns whether libuv has nothing to do, so another turn can follow. */
  #hostTurn(loop: HostingLoop): boolean {
    const sleepMs = nodeLoop.sleepMs();
    const waitMs = this.#isTurnWanted ? 0 : Math.min(sleepMs, IDLE_MS);
    this.#isTurnWanted = false;
    if (loop.waitForTurn(waitMs)) this.#lastNewsAt = performance.now();
    else if (performance.now() - this.#lastNewsAt >= IDLE_MS) this.#stopHosting();
    (runQueued as () => void)();
    return sleepMs !== 0 && hosting === this && !loop.isGuestReady;
  }

  turnSoon(): void {
    if (this.#isClosed) return;
    this.#isTurnWanted = true;
    if (hosting !== this) this.#next.ref(); // libuv polls, and does not sleep
  }

  ref(): void {
    this.#isKeepingAlive = true;
    if (!this.#isClosed) (this.#descriptor ?? this.#keepAlive)?.ref();
  }

  unref(): void {
    this.#isKeepingAlive = false;
    if (!this.#isClosed) (this.#descriptor ?? this.#keepAlive)?.unref();
    this.#stopHosting(); // it keeps the process alive
  }

  close(): void {
    if (this.#isClosed) return;
    this.#stopHosting();
    this.#isClosed = true;
    clearImmediate(this.#next);
    clearInterval(this.#keepAlive);
    this.#descriptor?.close();
  }
}

/**
 * The host inside Node's own loop.
 *
 * ```ts
 * import { abi, Epoll, nodeHost, UdpSocket } from 'simplenet';
 *
 * const socket = UdpSocket.bindTo({ address: '127.0.0.1', port: 8080 }, { nonBlocking: true });
 * const epoll = new Epoll();
 * epoll.add(socket.fd, abi.EPOLLIN);
 * nodeHost.watch(epoll.fd, () => {
 *   if (epoll.wait(0) > 0) console.log(`${socket.receive().bytes}`);
 *   return false;
 * });
 * ```
 */
export const nodeHost: Host = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  watch: (fd, onReadable, loop) => new NodeWatch(fd, onReadable, loop),
  alarm(delayMs, callback, keepsAlive = false): Alarm {
    const startedAt = performance.now();
    const ring = () => {
      const leftMs = startedAt + delayMs - performance.now();
      if (leftMs <= 0) callback();
      else timer = set(leftMs);
    };
    const set = (ms: number) => {
      const timer = setTimeout(ring, Math.min(ms, MAX_TIMER_MS));
      return keepsAlive ? timer : timer.unref();
    };
    let timer = set(delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (callback) => queueMicrotask(callback),
  raise(error) {
    // In a tick of its own no catch block gets it. It reaches 'uncaughtException', or ends the process and prints its stack.
    process.nextTick(() => {
      throw error;
    });
  },
};
