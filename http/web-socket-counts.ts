/**
 * WebSocketCounts: what the WebSockets of a server have done, as plain numbers. They are counted whether anyone reads them or not: an addition here and there.
 *
 * It belongs to the server, and a connection gets it with its first response (ResponseOwner). So it is in the ground, where all of http/ can name it.
 *
 * Next: notice.ts
 */

const FIRST_CODE = 1000;
/** The codes above it are those that programs choose. */
const LAST_DEFINED = 1014;
const DEFINED_CODES = LAST_DEFINED - FIRST_CODE + 1;
const FIRST_OF_PROGRAMS = 3000;
const CODES_PER_RANGE = 1000;

/** A client chooses its code among 2,000 that are free for programs: they must not make as many series, so each thousand is one. */
const RANGES = ['3xxx', '4xxx'];

export class WebSocketCounts {
  opened = 0;
  receivedMessages = 0;
  /** With the headers of frames, and those of ping, pong and close. */
  receivedBytes = 0;
  sentMessages = 0;
  sentBytes = 0;
  /** Left out because `maxQueuedBytes` waited already (`whenFull: 'drop'`). */
  droppedMessages = 0;
  /** Connections that were cut for the same reason (`whenFull: 'close'`). */
  tooSlow = 0;
  /** By code: the defined ones, and then the ranges. */
  readonly #closed: number[] = new Array(DEFINED_CODES + RANGES.length).fill(0);

  countClosed(code: number): void {
    const index =
      code <= LAST_DEFINED
        ? code - FIRST_CODE
        : DEFINED_CODES + Math.floor((code - FIRST_OF_PROGRAMS) / CODES_PER_RANGE);
    this.#closed[index]! += 1;
  }

  get open(): number {
    return this.#closed.reduce((open, closed) => open - closed, this.opened);
  }

  /** How many connections each code has ended, without those that never came. */
  closedByCode(): { readonly code: string; readonly count: number }[] {
    const all = this.#closed.map((count, i) => ({
      code: i < DEFINED_CODES ? String(FIRST_CODE + i) : (RANGES[i - DEFINED_CODES] as string),
      count,
    }));
    return all.filter(({ count }) => count > 0);
  }
}
