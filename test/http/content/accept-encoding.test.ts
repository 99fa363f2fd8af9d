/** Which coding a client prefers. */

import { test } from 'tap';
import { preferredCoding } from '../../../http/content/accept-encoding.ts';

const CODINGS = ['br', 'zstd', 'gzip'];

const cases: readonly (readonly [field: string | null, preferred: string | null])[] = [
  [null, 'identity'],
  ['', 'identity'],
  ['gzip, deflate, br, zstd', 'br'],
  ['gzip, deflate', 'gzip'],
  ['GZIP', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'identity'],
  ['*', 'br'],
  ['br;q=0.5, gzip;q=0.8', 'gzip'],
  ['br;q=0, *', 'zstd'],
  ['br;q=0.1', 'br'],
  ['gzip;q=0.5, identity;q=0.5', 'gzip'],
  ['gzip;q=0.5, identity;q=0.6', 'identity'],
  ['gzip;q=0.5, identity', 'identity'],
  ['gzip;q=0.1, *;q=0.9', 'br'],
  ['identity;q=0', null],
  ['*;q=0', null],
  ['identity;q=0, gzip;q=0.001', 'gzip'],
  ['*;q=0, identity;q=0.1', 'identity'],
  ['gzip;q=0, *;q=0', null],
  ['gzip;q=1, gzip;q=0', 'gzip'],
  ['gzip;q=0, gzip;q=1', 'gzip'],
  // Malformed members count as absent.
  ['gzip;q=2, zstd;q=0.1', 'zstd'],
  ['g zip, ,;q=1', 'identity'],
];

for (const [field, preferred] of cases) {
  test(`Accept-Encoding: ${field}`, async (t) => t.equal(preferredCoding(field, CODINGS), preferred));
}
