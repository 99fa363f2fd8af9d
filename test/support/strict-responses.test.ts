/**
 * The strict reader of responses: it reads the same however the bytes are cut, and each of its rules refuses the fault that it is for.
 */

import { isDeepStrictEqual } from 'node:util';
import { test } from 'tap';
import { type StrictResponse, StrictResponseReader } from './strict-responses.ts';

const DATE = 'Date: Sun, 06 Nov 1994 08:49:37 GMT';
const HELLO = `HTTP/1.1 200 OK\r\n${DATE}\r\nContent-Length: 5\r\n\r\nhello`;
const CHUNKED = `HTTP/1.1 404 Not Found\r\n${DATE}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123\r\n6789\r\n0\r\nT: 1\r\nT-2: \r\n\r\n`;
const UNNAMED = `HTTP/1.1 599 \r\n${DATE}\r\nX-A: \xe4 b\t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
const TO_HEAD = `HTTP/1.1 200 OK\r\n${DATE}\r\nContent-Length: 14\r\n\r\n`;
const BODYLESS = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n${DATE}\r\n\r\nHTTP/1.1 304 Not Modified\r\n${DATE}\r\nContent-Length: 9\r\n\r\n`;
const CLOSING = `HTTP/1.1 200 OK\r\n${DATE}\r\nConnection: close\r\n\r\nto the end\r\n\r\n`;

interface Result {
  readonly responses: StrictResponse[];
  readonly isInside: boolean;
  readonly rest: string;
}

/** Reads the pieces up to each of `cuts`, then the rest. The responses to requests of which `heads` has the index have no body. */
function read(text: string, cuts: readonly number[], heads: readonly number[] = []): Result {
  const responses: StrictResponse[] = [];
  const finals = () => responses.filter(({ status }) => status >= 200).length;
  const reader = new StrictResponseReader(
    () => heads.includes(finals()),
    (response) => responses.push(response),
  );
  const bytes = Buffer.from(text, 'latin1');
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    const piece = Buffer.from(bytes.subarray(at, cut));
    reader.push(piece);
    piece.fill('!'); // the client reuses its buffer
    at = cut;
  }
  reader.end();
  return { responses, isInside: reader.isInside, rest: reader.rest.toString('latin1') };
}

/** Ways to cut a text: in two at each place, and byte by byte. */
function cutsOf(text: string): number[][] {
  const places = Array.from(text, (_, i) => i).slice(1);
  return [...places.map((place) => [place]), places];
}

const texts: Readonly<Record<string, { text: string; heads?: number[] }>> = {
  'all framings': { text: HELLO + CHUNKED + UNNAMED + BODYLESS + HELLO + TO_HEAD + CLOSING, heads: [6] },
  'an end within a head': { text: HELLO + HELLO.slice(0, 30) },
  'an end within a body': { text: HELLO.slice(0, -1) },
  'an end within a chunk': { text: CHUNKED.slice(0, CHUNKED.indexOf('6789')) },
  'an end within the trailers': { text: CHUNKED.slice(0, -1) },
  'another protocol': {
    text: 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\nHTTP/1.1 is not spoken\r\n\r\n',
  },
};

test('the result is the same for each place where the bytes are cut', async (t) => {
  for (const [name, { text, heads }] of Object.entries(texts)) {
    const whole = read(text, [], heads);
    const differing = cutsOf(text).filter((cuts) => !isDeepStrictEqual(read(text, cuts, heads), whole));
    t.same(differing, [], name);
  }
});

test('the reader returns what the responses say', async (t) => {
  const { responses, isInside, rest } = read(texts['all framings']!.text, [], [6]);
  t.same({ isInside, rest }, { isInside: false, rest: '' });
  t.same(
    responses.map(({ status, framing, body }) => `${status} ${framing} ${body}`),
    [
      '200 length hello',
      '404 chunked abc0123\r\n6789',
      '599 chunked ',
      '100 none ',
      '204 none ',
      '304 none ',
      '200 length hello',
      '200 none ',
      '200 close to the end\r\n\r\n',
    ],
  );
  t.same(responses[1]?.chunks, [3, 10]);
  t.same(responses[1]?.trailers, ['T: 1', 'T-2: ']);
  t.same([responses[0]?.reason, responses[2]?.reason], ['OK', '']);
  t.same(responses[2]?.fields, [DATE, 'X-A: \xe4 b\t', 'Transfer-Encoding: chunked']);
  t.same(responses[0]?.chunks, []);
  t.same(responses[3]?.trailers, [], 'the trailers of one response are not those of the next');
  for (const name of Object.keys(texts).filter((each) => each.startsWith('an end'))) {
    t.equal(read(texts[name]!.text, []).isInside, true, name);
  }
  t.equal(read(texts['another protocol']!.text, []).rest, 'HTTP/1.1 is not spoken\r\n\r\n');
});

/** Plants a fault in a response. */
function plant(text: string, right: string, wrong: string): string {
  if (!text.includes(right)) throw new Error(`${JSON.stringify(right)} is not in the response`);
  return text.replace(right, wrong);
}

const BOTH = 'Content-Length: 5\r\nTransfer-Encoding: chunked';

/** Rule -> what it says, and texts that break it alone. */
const faults: readonly (readonly [rule: string, says: RegExp, texts: readonly string[]])[] = [
  [
    'a status line has a version of HTTP, a status and a blank',
    /not a response/,
    [
      'SSH-2.0\r\n\r\n',
      '\r\n\r\n',
      '1.1 200 OK',
      'HTTP/2.0 200 OK',
      'HTTP/1.1 20 OK',
      'HTTP/1.1 200',
      'HTTP/1.1  200 OK',
    ].map((line) => plant(HELLO, 'HTTP/1.1 200 OK', line)),
  ],
  [
    'a status line is written in one way',
    /not a status line/,
    [
      'HTTP/1.0 200 OK',
      'HTTP/1.1 600 No',
      'HTTP/1.1 000 No',
      'HTTP/1.1 200 O\tK',
      'HTTP/1.1 200 \xe4',
      'HTTP/1.1 200 O\rK',
      'HTTP/1.1 200 O\nK',
    ].map((line) => plant(HELLO, 'HTTP/1.1 200 OK', line)),
  ],
  [
    'a field has a token, a colon, a blank and a value',
    /not a field/,
    ['X', ' X: a', 'X : a', ': a', 'X:a', 'X:\ta', '\xe4: a', 'X: a\nb', 'X: a\rb', 'X: a\0', 'X: a\x7f'].map((line) =>
      plant(HELLO, DATE, `${DATE}\r\n${line}`),
    ),
  ],
  [
    'a trailer is a field',
    /not a field/,
    ['T', 'T : 1', 'T:1', ' T: 1', 'T: \n'].map((line) => plant(CHUNKED, 'T: 1', line)),
  ],
  [
    'a body is framed once',
    /framed twice/,
    [
      plant(HELLO, 'Content-Length: 5', BOTH),
      plant(HELLO, 'Content-Length: 5', 'Content-Length: 5\r\ncontent-length: 5'),
      plant(CHUNKED, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'),
      plant(BODYLESS, 'Content-Length: 9', BOTH),
    ],
  ],
  [
    'a length is made of digits',
    /not a Content-Length/,
    ['', '5, 5', '+5', '-5', '5.0', '0x5', '5e0', 'five'].map((length) => plant(HELLO, ': 5', `: ${length}`)),
  ],
  ['chunked is spelled in one way', /a coding/, [plant(CHUNKED, ': chunked', ': Chunked')]],
  [
    'chunked is the one coding',
    /neither chunked|a coding/,
    ['gzip', 'gzip, chunked', 'identity', ''].map((coding) => plant(CHUNKED, ': chunked', `: ${coding}`)),
  ],
  [
    'a coding that frames nothing is refused as well',
    /a coding/,
    [plant(BODYLESS, 'Content-Length: 9', 'Transfer-Encoding: gzip')],
  ],
  [
    'a body without an end ends the connection',
    /the connection goes on/,
    [plant(CLOSING, 'Connection: close', 'X: a'), plant(CLOSING, 'close', 'keep-alive')],
  ],
  [
    'and says so in one way',
    /on a connection that goes on/,
    [plant(CLOSING, 'close', 'Close'), plant(CLOSING, 'close', 'CLOSE')],
  ],
  [
    'a final response has one Date',
    /one Date/,
    [
      plant(HELLO, DATE, 'X: a'),
      plant(HELLO, DATE, `${DATE}\r\n${DATE}`),
      plant(HELLO, DATE, `${DATE}\r\ndate: now`),
      plant(BODYLESS, DATE, 'X: a'),
    ],
  ],
  [
    'the size of a chunk is lower-case and nothing else',
    /not a chunk size/,
    ['A', '0A', '0xa', ' a', 'a ', 'a;b', 'a;b=c', '+a', '-a', '', '00000000a', 'x'].map((size) =>
      plant(CHUNKED, '\r\na\r\n', `\r\n${size}\r\n`),
    ),
  ],
  [
    'the last size, too',
    /not a chunk size/,
    ['0;a', ' 0', '000000000', '-0'].map((size) => plant(CHUNKED, '\r\n0\r\n', `\r\n${size}\r\n`)),
  ],
  [
    'a chunk ends in CRLF',
    /does not end in CRLF/,
    ['abcd', 'abc\n', 'ab', 'abc\r'].map((chunk) => plant(CHUNKED, 'abc', chunk)),
  ],
  [
    'nothing stands behind the last response',
    /behind the last/,
    ['x', '\r\n', 'HTTP/1.1 100 Continue\r\n\r\n', HELLO, TO_HEAD].map(
      (more) => plant(HELLO, DATE, `${DATE}\r\nConnection: close`) + more,
    ),
  ],
];

/** What the reader says against the text; '' for nothing. */
function refusalOf(text: string, cuts: readonly number[]): string {
  try {
    read(text, cuts);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

test('each rule refuses its fault, wherever the bytes are cut', async (t) => {
  for (const [rule, says, texts] of faults) {
    for (const text of texts) {
      const saysNot = [[], ...cutsOf(text)].filter((cuts) => !says.test(refusalOf(text, cuts)));
      t.same(saysNot, [], `${rule}: ${JSON.stringify(text)}`);
    }
  }
});
