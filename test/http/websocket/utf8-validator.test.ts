/** UTF-8 in pieces: against the strict decoder of the platform, and up to the very byte that is wrong. */

import { test } from 'tap';
import { UTF8_COMPLETE, UTF8_FAULT, validateUtf8 } from '../../../http/websocket/utf8-validator.ts';

const strict = new TextDecoder('utf-8', { fatal: true });

function isText(bytes: Uint8Array): boolean {
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The result for the bytes in pieces of `size`. */
function inPieces(bytes: Buffer, size: number): number {
  let state = UTF8_COMPLETE;
  for (let at = 0; at < bytes.length && state !== UTF8_FAULT; at += size) {
    state = validateUtf8(state, bytes, at, Math.min(bytes.length, at + size));
  }
  return state;
}

const samples: readonly (readonly number[])[] = [
  [],
  [0x00],
  [0x7f],
  [0xc2, 0x80],
  [0xdf, 0xbf],
  [0xe0, 0xa0, 0x80],
  [0xed, 0x9f, 0xbf],
  [0xee, 0x80, 0x80],
  [0xef, 0xbf, 0xbf],
  [0xf0, 0x90, 0x80, 0x80],
  [0xf3, 0xbf, 0xbf, 0xbf],
  [0xf4, 0x8f, 0xbf, 0xbf],
  // Not text: alone, overlong, surrogates, above U+10FFFF, never used.
  [0x80],
  [0xbf],
  [0xc0, 0x80],
  [0xc1, 0xbf],
  [0xe0, 0x80, 0x80],
  [0xe0, 0x9f, 0xbf],
  [0xed, 0xa0, 0x80],
  [0xed, 0xbf, 0xbf],
  [0xf0, 0x80, 0x80, 0x80],
  [0xf0, 0x8f, 0xbf, 0xbf],
  [0xf4, 0x90, 0x80, 0x80],
  [0xf5, 0x80, 0x80, 0x80],
  [0xff],
  [0xc2],
  [0xc2, 0x41],
  [0xe2, 0x82],
  [0xe2, 0x28, 0xa1],
  [0xf0, 0x9f, 0x98],
  [0xf0, 0x9f, 0x41],
];

test('each sample alone and between other text, in pieces of every size', async (t) => {
  for (const sample of samples) {
    for (const around of ['', 'ab', 'grüße und 😀 und noch mehr Text, damit es lang wird']) {
      const bytes = Buffer.concat([Buffer.from(around), Buffer.from(sample), Buffer.from(around)]);
      for (const size of [1, 2, 3, 7, 16, 17, 40, 1_000]) {
        t.equal(inPieces(bytes, size) === UTF8_COMPLETE, isText(bytes), `${bytes.toString('hex')} by ${size}`);
      }
    }
  }
});

test('the first byte that is wrong is the one that fails', async (t) => {
  const rightUpTo = (bytes: number[]) => {
    for (let end = 1; end <= bytes.length; end++) {
      const buffer = Buffer.from(bytes);
      if (validateUtf8(UTF8_COMPLETE, buffer, 0, end) === UTF8_FAULT) return end - 1;
    }
    return bytes.length;
  };
  t.equal(rightUpTo([0x41, 0xc3, 0xa4, 0xed, 0xa0, 0x80]), 4);
  t.equal(rightUpTo([0xf4, 0x90, 0x80, 0x80]), 1);
  t.equal(rightUpTo([0xe2, 0x82, 0x41]), 2);
  t.equal(rightUpTo([...Array(40).fill(0x41), 0xf5]), 40);
});

test('all sequences of two bytes', async (t) => {
  let wrong = 0;
  for (let first = 0; first < 256; first++) {
    for (let second = 0; second < 256; second++) {
      const bytes = Buffer.from([first, second]);
      if ((inPieces(bytes, 1) === UTF8_COMPLETE) !== isText(bytes)) wrong++;
    }
  }
  t.equal(wrong, 0);
});

test('random bytes of the kinds that UTF-8 distinguishes, in two pieces', async (t) => {
  const kinds = [0x41, 0x80, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xe1, 0xed, 0xf0, 0xf1, 0xf4];
  let seed = 1;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  let texts = 0;
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(Array.from({ length: 1 + random(24) }, () => kinds[random(kinds.length)] as number));
    const expected = isText(bytes);
    if (expected) texts++;
    const cut = random(bytes.length + 1);
    const state = validateUtf8(UTF8_COMPLETE, bytes, 0, cut);
    const result = state === UTF8_FAULT ? UTF8_FAULT : validateUtf8(state, bytes, cut, bytes.length);
    if ((result === UTF8_COMPLETE) !== expected) t.fail(`${bytes.toString('hex')} cut at ${cut}`);
  }
  t.ok(texts > 100);
});
