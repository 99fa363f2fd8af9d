/**
 * DateField: the line `Date: ...` of every response, formatted once a second. RFC 9110 section 6.6.1.
 *
 * Formatting it for each response would cost more than routing the request.
 *
 * Next: head-cache.ts
 */

const SECOND_MS = 1_000;

export class DateField {
  readonly #wallClock: () => number;
  #line = '';
  /** The end of the second, on the clock that `line` is called with. */
  #validUntil = Number.NEGATIVE_INFINITY;

  constructor(wallClock: () => number) {
    this.#wallClock = wallClock;
  }

  /** Returns the line with its CRLF. `nowMs` is the time on the loop's clock, which costs nothing; the wall clock is read once a second. */
  line(nowMs: number): string {
    if (nowMs >= this.#validUntil) {
      const wallMs = this.#wallClock();
      this.#validUntil = nowMs + SECOND_MS - (wallMs % SECOND_MS);
      // toUTCString is IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT".
      this.#line = `Date: ${new Date(wallMs).toUTCString()}\r\n`;
    }
    return this.#line;
  }
}
