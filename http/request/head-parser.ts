/**
 * HeadParser: finds the request line and the fields of a head, in place.
 *
 * It makes no strings and copies nothing: it stores the offsets of the method, the target and each field. It reads each byte
 * once. If the bytes end within the head, the parser keeps its phase and continues there in the next call. So a head that arrives
 * byte by byte is not scanned again and again.
 *
 * Contract: `parse(bytes, start, end)` returns the offset after the head (> 0), INCOMPLETE, or a negated status to refuse the request
 * with. All stored offsets count from `start`. After every result except INCOMPLETE, call `reset`.
 *
 * Next: header-list.ts
 */

import { CR, isTargetByte, isTokenByte, LF, SP } from '../grammar.ts';
import type { Limits } from '../limits.ts';
import { endOfRun } from './byte-run.ts';
import { BAD_REQUEST, FieldParser, INCOMPLETE } from './field-parser.ts';

/** RFC 9112 section 2.2: a few empty lines before a request line are ignored. Some old clients send one after a body. */
const MAX_EMPTY_LINES = 4;

/** The longest registered method has 17 letters, so a longer one than this is not implemented. */
const MAX_METHOD_BYTES = 32;

const VERSION_BYTES = 8;

const URI_TOO_LONG = -414;
const NOT_IMPLEMENTED = -501;
const VERSION_NOT_SUPPORTED = -505;

/** The element that the next byte belongs to. */
type Phase = number;
const START: Phase = 0;
const START_LF: Phase = 1;
const METHOD: Phase = 2;
const TARGET: Phase = 3;
const VERSION: Phase = 4;
const LINE_LF: Phase = 5;
const FIELDS: Phase = 6;

export class HeadParser {
  /** The beginning of the request line, after any empty lines. */
  lineStart = 0;
  methodEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  /** 0 for HTTP/1.0; 1 for HTTP/1.1 and each later 1.x, which an HTTP/1.1 server can read (RFC 9110 section 2.5). */
  minorVersion = 1;
  /** The beginning of the field lines. */
  fieldsAt = 0;
  readonly fields: FieldParser;

  readonly #lineBytes: number;
  #phase = START;
  #at = 0;
  #emptyLines = 0;

  constructor(limits: Limits) {
    this.#lineBytes = limits.requestLineBytes;
    this.fields = new FieldParser(limits.fieldCount, limits.headBytes);
  }

  /** Whether a byte of the request line has come. Empty lines before it do not count. */
  get hasBegun(): boolean {
    return this.#phase > START_LF;
  }

  reset(): void {
    this.#phase = START;
    this.#at = 0;
    this.#emptyLines = 0;
  }

  parse(bytes: Uint8Array, start: number, end: number): number {
    if (this.#phase !== FIELDS) {
      const result = this.#parseLine(bytes, start, Math.min(end, start + this.#lineBytes + 1));
      if (result < 0) return result;
      if (this.#at > this.#lineBytes) return this.#lineTooLong();
      if (this.#phase !== FIELDS) return INCOMPLETE;
      this.fieldsAt = this.#at;
      this.fields.reset(this.#at);
    }
    const result = this.fields.parse(bytes, start, end);
    return result > 0 ? start + this.fields.at : result;
  }

  #lineTooLong(): number {
    return this.#phase === METHOD ? NOT_IMPLEMENTED : URI_TOO_LONG;
  }

  /**
   * method SP request-target SP HTTP-version CRLF, RFC 9112 section 3: single spaces, and no other blanks. The steps follow each other; a
   * call begins with the step of the phase, and stays there if the bytes end.
   */
  #parseLine(bytes: Uint8Array, start: number, stop: number): number {
    let at = start + this.#at;
    let phase = this.#phase;
    while (phase < METHOD && at < stop) {
      if (phase === START_LF) {
        if (bytes[at] !== LF || ++this.#emptyLines > MAX_EMPTY_LINES) return BAD_REQUEST;
        phase = START;
        at++;
      } else if (bytes[at] === CR) {
        phase = START_LF;
        at++;
      } else {
        this.lineStart = at - start;
        phase = METHOD;
      }
    }
    if (phase === METHOD) {
      at = endOfRun(isTokenByte, bytes, at, stop);
      if (at - start - this.lineStart > MAX_METHOD_BYTES) return NOT_IMPLEMENTED;
      if (at < stop) {
        if (bytes[at] !== SP || at - start === this.lineStart) return BAD_REQUEST;
        this.methodEnd = at - start;
        this.targetStart = ++at - start;
        phase = TARGET;
      }
    }
    if (phase === TARGET) {
      at = endOfRun(isTargetByte, bytes, at, stop);
      if (at < stop) {
        // Also refuses CR here: that is an HTTP/0.9 request, a line without a version.
        if (bytes[at] !== SP || at - start === this.targetStart) return BAD_REQUEST;
        this.targetEnd = at - start;
        at++;
        phase = VERSION;
      }
    }
    if (phase === VERSION) {
      const versionStart = start + this.targetEnd + 1;
      const versionEnd = versionStart + VERSION_BYTES;
      if (versionEnd < stop) at = versionEnd;
      else while (at < stop && bytes[at] !== CR && bytes[at] !== LF) at++;
      if (at < stop) {
        if (bytes[at] !== CR) return BAD_REQUEST;
        const minor = minorVersionOf(bytes, versionStart, at);
        if (minor < 0) return minor;
        this.minorVersion = minor;
        at++;
        phase = LINE_LF;
      }
    }
    if (phase === LINE_LF && at < stop) {
      if (bytes[at] !== LF) return BAD_REQUEST;
      at++;
      phase = FIELDS;
    }
    this.#phase = phase;
    this.#at = at - start;
    return INCOMPLETE;
  }
}

const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
const H = 0x48;
const T = 0x54;
const P = 0x50;
const SLASH = 0x2f;
const DOT = 0x2e;

/** "HTTP/" DIGIT "." DIGIT, case and length exact, RFC 9112 section 2.3; or a negated status. */
function minorVersionOf(bytes: Uint8Array, from: number, to: number): number {
  if (to - from !== VERSION_BYTES || bytes[from + 4] !== SLASH || bytes[from + 6] !== DOT) return BAD_REQUEST;
  if (bytes[from] !== H || bytes[from + 1] !== T || bytes[from + 2] !== T || bytes[from + 3] !== P) return BAD_REQUEST;
  const major = bytes[from + 5] as number;
  const minor = bytes[from + 7] as number;
  if (major < DIGIT_0 || major > DIGIT_9 || minor < DIGIT_0 || minor > DIGIT_9) return BAD_REQUEST;
  if (major !== DIGIT_0 + 1) return VERSION_NOT_SUPPORTED;
  return minor === DIGIT_0 ? 0 : 1;
}
