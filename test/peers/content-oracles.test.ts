/**
 * The parsers of http/content/ beside libraries that read the same fields, on generated and damaged values. `TAP_TIMEOUT=0 CASES=1000000` reads more of them, SEED=n others.
 * Where a library deviates from RFC 9110, the test says how.
 */

import { type Test, test } from 'tap';
import { preferredCoding } from '../../http/content/accept-encoding.ts';
import { parseRange } from '../../http/content/byte-range.ts';
import { formatHttpDate } from '../../http/content/http-date.ts';
import { judge } from '../../http/content/validators.ts';
import { Random } from '../simulation/random.ts';
import { importPeer, missingPeer } from './peers.ts';

type Fields = Readonly<Record<string, string>>;

interface Oracles {
  readonly parseRange: (size: number, field: string) => -1 | -2 | readonly { start: number; end: number }[];
  readonly fresh: (request: Fields, response: Fields) => boolean;
  readonly Negotiator: new (request: {
    headers: Fields;
  }) => { encoding(available: string[], options: { preferred: string[] }): string | undefined };
}

const cases = Number(process.env.CASES ?? 30_000);
const seed = Number(process.env.SEED ?? 1);
const skip = missingPeer('range-parser') || missingPeer('fresh') || missingPeer('negotiator');
const oracles = () => importPeer<Oracles>('content-oracles.mjs');

/** Runs `differs` on many choices. It returns a description of a difference, or null. */
function search(t: Test, differs: (random: Random) => string | null): void {
  const random = new Random(seed);
  const found: string[] = [];
  for (let i = 0; i < cases && found.length < 5; i++) {
    const difference = differs(random);
    if (difference !== null) found.push(difference);
  }
  t.same(found, []);
}

function damaged(random: Random, text: string, alphabet: string): string {
  const at = random.below(text.length + 1);
  return text.slice(0, at) + random.pick([...alphabet, '']) + text.slice(at + random.below(2));
}

test('Range beside range-parser', { skip }, async (t) => {
  const { parseRange: theirs } = await oracles();
  search(t, (random) => {
    const size = random.pick([0, 1, 10, 1_000]);
    const number = () => `${random.below(random.pick([3, 12, 1_200]))}`;
    const spec = () => random.pick([`${number()}-${number()}`, `${number()}-`, `-${number()}`]);
    let field = `bytes=${Array.from({ length: 1 + random.below(3) }, spec).join(random.pick([',', ', ']))}`;
    if (random.chance(0.3)) field = damaged(random, field, '0-,= b');
    const mine = parseRange(field, size, 16);
    // What range-parser does in another way: any unit; a missing start with too many bytes is unsatisfiable; `5-4` is; blanks within a range; no empty members.
    field = field.trim();
    if (!field.startsWith('bytes=')) return mine === null ? null : field;
    const specs = field
      .slice('bytes='.length)
      .split(',')
      .map((text) => text.trim());
    if (specs.some((text) => /^-\d+$/.test(text) && Number(text.slice(1)) > size)) return null;
    if (mine === null) {
      const isOurRule = specs.some((text) => !/^(\d+-\d*|-\d+)$/.test(text) || isReversed(text));
      return isOurRule || theirs(size, field) === -2 ? null : `${field} of ${size}`;
    }
    const answer = theirs(
      size,
      specs
        .filter((text) => text !== '')
        .join()
        .replace(/^/, 'bytes='),
    );
    const ranges =
      typeof answer === 'number' ? answer : answer.map(({ start, end }) => ({ start, length: end - start + 1 }));
    if (mine !== 'refused') return JSON.stringify(mine) === JSON.stringify(ranges) ? null : `${field} of ${size}`;
    return ranges === -1 || (typeof ranges !== 'number' && overlap(ranges)) ? null : `${field} of ${size}`;
  });
});

function isReversed(text: string): boolean {
  const [, first, last] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  return first !== undefined && Number(last) < Number(first);
}

function overlap(ranges: readonly { start: number; length: number }[]): boolean {
  return ranges.some((a, i) =>
    ranges.some((b, j) => i !== j && a.start < b.start + b.length && b.start < a.start + a.length),
  );
}

test('If-None-Match and If-Modified-Since beside fresh', { skip }, async (t) => {
  const { fresh } = await oracles();
  const now = Date.UTC(2026, 0, 1);
  search(t, (random) => {
    const tag = () => `${random.pick(['', 'W/'])}"${random.pick(['a', 'b', 'ab', ''])}"`;
    const etag = random.chance(0.8) ? tag() : null;
    const modifiedMs = random.chance(0.8) ? now - random.below(3) * 1_000 : null;
    const list = random.pick(['*', Array.from({ length: 1 + random.below(3) }, tag).join(random.pick([',', ', ']))]);
    const ifNoneMatch = random.chance(0.6) ? list : null;
    const ifModifiedSince = random.chance(0.6) ? formatHttpDate(now - random.below(3) * 1_000) : null;
    const conditions = { ifNoneMatch, ifModifiedSince, ifMatch: null, ifUnmodifiedSince: null, ifRange: null };
    const isFresh = judge({ method: 'GET', ...conditions }, { etag, modifiedMs }, now) === 'not-modified';
    const request: Record<string, string> = {};
    if (ifNoneMatch !== null) request['if-none-match'] = ifNoneMatch;
    if (ifModifiedSince !== null) request['if-modified-since'] = ifModifiedSince;
    const response: Record<string, string> = {};
    if (etag !== null) response.etag = etag;
    if (modifiedMs !== null) response['last-modified'] = formatHttpDate(modifiedMs);
    return fresh(request, response) === isFresh ? null : JSON.stringify([request, response, isFresh]);
  });
});

test('Accept-Encoding beside negotiator', { skip }, async (t) => {
  const { Negotiator } = await oracles();
  const available = ['br', 'zstd', 'gzip'];
  search(t, (random) => {
    const names = random.shuffle([...available, 'identity', '*', 'deflate']).slice(0, random.below(5));
    const weight = () => random.pick(['', ';q=1', ';q=0', ';q=0.5', '; q=0.25', ';q=0.001']);
    const field = names.map((name) => `${name}${weight()}`).join(random.pick([',', ', ']));
    const mine = preferredCoding(field, available);
    const all = [...available, 'identity'];
    const theirs = new Negotiator({ headers: { 'accept-encoding': field } }).encoding(all, { preferred: all }) ?? null;
    return mine === theirs ? null : `${field}: ${mine}, and ${theirs}`;
  });
});
