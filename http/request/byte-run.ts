/**
 * Byte runs: where a stretch of bytes of one kind ends. The inner loops of the head parser.
 *
 * Most of a head is field values, and nearly all bytes of those are alike, so they are looked at four at a time: one
 * subtraction tells whether any of four is a control character (the trick is as old as strlen). That makes a browser's
 * head half as dear as byte by byte. Short runs are not worth the view of whole words that it needs.
 *
 * Next: field-parser.ts
 */

import { isValueByte } from '../grammar.ts';

const WORD_BYTES = 4;

/** Below this, finding the words costs more than it saves. */
const WORTH_WORDS = 64;

/** The first offset in [from, stop) whose byte is not in the table, or `stop`. */
export function endOfRun(table: Uint8Array, bytes: Uint8Array, from: number, stop: number): number {
  for (let at = from; at < stop; at++) if (table[bytes[at] as number] === 0) return at;
  return stop;
}

/** The memory that was looked at last, as words: the loop receives into one buffer, so it is nearly always that. */
let memory: ArrayBufferLike | null = null;
let memoryWords: Int32Array = new Int32Array(0);

/** The words of the memory in which the bytes lie, or null where it is too little to be worth it. */
export function wordsOf(bytes: Uint8Array, from: number, stop: number): Int32Array | null {
  if (stop - from < WORTH_WORDS) return null;
  const { buffer } = bytes;
  if (buffer !== memory) {
    memory = buffer;
    memoryWords = new Int32Array(buffer, 0, Math.floor(buffer.byteLength / WORD_BYTES));
  }
  return memoryWords;
}

/** As `endOfRun`, for the bytes of field values. `words` are those of the same memory, which begin `offset` bytes before. */
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

/** Whether one of four bytes may be below 0x20, or is 0x7f. It may also say yes to a byte that is none: then look closer. */
function hasControl(word: number): boolean {
  const withoutDelete = word ^ 0x7f7f7f7f;
  return ((((word - 0x20202020) & ~word) | ((withoutDelete - 0x01010101) & ~withoutDelete)) & 0x80808080) !== 0;
}
