/**
 * GracefulStop: how a server ends.
 *
 *     open --begin--> announced --the notice is over--> stopping --no connection, no listener, no promise is left--> closed
 *
 * Without a notice it is stopping at once. A server that is announced goes on as before: only /readyz says what is to come, and `isStopping` of the server.
 *
 * The listener accepts the connections that the kernel has completed, and no more. Idle connections have `idleGraceMs` for a last request. Responses
 * under way are completed, and promises that `waitUntil` was called with are waited for. When `graceMs` has passed, the connections that are left
 * are ended, and no promise is waited for any more: nothing can cancel one.
 *
 * Next: closable-connection.ts
 */

import type { EventLoop, Listener } from '../../simplenet/index.ts';
import { Notice, type Patience } from '../notice.ts';
import type { OpenConnection } from './connection-context.ts';
import { closingError } from './signals.ts';

type EndingListener = Pick<Listener, 'close' | 'closeWhenEmpty'>;

export class GracefulStop {
  /** How long an idle connection may still begin a request. 0 until the server stops. */
  idleGraceMs = 0;
  /** When the last connection was accepted. */
  lastConnectionAt = Number.NEGATIVE_INFINITY;
  readonly #loop: EventLoop;
  readonly #connections: ReadonlySet<OpenConnection>;
  readonly #onClosed: () => void;
  /** Promises that `waitFor` was called with. Null until then. */
  #pending: Set<Promise<void>> | null = null;
  #isListening = true;
  readonly #notice: Notice;
  /** What `begin` returns. */
  readonly #closed: Promise<void>;
  #resolveClosed!: (end: Promise<void>) => void;
  #isAnnounced = false;
  #isStopping = false;
  #whenEmpty: (() => void) | null = null;
  #closing: AbortController | null = null;

  /** Calls `onClosed` once, when nothing is left. */
  constructor(loop: EventLoop, connections: ReadonlySet<OpenConnection>, onClosed: () => void) {
    this.#loop = loop;
    this.#connections = connections;
    this.#onClosed = onClosed;
    this.#notice = new Notice(
      () => loop.now(),
      (delayMs, callback) => loop.after(delayMs, callback),
    );
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** `begin` has been called. */
  get isAnnounced(): boolean {
    return this.#isAnnounced;
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Aborted when the server begins to stop. */
  get signal(): AbortSignal {
    if (this.#closing === null) {
      this.#closing = new AbortController();
      if (this.isStopping) this.#closing.abort(closingError());
    }
    return this.#closing.signal;
  }

  /** Resolves when nothing is left. Once it is stopping, a later call can shorten `graceMs`, and nothing else. */
  begin(listener: EndingListener, patience: Patience): Promise<void> {
    this.#isAnnounced = true;
    if (this.#isStopping) {
      this.#abortAfter(patience.graceMs, listener);
      return this.#closed;
    }
    this.#notice.give(patience, ({ graceMs, idleGraceMs }) => {
      this.#resolveClosed(this.#stop(listener, idleGraceMs)); // with its error, if there is one
      this.#isStopping = true;
      this.#abortAfter(graceMs, listener);
    });
    return this.#closed;
  }

  /** Keeps the server from being closed until the promise, which must not reject, has resolved. */
  waitFor(promise: Promise<unknown>): void {
    const pending = this.#pending ?? new Set();
    this.#pending = pending;
    const settled: Promise<void> = promise.then(() => {
      pending.delete(settled);
      this.checkEmpty();
    });
    pending.add(settled);
  }

  /** A connection has closed, or a promise has resolved: perhaps it was the last. */
  checkEmpty(): void {
    const isWaiting = this.#pending !== null && this.#pending.size > 0;
    if (this.#connections.size === 0 && !this.#isListening && !isWaiting) this.#whenEmpty?.();
  }

  async #stop(listener: EndingListener, idleGraceMs: number): Promise<void> {
    this.idleGraceMs = idleGraceMs;
    // Without a connection now, and without a new one for a while, no handshake is likely to be under way.
    const isQuiet = this.#connections.size === 0 && this.#loop.now() - this.lastConnectionAt > idleGraceMs;
    listener.closeWhenEmpty(isQuiet ? 0 : idleGraceMs, () => {
      this.#isListening = false;
      this.checkEmpty();
    });
    await null; // `isStopping` is true now
    this.#closing?.abort(closingError());
    for (const connection of this.#connections) connection.stop();
    // Those that are still accepted have as long for the handshake of TLS as for that of TCP.
    const handshakes = this.#loop.after(2 * idleGraceMs, () => {
      for (const connection of this.#connections) connection.endHandshake();
    });
    await new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
      this.checkEmpty();
    });
    handshakes.cancel();
    this.#onClosed();
  }

  /** Each call of `begin` from the stop on sets an alarm. The first alarm that rings ends all connections. */
  #abortAfter(graceMs: number, listener: EndingListener): void {
    const abortAll = () => {
      listener.close();
      for (const connection of this.#connections) connection.endNow();
      this.#pending?.clear();
      this.checkEmpty();
    };
    const alarm = this.#loop.after(graceMs, abortAll);
    void this.#closed.then(() => alarm.cancel());
  }
}
