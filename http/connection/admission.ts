/**
 * Admission: how many requests are at work at the same time, and what becomes of the others.
 *
 *     a request --> a place is free --------------------------> its handler begins
 *               --> none is: it waits in line, first in, first out --> a place is free within `queueMs` --> its handler begins
 *               |                                            \--> none is ---------------> 503, Retry-After
 *               --> the line is full, or the loop is late --------------------------------> 503, Retry-After
 *
 * Above its capacity a server that begins every request answers all of them late, and most clients have given up by then. One that turns the surplus
 * away at once answers the others in time. So the line is short, and a server with neither `requestsInFlight` nor `loopDelayMs` has no Admission.
 *
 * Before a request is turned away because no place came free, the slowest client that a handler waits for makes room: see eviction.ts.
 *
 * A request that waits leaves the line when its client has left: with `halfClose: 'abort'` also one that has ended its side.
 *
 * A request has its place until its answer is over: its response is complete, refused, broken off or handed over, or its connection is closed. How long
 * the client takes to receive it, or the connection to end, does not count.
 *
 * Next: loop-delay.ts
 */

import type { Alarm, EventLoop } from '../../simplenet/index.ts';
import { type Limits, type Timeouts, UNLIMITED } from '../limits.ts';
import type { LimitsInForce } from '../route-limits.ts';
import { type AwaitedClient, Eviction, slowest } from './eviction.ts';
import { LoopDelay } from './loop-delay.ts';

/** A request at the door. */
export interface Applicant extends AwaitedClient {
  /** It has a place. */
  admitted(): void;
  /** It waits in line. */
  queued(): void;
  /** There is no place for it. */
  turnedAway(): void;
  /** Calls `goOn` of the admission in another turn of the loop, unless it leaves before. */
  awaitTurn(): void;
}

/** What an Admission needs of the event loop. */
export type AdmissionClock = Pick<EventLoop, 'exactNow' | 'after' | 'isTurnSpent'>;

export class Admission {
  readonly #clock: AdmissionClock;
  readonly #places: number;
  readonly #maxQueued: number;
  readonly #queueMs: number;
  /** Null without `loopDelayMs`. */
  readonly #delay: LoopDelay | null;
  /** Null if there are none: other servers need not look at the path. */
  readonly #freePaths: ReadonlySet<string> | null;
  readonly #atWork = new Set<Applicant>();
  readonly #slow = new Eviction<Applicant>(this.#atWork, slowest);
  /** Who waits, and since when, in the order of their coming. */
  readonly #line = new Map<Applicant, number>();
  #alarm: Alarm | null = null;
  #isAdmittingSoon = false;
  /** The first in line, while it waits for a turn in which the line goes on. */
  #awaiting: Applicant | null = null;

  constructor(
    clock: AdmissionClock,
    { requestsInFlight, requestsQueued }: Limits,
    { queueMs }: Timeouts,
    delay: LoopDelay | null,
    freePaths: readonly string[] = [],
  ) {
    this.#clock = clock;
    this.#places = requestsInFlight;
    this.#maxQueued = requestsQueued;
    this.#queueMs = queueMs;
    this.#delay = delay;
    this.#freePaths = freePaths.length > 0 ? new Set(freePaths) : null;
  }

  /** Null if every request may begin at once. Those for `freePaths` always may. Throws if the loop cannot measure its delay. */
  static of({ limits, timeouts }: LimitsInForce, loop: EventLoop, freePaths: readonly string[]): Admission | null {
    const { loopDelayMs } = timeouts;
    const delay = loopDelayMs < Number.POSITIVE_INFINITY ? new LoopDelay(loop, loopDelayMs) : null;
    const isLimited = limits.requestsInFlight < UNLIMITED || delay !== null;
    return isLimited ? new Admission(loop, limits, timeouts, delay, freePaths) : null;
  }

  get inFlight(): number {
    return this.#atWork.size;
  }

  get queued(): number {
    return this.#line.size;
  }

  isQueued(applicant: Applicant): boolean {
    return this.#line.has(applicant);
  }

  /** A request that came now would be turned away. */
  get isFull(): boolean {
    return this.#isLineFull || this.#delay?.isTooLong() === true;
  }

  /**
   * Who watches the server must be answered above all when it is overloaded: a probe that gets no answer would have it restarted, with all that is at
   * work. So a request for these paths needs no place, and is not turned away.
   */
  isFree(path: string): boolean {
    return this.#freePaths?.has(path) === true;
  }

  /** Calls one of the methods of the applicant; `admitted` or `turnedAway` follow later if it is `queued`. */
  enter(applicant: Applicant): void {
    if (this.#delay?.isTooLong() === true) applicant.turnedAway();
    else if (this.#line.size === 0 && this.#atWork.size < this.#places) this.#admit(applicant);
    else if (this.#isLineFull && !this.#endSlowest()) applicant.turnedAway();
    else {
      this.#line.set(applicant, this.#clock.exactNow());
      this.#setAlarm(this.#queueMs);
      applicant.queued();
    }
  }

  /** The applicant needs no place any more. Does nothing if it has none and does not wait for one. */
  leave(applicant: Applicant): void {
    if (this.#atWork.delete(applicant)) this.#admitSoon();
    else if (this.#line.delete(applicant)) this.#leftLine(applicant);
  }

  /** The turn that `awaitTurn` of an applicant has asked for. At least one request begins in it. */
  goOn(): void {
    if (this.#awaiting === null) return; // the line has gone on without it
    this.#awaiting = null;
    this.#admitNext(true);
  }

  /** The server is closed. */
  close(): void {
    this.#alarm?.cancel();
    this.#delay?.close();
  }

  /** Who is about to get a free place does not count. */
  get #isLineFull(): boolean {
    return this.#line.size >= this.#maxQueued + this.#freePlaces;
  }

  get #freePlaces(): number {
    return this.#places - this.#atWork.size;
  }

  /** Makes room for one who would be turned away. Whose answer is over leaves, so that a place comes free. */
  #endSlowest(): boolean {
    return this.#slow.evict() !== null;
  }

  #admit(applicant: Applicant): void {
    this.#atWork.add(applicant);
    applicant.admitted();
  }

  /** Not at once: a handler that answers before it returns would begin the next one within its own call, and so on. */
  #admitSoon(): void {
    if (this.#isAdmittingSoon || this.#awaiting !== null || this.#line.size === 0) return;
    this.#isAdmittingSoon = true;
    queueMicrotask(() => {
      this.#isAdmittingSoon = false;
      this.#admitNext(false);
    });
  }

  /**
   * Fills the free places. Handlers that answer without waiting free theirs again at once, so that the whole line could run in one turn: when the time of
   * the turn is spent, the line goes on in another one, as a pipeline does. Reading that costs 35 ns. A place that comes free outside a turn, and long after
   * the last one, waits for the next turn, too: it cannot be told from one at the end of a long row of microtasks.
   */
  #admitNext(isInNewTurn: boolean): void {
    let mayBegin = isInNewTurn;
    for (const applicant of this.#line.keys()) {
      if (this.#atWork.size >= this.#places) return;
      if (!mayBegin && this.#clock.isTurnSpent) {
        this.#awaiting = applicant;
        applicant.awaitTurn();
        return;
      }
      mayBegin = false;
      this.#line.delete(applicant);
      this.#admit(applicant);
    }
  }

  /** If the line has waited for a turn of this applicant, which may never come now, it asks the next one. */
  #leftLine(applicant: Applicant): void {
    if (this.#awaiting !== applicant) return;
    this.#awaiting = null;
    this.#admitSoon();
  }

  /** There is one alarm at most: for the first in line. */
  #setAlarm(delayMs: number): void {
    this.#alarm ??= this.#clock.after(delayMs, () => this.#expire());
  }

  /**
   * Who is turned away may bring the next request of its pipeline at once, within this loop. It waits for longer than the others, so it must not set the
   * alarm: the one that has rung stands until the loop has ended. Nobody is turned away who is about to get a free place, or the place of a slow client.
   */
  #expire(): void {
    const now = this.#clock.exactNow();
    let leftMs = 0;
    let staying = 0;
    for (const [applicant, since] of this.#line) {
      leftMs = since + this.#queueMs - now;
      if (leftMs > 0) break;
      if (staying < this.#freePlaces || this.#endSlowest()) {
        staying++;
        continue;
      }
      this.#line.delete(applicant);
      applicant.turnedAway();
      this.#leftLine(applicant);
    }
    this.#alarm = null;
    if (this.#line.size > 0) this.#setAlarm(leftMs > 0 ? leftMs : this.#queueMs);
  }
}
