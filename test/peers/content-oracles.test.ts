/**
 * The parsers of http/content/ beside libraries that read the same fields, on generated and damaged values. `TAP_TIMEOUT=0 CASES=1000000` reads more of them, SEED=n others.
 * Where a library deviates from RFC 9110, the test says how.
 */

import { type Test, test } from 'tap';
import { preferredCoding } from '../../http/content/accept-encoding.ts';
import { parseRange } from '../../http/content/byte-range.ts';
import { encodeComment, encodeEvent, type ServerEvent } from '../../http/content/event-stream.ts';
import { formatHttpDate } from '../../http/content/http-date.ts';
import { judge } from '../../http/content/validators.ts';
import { Random } from '../simulation/random.ts';
import { importPeer, missingPeer } from './peers.ts';

type Fields = Readonly<Record<string, string>>;

interface ReadEvent {
  readonly event?: string;
  readonly data: string;
  readonly id?: string;
}

interface Oracles {
  readonly createParser: (callbacks: {
    onEvent(event: ReadEvent): void;
    onRetry(retry: number): void;
    onComment(comment: string): void;
    onError(error: Error): void;
  }) => { feed(text: string): void };
  readonly parseRange: (size: number, field: string) => -1 | -2 | readonly { start: number; end: number }[];
  readonly fresh: (request: Fields, response: Fields) => boolean;
  readonly Negotiator: new (request: {
    headers: Fields;
  }) => { encoding(available: string[], options: { preferred: string[] }): string | undefined };
}

const cases = Number(process.env.CASES ?? 30_000);
const seed = Number(process.env.SEED ?? 1);
const skip =
  missingPeer('range-parser') || missingPeer('fresh') || missingPeer('negotiator') || missingPeer('eventsource-parser');
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
    const size = random.pick([0, 1, 10, 1_000, 5_000_000_000]);
    const number = () => `${random.below(random.pick([3, 12, 1_200, 6_000_000_000]))}`;
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
    const written = (name: string) => `${random.chance(0.1) ? name.toUpperCase() : name}${weight()}`;
    const field = names.map(written).join(random.pick([',', ', ', ' ,']));
    const mine = preferredCoding(field, available);
    const all = [...available, 'identity'];
    const theirs = new Negotiator({ headers: { 'accept-encoding': field } }).encoding(all, { preferred: all }) ?? null;
    return mine === theirs ? null : `${field}: ${mine}, and ${theirs}`;
  });
});

/** How many events are written before they are read, in pieces. */
const EVENTS_AT_A_TIME = 1_000;

test('events, written here and read by eventsource-parser', { skip }, async (t) => {
  const { createParser } = await oracles();
  const random = new Random(seed);
  const letters = ['a', ' ', ':', '\n', '\r', '\r\n', 'data', 'id: ', 'é', '💧', '\0', '\ufeff', '0'];
  const inOneLine = letters.filter((letter) => !/[\r\n\0]/.test(letter));
  const textOf = (allowed: readonly string[]) =>
    Array.from({ length: random.below(6) }, () => random.pick(allowed)).join('');
  let wanted: unknown[] = [];
  let read: unknown[] = [];
  const parser = createParser({
    onEvent: ({ event, data, id }) => read.push([event, data, id]),
    onRetry: (retry) => read.push(retry),
    onComment: (comment) => read.push(`: ${comment}`),
    onError: (error) => read.push(error),
  });
  const found: unknown[] = [];
  for (let done = 0; done < cases && found.length < 5; done += EVENTS_AT_A_TIME) {
    let stream = '';
    for (let i = 0; i < EVENTS_AT_A_TIME; i++) {
      if (random.chance(0.1)) {
        const comment = textOf(letters);
        stream += encodeComment(comment);
        wanted.push(...comment.split(/\r\n|\r|\n/).map((line) => `: ${line}`));
        continue;
      }
      const event: ServerEvent = {
        data: textOf(letters),
        ...(random.chance(0.5) ? { event: textOf(inOneLine) } : {}),
        ...(random.chance(0.5) ? { id: textOf(inOneLine) } : {}),
        ...(random.chance(0.1) ? { retry: random.below(10_000) } : {}),
      };
      stream += encodeEvent(event);
      if (event.retry !== undefined) wanted.push(event.retry);
      wanted.push([event.event || undefined, event.data.replace(/\r\n|\r/g, '\n'), event.id]);
    }
    for (let at = 0, end = 0; at < stream.length; at = end) {
      end = at + 1 + random.below(2_000);
      parser.feed(stream.slice(at, end));
    }
    if (JSON.stringify(read) !== JSON.stringify(wanted)) {
      const at = wanted.findIndex((each, i) => JSON.stringify(each) !== JSON.stringify(read[i]));
      found.push([done, wanted[at], read[at]]);
    }
    wanted = [];
    read = [];
  }
  t.same(found, []);
});
