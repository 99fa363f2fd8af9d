/**
 * BodyMemory: how much memory all request bodies that are gathered whole may take together.
 *
 * `bodyBytes` bounds one body. A thousand clients that each send a body of that size would still take a thousand times as much. So
 * each body that a handler wants whole has an account here, from the first byte until it is whole and its answer has begun. Up to there
 * the handler is at work on it, within `answerMs`. From there on the client says how long it takes to read, and must not keep
 * the bodies of others out: the bytes are the handler's business, and what it writes is bounded by `answerBufferBytes`. A body that is
 * read in pieces has no account, as `bodyBufferBytes` bounds it.
 *
 * Above the limit a body waits: its connection is not read, and TCP stops the client. When memory comes free the bodies that wait
 * go on, in order. One body is always allowed to go on above the limit (`#exempt`). Otherwise a crowd of half-read bodies could
 * fill the memory and wait for each other.
 *
 * That exemption is for `bodyWaitMs`, or a client that drips would have it for good. Then it passes to the body that has waited
 * longest or, if none waits, to the next that would have to; and the one that had it waits like any other, for `bodyWaitMs` at most. So the
 * limit can be exceeded by two `bodyBytes`, and by one receive for each connection. Room that is reserved for a promised length
 * counts as soon as it is reserved. It takes no memory of the machine until it is filled.
 *
 * Next: json-nesting.ts
 */

import type { Alarm } from '../../simplenet/index.ts';

/** One body. RequestBody makes it and says what is to happen; from then on only BodyMemory changes it. */
export interface BodyAccount {
  /** What the body takes, as `resize` was told last. */
  bytes: number;
  /** Limits the wait. Null while the body does not wait. */
  alarm: Alarm | null;
  /** The body may go on. */
  readonly onRoom: () => void;
  /** The body has waited for too long. */
  readonly onLate: () => void;
}

/** What a body that goes on may bring before it is asked again: one receive. */
const RESUMED_BYTES = 65_536;

export class BodyMemory {
  readonly #mostBytes: number;
  readonly #waitMs: number;
  readonly #after: (delayMs: number, callback: () => void) => Alarm;
  /** In the order in which they began to wait. */
  readonly #waiting = new Set<BodyAccount>();
  #exempt: BodyAccount | null = null;
  #exemptAlarm: Alarm | null = null;
  /** It has had its time: whoever needs the exemption takes it over. */
  #isExemptOverdue = false;
  #usedBytes = 0;

  /** `after` is that of the event loop. */
  constructor(mostBytes: number, waitMs: number, after: (delayMs: number, callback: () => void) => Alarm) {
    this.#mostBytes = mostBytes;
    this.#waitMs = waitMs;
    this.#after = after;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** The body of that account now takes so many bytes. */
  resize(account: BodyAccount, bytes: number): void {
    this.#usedBytes += bytes - account.bytes;
    account.bytes = bytes;
  }

  /** Whether the body must stop taking bytes; if so, `onRoom` or `onLate` follows, unless the account is closed before. */
  mustWait(account: BodyAccount): boolean {
    if (account.alarm !== null) return true;
    if (this.#usedBytes <= this.#mostBytes) return false;
    if (this.#exempt === account) return false;
    if (this.#exempt === null || this.#isExemptOverdue) {
      this.#passExemptionTo(account);
      return false;
    }
    this.#wait(account);
    return true;
  }

  /** The body has all its bytes and will not grow: another may be exempt. */
  complete(account: BodyAccount): void {
    this.#stopWaiting(account); // its last bytes may have been on their way when it lost the exemption
    if (this.#exempt !== account) return;
    this.#endExemption();
    this.#resumeWaiting();
  }

  /** Gives back all that the account holds. Closing twice does nothing. */
  close(account: BodyAccount): void {
    this.resize(account, 0);
    this.#stopWaiting(account);
    if (this.#exempt === account) this.#endExemption();
    this.#resumeWaiting();
  }

  #resumeWaiting(): void {
    let room = this.#mostBytes - this.#usedBytes;
    for (const account of this.#waiting) {
      if (room <= 0) {
        if (this.#exempt !== null && !this.#isExemptOverdue) return;
        this.#passExemptionTo(account);
      }
      room -= RESUMED_BYTES;
      this.#stopWaiting(account);
      account.onRoom();
    }
  }

  #passExemptionTo(account: BodyAccount): void {
    const before = this.#exempt;
    this.#endExemption();
    this.#exempt = account;
    // Also if it sends nothing any more: it has memory that others wait for. Its alarm is set before the other one, and rings before it, or
    // two bodies that drip could pass the exemption to each other for good.
    if (before !== null) this.#wait(before);
    this.#exemptAlarm = this.#after(this.#waitMs, () => {
      this.#isExemptOverdue = true;
      this.#resumeWaiting();
    });
  }

  #endExemption(): void {
    this.#exemptAlarm?.cancel();
    this.#exemptAlarm = null;
    this.#exempt = null;
    this.#isExemptOverdue = false;
  }

  #wait(account: BodyAccount): void {
    this.#waiting.add(account);
    account.alarm = this.#after(this.#waitMs, () => {
      this.#stopWaiting(account);
      account.onLate();
    });
  }

  #stopWaiting(account: BodyAccount): void {
    account.alarm?.cancel();
    account.alarm = null;
    this.#waiting.delete(account);
  }
}
