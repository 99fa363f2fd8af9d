/**
 * Host: what an event loop needs of its surroundings.
 *
 * A host calls the loop when its descriptor is readable, has the clocks and alarms, and reports exceptions. node-host.ts implements
 * it inside Node's own loop. The simulated kernel of the tests implements it with simulated time, so a test can let hours pass
 * in a millisecond. That would not work if an event loop called Node directly.
 *
 * Host and `nodeHost` are public, so that a program can build a loop for bare descriptors from Epoll and `watch`. So the interface of
 * EventLoop needs no method for descriptors.
 *
 * Next: libuv.ts
 */

/**
 * What an event loop needs of its surroundings: turns, clocks, alarms, and a place for exceptions.
 *
 * ```ts
 * import { type Host, nodeHost } from 'simplenet';
 *
 * function everySecond(host: Host, callback: () => void): void {
 *   const next = () => {
 *     callback();
 *     everySecond(host, callback);
 *   };
 *   host.alarm(1_000, next, true); // a test passes a host whose clock runs faster
 * }
 * everySecond(nodeHost, () => console.log('a second has passed'));
 * ```
 */
export interface Host {
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /** Milliseconds since 1970, on the system clock, which can be set forward and back. */
  wallNow(): number;
  /**
   * Calls `onReadable` for as long as `fd`, the descriptor of an Epoll or a bell, is readable. If it returns true, it is called once
   * more even if `fd` is not readable: at once, or after the other work of Node's loop. A host may let a loop that is a `HostingLoop`
   * take turns by itself instead, for as long as there is traffic. With null there is no descriptor, and only `Watch.turnSoon` leads to a
   * call: so a link without a descriptor has its turns.
   */
  watch(fd: number | null, onReadable: () => boolean, loop?: HostingLoop): Watch;
  /** Calls back once, not before `delayMs` have passed. It does not keep the process alive, unless `keepsAlive` is set. */
  alarm(delayMs: number, callback: () => void, keepsAlive?: boolean): Alarm;
  /** Calls back soon, after the code that runs now has returned. */
  soon(callback: () => void): void;
  /** Reports an uncaught exception. The caller goes on, so other connections are not affected. */
  raise(error: unknown): void;
}

/**
 * An event loop that can change roles with its host: it waits in the kernel for its own descriptors, and for one of the host, its guest.
 * One wait is then enough for both.
 */
export interface HostingLoop {
  /** From now on a wait also ends when `fd` is readable. Returns false if the kernel refuses that. */
  admitGuest(fd: number): boolean;
  dismissGuest(): void;
  /** Whether the last wait found the guest readable. */
  readonly isGuestReady: boolean;
  /**
   * Waits for news, at most `waitMs`, and takes a turn. Does not wait if the last turn left something to do. Returns whether there was
   * anything to do.
   */
  waitForTurn(waitMs: number): boolean;
}

/**
 * A descriptor that a host watches.
 *
 * ```ts
 * import { Epoll, nodeHost, type Watch } from 'simplenet';
 *
 * const epoll = new Epoll();
 * const watch: Watch = nodeHost.watch(epoll.fd, () => {
 *   console.log(`${epoll.wait(0)} descriptors are ready`);
 *   return false;
 * });
 * watch.unref(); // it does not keep the process alive
 * process.once('SIGTERM', () => watch.close());
 * ```
 */
export interface Watch {
  /** Lets the watch keep the process alive, as a new watch does. `unref` undoes it. */
  ref(): void;
  unref(): void;
  /** Calls `onReadable` once, even if `fd` is not readable, after the other work that is ready now. */
  turnSoon(): void;
  /** No call to `onReadable` follows. Closing twice does nothing. */
  close(): void;
}

/**
 * A call that is to come later, and can be cancelled.
 *
 * ```ts
 * import { type Alarm, createEventLoop } from 'simplenet';
 *
 * const loop = createEventLoop();
 * const alarm: Alarm = loop.after(5_000, () => loop.close());
 * process.once('SIGINT', () => alarm.cancel());
 * ```
 */
export interface Alarm {
  cancel(): void;
}
