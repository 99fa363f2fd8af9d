/**
 * Byte runs: functions that find the end of a run of allowed bytes. The inner loops of the head parser.
 *
 * Most of a head is field values, and nearly all their bytes are allowed. So values are checked four bytes at a time: one
 * subtraction shows whether one of four bytes may be a control character (strlen of C uses the same trick). The head of a browser costs
 * half as much as byte by byte. If few bytes are left they are checked byte by byte, because finding the words would cost more.
 *
 * The file is pure but for one cache: the word view of the memory that was used last.
 *
 * Next: field-parser.ts
 */

import { isValueByte } from '../grammar.ts';

const WORD_BYTES = 4;

/** Below this, finding the words costs more than they save. */
const MIN_BYTES_FOR_WORDS = 64;

/** The first offset in [from, stop) whose byte is not in the table, or `stop`. */
export function endOfRun(table: Uint8Array, bytes: Uint8Array, from: number, stop: number): number {
  for (let at = from; at < stop; at++) if (table[bytes[at] as number] === 0) return at;
  return stop;
}

/** The cache. It nearly always hits, because the loop receives into one buffer. */
let lastMemory: ArrayBufferLike | null = null;
let lastWords: Int32Array = new Int32Array(0);

/** The words of the memory that holds the bytes, or null if few bytes are left. */
export function wordsOf(bytes: Uint8Array, from: number, stop: number): Int32Array | null {
  if (stop - from < MIN_BYTES_FOR_WORDS) return null;
  const { buffer } = bytes;
  if (buffer !== lastMemory) {
    lastMemory = buffer;
    lastWords = new Int32Array(buffer, 0, Math.floor(buffer.byteLength / WORD_BYTES));
  }
  return lastWords;
}

/** As `endOfRun`, for field values. `words` is what `wordsOf` returned for these bytes, which begin at `offset` of their memory. */
export function endOfValue(
  bytes: Uint8Array,
  words: Int32Array | null,
  offset: number,
  from: number,
  stop: number,
): number {
  let at = from;
  if (words !== null) {
    while (at < stop && ((offset + at) & 3) !== 0 && isValueByte[bytes[at] as number] === 1) at++;
    if (((offset + at) & 3) === 0) {
      let i = (offset + at) >> 2;
      const last = (offset + stop) >> 2;
      while (i < last && !hasControl(words[i] as number)) i++;
      at = Math.max(at, i * WORD_BYTES - offset);
    }
  }
  return endOfRun(isValueByte, bytes, at, stop);
}

/** Whether one of four bytes is below 0x20 or is 0x7f. May report false positives; the caller then checks byte by byte. */
function hasControl(word: number): boolean {
  const withoutDelete = word ^ 0x7f7f7f7f;
  return ((((word - 0x20202020) & ~word) | ((withoutDelete - 0x01010101) & ~withoutDelete)) & 0x80808080) !== 0;
}
