/** Byte runs: by words and by bytes, the same end; and no byte outside of the range has a say in it. */

import { test } from 'tap';
import { isTokenByte, isValueByte } from '../../../http/grammar.ts';
import { endOfRun, endOfValue, wordsOf } from '../../../http/request/byte-run.ts';

const LONG = 100;
const OFFSETS = 8;

test('the end of a run of tokens', async (t) => {
  const bytes = Buffer.from('Host: x');
  t.equal(endOfRun(isTokenByte, bytes, 0, bytes.length), 4);
  t.equal(endOfRun(isTokenByte, bytes, 4, bytes.length), 4, 'an empty one');
  t.equal(endOfRun(isTokenByte, bytes, 0, 3), 3, 'cut by the range');
});

test('short ranges have no words, long ones those of their memory', async (t) => {
  const bytes = Buffer.alloc(LONG);
  t.equal(wordsOf(bytes, 0, 63), null);
  t.equal(wordsOf(bytes, 1, 64), null);
  t.equal(wordsOf(bytes, 0, 64)?.buffer, bytes.buffer);
  const other = Buffer.alloc(LONG);
  t.equal(wordsOf(other, 0, LONG)?.buffer, other.buffer, 'of the memory that is asked about, not of the last one');
  t.equal(
    wordsOf(other, 0, LONG),
    wordsOf(other.subarray(1), 0, LONG - 1),
    'the same ones for another view of the memory',
  );
});

test('every byte at every place, in memory that begins anywhere', async (t) => {
  let wrong = 0;
  let compared = 0;
  for (let offset = 0; offset < OFFSETS; offset++) {
    const memory = new ArrayBuffer(offset + LONG + OFFSETS);
    const bytes = new Uint8Array(memory, offset, LONG);
    const words = wordsOf(bytes, 0, LONG);
    for (let from = 0; from < OFFSETS; from++) {
      for (let at = from; at < from + 3 * OFFSETS; at++) {
        for (let byte = 0; byte < 256; byte++) {
          bytes.fill(0x41);
          bytes[at] = byte;
          const expected = isValueByte[byte] === 1 ? LONG : at;
          if (endOfValue(bytes, words, offset, from, LONG) !== expected) wrong++;
          if (endOfValue(bytes, null, offset, from, LONG) !== expected) wrong++;
          bytes.fill(0xff, from, at);
          if (endOfValue(bytes, words, offset, from, LONG) !== expected) wrong++;
          compared++;
        }
      }
    }
  }
  t.equal(wrong, 0);
  t.equal(compared, OFFSETS * OFFSETS * 3 * OFFSETS * 256);
});

test('every pair of bytes beside each other, of which one may borrow from the other or carry into it', async (t) => {
  let wrong = 0;
  const bytes = new Uint8Array(LONG).fill(0x41);
  const words = wordsOf(bytes, 0, LONG);
  for (let at = 0; at < OFFSETS; at++) {
    for (let first = 0; first < 256; first++) {
      for (let second = 0; second < 256; second++) {
        bytes[at] = first;
        bytes[at + 1] = second;
        if (endOfValue(bytes, words, 0, 0, LONG) !== endOfRun(isValueByte, bytes, 0, LONG)) wrong++;
      }
    }
    bytes[at] = 0x41;
    bytes[at + 1] = 0x41;
  }
  t.equal(wrong, 0);
});

test('what lies before and behind the range is not looked at', async (t) => {
  let wrong = 0;
  for (const poison of [0x0d, 0x00, 0x7f]) {
    for (let from = 0; from < OFFSETS; from++) {
      for (let stop = from; stop < from + 3 * OFFSETS; stop++) {
        const bytes = new Uint8Array(LONG).fill(poison);
        bytes.fill(0xe4, from, stop);
        if (endOfValue(bytes, new DataView(bytes.buffer), 0, from, stop) !== stop) wrong++;
      }
    }
  }
  t.equal(wrong, 0);
});

test('tabs are part of a value', async (t) => {
  const bytes = Buffer.from(`${'\t'.repeat(50)}${'x'.repeat(30)}\t\r\n${'y'.repeat(30)}`);
  t.equal(endOfValue(bytes, wordsOf(bytes, 0, bytes.length), bytes.byteOffset, 0, bytes.length), 81);
});
