/** Body decoders: where a body ends, to the byte, however its bytes arrive; and what is no body. */

import { type Test, test } from 'tap';
import { HttpError } from '../../../http/http-error.ts';
import { defaultLimits, type Limits } from '../../../http/limits.ts';
import { type BodyDecoder, ChunkedDecoder, LengthDecoder } from '../../../http/request/body-decoder.ts';
import { Random } from '../../simulation/random.ts';
import { invalidRequests, validRequests } from './corpus.ts';

const SEED = Number(process.env.SEED ?? 1);

/** What follows on the connection: none of it may be consumed. */
const NEXT = 'GET /next HTTP/1.1\r\nHost: a\r\n\r\n';

interface Decoded {
  readonly body: string;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  /** How many bytes were consumed when it was done; -1 where it never was. */
  readonly end: number;
}

/** Decodes with one call for each piece, each in a buffer of its own that is wiped afterwards. Or the status. */
function decode(decoder: BodyDecoder, text: string, ends: readonly number[]): Decoded | number {
  const bytes = Buffer.from(text, 'latin1');
  let body = '';
  let from = 0;
  for (const to of ends) {
    const margin = (to * 5) % 7;
    const piece = Buffer.alloc(margin + to - from + 3, '\r\n0\r\n\r\n');
    bytes.copy(piece, margin, from, to);
    let used: number;
    try {
      used = decoder.decode(piece, margin, margin + to - from, (start, end) => {
        body += piece.toString('latin1', start, end);
      });
    } catch (error) {
      if (error instanceof HttpError) return error.status;
      throw error;
    }
    piece.fill('!');
    if (decoder.isDone) return { body, trailers: [...decoder.trailers], end: from + used - margin };
    if (used !== margin + to - from) throw new Error(`not done, and ${used} of ${margin + to - from} used`);
    from = to;
  }
  return { body, trailers: [...decoder.trailers], end: -1 };
}

const chunked = (limits: Partial<Limits> = {}) => new ChunkedDecoder({ ...defaultLimits, ...limits });
const everyEnd = (text: string) => Array.from({ length: text.length }, (_, i) => i + 1);

/** Two cuts that are close meet in one line. Of others one in so many is tried, and in splits.long.ts each. */
const CLOSE = 12;
const STRIDE = Number(process.env.STRIDE ?? 7);
const DAMAGED = Number(process.env.DAMAGED ?? 5_000);

/** Whole, byte by byte, cut at pairs of offsets, with and without something behind: always the same. */
function agreesInEveryWay(t: Test, create: () => BodyDecoder, text: string, expected: Decoded | number): void {
  for (const wire of [text, text + NEXT]) {
    const behind = wire === text ? '' : ', with a request behind';
    t.same(decode(create(), wire, [wire.length]), expected, `whole${behind}`);
    t.same(decode(create(), wire, everyEnd(wire)), expected, `byte by byte${behind}`);
    const wanted = JSON.stringify(expected);
    let wrong: number[] | null = null;
    for (let i = 0; i < wire.length && wrong === null; i++) {
      for (let j = i + 1; j <= wire.length && wrong === null; j += j < i + CLOSE ? 1 : STRIDE) {
        if (JSON.stringify(decode(create(), wire, [i, j, wire.length])) !== wanted) wrong = [i, j];
      }
    }
    t.equal(wrong, null, `cut at pairs of offsets${behind}`);
  }
}

const unexpected = () => {
  throw new Error('there is no body to hand over');
};

const bodyOf = (text: string) => text.slice(text.indexOf('\r\n\r\n', 4) + 4);

for (const { title, text, body, trailers } of validRequests) {
  if (!/^transfer-encoding:/im.test(text)) continue;
  const wire = bodyOf(text);
  test(`chunked: ${title}`, async (t) => {
    agreesInEveryWay(t, chunked, wire, { body: body as string, trailers, end: wire.length });
    const early = everyEnd(wire.slice(0, -1)).find((n) => (decode(chunked(), wire, [n]) as Decoded).end !== -1);
    t.equal(early, undefined, 'nothing but the whole is a body');
  });
}

for (const { title, text, status, layer } of invalidRequests) {
  if (layer !== 'body') continue;
  test(`no chunked body: ${title}`, async (t) => agreesInEveryWay(t, chunked, bodyOf(text), status));
}

test('a body by its length', async (t) => {
  for (const length of [1, 2, 5, 26]) {
    const body = 'abcdefghijklmnopqrstuvwxyz'.slice(0, length);
    agreesInEveryWay(t, () => new LengthDecoder(length), body, { body, trailers: [], end: length });
  }
  const none = new LengthDecoder(0);
  t.ok(none.isDone, 'a length of 0 is done before it begins');
  t.equal(none.decode(Buffer.from(NEXT), 3, 9, unexpected), 3, 'and takes nothing');
});

test('what is done takes nothing more', async (t) => {
  const bytes = Buffer.from('1\r\na\r\n0\r\n\r\n1\r\nb\r\n0\r\n\r\n');
  for (const decoder of [chunked(), new LengthDecoder(11)]) {
    t.equal(
      decoder.decode(bytes, 0, bytes.length, () => {}),
      11,
    );
    t.ok(decoder.isDone);
    t.equal(decoder.decode(bytes, 11, bytes.length, unexpected), 11);
  }
});

test('the body is handed over where it lies, in stretches that are never empty', async (t) => {
  const bytes = Buffer.from('....3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n....');
  const stretches: string[] = [];
  const end = chunked().decode(bytes, 4, bytes.length, (from, to) =>
    stretches.push(bytes.toString('latin1', from, to)),
  );
  t.same(stretches, ['abc', 'de']);
  t.equal(end, bytes.length - 4);
  const none: number[] = [];
  new LengthDecoder(5).decode(bytes, 4, 4, (from, to) => none.push(from, to));
  chunked().decode(bytes, 4, 4, (from, to) => none.push(from, to));
  t.same(none, [], 'no bytes, no stretch');
});

/** 200 or the status, whole and byte by byte. */
function bothWays(text: string, limits: Partial<Limits>): number[] {
  return [[text.length], everyEnd(text)].map((ends) => {
    const result = decode(chunked(limits), text, ends);
    if (typeof result === 'number') return result;
    return result.end === text.length ? 200 : 0;
  });
}

test('the limit of a body, and one byte more', async (t) => {
  const limits = { bodyBytes: 5 };
  t.same(bothWays('5\r\nabcde\r\n0\r\n\r\n', limits), [200, 200]);
  t.same(bothWays('6\r\nabcdef\r\n0\r\n\r\n', limits), [413, 413]);
  t.same(bothWays('2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n', limits), [200, 200], 'in several chunks');
  t.same(bothWays('2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n', limits), [413, 413], 'in several chunks');
  t.same(bothWays('6\r\n', limits), [413, 413], 'noticed by the size, before any of the data');
  t.same(bothWays('20000000000001\r\n', { bodyBytes: Number.MAX_SAFE_INTEGER }), [413, 413], '2 ** 53 + 1');
});

test('the limit of extensions, all of them together, and one byte more', async (t) => {
  const limits = { chunkExtensionBytes: 6 };
  t.same(bothWays('1;abcde\r\na\r\n0\r\n\r\n', limits), [200, 200]);
  t.same(bothWays('1;abcdef\r\na\r\n0\r\n\r\n', limits), [413, 413]);
  t.same(bothWays('1;ab\r\na\r\n1;ab\r\na\r\n0\r\n\r\n', limits), [200, 200], 'in two chunks');
  t.same(bothWays('1;ab\r\na\r\n1;abc\r\na\r\n0\r\n\r\n', limits), [413, 413], 'in two chunks');
  t.same(bothWays('1;ab\r\na\r\n0;abc\r\n\r\n', limits), [413, 413], 'the last chunk counts, too');
  t.same(bothWays(`1;x="${'y'.repeat(20)}`, limits), [413, 413], 'an endless one is noticed');
  t.same(bothWays(`1${' '.repeat(20)}`, limits), [413, 413], 'endless blanks are noticed');
  t.same(bothWays(`1;${'x'.repeat(defaultLimits.chunkExtensionBytes - 1)}\r\na\r\n0\r\n\r\n`, {}), [200, 200]);
  t.same(bothWays(`1;${'x'.repeat(defaultLimits.chunkExtensionBytes)}\r\na\r\n0\r\n\r\n`, {}), [413, 413]);
});

test('the limit of trailer bytes, and one more', async (t) => {
  const trailers = 'X: 1\r\nY: 2\r\n\r\n';
  t.same(bothWays(`0\r\n${trailers}`, { trailerBytes: trailers.length }), [200, 200]);
  t.same(bothWays(`0\r\n${trailers}`, { trailerBytes: trailers.length - 1 }), [431, 431]);
  t.same(bothWays(`0\r\nX: ${'x'.repeat(99)}`, { trailerBytes: 50 }), [431, 431], 'endless ones are noticed');
});

test('the limit of trailer fields, and one more', async (t) => {
  t.same(bothWays(`0\r\n${'X: 1\r\n'.repeat(3)}\r\n`, { fieldCount: 3 }), [200, 200]);
  t.same(bothWays(`0\r\n${'X: 1\r\n'.repeat(4)}\r\n`, { fieldCount: 3 }), [431, 431]);
});

test('the digits of a size: sixteen, and one more', async (t) => {
  t.same(bothWays(`${'0'.repeat(15)}1\r\na\r\n0\r\n\r\n`, {}), [200, 200]);
  t.same(bothWays(`${'0'.repeat(16)}1\r\na\r\n0\r\n\r\n`, {}), [400, 400]);
  t.same(bothWays('0'.repeat(17), {}), [400, 400], 'an endless number is noticed');
});

test('every byte that is not a digit ends a size or is refused', async (t) => {
  for (let byte = 0; byte < 256; byte++) {
    const text = String.fromCharCode(byte);
    const result = decode(chunked(), `${text}\r\n`, [3]);
    t.equal(typeof result === 'object', /[0-9a-f]/i.test(text), `0x${byte.toString(16)}`);
  }
});

test('trailers are there when the body is done, and not before', async (t) => {
  const decoder = chunked();
  const bytes = Buffer.from('0\r\nX: 1\r\n\r\n');
  decoder.decode(bytes, 0, bytes.length - 1, unexpected);
  t.notOk(decoder.isDone);
  t.equal(decoder.trailers.size, 0);
  decoder.decode(bytes, bytes.length - 1, bytes.length, unexpected);
  t.ok(decoder.isDone);
  t.equal(decoder.trailers.get('x'), '1');
});

test('a size that came before a rejected one has been handed over', async (t) => {
  const bytes = Buffer.from('2\r\nab\r\nx\r\n');
  let body = '';
  const decoder = chunked();
  const onBody = (from: number, to: number) => {
    body += bytes.toString('latin1', from, to);
  };
  t.throws(() => decoder.decode(bytes, 0, bytes.length, onBody), { name: 'HttpError', status: 400 });
  t.equal(body, 'ab');
  t.notOk(decoder.isDone);
});

test(`random bodies come back as they were cut into chunks (seed ${SEED})`, async (t) => {
  const random = new Random(SEED);
  const text = (most: number) =>
    Array.from({ length: random.below(most) }, () => String.fromCharCode(random.below(256))).join('');
  const extensions = ['', '', '', ';a', ' ; a = b', ';a="\\""', ';a=1;b="c;d"', '\t;\tx'];
  for (let i = 0; i < 3_000; i++) {
    let body = '';
    let wire = '';
    for (let chunks = random.below(6); chunks > 0; chunks--) {
      const chunk = text(40) || 'x';
      body += chunk;
      wire += `${'0'.repeat(random.below(3))}${chunk.length.toString(16)}${random.pick(extensions)}\r\n${chunk}\r\n`;
    }
    const trailers = Array.from({ length: random.below(3) }, (_, n) => [`T${n}`, String(random.below(1000))] as const);
    wire += `0${random.pick(extensions)}\r\n${trailers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
    const all = wire + text(40);
    const cuts = Array.from({ length: random.below(6) }, () => random.below(all.length + 1)).sort((a, b) => a - b);
    const decoded = decode(chunked(), all, [...cuts, all.length]);
    const expected = { body, trailers, end: wire.length };
    if (JSON.stringify(decoded) !== JSON.stringify(expected)) t.same(decoded, expected, `${i}: ${JSON.stringify(all)}`);
  }
});

test(`random bodies with a wrong byte: a body, a status or a wait, and always the same (seed ${SEED})`, async (t) => {
  const random = new Random(SEED);
  const seeds = validRequests.filter(({ text }) => /^transfer-encoding:/im.test(text)).map(({ text }) => bodyOf(text));
  const outcomes = new Set<string>();
  for (let i = 0; i < DAMAGED; i++) {
    const bytes = Buffer.from(random.pick(seeds), 'latin1');
    bytes[random.below(bytes.length)] = random.below(256);
    const text = bytes.toString('latin1');
    const whole = decode(chunked(), text, [text.length]);
    const cut = random.below(text.length);
    const inPieces = decode(chunked(), text, [cut, text.length]);
    if (JSON.stringify(whole) !== JSON.stringify(inPieces)) t.same(inPieces, whole, JSON.stringify(text));
    if (typeof whole === 'number') outcomes.add(String(whole));
    else outcomes.add(whole.end === -1 ? 'wait' : 'body');
  }
  outcomes.delete('413'); // a digit more is a larger size
  t.same([...outcomes].sort(), ['400', 'body', 'wait']);
});
