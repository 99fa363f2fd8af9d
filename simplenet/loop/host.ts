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
 * Next: node-host.ts
 */

export interface Host {
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /** Milliseconds since 1970, on the system clock, which can be set forward and back. */
  wallNow(): number;
  /**
   * Calls `onReadable` for as long as `fd`, the descriptor of an Epoll or a bell, is readable. If it returns true, it is called once
   * more even if `fd` is not readable: at once, or after the other work of Node's loop.
   */
  watch(fd: number, onReadable: () => boolean): Watch;
  /** Calls back once, not before `delayMs` have passed. It does not keep the process alive, unless `keepsAlive` is set. */
  alarm(delayMs: number, callback: () => void, keepsAlive?: boolean): Alarm;
  /** Calls back soon, after the code that runs now has returned. */
  soon(callback: () => void): void;
  /** Reports an uncaught exception. The caller goes on, so other connections are not affected. */
  raise(error: unknown): void;
}

export interface Watch {
  /** Lets the watch keep the process alive, as a new watch does. `unref` undoes it. */
  ref(): void;
  unref(): void;
  /** Calls `onReadable` once, even if `fd` is not readable, after the other work that is ready now. */
  turnSoon(): void;
  /** No call to `onReadable` follows. Closing twice does nothing. */
  close(): void;
}

export interface Alarm {
  cancel(): void;
}
