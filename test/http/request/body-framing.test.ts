/** framingOf: RFC 9112 section 6.3, as a table. */

import { test } from 'tap';
import { CHUNKED, framingOf, isRefusal, NO_BODY } from '../../../http/request/body-framing.ts';
import { cpuMsOf } from '../../support/machine-time.ts';

const LIMIT = 1_000_000;

/** A length, NO_BODY, CHUNKED; or 'refused' and a status, which cannot be taken for a length. */
function framing(lengths: string[], codings: string[], minorVersion = 1, bodyBytes = LIMIT): number | string {
  const result = framingOf(lengths, codings, minorVersion, bodyBytes);
  return isRefusal(result) ? `refused ${result.status}` : result;
}

test('neither field: no body', async (t) => {
  t.equal(framing([], []), NO_BODY);
  t.equal(framing([], [], 0), NO_BODY);
  t.not(NO_BODY, CHUNKED);
  t.ok(NO_BODY < 0 && CHUNKED < 0, 'neither is a length');
});

const lengths: [values: string[], expected: number | string][] = [
  [['0'], 0],
  [['5'], 5],
  [['1000000'], 1_000_000],
  [['0005'], 5],
  [['000'], 0],
  [[`${'0'.repeat(500)}5`], 5],
  // Repeated and equal: a proxy may have merged two fields, RFC 9110 section 8.6.
  [['5, 5'], 5],
  [['5,5,\t5'], 5],
  [['5', '5'], 5],
  // Different in any way.
  [['5', '6'], 'refused 400'],
  [['5, 6'], 'refused 400'],
  [['5, 5, 6'], 'refused 400'],
  [['5', '05'], 'refused 400'],
  [['0', '00'], 'refused 400'],
  [['5', ''], 'refused 400'],
  [['', '5'], 'refused 400'],
  [['5,'], 'refused 400'],
  [[',5'], 'refused 400'],
  // No 1*DIGIT.
  ...[
    '',
    ' ',
    '+5',
    '-5',
    '-0',
    '0x5',
    '5h',
    '5 5',
    '5.0',
    '5.',
    '.5',
    '1e1',
    '1_000',
    '1,000',
    "1'000",
    'five',
    'Infinity',
    'NaN',
  ].map((value): [string[], string] => [[value], 'refused 400']),
  // What some programs take for a digit or a blank, as bytes and as characters.
  ...[
    '\xb2',
    '\xd9\xa5',
    '\u0665',
    '\uff15',
    '\xa05',
    '5\xa0',
    '\ufeff5',
    '5\u2003',
    '\x0b5',
    '5\x0c',
    '5\n',
    '\x005',
  ].map((value): [string[], string] => [[value], 'refused 400']),
];

for (const [values, expected] of lengths) {
  test(`Content-Length ${JSON.stringify(values).slice(0, 60)}: ${expected}`, async (t) => {
    t.equal(framing(values, []), expected);
    t.equal(framing(values, [], 0), expected, 'in HTTP/1.0, too');
  });
}

test('the limit, and one more', async (t) => {
  for (const limit of [1, 9, 10, 99, 100, LIMIT, Number.MAX_SAFE_INTEGER]) {
    t.equal(framing([String(limit)], [], 1, limit), limit, `${limit} of ${limit}`);
    t.equal(framing([`000${limit}`], [], 1, limit), limit, `000${limit} of ${limit}`);
    t.equal(framing([String(BigInt(limit) + 1n)], [], 1, limit), 'refused 413', `one more than ${limit}`);
    t.equal(framing([`${limit}0`], [], 1, limit), 'refused 413', `ten times ${limit}`);
  }
});

test('no precision is lost above 2 ** 53', async (t) => {
  // As a number each of these is 9007199254740992, and the two of a pair are equal.
  t.equal(framing(['9007199254740992', '9007199254740993'], []), 'refused 400');
  t.equal(framing(['9007199254740993'], [], 1, Number.MAX_SAFE_INTEGER), 'refused 413');
  t.equal(framing(['18446744073709551616'], []), 'refused 413', '2 ** 64, which wraps around to 0');
  t.equal(framing(['4294967301'], []), 'refused 413', '2 ** 32 + 5, which wraps around to 5');
  t.equal(framing(['9'.repeat(10_000)], []), 'refused 413');
});

test('without a limit, lengths go up to what a number holds exactly', async (t) => {
  const none = Number.POSITIVE_INFINITY;
  t.equal(framing(['5'], [], 1, none), 5);
  t.equal(framing(['100000000'], [], 1, none), 100_000_000, 'more digits than "Infinity" has letters');
  t.equal(framing([String(Number.MAX_SAFE_INTEGER)], [], 1, none), Number.MAX_SAFE_INTEGER);
  t.equal(framing(['9007199254740993'], [], 1, none), 'refused 413');
});

const codings: [values: string[], expected: number | string][] = [
  [['chunked'], CHUNKED],
  [['Chunked'], CHUNKED],
  [['CHUNKED'], CHUNKED],
  [[' \tchunked\t '], CHUNKED],
  // Not last, twice, in two fields.
  [['chunked, gzip'], 'refused 400'],
  [['chunked', 'gzip'], 'refused 400'],
  [['chunked, chunked'], 'refused 400'],
  [['chunked', 'chunked'], 'refused 400'],
  [['gzip, chunked, chunked'], 'refused 400'],
  [['chunked, identity'], 'refused 400'],
  // Empty, or with junk.
  ...[
    '',
    ' ',
    ',',
    'chunked,',
    ',chunked',
    'chunked;',
    'chunked;q=1',
    '"chunked"',
    'chunked chunked',
    'chunked\x00',
  ].map((value): [string[], string] => [[value], 'refused 400']),
  [['', 'chunked'], 'refused 400'],
  [['chunked', ''], 'refused 400'],
  // What String.trim takes for blanks, and what looks like a letter.
  ...['\xa0chunked', 'chunked\xa0', '\ufeffchunked', '\x0bchunked', 'chunked\x0c', '\n chunked'].map(
    (value): [string[], string] => [[value], 'refused 400'],
  ),
  // Any other coding.
  ...['gzip', 'identity', 'gzip, chunked', 'identity, chunked', 'xchunked', 'chunkedx', 'chunked-x', 'x'].map(
    (value): [string[], string] => [[value], 'refused 501'],
  ),
  [['gzip', 'chunked'], 'refused 501'],
];

for (const [values, expected] of codings) {
  test(`Transfer-Encoding ${JSON.stringify(values)}: ${expected}`, async (t) => {
    t.equal(framing([], values), expected);
    t.equal(framing([], values, 0), 'refused 400', 'none of them in HTTP/1.0, RFC 9112 section 6.1');
    t.equal(framing(['5'], values), 'refused 400', 'none of them together with Content-Length');
    t.equal(framing([''], values), 'refused 400', 'nor with an empty one');
  });
}

test('a refusal says why', async (t) => {
  const refusal = framingOf(['99'], [], 1, 5);
  t.same(refusal, { status: 413, reason: 'a body of more than 5 bytes' });
});

test('it costs no more for a value of blanks or commas than for any other', async (t) => {
  const hostile = [`5${' '.repeat(30_000)}6`, `5${','.repeat(30_000)}`, `5${' ,'.repeat(15_000)}`, ' '.repeat(30_000)];
  const tookMs = await cpuMsOf(() => {
    for (const value of hostile) {
      t.equal(framing([value], []), 'refused 400');
      t.equal(framing([], [value]), 'refused 400');
    }
  });
  t.ok(tookMs < 300, `${Math.round(tookMs)} ms for eight values of 30 KB`);
});
