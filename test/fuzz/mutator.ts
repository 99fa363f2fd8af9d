/**
 * The mutator: takes bytes that mean something and damages them a little. It knows no grammar; what it knows is which bytes
 * have mattered to parsers before. So it finds what nobody thought of, and the grammar of request-grammar.ts what somebody did.
 */

import type { Random } from '../simulation/random.ts';

/** Bytes and words that end, begin or frame something. */
const SPICES = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\r\r\n',
    ' ',
    '\t',
    ':',
    ';',
    ',',
    '=',
    '"',
    '\\',
    '#',
    '?',
    '@',
    '*',
    '/',
    '0',
    '1',
  ],
  ...[
    'f',
    '+',
    '-',
    '.',
    '_',
    '\0',
    '\x0b',
    '\x7f',
    '\x80',
    '\xa0',
    '\xff',
    '\xc3\xa4',
    '[',
    ']',
    '%0d%0a',
    '%',
    '\r\n ',
  ],
  ...[
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    'HTTP/1.0',
    'HTTP/1.1',
    'http://a',
    'HEAD',
    'OPTIONS',
    'CONNECT',
    'Host: b\r\n',
  ],
  ...[
    'Content-Length: 5\r\n',
    'Content-Length: 0\r\n',
    'Transfer-Encoding: chunked\r\n',
    'chunked',
    'gzip',
    '0\r\n\r\n',
  ],
  ...['1;a="b"\r\n', 'Connection: close\r\n', 'Connection: keep-alive\r\n', 'Expect: 100-continue\r\n', 'x'.repeat(40)],
].map((text) => Buffer.from(text, 'latin1'));

const MAX_RANGE_BYTES = 24;
const MAX_MUTATIONS = 4;

/** Requests that grow without end would only cost time. */
const MAX_BYTES = 4_000;

/** Two offsets in order, not far from each other. */
function rangeIn(random: Random, bytes: Buffer): [from: number, to: number] {
  const from = random.below(bytes.length + 1);
  return [from, Math.min(bytes.length, from + random.below(MAX_RANGE_BYTES))];
}

function replaced(bytes: Buffer, from: number, to: number, by: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, from), by, bytes.subarray(to)]);
}

type Mutation = (random: Random, bytes: Buffer, other: Buffer, spices: readonly Buffer[]) => Buffer;

const mutations: readonly Mutation[] = [
  // One byte becomes another: any, its neighbour, or the same letter in the other case.
  (random, bytes) => changed(random, bytes, () => random.below(256)),
  (random, bytes) => changed(random, bytes, (byte) => byte + (random.chance(0.5) ? 1 : -1)),
  (random, bytes) => changed(random, bytes, (byte) => byte ^ 0x20),
  // Something is inserted, overwritten, left out or doubled.
  (random, bytes, _other, spices) => {
    const at = random.below(bytes.length + 1);
    return replaced(bytes, at, at, random.pick(spices));
  },
  (random, bytes, _other, spices) => {
    const at = random.below(bytes.length + 1);
    const spice = random.pick(spices);
    return replaced(bytes, at, at + spice.length, spice);
  },
  (random, bytes) => replaced(bytes, ...rangeIn(random, bytes), Buffer.alloc(0)),
  (random, bytes) => {
    const [from, to] = rangeIn(random, bytes);
    return replaced(bytes, to, to, bytes.subarray(from, to));
  },
  // The end is missing, or belongs to another request.
  (random, bytes) => bytes.subarray(0, random.below(bytes.length + 1)),
  (random, bytes, other) => {
    const at = random.below(bytes.length + 1);
    return replaced(bytes, at, bytes.length, other.subarray(random.below(other.length + 1)));
  },
];

function changed(random: Random, bytes: Buffer, to: (byte: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  const at = random.below(copy.length);
  if (copy.length > 0) copy[at] = to(copy[at] as number);
  return copy;
}

/** A damaged copy. `other` is where foreign parts come from. */
export function mutate(random: Random, bytes: Buffer, other: Buffer, spices: readonly Buffer[] = SPICES): Buffer {
  let mutated = bytes;
  for (let times = 1 + random.below(MAX_MUTATIONS); times > 0; times--) {
    mutated = random.pick(mutations)(random, mutated, other, spices);
  }
  return mutated.subarray(0, MAX_BYTES);
}

/** Where bytes are cut when they arrive: in some places, sometimes in all. The last cut is the length. */
export function randomCuts(random: Random, length: number, shareOfSingleBytes = 0.1): number[] {
  if (random.chance(shareOfSingleBytes)) return Array.from({ length }, (_, i) => i + 1);
  const cuts = new Set(Array.from({ length: random.below(6) }, () => 1 + random.below(Math.max(1, length - 1))));
  return [...[...cuts].filter((cut) => cut < length).sort((a, b) => a - b), length];
}
