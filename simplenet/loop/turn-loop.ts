/**
 * TurnLoop: what all event loops share, whatever carries their bytes: clocks and alarms, what keeps the process alive, and the beginning of the
 * end. socket-loop.ts adds sockets of the kernel, and ../tcpip/stack.ts a network of our own.
 *
 * It opens nothing, and does not know what its members are: it has their number.
 *
 * Next: socket-loop.ts
 */

import type { Deadlines } from './deadlines.ts';
import type { EventLoop } from './event-loop.ts';
import type { Alarm, Host, Watch } from './host.ts';
import type { LoopLimits } from './loop-limits.ts';
import { Turn, type TurnOwner } from './turn.ts';

/** The end of a loop that something still keeps open is not waited for any longer than this. */
export const CLOSED_LOOP_LINGER_MS = 1_000;

/** What opens something depends on what carries the bytes. */
type Opening = 'listen' | 'adoptListener' | 'adoptStream' | 'connect' | 'bindUdp';

export abstract class TurnLoop implements Omit<EventLoop, Opening>, TurnOwner {
  readonly host: Host;
  readonly turn: Turn;
  readonly deadlines: Deadlines;
  readonly maxQueuedBytes: number;
  /** Nothing can be opened any more. */
  protected isClosed = false;
  readonly #connectTimeoutMs: number;
  #watch: Watch | null = null;
  #isUnrefed = false;
  #isKeepingAlive = false;

  constructor(host: Host, limits: LoopLimits) {
    this.host = host;
    this.maxQueuedBytes = limits.maxQueuedBytes;
    this.#connectTimeoutMs = limits.connectTimeoutMs;
    this.turn = new Turn(this, host, limits);
    this.deadlines = this.turn.deadlines;
  }

  // What each loop implements.

  abstract readonly openCount: number;
  abstract afterSettle(): void;
  /** Frees what the loop has, once it is closed and its last member has left it. */
  abstract turnEnded(): void;
  /** The loop closes, and its members with it. */
  protected abstract closeMembers(): void;

  // The seam.

  get isTurnSpent(): boolean {
    return this.turn.budget.isTimeSpent;
  }

  ref(): void {
    this.#isUnrefed = false;
    this.keepProcessAlive();
  }

  unref(): void {
    this.#isUnrefed = true;
    this.keepProcessAlive();
  }

  now(): number {
    return this.turn.now();
  }

  activeNow(): number {
    return this.turn.activeNow();
  }

  exactNow(): number {
    return this.host.now();
  }

  wallNow(): number {
    return this.host.wallNow();
  }

  after(delayMs: number, callback: () => void): Alarm {
    if (Number.isNaN(delayMs)) throw new RangeError('a delay is a number of milliseconds, not NaN');
    return this.host.alarm(Math.max(0, delayMs), callback);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.closeMembers();
    this.turn.settleSoon();
  }

  // For the turn.

  turnSoon(): void {
    this.#watch?.turnSoon();
  }

  // For the loops.

  /** From now on the host gives the loop its turns by this watch. */
  protected startWatching(watch: Watch): void {
    this.#watch = watch;
    if (!this.#isKeepingAlive) watch.unref();
  }

  /** The host calls the loop no more. */
  protected stopWatching(): void {
    this.#watch?.close();
    this.#watch = null;
  }

  protected get isUnrefed(): boolean {
    return this.#isUnrefed;
  }

  protected get isKeepingAlive(): boolean {
    return this.#isKeepingAlive;
  }

  /** `openCount` has changed. */
  protected keepProcessAlive(): void {
    const isKeeping = this.openCount > 0 && !this.#isUnrefed;
    if (isKeeping === this.#isKeepingAlive) return;
    this.#isKeepingAlive = isKeeping;
    if (isKeeping) this.#watch?.ref();
    else this.#watch?.unref();
  }

  protected requireOpen(): void {
    if (this.isClosed) throw new Error('the event loop is closed');
  }

  /** The time limit of a connection attempt. Throws for a mistake of the program. */
  protected connectTimeoutOf(chosenMs = this.#connectTimeoutMs): number {
    if (!(chosenMs > 0)) throw new RangeError(`connectTimeoutMs must be a number > 0, not ${chosenMs}`);
    return chosenMs;
  }
}
