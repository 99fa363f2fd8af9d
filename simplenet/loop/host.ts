/**
 * Host: what an event loop needs from the world it lives in.
 *
 * A turn when its descriptor has news, the time, an alarm, a moment soon, and a place to report exceptions. node-host.ts
 * gives them inside Node's own loop; the simulated kernel of the tests gives them with simulated time, which is why a
 * test can let hours pass in a millisecond. An event loop that asked Node directly could not be tested so.
 *
 * Both this and `nodeHost` are public: whoever must know when a bare descriptor is ready makes a loop of Epoll and `watch`, and the
 * interface of EventLoop stays one of connections and not of descriptors.
 *
 * Next: node-host.ts
 */

export interface Host {
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /** Milliseconds since 1970, on the clock on the wall, which people set. */
  wallNow(): number;
  /**
   * Calls `onReadable` whenever `fd`, the descriptor of an Epoll, is readable, again and again for as long as it is. Where it answers
   * true, it is called once more, readable or not: at once, or when others have had their turn.
   */
  watch(fd: number, onReadable: () => boolean): Watch;
  /** Calls back once, not before `delayMs` have passed. It keeps no process alive, unless `keepsAlive` is set. */
  alarm(delayMs: number, callback: () => void, keepsAlive?: boolean): Alarm;
  /** Calls back soon, when whatever runs now has ended. */
  soon(callback: () => void): void;
  /** Makes an exception that nobody caught known to all: never lost, never in the way of other connections. */
  raise(error: unknown): void;
}

export interface Watch {
  /** Whether the watch keeps the process alive; a new one does. */
  ref(): void;
  unref(): void;
  /** Calls `onReadable` once, soon, whether `fd` is readable or not: behind whatever else is ready now. */
  turnSoon(): void;
  /** No call to `onReadable` follows. Closing twice does nothing. */
  close(): void;
}

export interface Alarm {
  cancel(): void;
}
