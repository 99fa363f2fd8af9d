/**
 * DateField: the line `Date: ...`, which every answer carries, made once a second. RFC 9110 section 6.6.1.
 *
 * Formatting it for each answer would cost more than routing does.
 *
 * Next: plain-heads.ts
 */

const SECOND_MS = 1_000;

export class DateField {
  readonly #wallClock: () => number;
  #line = '';
  /** On the clock of `line`: when the second is over. */
  #isValidUntil = Number.NEGATIVE_INFINITY;

  constructor(wallClock: () => number) {
    this.#wallClock = wallClock;
  }

  /** With its CRLF. `nowMs` is the time on the loop's clock, which costs nothing: the wall clock is asked once a second. */
  line(nowMs: number): string {
    if (nowMs >= this.#isValidUntil) {
      const wallMs = this.#wallClock();
      this.#isValidUntil = nowMs + SECOND_MS - (wallMs % SECOND_MS);
      // toUTCString is IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT".
      this.#line = `Date: ${new Date(wallMs).toUTCString()}\r\n`;
    }
    return this.#line;
  }
}
