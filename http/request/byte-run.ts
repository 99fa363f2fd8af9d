/**
 * Byte runs: functions that find the end of a run of allowed bytes. The inner loops of the head parser.
 *
 * Most of a head is field values, and nearly all their bytes are visible ASCII. So values are read in pairs of words of four bytes: a
 * subtraction and an addition mark the bytes of a word that are not (strlen of C uses the same trick), and only a marked byte is looked up in the
 * table. The head of a browser costs half as much as byte by byte. If few bytes are left they are checked byte by byte, because
 * finding the words would cost more.
 *
 * The file is pure but for one cache: the words of the memory that was used last.
 *
 * Next: field-parser.ts
 */

import { isValueByte } from '../grammar.ts';

const WORD_BYTES = 4;
const PAIR_BYTES = 8;

/** Below this, finding the words costs more than they save. */
const MIN_BYTES_FOR_WORDS = 64;

/** The first offset in [from, stop) whose byte is not in the table, or `stop`. */
export function endOfRun(table: Uint8Array, bytes: Uint8Array, from: number, stop: number): number {
  for (let at = from; at < stop; at++) if (table[bytes[at] as number] === 0) return at;
  return stop;
}

/** The cache. It nearly always hits, because the loop receives into one buffer. */
let lastBytes: Uint8Array | null = null;
let lastWords: DataView = new DataView(new ArrayBuffer(0));

/** Returns the memory that holds the bytes, to read words from, or null if few bytes are left. */
export function wordsOf(bytes: Uint8Array, from: number, stop: number): DataView | null {
  if (stop - from < MIN_BYTES_FOR_WORDS) return null;
  if (bytes !== lastBytes) {
    lastBytes = bytes;
    // io_uring makes another view of the same memory for each receive. `buffer` is not read for each head: it costs 15 ns.
    const { buffer } = bytes;
    if (buffer !== lastWords.buffer) lastWords = new DataView(buffer);
  }
  return lastWords;
}

/** As `endOfRun`, for field values. `words` is what `wordsOf` returned for these bytes, which begin at `offset` of their memory. */
export function endOfValue(
  bytes: Uint8Array,
  words: DataView | null,
  offset: number,
  from: number,
  stop: number,
): number {
  let at = from;
  if (words !== null) {
    while (at + PAIR_BYTES <= stop) {
      const first = words.getInt32(offset + at, true);
      const second = words.getInt32(offset + at + WORD_BYTES, true);
      const firstMarks = ((first - 0x20202020) | (first + 0x01010101)) & HIGH_BITS;
      const secondMarks = ((second - 0x20202020) | (second + 0x01010101)) & HIGH_BITS;
      if ((firstMarks | secondMarks) === 0) {
        at += PAIR_BYTES;
        continue;
      }
      at += firstMarks !== 0 ? indexOfMark(firstMarks) : WORD_BYTES + indexOfMark(secondMarks);
      if (isValueByte[bytes[at] as number] === 0) return at;
      at++;
    }
  }
  return endOfRun(isValueByte, bytes, at, stop);
}

/**
 * The high bits of the four bytes of a word, where the marks stand: a byte below 0x20 has its mark from the subtraction, one above 0x7e from the
 * addition or from both. The lowest mark is exact. A mark above it may be wrong, because a marked byte borrows from the next one or
 * carries into it.
 */
const HIGH_BITS = 0x80808080;

/** The index of the first marked byte: the first byte of a little-endian word is its lowest. */
function indexOfMark(marks: number): number {
  return (31 - Math.clz32(marks & -marks)) >> 3;
}
