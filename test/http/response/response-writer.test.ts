/** ResponseWriter: the exact bytes of every kind of answer, and the answers that never leave. */

import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { test } from 'tap';
import type { ResponseWriter } from '../../../http/response/response-writer.ts';
import { answer, BYTES, DATE, exchange, responseTo, Sink, TEXT } from './response-sink.ts';

const answers: [title: string, give: (response: ResponseWriter) => unknown, expected: string][] = [
  ['text', (r) => r.text('hello'), `200 OK\r\n${DATE}${TEXT}Content-Length: 5\r\n\r\nhello`],
  ['text of nothing', (r) => r.text(''), `200 OK\r\n${DATE}${TEXT}Content-Length: 0\r\n\r\n`],
  [
    'text beyond ASCII',
    (r) => r.text('ä€😀'),
    `200 OK\r\n${DATE}${TEXT}Content-Length: 9\r\n\r\n\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80`,
  ],
  [
    'text with half a character',
    (r) => r.text('\ud800'),
    `200 OK\r\n${DATE}${TEXT}Content-Length: 3\r\n\r\n\xef\xbf\xbd`,
  ],
  [
    'text of line ends',
    (r) => r.text('\r\n\r\nHTTP/1.1 200 OK\r\n'),
    `200 OK\r\n${DATE}${TEXT}Content-Length: 21\r\n\r\n\r\n\r\nHTTP/1.1 200 OK\r\n`,
  ],
  [
    'html',
    (r) => r.html('<p>'),
    `200 OK\r\n${DATE}Content-Type: text/html; charset=utf-8\r\nContent-Length: 3\r\n\r\n<p>`,
  ],
  [
    'json',
    (r) => r.json({ a: [1, null] }),
    `200 OK\r\n${DATE}Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"a":[1,null]}`,
  ],
  [
    'json of null',
    (r) => r.json(null),
    `200 OK\r\n${DATE}Content-Type: application/json\r\nContent-Length: 4\r\n\r\nnull`,
  ],
  ['bytes', (r) => r.bytes(Buffer.of(0, 13, 10, 255)), `200 OK\r\n${DATE}${BYTES}Content-Length: 4\r\n\r\n\0\r\n\xff`],
  ['no bytes', (r) => r.bytes(new Uint8Array(0)), `200 OK\r\n${DATE}${BYTES}Content-Length: 0\r\n\r\n`],
  ['redirect', (r) => r.redirect('/x'), `302 Found\r\n${DATE}Location: /x\r\nContent-Length: 0\r\n\r\n`],
  [
    'redirect to a URL',
    (r) => r.redirect(new URL('http://a.example/ä?x=1')),
    `302 Found\r\n${DATE}Location: http://a.example/%C3%A4?x=1\r\nContent-Length: 0\r\n\r\n`,
  ],
  [
    'redirect for good',
    (r) => r.redirect('/x', 308),
    `308 Permanent Redirect\r\n${DATE}Location: /x\r\nContent-Length: 0\r\n\r\n`,
  ],
  [
    'redirect beyond ASCII',
    (r) => r.redirect('/ä b%20%25?x=€'),
    `302 Found\r\n${DATE}Location: /%C3%A4%20b%20%25?x=%E2%82%AC\r\nContent-Length: 0\r\n\r\n`,
  ],
  [
    'redirect to an IPv6 address',
    (r) => r.redirect('http://[::1]:8080/x'),
    `302 Found\r\n${DATE}Location: http://[::1]:8080/x\r\nContent-Length: 0\r\n\r\n`,
  ],
  ['empty', (r) => r.empty(), `204 No Content\r\n${DATE}\r\n`],
  ['empty with a status', (r) => r.empty(202), `202 Accepted\r\n${DATE}Content-Length: 0\r\n\r\n`],
  ['empty with a status set before', (r) => r.status(404).empty(), `404 Not Found\r\n${DATE}Content-Length: 0\r\n\r\n`],
  ['empty 304', (r) => r.header('ETag', '"x"').empty(304), `304 Not Modified\r\n${DATE}ETag: "x"\r\n\r\n`],
  ['a status without a reason', (r) => r.status(299).text('x'), `299 \r\n${DATE}${TEXT}Content-Length: 1\r\n\r\nx`],
  ['end alone', (r) => r.end(), `200 OK\r\n${DATE}${BYTES}Content-Length: 0\r\n\r\n`],
  ['end with text', (r) => r.end('x'), `200 OK\r\n${DATE}${TEXT}Content-Length: 1\r\n\r\nx`],
  ['end with bytes', (r) => r.end(Buffer.from('x')), `200 OK\r\n${DATE}${BYTES}Content-Length: 1\r\n\r\nx`],
  ['end after 204', (r) => r.status(204).end(), `204 No Content\r\n${DATE}\r\n`],
  [
    'headers',
    (r) => r.header('X-A', 1).header('x-b', '').text(''),
    `200 OK\r\n${DATE}${TEXT}X-A: 1\r\nx-b: \r\nContent-Length: 0\r\n\r\n`,
  ],
  [
    'a header given twice',
    (r) => r.header('X', 'a').header('Y', 'b').header('x', 'c').empty(),
    `204 No Content\r\n${DATE}x: c\r\nY: b\r\n\r\n`,
  ],
  [
    'obs-text and a tab in a header',
    (r) => r.header('X', 'a\t\xe4').empty(),
    `204 No Content\r\n${DATE}X: a\t\xe4\r\n\r\n`,
  ],
  [
    'several cookies',
    (r) => r.header('Set-Cookie', 'a=1').header('set-cookie', 'b=2').empty(),
    `204 No Content\r\n${DATE}Set-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n`,
  ],
  [
    'a content type of its own',
    (r) => r.header('content-TYPE', 'text/css').text('x'),
    `200 OK\r\n${DATE}content-TYPE: text/css\r\nContent-Length: 1\r\n\r\nx`,
  ],
  [
    'a date of its own',
    (r) => r.header('date', 'Thu, 01 Jan 1970 00:00:00 GMT').empty(),
    '204 No Content\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n',
  ],
  [
    'a content length that is right',
    (r) => r.header('Content-Length', 2).text('ab'),
    `200 OK\r\n${DATE}${TEXT}Content-Length: 2\r\n\r\nab`,
  ],
  [
    'Connection: close',
    (r) => r.header('Connection', 'Close').text(''),
    `200 OK\r\n${DATE}${TEXT}Content-Length: 0\r\nConnection: close\r\n\r\n`,
  ],
  [
    'Connection: something else',
    (r) => r.header('Connection', 'x-hop').header('Keep-Alive', 'timeout=5').empty(),
    `204 No Content\r\n${DATE}\r\n`,
  ],
  ['text where no body may be', (r) => r.status(204).text('x'), `204 No Content\r\n${DATE}\r\n`],
  ['bytes where no body may be', (r) => r.status(304).bytes(Buffer.from('x')), `304 Not Modified\r\n${DATE}\r\n`],
];

for (const [title, give, expected] of answers) {
  test(`answer: ${title}`, async (t) => {
    const { sink, response } = exchange();
    give(response);
    t.equal(sink.text, `HTTP/1.1 ${expected}`);
    t.equal(sink.completions, 1, 'completed once');
    t.ok(response.hasBegun && response.hasEnded);
    t.same(
      sink.heads,
      [sink.text.slice(0, sink.text.indexOf('\r\n\r\n') + 4)],
      'the output can tell the head from the body',
    );
    const head = (text: string) => text.slice(0, text.indexOf('\r\n\r\n') + 4);
    t.equal(answer(give, { isHeadRequest: true }), `HTTP/1.1 ${head(expected)}`, 'to HEAD: the same head, no body');
    const closing = answer(give, { mayPersist: false });
    t.match(head(closing), /\r\nConnection: close\r\n\r\n$/, 'says when the connection closes');
    const old = head(answer(give, { minorVersion: 0 }));
    t.match(
      old,
      expected.includes('Connection: close') ? /Connection: close\r\n\r\n$/ : /Connection: keep-alive\r\n\r\n$/,
    );
    t.match(old, /^HTTP\/1\.1 /, 'the version is ours, RFC 9112 section 2.3');
  });
}

test('whether the connection persists is asked once, and remembered', async (t) => {
  const { sink, response } = exchange({ mayPersist: false });
  response.text('x');
  t.equal(sink.timesAsked, 1);
  t.ok(response.isClosing);
  const other = exchange();
  other.response.text('x');
  t.notOk(other.response.isClosing);
});

test('streaming: chunks to HTTP/1.1', async (t) => {
  const { sink, response } = exchange();
  await response.header('X', 'y').write('hello');
  const head = `HTTP/1.1 200 OK\r\n${DATE}X: y\r\nTransfer-Encoding: chunked\r\n\r\n`;
  t.equal(sink.text, `${head}5\r\nhello\r\n`, 'the head leaves with the first piece');
  t.equal(sink.handovers, 1);
  await response.write('');
  t.equal(sink.text, `${head}5\r\nhello\r\n`, 'an empty piece would end the body, and is not sent');
  await response.write(Buffer.alloc(26, 'x'));
  await response.write('ä');
  response.end();
  t.equal(sink.text, `${head}5\r\nhello\r\n1a\r\n${'x'.repeat(26)}\r\n2\r\n\xc3\xa4\r\n0\r\n\r\n`);
  t.equal(sink.completions, 1);
  t.notOk(response.isClosing);
});

test('streaming: an empty first piece sends the head', async (t) => {
  const { sink, response } = exchange();
  await response.write('');
  t.equal(sink.text, `HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n`);
  response.end('x');
  t.ok(sink.text.endsWith('\r\n\r\n1\r\nx\r\n0\r\n\r\n'), 'end takes a last piece');
});

test('streaming: the end of the connection ends it for HTTP/1.0', async (t) => {
  const { sink, response } = exchange({ minorVersion: 0 });
  response.trailer('X', '1');
  await response.write('a');
  await response.write('b');
  response.end();
  t.equal(sink.text, `HTTP/1.1 200 OK\r\n${DATE}Connection: close\r\n\r\nab`);
  t.ok(response.isClosing);
});

test('a client that asks to keep the connection alive is told how long, in every kind of head', async (t) => {
  const keepAliveLine = 'Keep-Alive: timeout=75\r\n';
  const gives: ((response: ResponseWriter) => unknown)[] = [
    (r) => r.text('a'),
    (r) => r.header('X', '1').text('a'),
    (r) => r.empty(),
    (r) => r.redirect('/'),
    (r) => r.write('a'),
  ];
  for (const give of gives) {
    t.match(answer(give, { keepAliveLine }), /\r\nConnection: keep-alive\r\nKeep-Alive: timeout=75\r\n/);
    t.notMatch(answer(give), /keep-alive/i, 'and no other');
    const closing = answer(give, { keepAliveLine, mayPersist: false });
    t.match(closing, /\r\nConnection: close\r\n/);
    t.notMatch(closing, /keep-alive/i, 'nor one whose connection closes');
  }
  const old = { minorVersion: 0, keepAliveLine };
  t.match(
    answer((r) => r.text('a'), old),
    /\r\nConnection: keep-alive\r\nKeep-Alive: timeout=75\r\n\r\na$/,
  );
  t.match(
    answer((r) => r.write('a'), old),
    /Connection: close\r\n\r\na$/,
    'a body that the end of the connection ends',
  );
  t.match(
    answer((r) => r.header('Upgrade', 'x').text('a'), { keepAliveLine }),
    /Connection: keep-alive, Upgrade\r\nKeep-Alive: timeout=75\r\n\r\na$/,
  );
});

test('streaming: with a length there are no chunks', async (t) => {
  for (const minorVersion of [0, 1]) {
    const { sink, response } = exchange({ minorVersion });
    response.header('Content-Length', 4);
    await response.write('ab');
    response.end('cd');
    const keepAlive = minorVersion === 0 ? 'Connection: keep-alive\r\n' : '';
    t.equal(sink.text, `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 4\r\n${keepAlive}\r\nabcd`);
    t.notOk(response.isClosing);
    t.equal(sink.breaks, 0);
  }
});

test('streaming to HEAD: the head alone', async (t) => {
  const { sink, response } = exchange({ isHeadRequest: true });
  await response.write('a');
  response.trailer('X', '1').end('b');
  t.equal(sink.text, `HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n`);
  const sized = exchange({ isHeadRequest: true });
  await sized.response.header('Content-Length', 9).write('a');
  sized.response.end();
  t.equal(sized.sink.text, `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 9\r\n\r\n`);
  t.equal(sized.sink.breaks, 0, 'there is no body, so it cannot be too short');
});

test('streaming where no body may be: the head alone', async (t) => {
  for (const status of [204, 304]) {
    const { sink, response } = exchange();
    await response.status(status).write('a');
    response.end('b');
    t.match(sink.text, /^HTTP\/1\.1 \d+ [A-Za-z ]+\r\nDate: [^\r]*\r\n\r\n$/);
  }
});

test('205 has no content, whatever the handler promises or writes: its length is 0', async (t) => {
  const head = `HTTP/1.1 205 Reset Content\r\n${DATE}Content-Length: 0\r\n\r\n`;
  const write = (...pieces: string[]) => {
    return (r: ResponseWriter) => {
      for (const piece of pieces) void r.write(piece);
      r.end();
    };
  };
  t.equal(
    answer((r) => r.status(205).empty()),
    head,
  );
  t.equal(
    answer((r) => r.status(205).header('Content-Length', 5).empty()),
    head,
  );
  t.equal(
    answer((r) => r.status(205).header('Content-Length', 5).text('hello')),
    head.replace('Content-Length', `${TEXT}Content-Length`),
  );
  for (const pieces of [[''], ['hello'], ['he', 'llo'], ['', 'hello']]) {
    t.equal(
      answer((r) => write(...pieces)(r.status(205))),
      head,
    );
    const length = pieces.join('').length;
    t.equal(
      answer((r) => write(...pieces)(r.status(205).header('Content-Length', length))),
      head,
    );
  }
});

test('HEAD may be answered with the length that GET would have', async (t) => {
  const head = answer((r) => r.header('Content-Length', 1234).end(), { isHeadRequest: true });
  t.match(head, /\r\nContent-Length: 1234\r\n/);
});

test('write settles when the client has taken enough', async (t) => {
  const { sink, response } = exchange();
  let drain = () => {};
  sink.drain = new Promise((resolve) => {
    drain = resolve;
  });
  let isDone = false;
  const writing = response.write('a').then(() => {
    isDone = true;
  });
  await nextTurn();
  t.equal(isDone, false);
  drain();
  await writing;
  t.ok(isDone);
});

test('write to a client that has disconnected rejects, and is not an unhandled rejection', async (t) => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', note);
  const { sink, response } = exchange();
  void response.write('a');
  const before = sink.text;
  sink.isClosed = true;
  sink.drain = Promise.reject(new Error('gone'));
  void response.write('b');
  await t.rejects(response.write('c'), { message: 'gone' });
  response.end();
  await nextTurn();
  await nextTurn();
  process.off('unhandledRejection', note);
  t.same(unhandled, []);
  t.equal(sink.text.slice(0, before.length), before);
  t.notOk(sink.text.includes('\r\nb\r\n'));
});

test('a disconnect of the client is not an error of the handler: end() still works', async (t) => {
  const { sink, response } = exchange();
  sink.isClosed = true;
  sink.drain = Promise.reject(new Error('gone'));
  response.header('Content-Length', 3);
  void response.write('abc');
  t.doesNotThrow(() => response.end());
});

test('trailers come behind the last chunk', async (t) => {
  const { sink, response } = exchange();
  await response.write('a');
  response.trailer('X-Sum', 'abc').trailer('Y', 2).end();
  t.ok(sink.text.endsWith('\r\n1\r\na\r\n0\r\nX-Sum: abc\r\nY: 2\r\n\r\n'));
});

test('trailers make chunks of an answer that could do without', async (t) => {
  t.equal(
    answer((r) => r.trailer('X', '1').end('ab')),
    `HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: 1\r\n\r\n`,
  );
  t.equal(
    answer((r) => r.trailer('X', '1').end()),
    `HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\n`,
    'without any piece',
  );
});

test('trailers behind an answer of known length cannot be sent: it never begins, and another can be given', async (t) => {
  const wrong: [string, (response: ResponseWriter) => unknown][] = [
    ['text', (r) => r.text('a')],
    ['bytes', (r) => r.bytes(Buffer.from('a'))],
    ['empty', (r) => r.empty(200)],
    ['a promised length', (r) => r.header('Content-Length', 1).write('a')],
  ];
  for (const [title, give] of wrong) {
    const { sink, response } = exchange();
    response.trailer('X-Sum', 'abc');
    t.throws(() => give(response), { message: /trailers need a chunked response/ }, title);
    t.equal(sink.text, '', 'no byte was handed over');
    t.notOk(response.hasBegun);
    response.restart();
    response.text('sorry');
    t.ok(sink.text.endsWith('\r\n\r\nsorry'), `${title}: another is given`);
  }
});

const attacks = [
  'a\r\nSet-Cookie: x=1',
  'a\nb',
  'a\rb',
  'a\0b',
  '\r\n\r\n<script>',
  'a\x7f',
  'a\x01',
  'a\u010d\u010a',
  '\u560a',
  '\ud83d\ude00',
];

for (const attack of attacks) {
  test(`injection: ${JSON.stringify(attack)} never leaves, and the answer can still be given`, async (t) => {
    const { sink, response } = exchange();
    const attempts: [string, () => unknown][] = [
      ['value', () => response.header('X', attack)],
      ['value of Set-Cookie', () => response.header('Set-Cookie', attack)],
      ['value of Connection', () => response.header('Connection', `close, ${attack}`)],
      ['value of Content-Length', () => response.header('Content-Length', `1${attack}`)],
      ['name', () => response.header(`X${attack}`, '1')],
      ['trailer value', () => response.trailer('X', attack)],
      ['trailer name', () => response.trailer(`X${attack}`, '1')],
      ['protocol', () => response.upgrade(attack, () => ({ onData() {} }))],
    ];
    for (const [title, attempt] of attempts) t.throws(attempt, Error, title);
    t.equal(sink.text, '');
    t.same(sink.upgrades, []);
    t.notOk(response.hasBegun);
    response.header('X', 'fine').text('fine');
    t.match(
      sink.text,
      /^HTTP\/1\.1 200 OK\r\nDate: [^\r]*\r\nContent-Type: [^\r]*\r\nX: fine\r\nContent-Length: 4\r\n\r\nfine$/,
    );
  });
}

test('a redirect to what is no place throws, and says what it takes', async (t) => {
  const { response } = exchange();
  for (const place of [undefined, 5, {}]) {
    t.throws(() => response.redirect(place as string), {
      name: 'TypeError',
      message: /^redirect\(\) takes a text or a URL/,
    });
  }
});

test('injection: a redirect with a control character never leaves', async (t) => {
  for (const location of ['/a\r\nX: 1', '/\n', '/\r', '/\0', '/\t', '/\x7f', 'ä\r\n']) {
    const { sink, response } = exchange();
    t.throws(() => response.redirect(location), Error, JSON.stringify(location));
    t.equal(sink.text, '');
    t.notOk(response.hasBegun);
    response.status(500).text('sorry');
    t.match(sink.text, /^HTTP\/1\.1 500 [\s\S]*\r\n\r\nsorry$/);
    t.notMatch(sink.text, /Location/);
  }
});

test('injection: names that are not tokens', async (t) => {
  const { sink, response } = exchange();
  for (const name of ['', ' X', 'X ', 'X:', 'X\t', 'X Y', 'X"', 'Ä', 'X\u212a', '(X)']) {
    t.throws(() => response.header(name, '1'), TypeError, JSON.stringify(name));
    t.throws(() => response.trailer(name, '1'), TypeError, JSON.stringify(name));
  }
  t.equal(sink.text, '');
});

test("framing is nobody else's business", async (t) => {
  const { sink, response } = exchange();
  t.throws(() => response.header('Transfer-Encoding', 'chunked'), Error);
  t.throws(() => response.header('transfer-encoding', 'identity'), Error);
  for (const name of ['Transfer-Encoding', 'content-length', 'Host', 'TRAILER', 'Connection']) {
    t.throws(() => response.trailer(name, '1'), Error, name);
  }
  for (const value of [
    '',
    'x',
    '-1',
    '1.5',
    '+1',
    '0x1',
    '1, 1',
    ' 1',
    '1e3',
    Number.NaN,
    -1,
    1.5,
    1e21,
    Number.POSITIVE_INFINITY,
  ]) {
    t.throws(() => response.header('Content-Length', value), RangeError, String(value));
  }
  t.equal(sink.text, '');
});

test('statuses are those of a final answer', async (t) => {
  const { sink, response } = exchange();
  for (const status of [0, 99, 100, 101, 103, 199, 600, 999, 200.5, Number.NaN, '200' as unknown as number]) {
    t.throws(() => response.status(status), RangeError, String(status));
    t.throws(() => response.empty(status), RangeError, String(status));
    t.throws(() => response.redirect('/', status), RangeError, String(status));
  }
  t.equal(sink.text, '');
  response.status(599).text('');
  t.match(sink.text, /^HTTP\/1\.1 599 \r\n/);
});

test('a length that is wrong: the answer never begins, and another can be given', async (t) => {
  const wrong: [string, (response: ResponseWriter) => unknown][] = [
    ['text too long', (r) => r.text('abcd')],
    ['text too short', (r) => r.text('ab')],
    ['text of as many characters, not bytes', (r) => r.text('abä')],
    ['json', (r) => r.json('abcd')],
    ['html', (r) => r.html('')],
    ['bytes', (r) => r.bytes(Buffer.alloc(4))],
    ['end', (r) => r.end()],
    ['end with text', (r) => r.end('abcd')],
    ['a first piece too long', (r) => r.write('abcd')],
    ['empty', (r) => r.empty(200)],
    ['redirect', (r) => r.redirect('/')],
  ];
  for (const [title, give] of wrong) {
    const { sink, response } = exchange();
    response.header('Content-Length', 3);
    t.throws(() => give(response), { message: /Content-Length is 3/ }, title);
    t.equal(sink.text, '', 'no byte was handed over');
    t.equal(sink.breaks, 0);
    t.notOk(response.hasBegun);
    response.restart();
    response.status(500).text('sorry');
    t.match(
      sink.text,
      /^HTTP\/1\.1 500 [\s\S]*Content-Length: 5\r\nConnection: close\r\n\r\nsorry$/,
      `${title}: another is given, the last one`,
    );
    t.equal(sink.completions, 1);
  }
});

test('a length that turns out wrong in the middle breaks the connection, and not the next answer', async (t) => {
  const long = exchange();
  await long.response.header('Content-Length', 3).write('ab');
  t.throws(() => long.response.write('cd'), { message: /Content-Length is 3/ });
  t.equal(long.sink.breaks, 1);
  t.ok(long.sink.text.endsWith('\r\n\r\nab'), 'nothing of what is too much has left');
  t.equal(long.sink.completions, 0);

  const longEnd = exchange();
  await longEnd.response.header('Content-Length', 3).write('ab');
  t.throws(() => longEnd.response.end('cd'), { message: /Content-Length is 3/ });
  t.equal(longEnd.sink.breaks, 1);
  t.equal(longEnd.sink.completions, 0);

  const short = exchange();
  await short.response.header('Content-Length', 3).write('ab');
  t.throws(() => short.response.end(), { message: /Content-Length is 3, but only 2/ });
  t.equal(short.sink.breaks, 1);
  t.equal(short.sink.completions, 0, 'it is not complete');
});

const afterwards: [string, (response: ResponseWriter) => unknown][] = [
  ['status', (r) => r.status(200)],
  ['header', (r) => r.header('X', '1')],
  ['text', (r) => r.text('x')],
  ['html', (r) => r.html('x')],
  ['json', (r) => r.json(1)],
  ['bytes', (r) => r.bytes(Buffer.from('x'))],
  ['redirect', (r) => r.redirect('/')],
  ['empty', (r) => r.empty()],
  ['upgrade', (r) => r.upgrade('x', () => ({ onData() {} }))],
];

test('what comes after the end throws, and sends nothing', async (t) => {
  const late: typeof afterwards = [
    ...afterwards,
    ['write', (r) => r.write('x')],
    ['end', (r) => r.end()],
    ['end with text', (r) => r.end('x')],
    ['trailer', (r) => r.trailer('X', '1')],
  ];
  const ends: [string, (response: ResponseWriter) => unknown][] = [
    ['text', (r) => r.text('x')],
    ['empty', (r) => r.empty()],
    ['redirect', (r) => r.redirect('/')],
    ['a stream', (r) => r.write('x').then(() => r.end())],
    ['an upgrade that was not asked for', (r) => r.upgrade('x', () => ({ onData() {} }))],
  ];
  for (const [first, give] of ends) {
    for (const [second, again] of late) {
      const { sink, response } = exchange();
      give(response);
      await nextTurn();
      const before = sink.text;
      const { completions } = sink;
      t.throws(() => again(response), { message: /after the response had ended/ }, `${first}, then ${second}`);
      t.equal(sink.text, before);
      t.equal(sink.completions, completions);
    }
  }
});

test('what would change a head that has left throws, and the stream goes on', async (t) => {
  const { sink, response } = exchange();
  await response.write('a');
  const before = sink.text;
  for (const [title, late] of afterwards)
    t.throws(() => late(response), { message: /after the response had begun/ }, title);
  t.equal(sink.text, before);
  response.end('b');
  t.equal(sink.text, `${before}1\r\nb\r\n0\r\n\r\n`);
});

test('json of what has no JSON throws, and the answer can still be given', async (t) => {
  const { sink, response } = exchange();
  const circle: { self?: unknown } = {};
  circle.self = circle;
  for (const value of [undefined, () => 1, Symbol('x'), 1n, circle]) t.throws(() => response.json(value), TypeError);
  t.equal(sink.text, '');
  response.json({});
  t.ok(sink.text.endsWith('{}'));
});

class Lying extends Uint8Array {
  override get byteLength(): number {
    return 300;
  }

  override get length(): number {
    return 300;
  }
}

const noBytes: Readonly<Record<string, unknown>> = {
  'an ArrayBuffer': new ArrayBuffer(8),
  'a DataView': new DataView(new ArrayBuffer(8)),
  'a Float64Array': new Float64Array(1),
  'a Float64Array that calls itself a Uint8Array': Object.setPrototypeOf(new Float64Array(1), Uint8Array.prototype),
  'a proxy': new Proxy(new Uint8Array(8), {}),
  'an array': [1, 2],
  'what has a length': { length: 8, byteLength: 8 },
  'a number': 5,
  null: null,
};

for (const [kind, value] of Object.entries(noBytes)) {
  test(`${kind} is no body, no piece and no text: it throws before a byte has left, and another answer can be given`, (t) => {
    const bytes = value as Uint8Array;
    const text = value as string;
    const calls: Readonly<Record<string, (response: ResponseWriter) => void>> = {
      bytes: (response) => response.bytes(bytes),
      write: (response) => void response.write(bytes),
      end: (response) => response.end(bytes),
      text: (response) => response.text(text),
      html: (response) => response.html(text),
    };
    for (const [name, call] of Object.entries(calls)) {
      for (const request of [{}, { isHeadRequest: true }]) {
        const { sink, response } = exchange(request);
        t.throws(() => call(response), TypeError, name);
        t.equal(sink.text, '', name);
        response.text('another');
        t.match(sink.text, /Content-Length: 7/, name);
      }
    }
    t.end();
  });

  test(`${kind} between the pieces of an answer throws, and the answer goes on without it`, (t) => {
    const { sink, response } = exchange();
    response.write('a');
    const before = sink.text;
    t.throws(() => response.write(value as Uint8Array), TypeError);
    t.throws(() => response.end(value as Uint8Array), TypeError);
    t.equal(sink.text, before);
    response.end('b');
    t.match(sink.text, /1\r\na\r\n1\r\nb\r\n0\r\n\r\n$/);
    t.end();
  });
}

test('undefined is not a body, a piece or a text, but end() takes it', (t) => {
  for (const call of ['bytes', 'write', 'text', 'html'] as const) {
    const { sink, response } = exchange();
    t.throws(() => response[call](undefined as never), TypeError, call);
    t.equal(sink.text, '', call);
  }
  t.match(
    answer((response) => response.end(undefined)),
    /Content-Length: 0/,
  );
  t.end();
});

test('whatever a Uint8Array says about itself, its own bytes are sent and counted', (t) => {
  const liar = new Lying([97, 98, 99]);
  const other = Object.defineProperty(new Uint8Array([97, 98, 99]), 'byteLength', { value: 300 });
  const foreign = runInNewContext('new Uint8Array([97, 98, 99])') as Uint8Array;
  const part = new Uint8Array([120, 97, 98, 99, 120]).subarray(1, 4);
  for (const bytes of [liar, other, foreign, part]) {
    t.match(
      answer((response) => response.bytes(bytes)),
      /Content-Length: 3\r\n\r\nabc$/,
    );
    t.match(
      answer((response) => response.end(bytes)),
      /Content-Length: 3\r\n\r\nabc$/,
    );
    const pieces = answer((response) => {
      response.write(bytes);
      response.end(bytes);
    });
    t.match(pieces, /\r\n\r\n3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n$/);
  }
  t.end();
});

test('upgrade: which calls the exchange gets, and what is refused', async (t) => {
  const { sink, response } = exchange({ asksFor: 'websocket' });
  t.equal(
    response.header('Sec-WebSocket-Accept', 'x').upgrade('websocket', () => ({ onData() {} })),
    true,
  );
  t.same(sink.upgrades, [
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n',
  ]);
  t.ok(response.hasEnded);

  t.throws(() => response.upgrade('websocket', () => ({ onData() {} })), /after the response had ended/);
});

const other = () => ({ onData() {} });

test('upgrade: a client that did not ask for the protocol gets 426 with its name (RFC 9110 section 15.5.22)', async (t) => {
  const upgradeRequired = (connection: string) =>
    `HTTP/1.1 426 Upgrade Required\r\n${DATE}${TEXT}X: 1\r\nUpgrade: x/1\r\nContent-Length: 34\r\nConnection: ${connection}\r\n\r\n` +
    'This resource is served over x/1.\n';
  const give = (r: ResponseWriter) =>
    t.equal(r.status(201).header('X', '1').header('Sec-WebSocket-Accept', 'x').upgrade('x/1', other), false);
  t.equal(answer(give), upgradeRequired('Upgrade'));
  t.equal(answer(give, { mayPersist: false }), upgradeRequired('close, Upgrade'));
  t.equal(answer(give, { minorVersion: 0 }), upgradeRequired('keep-alive, Upgrade'));
  const { sink, response } = exchange();
  give(response);
  t.same([response.hasEnded, sink.completions, sink.upgrades], [true, 1, []]);
});

test('a tunnel: 200 without a length, and the stream is handed over', async (t) => {
  const { sink, response } = exchange();
  response.header('X', '1').tunnel(other);
  t.same(sink.upgrades, [`HTTP/1.1 200 OK\r\n${DATE}X: 1\r\n\r\n`]);
  t.ok(response.hasEnded);
  t.throws(() => response.tunnel(other), /after the response had ended/);
  const gone = exchange({ isClosed: true });
  gone.response.tunnel(other);
  t.same([gone.sink.upgrades, gone.response.isOpen, response.isOpen], [[], false, true]);
});

test('100 Continue with fields, and the end without a response', async (t) => {
  const { sink, response } = exchange({ asksFor: 'x', isRequestRead: false });
  t.same([response.isContinueDue, response.hasAskedFor('x'), response.isRequestRead], [false, true, false]);
  response.sendContinue({ 'X-Ready': 'yes' });
  t.equal(sink.text, 'HTTP/1.1 100 Continue\r\nX-Ready: yes\r\n\r\n');
  response.breakOff();
  t.same([sink.breaks, response.hasEnded], [1, true]);
  t.throws(() => response.sendContinue({}), /after the response had ended/);
  const gone = exchange({ isClosed: true });
  gone.response.sendContinue({});
  t.equal(gone.sink.text, '');
});

test('an answer that names Upgrade names it in Connection, too (RFC 9110 section 7.8)', async (t) => {
  t.match(
    answer((r) => r.header('Upgrade', 'h2c').text('hello')),
    /\r\nUpgrade: h2c\r\n[\s\S]*\r\nConnection: Upgrade\r\n/,
  );
});

test('upgrade: a request whose body was not read is refused, and one whose client has gone is left', async (t) => {
  const unread = exchange({ asksFor: 'x', isRequestRead: false });
  t.equal(unread.response.header('ETag', '"1"').upgrade('x', other), false);
  t.match(
    unread.sink.text,
    /^HTTP\/1\.1 400 Bad Request\r\n(?!ETag:)[\s\S]*A request for x must not have a body here\.\n$/,
  );
  t.equal(unread.sink.completions, 1);
  const gone = exchange({ isClosed: true });
  t.equal(gone.response.upgrade('x', other), false);
  t.same([gone.sink.text, gone.sink.upgrades], ['', []]);
  t.equal(gone.response.upgrade('x', other), false, 'as often as it is asked');
});

test('upgrade: mistakes of the program throw for every client', async (t) => {
  for (const isClosed of [false, true]) {
    const { response, sink } = exchange({ asksFor: 'x', isClosed });
    for (const protocol of ['', 'a b', 'a,b', '/1', 'x/', 'x/1/2']) {
      t.throws(() => response.upgrade(protocol, other), TypeError, protocol);
    }
    t.same([sink.text, response.hasBegun], ['', false]);
  }
  const begun = exchange({ asksFor: 'x' });
  void begun.response.write('piece');
  t.throws(() => begun.response.upgrade('x', other), /after the response had begun/);
});

test('restart: what describes a body goes, what middleware has set stays', async (t) => {
  const { sink, response } = exchange();
  response.status(201, 'Made').header('Content-Length', 99).trailer('Y', '2').header('X-Request-Id', '7');
  for (const name of ['Content-Type', 'content-encoding', 'ETag', 'Last-Modified', 'Cache-Control', 'Expires']) {
    response.header(name, 'x');
  }
  response.header('Vary', 'Origin').header('Content-Security-Policy', "default-src 'self'").cookie('a', 'b');
  response.restart();
  response.end('x');
  const kept = `X-Request-Id: 7\r\nVary: Origin\r\nContent-Security-Policy: default-src 'self'\r\nSet-Cookie: a=b; Path=/; HttpOnly; SameSite=Lax\r\n`;
  t.equal(sink.text, `HTTP/1.1 200 OK\r\n${DATE}${TEXT}${kept}Content-Length: 1\r\n\r\nx`);
  const other = exchange();
  other.response.header('ETag', '"x"').restart();
  other.response.text('x');
  t.equal(other.sink.text, `HTTP/1.1 200 OK\r\n${DATE}${TEXT}Content-Length: 1\r\n\r\nx`, 'none is left');
});

/** What node:http makes of raw bytes that a server sent. */
async function readByNode(raw: Buffer, method: string): Promise<{ message: IncomingMessage; body: string }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(raw));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const agent = new Agent();
  try {
    const { port } = server.address() as AddressInfo;
    const request = httpRequest({ port, host: '127.0.0.1', method, agent });
    request.end();
    const [message] = (await once(request, 'response')) as [IncomingMessage];
    let body = '';
    for await (const piece of message.setEncoding('utf8')) body += piece;
    return { message, body };
  } finally {
    agent.destroy();
    server.close();
  }
}

test('node:http reads what was meant', async (t) => {
  const give = async (response: ResponseWriter, way: string): Promise<void> => {
    response.status(201).header('X-A', 'b\tc').header('Set-Cookie', 'a=1').header('Set-Cookie', 'b=2');
    if (way === 'whole') response.text('grüße\r\n0\r\n\r\n');
    else {
      await response.write('grüße');
      response.trailer('X-Sum', '1');
      response.end('\r\n0\r\n\r\n');
    }
  };
  for (const way of ['whole', 'streamed']) {
    for (const minorVersion of [0, 1]) {
      for (const isHeadRequest of [false, true]) {
        const { sink, response } = exchange({ minorVersion, isHeadRequest });
        await give(response, way);
        const { message, body } = await readByNode(sink.sent, isHeadRequest ? 'HEAD' : 'GET');
        const title = `${way}, ${isHeadRequest ? 'HEAD' : 'GET'} by HTTP/1.${minorVersion}`;
        t.equal(message.statusCode, 201, title);
        t.equal(body, isHeadRequest ? '' : 'grüße\r\n0\r\n\r\n', title);
        t.equal(message.headers['x-a'], 'b\tc', title);
        t.same(message.headers['set-cookie'], ['a=1', 'b=2'], title);
        const hasTrailers = way === 'streamed' && minorVersion === 1 && !isHeadRequest;
        t.equal(message.trailers['x-sum'], hasTrailers ? '1' : undefined, title);
      }
    }
  }
});

test('fail hands the error to the connection', (t) => {
  const sink = new Sink();
  const response = responseTo(sink);
  const error = new Error('x');
  response.fail(error);
  t.same(sink.failures, [error]);
  t.end();
});
