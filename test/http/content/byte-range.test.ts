/** RFC 9110 section 14: what counts as a range, what is refused, and what is ignored. */

import { test } from 'tap';
import { contentRange, parseRange, type RangeAnswer, unsatisfiedRange } from '../../../http/content/byte-range.ts';

const SIZE = 10_000;

const range = (start: number, length: number) => ({ start, length });

const rows: readonly (readonly [field: string, answer: RangeAnswer, size?: number])[] = [
  ['bytes=0-499', [range(0, 500)]],
  ['bytes=500-999', [range(500, 500)]],
  ['bytes=-500', [range(9_500, 500)]],
  ['bytes=9500-', [range(9_500, 500)]],
  ['bytes=0-0,-1', [range(0, 1), range(9_999, 1)]],
  ['bytes= 0-999, 4500-5499 , -1000', [range(0, 1_000), range(4_500, 1_000), range(9_000, 1_000)]],
  ['bytes=500-600,601-999', [range(500, 101), range(601, 399)]],
  ['BYTES=0-', [range(0, SIZE)]],
  [' bytes=0-1\t', [range(0, 2)]],
  ['bytes=9-9, 0-0', [range(9, 1), range(0, 1)]],
  ['bytes=,0-0,,1-1,', [range(0, 1), range(1, 1)]],
  ['bytes=9999-99999999999999999999999', [range(9_999, 1)]],
  ['bytes=-99999999999999999999999', [range(0, SIZE)]],
  // One that the body does not have is left out.
  ['bytes=0-0,10000-', [range(0, 1)]],
  ['bytes=-0,0-0', [range(0, 1)]],
  // Refused
  ['bytes=10000-', 'refused'],
  ['bytes=10000-10001,20000-', 'refused'],
  ['bytes=-0', 'refused'],
  ['bytes=99999999999999999999999-', 'refused'],
  ['bytes=0-1,1-2', 'refused'],
  ['bytes=1-2,0-1', 'refused'],
  ['bytes=0-,5-6', 'refused'],
  ['bytes=0-0,2-2,4-4,0-0', 'refused'],
  ['bytes=0-0,-10000', 'refused'],
  // Ignored
  ['bytes=5-4', null],
  ['bytes=0-0,5-4', null],
  ['bytes=', null],
  ['bytes=,', null],
  ['bytes', null],
  ['bytes=a-b', null],
  ['bytes=-', null],
  ['bytes=0 -1', null],
  ['bytes=0- 1', null],
  ['bytes=--1', null],
  ['bytes=0-1-2', null],
  ['bytes=+1-2', null],
  ['bytes=0x1-2', null],
  ['bytes=0-1;2-3', null],
  ['bytes =0-1', null],
  ['items=0-1', null],
  ['', null],
  // An empty body
  ['bytes=0-', 'refused', 0],
  ['bytes=-0', 'refused', 0],
  ['bytes=-00', 'refused', 0],
  ['bytes=-1', null, 0],
  ['bytes=0-0,-05', null, 0],
];

for (const [field, answer, size = SIZE] of rows) {
  test(`'${field}' of ${size}`, async (t) => t.same(parseRange(field, size, 16), answer));
}

test('as many ranges as the limit allows, and one more', async (t) => {
  const field = (count: number) => `bytes=${Array.from({ length: count }, (_, i) => `${2 * i}-${2 * i}`).join()}`;
  t.equal((parseRange(field(16), SIZE, 16) as readonly unknown[]).length, 16);
  t.equal(parseRange(field(17), SIZE, 16), 'refused');
  t.equal(parseRange('bytes=0-0', SIZE, 0), 'refused');
});

test('Content-Range', async (t) => {
  t.equal(contentRange(range(500, 500), 1_234), 'bytes 500-999/1234');
  t.equal(unsatisfiedRange(1_234), 'bytes */1234');
});
