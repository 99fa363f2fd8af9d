/**
 * Turn: the order of what a loop does each time the host calls it. It knows no socket and no system call.
 *
 *     begin ------> the loop delivers what the kernel has reported
 *     continueStreams -> each member that waits for a turn gets its next share
 *     endLook ----> deadlines are judged, if they are due and the news of every member were delivered
 *                   settle: descriptors are closed, and what the members wait for is changed
 *
 * This order makes a loop safe. No descriptor is closed while a turn delivers news, so its number cannot be reused before news of the old
 * descriptor are delivered. If a turn has no time for all its news, epoll-loop.ts keeps the rest by member, and a closed member
 * ignores it. (On io_uring a stream also waits for the last of its requests.) No callback runs inside a call that the program makes. An exception ends the member whose callback
 * threw it, the host raises it, and the rest of the news goes on.
 *
 * Between turns, `settle` runs as soon as the program's own code returns.
 *
 * Next: spare-descriptor.ts
 */

import assert from 'node:assert';
import { ActiveClock } from './active-clock.ts';
import { Deadlines } from './deadlines.ts';
import type { Host } from './host.ts';
import type { LoopLimits } from './loop-limits.ts';
import { TurnBudget } from './turn-budget.ts';

/** What a turn needs of a member of the loop. */
export interface TurnMember {
  /** It is on the list of members to settle. Only the turn sets it. */
  needsSettle: boolean;
  /** Carries out what was decided during the turn. */
  settle(): void;
  /** One of its callbacks threw, so the state of the program behind it is unknown. */
  onThrow(): void;
}

/** A member that can have more to do than its share of a turn. */
export interface Continuing extends TurnMember {
  /** Its next share, in the second part of a turn. */
  onTurn(): void;
}

/** The loop, as its turn sees it. */
export interface TurnOwner {
  /** Asks the host for another turn, soon. */
  turnSoon(): void;
  afterSettle(): void;
  turnEnded(): void;
}

export class Turn {
  readonly deadlines: Deadlines;
  readonly budget: TurnBudget;
  readonly #owner: TurnOwner;
  readonly #host: Host;
  readonly #clock: ActiveClock;
  readonly #toSettle: TurnMember[] = [];
  /** Members that wait for a share, in the order of their calls of `awaitTurn`. */
  readonly #continuing = new Set<Continuing>();
  #count = 0;
  /** When the turn began, on the host's clock and in active time. */
  #startedAt = 0;
  #activeAt = 0;
  /** How many looks at the sockets there were since the deadlines became due. */
  #looks = 0;
  #isRunning = false;
  #isSettlingSoon = false;

  constructor(owner: TurnOwner, host: Host, limits: LoopLimits) {
    this.#owner = owner;
    this.#host = host;
    this.#clock = new ActiveClock(limits.tickMs);
    this.deadlines = new Deadlines(host, this.#clock, limits.tickMs, () => owner.turnSoon());
    this.budget = new TurnBudget(host, limits);
  }

  /** How many turns have begun. */
  get count(): number {
    return this.#count;
  }

  /** The host's time. Within a turn it is the time at its beginning. */
  now(): number {
    return this.#isRunning ? this.#startedAt : this.#host.now();
  }

  /** Active time, from which deadlines count (active-clock.ts). Within a turn it is the time at its beginning. */
  activeNow(): number {
    return this.#isRunning ? this.#activeAt : this.#clock.after(this.deadlines.alarmAt, this.#host.now());
  }

  // For the members of the loop.

  /** Calls `settle` once, when this turn ends, or soon if there is none. */
  settleLater(member: TurnMember): void {
    if (member.needsSettle) return;
    member.needsSettle = true;
    this.#toSettle.push(member);
    this.settleSoon();
  }

  /** Calls `onTurn` once: in the second part of this turn or, if there is none or it has begun, of the next. */
  awaitTurn(member: Continuing): void {
    this.#continuing.add(member);
    if (!this.#isRunning) this.#owner.turnSoon();
  }

  cancelTurn(member: Continuing): void {
    this.#continuing.delete(member);
  }

  /** Runs a callback. If it throws, ends `member` and raises the exception. */
  guard(member: TurnMember, callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.callbackThrew(member, error);
    }
  }

  callbackThrew(member: TurnMember, error: unknown): void {
    member.onThrow();
    this.#host.raise(error);
  }

  // For the loop.

  /** Begins the first part: news. */
  begin(): void {
    this.#count++;
    this.#start();
    this.budget.begin(this.#startedAt, true);
  }

  /** The second part: gives each waiting member a share, until the budget is spent. The first one always gets its share. */
  continueStreams(): void {
    this.budget.isForNews = false;
    let left = this.#continuing.size;
    if (left === 0) return;
    this.budget.begin(this.#host.now(), false);
    for (const member of this.#continuing) {
      this.#continuing.delete(member); // first: if `onTurn` calls `awaitTurn`, the member comes last
      this.guard(member, () => member.onTurn());
      if (--left === 0 || this.budget.areBytesSpent || this.budget.isTimeSpent) break;
    }
  }

  get hasContinuing(): boolean {
    return this.#continuing.size > 0;
  }

  /**
   * Ends a turn that asked the kernel for news (a look). `isQuiet`: the kernel had nothing more, so deadlines can be judged now. A
   * loop that is never quiet judges them when the sum of `looks` exceeds `looksForAll`, because every member has had its news by then.
   * `looks` is 1, or less for a turn that delivered only a part of its news. Returns whether deadlines are still to be judged.
   */
  endLook(isQuiet: boolean, looks: number, looksForAll: number): boolean {
    if (this.deadlines.isDue) {
      this.#looks += looks;
      if (isQuiet || this.#looks > looksForAll) {
        this.#looks = 0;
        this.deadlines.judge(this.#activeAt);
      }
    }
    this.#end();
    this.#clock.after(this.#activeAt, this.#host.now());
    return this.deadlines.isDue;
  }

  /** Between turns: settles as soon as the program's own code returns. */
  settleSoon(): void {
    if (this.#isSettlingSoon || this.#isRunning) return;
    this.#isSettlingSoon = true;
    this.#host.soon(() => {
      this.#isSettlingSoon = false;
      this.#start();
      this.#end();
      if (this.hasContinuing) this.#owner.turnSoon();
    });
  }

  #start(): void {
    assert(!this.#isRunning, 'a turn ends before the next one begins');
    this.#startedAt = this.#host.now();
    this.#activeAt = this.#clock.after(this.deadlines.alarmAt, this.#startedAt);
    this.#isRunning = true;
  }

  /** `settle` may call `onClose`, and the program may then close other streams. These join the end of the list. */
  #end(): void {
    for (let i = 0; i < this.#toSettle.length; i++) {
      const member = this.#toSettle[i] as TurnMember;
      member.needsSettle = false;
      this.guard(member, () => member.settle());
    }
    this.#toSettle.length = 0;
    this.#owner.afterSettle();
    this.#isRunning = false;
    if (this.#toSettle.length > 0) this.settleSoon(); // something failed in `afterSettle`
    this.#owner.turnEnded();
  }
}
