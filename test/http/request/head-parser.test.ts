/** HeadParser: every request of the corpus, cut at pairs of offsets, and what is written about it: limits, places, cost. */

import { type Test, test } from 'tap';
import { defaultLimits, type Limits } from '../../../http/limits.ts';
import { BAD_REQUEST, INCOMPLETE, OFFSETS_PER_FIELD, TOO_LARGE } from '../../../http/request/field-parser.ts';
import { HeadParser } from '../../../http/request/head-parser.ts';
import { Random } from '../../simulation/random.ts';
import { invalidRequests, validRequests } from './corpus.ts';

const SEED = Number(process.env.SEED ?? 1);

/** What lies around the bytes of a request in its buffer: each of these would change it, if it were read. */
const poisons = ['\r\n', 'A', ': ', '\r\n\r\n', '\0', ' HTTP/1.1\r\n'].map((text) => Buffer.from(text));

const bytesOf = (text: string) => Buffer.from(text, 'latin1');

/** The first `length` bytes, at `start` in a larger buffer that is otherwise full of poison. */
function placed(bytes: Buffer, length: number, start: number): Buffer {
  const buffer = Buffer.alloc(start + length + 40, poisons[(start + length) % poisons.length] as Buffer);
  bytes.copy(buffer, start, 0, length);
  return buffer;
}

interface ReadHead {
  readonly length: number;
  readonly method: string;
  readonly target: string;
  readonly minorVersion: number;
  readonly fields: (readonly [name: string, value: string])[];
}

/** A head as the parser's offsets have it, or the status of a rejection, or INCOMPLETE. */
type Outcome = ReadHead | number;

function outcomeOf(parser: HeadParser, result: number, buffer: Buffer, start: number): Outcome {
  if (result <= 0) return -result;
  const text = (from: number | undefined, to: number | undefined) =>
    buffer.toString('latin1', start + (from as number), start + (to as number));
  const { count, offsets } = parser.fields;
  const fields = Array.from({ length: count }, (_, i) => {
    const [nameStart, nameEnd, valueStart, valueEnd] = offsets.subarray(i * OFFSETS_PER_FIELD);
    return [text(nameStart, nameEnd), text(valueStart, valueEnd)] as const;
  });
  return {
    length: result - start,
    method: text(parser.lineStart, parser.methodEnd),
    target: text(parser.targetStart, parser.targetEnd),
    minorVersion: parser.minorVersion,
    fields,
  };
}

/** Parses with one call at each of these lengths; each time the bytes lie elsewhere, between other poison. */
function parseAt(bytes: Buffer, lengths: readonly number[], parser = new HeadParser(defaultLimits)): Outcome {
  let outcome: Outcome = INCOMPLETE;
  for (const [i, length] of lengths.entries()) {
    const start = (i * 7 + length) % 23;
    const buffer = placed(bytes, length, start);
    outcome = outcomeOf(parser, parser.parse(buffer, start, start + length), buffer, start);
    if (outcome !== INCOMPLETE) break;
  }
  return outcome;
}

const parseWhole = (text: string, limits: Partial<Limits> = {}) =>
  parseAt(bytesOf(text), [text.length], new HeadParser({ ...defaultLimits, ...limits }));

const everyLength = (bytes: Buffer) => Array.from({ length: bytes.length }, (_, i) => i + 1);

/** Two cuts that are close meet in one token. Of others one in so many is tried, and in splits.long.ts each. */
const CLOSE = 12;
const STRIDE = Number(process.env.STRIDE ?? 7);
const DAMAGED = Number(process.env.DAMAGED ?? 5_000);

/** The ways to cut it in three, and in two where i = j - 1 is nothing. */
function* splitPairs(length: number): Generator<number[]> {
  for (let i = 0; i < length; i++)
    for (let j = i + 1; j < length; j += j < i + CLOSE ? 1 : STRIDE) yield [i, j, length];
}

/** Fails with the first of many ways that disagrees: a hundred thousand assertions would say no more. */
function agreesInEveryWay(t: Test, text: string, expected: Outcome): void {
  const bytes = bytesOf(text);
  t.same(parseAt(bytes, [bytes.length]), expected, 'whole');
  t.same(parseAt(bytes, everyLength(bytes)), expected, 'byte by byte');
  const wanted = JSON.stringify(expected);
  const disagreeing = [...splitPairs(bytes.length)].find((cut) => JSON.stringify(parseAt(bytes, cut)) !== wanted);
  t.equal(disagreeing, undefined, 'cut at pairs of offsets');
}

for (const request of validRequests) {
  test(`valid: ${request.title}`, async (t) => {
    const { method, target, minorVersion, fields } = request;
    const length = request.text.indexOf('\r\n\r\n', request.text.search(/[^\r\n]/)) + 4;
    agreesInEveryWay(t, request.text, { length, method, target, minorVersion, fields: [...fields] });
    const bytes = bytesOf(request.text);
    const early = everyLength(bytes.subarray(0, length - 1)).find((n) => parseAt(bytes, [n]) !== INCOMPLETE);
    t.equal(early, undefined, 'nothing but the whole is complete');
  });
}

for (const request of invalidRequests) {
  if (request.layer !== 'syntax') continue;
  test(`invalid: ${request.title}`, async (t) => agreesInEveryWay(t, request.text, request.status));
}

for (const request of invalidRequests) {
  if (request.layer === 'syntax') continue;
  test(`none of its business: ${request.title}`, async (t) => {
    t.type(parseWhole(request.text), 'object', 'the syntax is that of a head');
  });
}

test('a rejection comes with the byte that deserves it, and waits for no more', async (t) => {
  const rejected: [prefix: string, status: number][] = [
    ['\n', 400],
    ['\rG', 400],
    [' ', 400],
    ['G\x00', 400],
    ['GET  ', 400],
    ['GET /\r', 400],
    ['GET /#', 400],
    ['GET / HTTP/1.1\n', 400],
    ['GET / HTTP/1.1x', 400],
    ['GET / HTTP/2.0\r', 505],
    ['GET / HTTP/1.1\r\r', 400],
    ['GET / HTTP/1.1\r\n ', 400],
    ['GET / HTTP/1.1\r\n:', 400],
    ['GET / HTTP/1.1\r\nX ', 400],
    ['GET / HTTP/1.1\r\nX\r', 400],
    ['GET / HTTP/1.1\r\nX: \x00', 400],
    ['GET / HTTP/1.1\r\nX: 1\n', 400],
    ['GET / HTTP/1.1\r\nX: 1\r\r', 400],
    ['GET / HTTP/1.1\r\nX: 1\r\n\r\r', 400],
  ];
  for (const [prefix, status] of rejected) {
    const bytes = bytesOf(prefix);
    t.equal(parseAt(bytes, [bytes.length - 1]), INCOMPLETE, `${JSON.stringify(prefix)} without its last byte`);
    t.equal(parseAt(bytes, [bytes.length]), status, JSON.stringify(prefix));
    t.equal(parseAt(bytes, everyLength(bytes)), status, `${JSON.stringify(prefix)} byte by byte`);
  }
});

/** Whole and byte by byte: a limit that depends on how bytes arrive would be none. */
function bothWays(text: string, limits: Partial<Limits>): Outcome[] {
  const bytes = bytesOf(text);
  const all = { ...defaultLimits, ...limits };
  return [
    parseAt(bytes, [bytes.length], new HeadParser(all)),
    parseAt(bytes, everyLength(bytes), new HeadParser(all)),
  ].map((outcome) => (typeof outcome === 'object' ? 200 : outcome));
}

test('the request line: as long as its limit, and one byte longer', async (t) => {
  const line = `GET /${'x'.repeat(80)} HTTP/1.1\r\n`;
  const text = `${line}Host: a\r\n\r\n`;
  t.same(bothWays(text, { requestLineBytes: line.length }), [200, 200]);
  t.same(bothWays(text, { requestLineBytes: line.length - 1 }), [414, 414]);
  t.same(bothWays(text.slice(0, 50), { requestLineBytes: 50 }), [INCOMPLETE, INCOMPLETE], 'the limit, and no end');
  t.same(bothWays(text.slice(0, 51), { requestLineBytes: 50 }), [414, 414], 'an endless one is noticed at once');
  t.same(bothWays(`GET /${'x'.repeat(defaultLimits.requestLineBytes)}`, {}), [414, 414]);
});

test('the method: 32 bytes, and one more', async (t) => {
  t.same(bothWays(`${'M'.repeat(32)} / HTTP/1.1\r\nHost: a\r\n\r\n`, {}), [200, 200]);
  t.same(bothWays(`${'M'.repeat(33)} / HTTP/1.1\r\nHost: a\r\n\r\n`, {}), [501, 501]);
  t.same(bothWays('M'.repeat(32), {}), [INCOMPLETE, INCOMPLETE]);
  t.same(bothWays('M'.repeat(33), {}), [501, 501], 'an endless one is noticed at once');
  t.same(bothWays('M'.repeat(10), { requestLineBytes: 10 }), [INCOMPLETE, INCOMPLETE]);
  t.same(bothWays('M'.repeat(11), { requestLineBytes: 10 }), [501, 501], 'so is one that is longer than a line may be');
});

test('the head: as long as its limit, and one byte longer', async (t) => {
  const text = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(60)}\r\n\r\n`;
  t.same(bothWays(text, { headBytes: text.length }), [200, 200]);
  t.same(bothWays(text, { headBytes: text.length - 1 }), [431, 431]);
  t.same(bothWays(`${text}GET / HTTP/1.1\r\n`, { headBytes: text.length }), [200, 200], 'what follows does not count');
  t.same(bothWays(text.slice(0, 60), { headBytes: 60 }), [INCOMPLETE, INCOMPLETE], 'the limit, and no end');
  t.same(bothWays(text.slice(0, 61), { headBytes: 60 }), [431, 431], 'an endless one is noticed at once');
  t.same(bothWays(text, { headBytes: 5 }), [431, 431], 'less than a request line');
});

test('fields: as many as their limit, and one more', async (t) => {
  const withFields = (count: number) => `GET / HTTP/1.1\r\n${'X: 1\r\n'.repeat(count)}\r\n`;
  t.same(bothWays(withFields(7), { fieldCount: 7 }), [200, 200]);
  t.same(bothWays(withFields(8), { fieldCount: 7 }), [431, 431]);
  t.same(bothWays(withFields(defaultLimits.fieldCount), {}), [200, 200]);
  t.same(bothWays(withFields(defaultLimits.fieldCount + 1), {}), [431, 431]);
});

test('empty lines before: four, and one more', async (t) => {
  t.same(bothWays(`${'\r\n'.repeat(4)}GET / HTTP/1.1\r\n\r\n`, {}), [200, 200]);
  t.same(bothWays(`${'\r\n'.repeat(5)}GET / HTTP/1.1\r\n\r\n`, {}), [400, 400]);
  t.same(bothWays('\r\n'.repeat(5), {}), [400, 400], 'an endless row of them is noticed');
});

test('a limit wins over an error behind it, and an error over a limit behind it', async (t) => {
  const error = 'GET / HTTP/1.1\r\nX\r\n';
  t.same(bothWays(`${error}${'x'.repeat(100)}`, { headBytes: error.length }), [400, 400]);
  t.same(bothWays(`GET / HTTP/1.1\r\nX: ${'x'.repeat(100)}\x00`, { headBytes: 60 }), [431, 431]);
  t.same(bothWays(`GET /${'x'.repeat(100)}\x00`, { requestLineBytes: 60 }), [414, 414]);
});

test('what follows a head is left alone: the offset is that of its end', async (t) => {
  const first = 'GET /1 HTTP/1.1\r\nHost: a\r\n\r\n';
  const second = 'POST /2 HTTP/1.0\r\nX: 1\r\n\r\n';
  const bytes = bytesOf(`...${first}${second}`);
  const parser = new HeadParser(defaultLimits);
  const end = parser.parse(bytes, 3, bytes.length);
  t.equal(end, 3 + first.length);
  parser.reset();
  t.equal(parser.parse(bytes, end, bytes.length), bytes.length, 'and the next one begins there');
  t.match(outcomeOf(parser, bytes.length, bytes, end), { method: 'POST', target: '/2', fields: [['X', '1']] });
});

test('reset: nothing of one head is left in the next, however the first one ended', async (t) => {
  const valid = bytesOf('\r\nPUT /a?b HTTP/1.0\r\nA: 1\r\nB: 2\r\n\r\n');
  const expected = parseAt(valid, [valid.length]);
  const parser = new HeadParser(defaultLimits);
  for (const { title, text } of [...validRequests, ...invalidRequests]) {
    const bytes = bytesOf(text);
    for (const length of [1, bytes.length >> 1, bytes.length]) {
      parser.parse(bytes, 0, length);
      parser.reset();
      t.notOk(parser.hasBegun);
      const again = parseAt(valid, everyLength(valid), parser);
      parser.reset();
      if (JSON.stringify(again) !== JSON.stringify(expected)) t.fail(`after ${length} bytes of: ${title}`);
    }
  }
});

test('hasBegun distinguishes an idle connection from half a head', async (t) => {
  const parser = new HeadParser(defaultLimits);
  t.notOk(parser.hasBegun);
  parser.parse(Buffer.alloc(0), 0, 0);
  t.notOk(parser.hasBegun, 'without a byte no head has begun');
  parser.parse(bytesOf('G'), 0, 1);
  t.ok(parser.hasBegun);
});

/** Says which of its bytes are looked at. It is no real Uint8Array, but answers an index as one does. */
function watched(bytes: Buffer, onRead: (at: number) => void): Uint8Array {
  return new Proxy<Uint8Array>(bytes, {
    get(target, key) {
      const at = typeof key === 'string' ? Number(key) : Number.NaN;
      if (Number.isInteger(at)) onRead(at);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('no byte outside of start and end is looked at', async (t) => {
  for (const { title, text } of [...validRequests, ...invalidRequests]) {
    const bytes = bytesOf(text);
    const outside = new Set<string>();
    for (let length = 0; length <= bytes.length; length++) {
      const start = 5;
      const proxy = watched(placed(bytes, length, start), (at) => {
        if (at < start || at >= start + length) outside.add(`${at - start} of ${length}`);
      });
      new HeadParser(defaultLimits).parse(proxy, start, start + length);
    }
    if (outside.size > 0) t.fail(`${title}: looked at ${[...outside].join(', ')}`);
  }
});

/** The kinds of head in which something might be looked at again and again. */
const LARGE = 30_000;
const largeHeads: Readonly<Record<string, string>> = {
  'one long value': `GET / HTTP/1.1\r\nX: ${'x'.repeat(LARGE)}\r\n\r\n`,
  'one long name': `GET / HTTP/1.1\r\n${'x'.repeat(LARGE)}: 1\r\n\r\n`,
  'blanks before a value': `GET / HTTP/1.1\r\nX: ${' '.repeat(LARGE)}1\r\n\r\n`,
  'blanks behind a value': `GET / HTTP/1.1\r\nX: 1${' '.repeat(LARGE)}\r\n\r\n`,
  'blanks within a value': `GET / HTTP/1.1\r\nX: ${'1 '.repeat(LARGE / 2)}1\r\n\r\n`,
  'ninety fields': `GET / HTTP/1.1\r\n${`X: ${'x'.repeat(325)}\r\n`.repeat(90)}\r\n`,
  'a long target': `GET /${'x'.repeat(8_000)} HTTP/1.1\r\n\r\n`,
};

for (const [title, text] of Object.entries(largeHeads)) {
  test(`linear cost: ${title}`, async (t) => {
    const bytes = bytesOf(text);
    let reads = 0;
    const proxy = watched(bytes, () => reads++);
    t.equal(new HeadParser(defaultLimits).parse(proxy, 0, bytes.length), bytes.length);
    const whole = reads;
    reads = 0;
    const parser = new HeadParser(defaultLimits);
    let result = INCOMPLETE;
    for (let end = 1; result === INCOMPLETE && end <= bytes.length; end++) result = parser.parse(proxy, 0, end);
    t.equal(result, bytes.length);
    t.ok(whole < bytes.length * 3, `whole: ${whole} looks at ${bytes.length} bytes`);
    t.ok(reads < bytes.length * 5, `byte by byte: ${reads} looks at ${bytes.length} bytes`);
  });
}

const TOKEN = "!#$%&'*+-.^_`|~0123456789abcXYZ";
const TARGET = '/?%&=:;@!$\'()*+,-._~abcXYZ019|"<>[]{}\\^`';
const VALUE = 'abc XYZ\t,;:="\'()[]{}\x80\xa0\xff!#';

const word = (random: Random, alphabet: string, most: number) =>
  Array.from({ length: 1 + random.below(most) }, () => alphabet[random.below(alphabet.length)]).join('');

/** A head that follows the grammar in every detail, and what it says. */
function randomHead(random: Random): { text: string; expected: Outcome } {
  const method = word(random, TOKEN, 20);
  const target = word(random, TARGET, 40);
  const minorVersion = random.below(2);
  let text = `${'\r\n'.repeat(random.below(5))}${method} ${target} HTTP/1.${minorVersion}\r\n`;
  const blanks = () => word(random, ' \t', 4).slice(1);
  const fields = Array.from({ length: random.below(8) }, () => {
    const name = word(random, TOKEN, 20);
    const value = word(random, VALUE, 30).replace(/^[ \t]+|[ \t]+$/g, '');
    text += `${name}:${blanks()}${value}${blanks()}\r\n`;
    return [name, value] as const;
  });
  text += '\r\n';
  return { text, expected: { length: text.length, method, target, minorVersion, fields } };
}

/** The lengths of one to six pieces. */
function randomCuts(random: Random, length: number): number[] {
  const cuts = Array.from({ length: random.below(6) }, () => random.below(length + 1));
  return [...cuts.sort((a, b) => a - b), length];
}

test(`random heads are read back as they were made (seed ${SEED})`, async (t) => {
  const random = new Random(SEED);
  for (let i = 0; i < 5_000; i++) {
    const { text, expected } = randomHead(random);
    const outcome = parseAt(bytesOf(text), randomCuts(random, text.length));
    if (JSON.stringify(outcome) !== JSON.stringify(expected))
      t.same(outcome, expected, `${i}: ${JSON.stringify(text)}`);
  }
});

test(`random heads with a wrong byte: a head or a status, and always the same (seed ${SEED})`, async (t) => {
  const random = new Random(SEED);
  const statuses = new Map<number, number>();
  for (let i = 0; i < DAMAGED; i++) {
    const bytes = bytesOf(randomHead(random).text);
    bytes[random.below(bytes.length)] = random.below(256);
    const whole = parseAt(bytes, [bytes.length]);
    const inPieces = parseAt(bytes, randomCuts(random, bytes.length));
    if (JSON.stringify(whole) !== JSON.stringify(inPieces)) t.same(inPieces, whole, JSON.stringify(`${bytes}`));
    const status = typeof whole === 'object' ? 200 : whole;
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  const allowed = [200, 400, 501, 505];
  t.same(
    [...statuses.keys()].filter((status) => !allowed.includes(status)),
    [],
    'no other outcome',
  );
  for (const status of [200, 400])
    t.ok((statuses.get(status) ?? 0) > DAMAGED / 20, `${statuses.get(status)} times ${status}`);
});

test('what is accepted is safe: no control byte is part of anything that a handler sees', async (t) => {
  for (let byte = 0; byte < 256; byte++) {
    const at = (before: string, after: string) => parseWhole(`${before}${String.fromCharCode(byte)}${after}`);
    const isControl = (byte < 0x20 && byte !== 0x09) || byte === 0x7f;
    const inValue = at('GET / HTTP/1.1\r\nX: a', 'b\r\n\r\n');
    t.equal(typeof inValue === 'object', !isControl, `0x${byte.toString(16)} in a value`);
    const inTarget = at('GET /a', 'b HTTP/1.1\r\n\r\n');
    t.equal(
      typeof inTarget === 'object',
      byte > 0x20 && byte < 0x7f && byte !== 0x23,
      `0x${byte.toString(16)} in a target`,
    );
  }
});

test('the results that are not offsets have their numbers', async (t) => {
  t.same([INCOMPLETE, BAD_REQUEST, TOO_LARGE], [0, -400, -431]);
});
