/**
 * Byte ranges: which parts of a body a client asks for (RFC 9110 section 14).
 *
 *     bytes=0-499      the first 500          bytes=500-      all from 500 on
 *     bytes=-500       the last 500           bytes=0-0,-1    the first and the last one
 *
 * A field that does not fit the grammar, or names another unit, is ignored: the client gets the whole body. That is what section 14.2 asks for. Ranges
 * that overlap, and more than `maxRanges` of them, are refused with 416. A client has no use for them, and a request of a few bytes could make a server send a
 * large file a thousand times (CVE-2011-3192). A client may ask for ranges in any order, and gets them in that order.
 *
 * Next: accept-encoding.ts
 */

import { trimBlanks } from '../grammar.ts';

/** The bytes from `start` on, `length` of them. The length is never 0. */
export interface ByteRange {
  readonly start: number;
  readonly length: number;
}

/** Ranges in the order of the client; `refused` is 416; null: the field does not count. */
export type RangeAnswer = readonly ByteRange[] | 'refused' | null;

const UNIT = /^bytes=/i;
const SPEC = /^(?:(\d+)-(\d*)|-(\d+))$/;

/** `size` is that of the whole body. */
export function parseRange(field: string, size: number, maxRanges: number): RangeAnswer {
  const value = trimBlanks(field);
  if (!UNIT.test(value)) return null;
  const list = value.slice(value.indexOf('=') + 1).split(',');
  const specs = list.map(trimBlanks).filter((spec) => spec !== ''); // section 5.6.1: an empty member is allowed
  if (specs.length === 0) return null;
  // Section 14.1.2: the last bytes of an empty body are the empty body, which no Content-Range can name.
  if (size === 0 && specs.some((spec) => /^-0*[1-9]\d*$/.test(spec))) return null;
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const range = rangeOf(spec, size);
    if (range === null) return null;
    if (range.length > 0) ranges.push(range);
  }
  return ranges.length === 0 || ranges.length > maxRanges || doOverlap(ranges) ? 'refused' : ranges;
}

/** The value of Content-Range for a part. */
export function contentRange({ start, length }: ByteRange, size: number): string {
  return `bytes ${start}-${start + length - 1}/${size}`;
}

/** The value of Content-Range for 416: how large the body is. */
export function unsatisfiedRange(size: number): string {
  return `bytes */${size}`;
}

/** Null if the text is not a range. A length of 0: the body has none of these bytes. */
function rangeOf(spec: string, size: number): ByteRange | null {
  const [, first, last, suffix] = SPEC.exec(spec) ?? [];
  if (suffix !== undefined) {
    const length = Math.min(Number(suffix), size);
    return { start: size - length, length };
  }
  if (first === undefined) return null;
  const start = Number(first);
  const end = last === '' ? Number.POSITIVE_INFINITY : Number(last);
  if (end < start) return null; // section 14.1.1: such a range is invalid
  return { start, length: Math.max(0, Math.min(end + 1, size) - start) };
}

function doOverlap(ranges: readonly ByteRange[]): boolean {
  const sorted = ranges.toSorted((a, b) => a.start - b.start);
  return sorted.some(({ start, length }, i) => start + length > (sorted[i + 1]?.start ?? Number.POSITIVE_INFINITY));
}
