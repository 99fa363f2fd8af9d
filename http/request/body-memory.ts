/**
 * BodyMemory: how much memory all request bodies that are read whole may take together.
 *
 * `bodyBytes` limits one body. A thousand clients that each send a body of that size would still take a thousand times as much. So
 * each body that is read whole has an account here, until it is complete and its response has begun. Before the response begins, `answerMs`
 * limits the handler. After it, a slow client decides how long the exchange takes, so the body does not count any more, and
 * `answerBufferBytes` limits what the response holds. A body that is read in pieces has no account, because `bodyBufferBytes` limits it;
 * the parts of a multipart body that are read whole count in the account of their body.
 *
 * Above the limit a body waits: its connection is not read, and TCP stops the client. When memory comes free, the waiting bodies go
 * on, in order. One body may always go on above the limit (`#exempt`). Otherwise many half-read bodies could fill the memory and wait
 * for each other.
 *
 * A body has that exemption for `bodyWaitMs`; a slow client could keep it without end otherwise. Then it passes to the body that has
 * waited longest or, if none waits, to the next body that would have to wait. The body that loses it waits as any other, for
 * `bodyWaitMs` at most. So the limit can be exceeded by two `bodyBytes`, and by one receive for each connection. Room for a declared
 * length counts as soon as it is reserved, although the kernel gives it no memory until it is filled.
 *
 * Next: ../content/utf8.ts
 */

import type { Alarm } from '../../simplenet/index.ts';

/** The account of one body. RequestBody creates it; only BodyMemory changes it. */
export interface BodyAccount {
  /** The memory that the body takes. */
  bytes: number;
  /** Limits the wait. Null while the body does not wait. */
  alarm: Alarm | null;
  /** Called when the body may go on. */
  readonly onRoom: () => void;
  /** Called when the body has waited for `bodyWaitMs`. */
  readonly onLate: () => void;
}

/** A body that goes on may receive this much (one receive) before `mustWait` is called again. */
const RECEIVE_BYTES = 65_536;

export class BodyMemory {
  readonly #maxBytes: number;
  readonly #waitMs: number;
  readonly #after: (delayMs: number, callback: () => void) => Alarm;
  /** Waiting bodies, in the order in which they began to wait. */
  readonly #waiting = new Set<BodyAccount>();
  #exempt: BodyAccount | null = null;
  #exemptAlarm: Alarm | null = null;
  /** The exempt body has had its time: the next body that needs the exemption gets it. */
  #isExemptOverdue = false;
  #usedBytes = 0;

  /** `after` sets an alarm of the event loop. */
  constructor(maxBytes: number, waitMs: number, after: (delayMs: number, callback: () => void) => Alarm) {
    this.#maxBytes = maxBytes;
    this.#waitMs = waitMs;
    this.#after = after;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Sets how much memory the body takes now. */
  resize(account: BodyAccount, bytes: number): void {
    this.#usedBytes += bytes - account.bytes;
    account.bytes = bytes;
  }

  /** Whether the body must wait. If so, `onRoom` or `onLate` is called later, unless the account is closed before. */
  mustWait(account: BodyAccount): boolean {
    if (account.alarm !== null) return true;
    if (this.#usedBytes <= this.#maxBytes) return false;
    if (this.#exempt === account) return false;
    if (this.#exempt === null || this.#isExemptOverdue) {
      this.#passExemptionTo(account);
      return false;
    }
    this.#wait(account);
    return true;
  }

  /** The body is complete and will not grow, so it gives up the exemption. */
  complete(account: BodyAccount): void {
    this.#stopWaiting(account); // the last bytes may come after the body has begun to wait
    if (this.#exempt !== account) return;
    this.#endExemption();
    this.#resumeWaiting();
  }

  /** Frees the memory of the account. A second call does nothing. */
  close(account: BodyAccount): void {
    this.resize(account, 0);
    this.#stopWaiting(account);
    if (this.#exempt === account) this.#endExemption();
    this.#resumeWaiting();
  }

  #resumeWaiting(): void {
    let room = this.#maxBytes - this.#usedBytes;
    for (const account of this.#waiting) {
      if (room <= 0) {
        if (this.#exempt !== null && !this.#isExemptOverdue) return;
        this.#passExemptionTo(account);
      }
      room -= RECEIVE_BYTES;
      this.#stopWaiting(account);
      account.onRoom();
    }
  }

  #passExemptionTo(account: BodyAccount): void {
    const before = this.#exempt;
    this.#endExemption();
    this.#exempt = account;
    // `before` waits even if its client sends nothing more, because it holds memory that others wait for. Its alarm is set before that of
    // the new one, and rings first. In the other order two slow bodies could pass the exemption to each other without end.
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
