/**
 * The language of the transcripts, and the corpus itself: a golden file with a typing error tests nothing.
 */

import { test } from 'tap';
import { type Answer, asLines, compareAnswers, faultOfLastWords, Pattern, quote } from './answer.ts';
import { sideBySide } from './conversation.ts';
import {
  answersOf,
  bytesOf,
  type Case,
  isValid,
  parseTranscripts,
  readCorpus,
  requestsOf,
  SMUGGLED,
  validRequests,
} from './transcript.ts';

const NOW = Date.parse('Sun, 06 Nov 1994 08:49:37 GMT');
const DATE = 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n';

function parseOne(text: string): Case {
  const [one] = parseTranscripts('test', `== a case\n${text}\n`).cases;
  if (one === undefined) throw new Error('no case');
  return one;
}

function sent(text: string): string {
  return bytesOf(parseOne(text)).toString('latin1');
}

function compare(expected: string, actual: string, isEnded = false): string {
  const answers: Answer[] = answersOf(parseOne(expected));
  const received = { bytes: Buffer.from(actual, 'latin1'), isEnded, now: NOW };
  const comparison = compareAnswers(answers, received, 0);
  return comparison.kind === 'match' ? `match of ${comparison.length}` : comparison.kind;
}

test('what is sent', async (t) => {
  t.equal(sent('> GET /\n>'), 'GET /\r\n\r\n');
  t.equal(sent('> abc\\'), 'abc');
  t.equal(sent('> abc\\\\'), 'abc\\\r\n', 'an escaped backslash is none at the end of a line');
  t.equal(sent('> \\r\\n\\t\\0\\x41\\xff\\\\\\'), '\r\n\t\0A\xff\\');
  t.equal(sent('> a{"b\\n" * 3}c'), 'ab\nb\nb\nc\r\n');
  t.equal(sent('> {"a":1}'), '{"a":1}\r\n', 'JSON is not a repetition');
});

test('steps', async (t) => {
  const one = parseOne('> a\n> b\n! wait 5 ms\n> c\n! half-close\n< HTTP/1.1 200 OK\n<\n< HTTP/1.1 200 OK\n<\n! close');
  t.same(
    one.steps.map((step) => step.kind),
    ['send', 'wait', 'send', 'half-close', 'expect'],
  );
  t.equal(answersOf(one).length, 2);
  t.equal(one.ending.kind, 'close');
  t.equal(parseOne('> a').ending.kind, 'open');
  t.same(parseOne('! drip 2 bytes every 3 ms\n> a').steps, [
    { kind: 'drip', bytes: Buffer.from('a\r\n'), size: 2, everyMs: 3 },
  ]);
  t.same(parseOne('> a\n! never "x\\r"\n! between 1 and 2 ms').never, [Buffer.from('x\r')]);
});

test('a rejected message is followed by one that must not be answered', async (t) => {
  const one = parseOne('> a\n! reject 400 or 505');
  t.equal(bytesOf(one).toString(), `a\r\n${SMUGGLED}`);
  t.equal(one.ending.kind, 'close');
  t.equal(one.isRejected, true);
  const [answer] = answersOf(one);
  t.equal(answer?.statusLine.text, 'HTTP/1.1 {400 Bad Request|505 HTTP Version Not Supported}');
  t.equal(bytesOf(parseOne('> a\n! answer 408 and close')).toString(), 'a\r\n');
});

test('settings stand before the first case', async (t) => {
  const file = parseTranscripts('test', '# hello\n! with limits.bodyBytes = 5\n\n! with timeouts.idleMs = 6\n');
  t.same(file.settings, { limits: { bodyBytes: 5 }, timeouts: { idleMs: 6 } });
});

test('typing errors name their line', async (t) => {
  const wrong: Readonly<Record<string, RegExp>> = {
    '> a ': /:2: white space/,
    '>a': /what is this/,
    '> \\q': /no such escape/,
    '> caf\u00e9': /\\xHH/,
    '! jump': /no such directive/,
    '< hello': /begins with its status line/,
    '< HTTP/1.1 200 OK': /lacks the empty line/,
    '< HTTP/1.1 200 OK\n< Nonsense\n<': /:3: not a field/,
    '< HTTP/1.1 200 OK\n<~ x\n<': /before the head is over/,
    '< HTTP/1.1 200 OK\n<\n<..': /belongs into a head/,
    '< HTTP/1.1 200 OK\n<\n< {body}\n< x': /the whole body/,
    '! close\n> a': /has ended above/,
    '! reject 400': /nothing was sent/,
    '> a\n! reject 499': /no reason phrase/,
    '! maybe\n> a': /maybe what/,
    '! drip 1 byte every 1 ms': /drip what/,
    '': /does nothing/,
  };
  for (const [text, message] of Object.entries(wrong)) t.throws(() => parseOne(text), { message }, text);
  t.throws(() => parseTranscripts('test', '> a'), { message: /before the first case/ });
  t.throws(() => parseTranscripts('test', '== a\n> a\n== a\n> a\n'), { message: /two cases/ });
});

test('patterns', async (t) => {
  const matches = (pattern: string, text: string): boolean => new Pattern(pattern).matches(text, NOW);
  t.ok(matches('a.b', 'a.b'));
  t.notOk(matches('a.b', 'axb'));
  t.ok(matches('{any} b', 'what ever b'));
  t.ok(matches('{number}', '42'));
  t.notOk(matches('{number}', '4x'));
  t.ok(matches('json{|; charset=utf-8}', 'json'));
  t.ok(matches('json{|; charset=utf-8}', 'json; charset=utf-8'));
  t.notOk(matches('json{|; charset=utf-8}', 'json;'));
  t.ok(matches('{list with A, B}', 'B,C, A'));
  t.notOk(matches('{list with A, B}', 'AB, A'));
  t.ok(matches('{date}', 'Sun, 06 Nov 1994 08:49:37 GMT'));
  t.notOk(matches('{date}', 'Mon, 06 Nov 1994 08:49:37 GMT'), 'the wrong day of the week');
  t.notOk(matches('{date}', 'Sunday, 06-Nov-94 08:49:37 GMT'), 'an obsolete form');
  t.notOk(matches('{date}', 'Sun, 06 Nov 1994 07:49:37 GMT'), 'an hour ago');
  t.ok(matches('{"a":"b"}', '{"a":"b"}'), 'JSON is no placeholder');
});

const OK = '< HTTP/1.1 200 OK\n< Date: {date}\n< Content-Length: 2\n<\n< hi\\';
const ACTUAL = `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 2\r\n\r\nhi`;

test('answers are compared to the byte, but for the order of fields', async (t) => {
  t.equal(compare(OK, ACTUAL), `match of ${ACTUAL.length}`);
  t.equal(compare(OK, `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n${DATE}\r\nhi`), `match of ${ACTUAL.length}`);
  for (let i = 0; i < ACTUAL.length; i++) {
    t.equal(compare(OK, ACTUAL.slice(0, i)), 'unfinished');
    t.equal(compare(OK, ACTUAL.slice(0, i), true), 'mismatch');
  }
  t.equal(compare(OK, ACTUAL.replace('hi', 'ho')), 'mismatch');
  t.equal(compare(OK, ACTUAL.replace('200', '201')), 'mismatch');
  t.equal(compare(OK, ACTUAL.replace('Date', 'X: y\r\nDate')), 'mismatch');
  t.equal(
    compare(OK.replace('<\n', '<..\n<\n'), ACTUAL.replace('Date', 'X: y\r\nDate')),
    `match of ${ACTUAL.length + 6}`,
  );
  t.equal(compare(`${OK}\n${OK}`, ACTUAL + ACTUAL), `match of ${2 * ACTUAL.length}`);
  t.equal(compare(OK, 'hello'), 'mismatch');
});

test('bodies of any kind', async (t) => {
  const framed = '< HTTP/1.1 200 OK\n<..\n<\n< {body}';
  const chunked = `HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\nA: 1\r\n\r\n`;
  t.equal(compare(framed, `${ACTUAL}more`), `match of ${ACTUAL.length}`);
  t.equal(compare(framed, `${chunked}more`), `match of ${chunked.length}`);
  const closed = `HTTP/1.1 200 OK\r\n${DATE}\r\nhi`;
  t.equal(compare(framed, closed), 'unfinished');
  t.equal(compare(framed, closed, true), `match of ${closed.length}`);
  const expected = '< HTTP/1.1 200 OK\n< Transfer-Encoding: chunked\n< Date: {date}\n<\n<~ hi\\\n< A: 1\n<';
  t.equal(compare(expected, chunked), `match of ${chunked.length}`);
  t.equal(compare(expected, chunked.replace('A: 1', 'A: 2')), 'mismatch');
  t.equal(compare(expected, chunked.replace('h', 'j')), 'mismatch');
  t.equal(compare(expected, chunked.replace('1\r\ni', '01x\r\ni')), 'mismatch');
  for (let i = 0; i < chunked.length; i++) t.equal(compare(expected, chunked.slice(0, i)), 'unfinished');
});

test('an answer that may be left out', async (t) => {
  const expected = `! maybe\n< HTTP/1.1 100 Continue\n<\n${OK}`;
  const interim = 'HTTP/1.1 100 Continue\r\n\r\n';
  t.equal(compare(expected, ACTUAL), `match of ${ACTUAL.length}`);
  t.equal(compare(expected, interim + ACTUAL), `match of ${interim.length + ACTUAL.length}`);
  t.equal(compare(expected, interim), 'unfinished');
});

test('laws that every answer keeps', async (t) => {
  const any = '< HTTP/1.1 {any}\n<..\n<\n< {body}';
  const broken = [
    `HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${DATE}${DATE}Content-Length: 0\r\n\r\n`,
    `HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Length: 0\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${DATE}Content-Length: +1\r\n\r\n`,
    `HTTP/1.1 204 No Content\r\n${DATE}Content-Length: 0\r\n\r\n`,
    `HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n`,
    `HTTP/1.1 405 Method Not Allowed\r\n${DATE}Content-Length: 0\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${DATE}A : 1\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${DATE}A: \x01\r\n\r\n`,
    `HTTP/1.0 200 OK\r\n${DATE}\r\n`,
    `HTTP/1.1 200\r\n${DATE}\r\n`,
  ];
  for (const head of broken) t.equal(compare(any, head, true), 'mismatch', JSON.stringify(head));
});

test('the last words on a connection', async (t) => {
  const fault = (actual: string, isSuccessAllowed = true): string | null =>
    faultOfLastWords({ bytes: Buffer.from(actual), isEnded: true, now: NOW }, 0, isSuccessAllowed);
  t.equal(fault(''), null);
  t.equal(fault(ACTUAL), null);
  t.equal(fault(ACTUAL.slice(0, -1)), null);
  t.equal(fault(ACTUAL.slice(0, 20)), null);
  t.match(fault(`${ACTUAL}!`), /after the answer/);
  t.match(fault(ACTUAL, false), /a success/);
  t.match(fault('hello'), /no status line/);
});

test('what people are shown', async (t) => {
  t.same(asLines(Buffer.from('a\r\n\r\nb\n\x01\\', 'latin1')), ['a', '', 'b\\n\\x01\\\\\\']);
  t.same(asLines(Buffer.from('a\r\n')), ['a']);
  t.equal(quote(Buffer.from('\r\n')), '"\\r\\n"');
  t.match(quote(Buffer.alloc(1_000)), /920 bytes more$/);
  t.match(sideBySide(['< a'], Buffer.from('b\r\nc')), /^< a +\| b\n +\| c\\$/m);
});

const corpus = readCorpus();

test('a pinned Content-Length is the length of the pinned body', async (t) => {
  for (const one of corpus.flatMap((file) => file.cases)) {
    for (const { body, fields, line } of answersOf(one)) {
      const length = fields.find((field) => field.name === 'Content-Length')?.value.text;
      if (body.kind !== 'exact' || body.bytes.length === 0 || length === undefined) continue;
      t.equal(Number(length), body.bytes.length, `${one.file}:${line}`);
    }
  }
});

test('every valid case is made of whole requests, as many as there are final answers', async (t) => {
  for (const one of corpus.flatMap((file) => file.cases).filter(isValid)) {
    const interim = answersOf(one).filter((answer) => answer.statusLine.text.startsWith('HTTP/1.1 1')).length;
    const answered = answersOf(one).length - interim;
    const requests = requestsOf(one);
    const isCutShort = one.ending.kind === 'close' && requests.length > answered;
    t.ok(requests.length === answered || isCutShort, `${one.file}: ${one.title}`);
    for (const request of requests) t.match(request.toString('latin1'), /^(?:\r\n)*\S+ \S+ HTTP\/1\.[012]\r\n/);
  }
});

test('there are many valid requests, and titles tell them apart', async (t) => {
  const titles = validRequests().map((request) => request.title);
  t.ok(titles.length > 100);
  t.equal(new Set(titles).size, titles.length);
});
