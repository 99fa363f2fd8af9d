/** Masks taken off in place, at every offset and for every length around the words. */

import { test } from 'tap';
import { isAllAscii, turnMask, unmask } from '../../../http/websocket/unmask.ts';

const MASK = [0x12, 0xf4, 0x56, 0x78] as const;
const mask = Buffer.from(MASK).readInt32LE(0);

function plain(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 7) & 0x7f));
}

test('any length, anywhere in a buffer, and nothing beside it changes', async (t) => {
  for (let offset = 0; offset < 9; offset++) {
    for (const length of [...Array(80).keys(), 1_000]) {
      const memory = Buffer.alloc(length + 32, 0xaa);
      const view = memory.subarray(offset);
      const text = plain(length);
      for (let i = 0; i < length; i++) view[3 + i] = (text[i] as number) ^ (MASK[i % 4] as number);
      const seen = unmask(view, 3, 3 + length, mask);
      t.ok(view.subarray(3, 3 + length).equals(text), `${length} bytes at ${offset}`);
      t.ok(isAllAscii(seen));
      t.ok([...view.subarray(0, 3), ...view.subarray(3 + length)].every((byte) => byte === 0xaa));
    }
  }
});

test('a byte above 127 is seen wherever it is', async (t) => {
  for (let at = 0; at < 70; at++) {
    const bytes = plain(70);
    bytes[at] = 0xc3;
    t.notOk(isAllAscii(unmask(bytes, 0, 70, 0)), `at ${at}`);
  }
});

test('a buffer whose memory does not end at a word', async (t) => {
  const bytes = Buffer.from(new ArrayBuffer(37));
  bytes.fill(0x41);
  unmask(bytes, 0, 37, mask);
  unmask(bytes, 0, 37, mask);
  t.equal(bytes.toString(), 'A'.repeat(37));
});

test('a mask goes on where a piece has ended', async (t) => {
  const whole = plain(50);
  for (let cut = 0; cut <= 50; cut++) {
    const bytes = Buffer.from(whole.map((byte, i) => byte ^ (MASK[i % 4] as number)));
    unmask(bytes, 0, cut, mask);
    unmask(bytes, cut, 50, turnMask(mask, cut));
    t.ok(bytes.equals(whole), `cut at ${cut}`);
  }
});
