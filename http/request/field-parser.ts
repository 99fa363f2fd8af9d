/**
 * FieldParser: the lines `name: value` of a head, and of the trailers of a chunked body. In place, resumable, strict.
 *
 * It accepts what RFC 9112 section 5 allows and nothing else: no bare LF, no folded lines, no space before a colon. Each
 * of those is something that a proxy in front may have understood differently, which is how requests are smuggled.
 *
 * Contract: all offsets count from `start`, so the bytes may move between two calls. `parse` answers COMPLETE when the
 * empty line has come, INCOMPLETE when more is needed, or the negated status with which to refuse.
 *
 * Next: head-parser.ts
 */

import { COLON, CR, HTAB, isTokenByte, LF, SP } from '../grammar.ts';
import { endOfRun, endOfValue, wordsOf } from './byte-run.ts';

export const INCOMPLETE = 0;
export const COMPLETE = 1;
export const BAD_REQUEST = -400;
export const TOO_LARGE = -431;

/** Four offsets a field: where its name begins and ends, where its value begins and ends. */
export const OFFSETS = 4;

/** What the next byte belongs to. */
type Phase = number;
const FIELD: Phase = 0;
const NAME: Phase = 1;
const BEFORE_VALUE: Phase = 2;
const VALUE: Phase = 3;
const FIELD_LF: Phase = 4;
const END_LF: Phase = 5;

export class FieldParser {
  count = 0;
  /** How far it has come. */
  at = 0;
  readonly offsets: Int32Array;
  readonly #mostBytes: number;
  #phase = FIELD;

  constructor(mostFields: number, mostBytes: number) {
    this.offsets = new Int32Array(mostFields * OFFSETS);
    this.#mostBytes = mostBytes;
  }

  /** Begins anew, at that offset. */
  reset(at: number): void {
    this.#phase = FIELD;
    this.count = 0;
    this.at = at;
  }

  parse(bytes: Uint8Array, start: number, end: number): number {
    // One byte more than is allowed: so what is too long is noticed, and not read on.
    const stop = Math.min(end, start + this.#mostBytes + 1);
    const result = this.#scan(bytes, start, stop);
    return result >= 0 && this.at > this.#mostBytes ? TOO_LARGE : result;
  }

  /**
   * *( field-name ":" OWS field-value OWS CRLF ) CRLF. Each round of the loop is a line, one step after the other; where the
   * bytes end it is left, and the phase says with which step to go on.
   */
  #scan(bytes: Uint8Array, start: number, stop: number): number {
    const { offsets } = this;
    let at = start + this.at;
    let slot = this.count * OFFSETS;
    let phase = this.#phase;
    let result = INCOMPLETE;
    const words = wordsOf(bytes, at, stop);
    const wordsBefore = words === null ? 0 : bytes.byteOffset;
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
        // A space before the colon, a line without one, a folded line and an empty name all end up here.
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
        at = endOfValue(bytes, words, wordsBefore, at, stop);
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
      slot += OFFSETS;
      phase = FIELD;
    }
    this.#phase = phase;
    this.count = slot / OFFSETS;
    this.at = at - start;
    return result;
  }
}

/** Spaces and tabs around a value are not part of it. */
function trimEnd(bytes: Uint8Array, from: number, to: number): number {
  let end = to;
  while (end > from && (bytes[end - 1] === SP || bytes[end - 1] === HTAB)) end--;
  return end;
}
