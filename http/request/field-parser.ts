/**
 * FieldParser: the lines `name: value` of a head, and of the trailers of a chunked body. In place, resumable, strict.
 *
 * It accepts only what RFC 9112 section 5 allows: no bare LF, no folded line, no space before a colon. A proxy in front may read
 * each of these differently, and an attacker can use that difference to smuggle a request.
 *
 * Contract: all offsets count from `start`, so the bytes may move between two calls. `parse` returns COMPLETE after the empty line,
 * INCOMPLETE if it needs more bytes, or a negated status to refuse the message with.
 *
 * Next: head-parser.ts
 */

import { COLON, CR, HTAB, isTokenByte, LF, SP } from '../grammar.ts';
import { endOfRun, endOfValue, wordsOf } from './byte-run.ts';

export const INCOMPLETE = 0;
export const COMPLETE = 1;
export const BAD_REQUEST = -400;
export const TOO_LARGE = -431;

/** The start and end of the name, then the start and end of the value. */
export const OFFSETS_PER_FIELD = 4;

/** The element that the next byte belongs to. */
type Phase = number;
const FIELD: Phase = 0;
const NAME: Phase = 1;
const BEFORE_VALUE: Phase = 2;
const VALUE: Phase = 3;
const FIELD_LF: Phase = 4;
const END_LF: Phase = 5;

export class FieldParser {
  count = 0;
  /** The offset of the next byte to read. */
  at = 0;
  readonly offsets: Int32Array;
  readonly #maxBytes: number;
  #phase = FIELD;

  constructor(maxFields: number, maxBytes: number) {
    this.offsets = new Int32Array(maxFields * OFFSETS_PER_FIELD);
    this.#maxBytes = maxBytes;
  }

  /** Prepares for the field lines of another message, which begin at that offset. */
  reset(at: number): void {
    this.#phase = FIELD;
    this.count = 0;
    this.at = at;
  }

  parse(bytes: Uint8Array, start: number, end: number): number {
    // The scan may read one byte more than the limit: then it is too long, and is not read further.
    const stop = Math.min(end, start + this.#maxBytes + 1);
    const result = this.#scan(bytes, start, stop);
    return result >= 0 && this.at > this.#maxBytes ? TOO_LARGE : result;
  }

  /**
   * *( field-name ":" OWS field-value OWS CRLF ) CRLF. Each round of the loop reads one line in steps. At the end of the bytes the loop
   * stops, and the next call continues with the step of the phase.
   */
  #scan(bytes: Uint8Array, start: number, stop: number): number {
    const { offsets } = this;
    let at = start + this.at;
    let slot = this.count * OFFSETS_PER_FIELD;
    let phase = this.#phase;
    let result = INCOMPLETE;
    const words = wordsOf(bytes, at, stop);
    const offset = words === null ? 0 : bytes.byteOffset;
    while (at < stop) {
      if (phase === FIELD) {
        if (bytes[at] === CR) {
          phase = END_LF;
          if (++at === stop) break;
        } else {
          if (slot === offsets.length) return TOO_LARGE;
          offsets[slot] = at - start;
          phase = NAME;
        }
      }
      if (phase === NAME) {
        at = endOfRun(isTokenByte, bytes, at, stop);
        if (at === stop) break;
        // Refuses a space before the colon, a line without a colon, a folded line and an empty name.
        if (bytes[at] !== COLON || at - start === offsets[slot]) return BAD_REQUEST;
        offsets[slot + 1] = at - start;
        at++;
        phase = BEFORE_VALUE;
      }
      if (phase === BEFORE_VALUE) {
        while (at < stop && (bytes[at] === SP || bytes[at] === HTAB)) at++;
        if (at === stop) break;
        offsets[slot + 2] = at - start;
        phase = VALUE;
      }
      if (phase === VALUE) {
        at = endOfValue(bytes, words, offset, at, stop);
        if (at === stop) break;
        if (bytes[at] !== CR) return BAD_REQUEST;
        offsets[slot + 3] = trimEnd(bytes, start + (offsets[slot + 2] as number), at) - start;
        phase = FIELD_LF;
        if (++at === stop) break;
      }
      if (bytes[at] !== LF) return BAD_REQUEST;
      at++;
      if (phase === END_LF) {
        result = COMPLETE;
        break;
      }
      slot += OFFSETS_PER_FIELD;
      phase = FIELD;
    }
    this.#phase = phase;
    this.count = slot / OFFSETS_PER_FIELD;
    this.at = at - start;
    return result;
  }
}

/** Returns the end of the value without the spaces and tabs after it, which are not part of it. */
function trimEnd(bytes: Uint8Array, from: number, to: number): number {
  let end = to;
  while (end > from && (bytes[end - 1] === SP || bytes[end - 1] === HTAB)) end--;
  return end;
}
