/**
 * BodyMemory: how much memory all request bodies that are gathered whole may take together.
 *
 * `bodyBytes` bounds one body. A thousand clients that each send a body of that size would still take a thousand times as much. So
 * each body that a handler wants whole has an account here, from the first byte to the end of its response: the handler holds the
 * bytes until then. A body that is read in pieces has none, as `bodyBufferBytes` bounds it.
 *
 * Above the limit a body waits: its connection is not read, and TCP stops the client. When memory comes free the bodies that wait
 * go on, in order. One body is always allowed to go on above the limit (`#exempt`). Otherwise a crowd of half-read bodies could
 * fill the memory and wait for each other. So the limit can be exceeded by one `bodyBytes`, and by one receive for each connection.
 * Room that is reserved for a promised length counts as soon as it is reserved. It takes no memory of the machine until it is filled.
 *
 * Next: request-body.ts
 */

import type { Alarm } from '../simplenet/host.ts';

/** One body. It belongs to RequestBody, which fills in what is to happen, and its fields to BodyMemory. */
export interface BodyAccount {
  bytes: number;
  /** Limits the wait. Null while the body does not wait. */
  alarm: Alarm | null;
  /** The body may go on. */
  readonly onRoom: () => void;
  /** The body has waited for too long. */
  readonly onLate: () => void;
}

/** What a body that goes on brings at least before it is asked again: one receive. */
const RESUMED_BYTES = 65_536;

export class BodyMemory {
  readonly #mostBytes: number;
  readonly #waitMs: number;
  readonly #after: (delayMs: number, callback: () => void) => Alarm;
  /** In the order in which they began to wait. */
  readonly #waiting = new Set<BodyAccount>();
  #exempt: BodyAccount | null = null;
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
    this.#exempt ??= account;
    if (this.#exempt === account) return false;
    this.#waiting.add(account);
    account.alarm = this.#after(this.#waitMs, () => {
      this.#stopWaiting(account);
      account.onLate();
    });
    return true;
  }

  /** The body has all its bytes and will not grow: another may be exempt. */
  complete(account: BodyAccount): void {
    if (this.#exempt !== account) return;
    this.#exempt = null;
    this.#resumeWaiting();
  }

  /** Gives back all that the account holds. Closing twice does nothing. */
  close(account: BodyAccount): void {
    this.resize(account, 0);
    this.#stopWaiting(account);
    if (this.#exempt === account) this.#exempt = null;
    this.#resumeWaiting();
  }

  #resumeWaiting(): void {
    let room = this.#mostBytes - this.#usedBytes;
    for (const account of this.#waiting) {
      if (room <= 0) {
        if (this.#exempt !== null) return;
        this.#exempt = account;
      }
      room -= RESUMED_BYTES;
      this.#stopWaiting(account);
      account.onRoom();
    }
  }

  #stopWaiting(account: BodyAccount): void {
    account.alarm?.cancel();
    account.alarm = null;
    this.#waiting.delete(account);
  }
}
