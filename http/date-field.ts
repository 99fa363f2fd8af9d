/**
 * DateField: the line `Date: ...`, which every answer carries, made once a second. RFC 9110 section 6.6.1.
 *
 * Formatting it for each answer would cost more than routing does.
 *
 * Next: output-buffer.ts
 */

const SECOND_MS = 1_000;

export class DateField {
  #line = '';
  #second = -1;

  /** With its CRLF. */
  line(nowMs: number): string {
    const second = Math.floor(nowMs / SECOND_MS);
    if (second !== this.#second) {
      this.#second = second;
      // toUTCString is IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT".
      this.#line = `Date: ${new Date(nowMs).toUTCString()}\r\n`;
    }
    return this.#line;
  }
}
