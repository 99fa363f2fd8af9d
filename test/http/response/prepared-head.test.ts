/** PreparedHead: what a handler may say about its response, ask about it and take back, and when it is too late. */

import { test } from 'tap';
import type { CookieOptions } from '../../../http/content/set-cookie.ts';
import type { ResponseWriter } from '../../../http/response/response-writer.ts';
import { answer, DATE, exchange } from './response-sink.ts';

/** The fields of a 204 with these preparations. */
function fieldsOf(prepare: (response: ResponseWriter) => ResponseWriter): string {
  const text = answer((response) => prepare(response).empty(204));
  return text.slice(`HTTP/1.1 204 No Content\r\n${DATE}`.length, -2);
}

test('a reason phrase of its own', async (t) => {
  t.match(
    answer((r) => r.status(200, 'Fine').text('x')),
    /^HTTP\/1\.1 200 Fine\r\nDate/,
  );
  t.match(
    answer((r) => r.status(299, '').text('x')),
    /^HTTP\/1\.1 299 \r\nDate/,
  );
  t.match(
    answer((r) => r.status(200, 'Sch\xf6n\tso').text('x')),
    /^HTTP\/1\.1 200 Sch\xf6n\tso\r\n/,
  );
  t.match(
    answer((r) => r.status(200, 'Fine').status(404).text('x')),
    /^HTTP\/1\.1 404 Not Found\r\n/,
    'it belongs to its status',
  );
  t.match(
    answer((r) => r.status(200).status(200, 'Fine').text('x')),
    /^HTTP\/1\.1 200 Fine\r\n/,
  );
  t.match(
    answer((r) => void r.status(200, 'Fine').write('x')),
    /^HTTP\/1\.1 200 Fine\r\n[\s\S]*chunked/,
  );
});

test('a reason phrase cannot end its line', async (t) => {
  const { sink, response } = exchange();
  for (const reason of ['a\r\nX: 1', 'a\n', '\0', '\u0100', 5, null]) {
    t.throws(() => response.status(201, reason as string), TypeError, JSON.stringify(reason));
  }
  response.text('x');
  t.match(sink.text, /^HTTP\/1\.1 200 OK\r\n/, 'and changes nothing');
});

test('a value is made a text once: what is checked is what is sent', async (t) => {
  const changing = () => {
    let asked = 0;
    return Object.assign(() => {}, {
      toString: () => (asked++ === 0 ? 'good' : 'evil\r\nX-Evil: 1'),
    }) as unknown as string;
  };
  t.equal(
    fieldsOf((r) => r.header('A', changing()).header('B', [changing(), 'b']).append('C', changing())),
    'A: good\r\nB: good\r\nB: b\r\nC: good\r\n',
  );
  const { sink, response } = exchange();
  response.informational(103, { A: [changing()] });
  t.equal(sink.text, 'HTTP/1.1 103 Early Hints\r\nA: good\r\n\r\n');
});

test('a value that is missing, or an object, throws: the client would get its name', async (t) => {
  const { response } = exchange();
  for (const value of [undefined, null, {}, [undefined], [['a']]] as unknown as string[]) {
    const mistake = { name: 'TypeError', message: /^the value of X must be a string or a number, not / };
    t.throws(() => response.header('X', value), mistake);
    t.throws(() => response.append('X', value), mistake);
    t.throws(() => response.trailer('X', value), mistake);
    t.throws(() => response.informational(103, { X: value }), mistake);
  }
  t.equal(response.getHeader('X'), null);
});

test('append keeps the order of the members if the field has several lines', async (t) => {
  t.equal(
    fieldsOf((r) => r.header('Link', ['<a>', '<b>']).append('Link', '<c>')),
    'Link: <a>\r\nLink: <b>, <c>\r\n',
  );
});

test('what is set can be asked', async (t) => {
  const { response } = exchange();
  t.same([response.statusCode, response.headersSent, [...response.headers]], [200, false, []]);
  t.equal(response.getHeader('X'), null);
  response.status(404).header('X-A', 1).header('x-b', '').header('Set-Cookie', 'a=1').header('Set-Cookie', 'b=2');
  response.header('Content-Length', 5);
  t.equal(response.statusCode, 404);
  t.same(
    ['x-a', 'X-B', 'set-cookie', 'content-length', 'y'].map((name) => response.getHeader(name)),
    ['1', '', 'a=1, b=2', '5', null],
  );
  t.same(
    [...response.headers],
    [
      ['X-A', '1'],
      ['x-b', ''],
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['Content-Length', '5'],
    ],
  );
  response.text('12345');
  t.same([response.statusCode, response.headersSent, response.getHeader('X-A')], [404, true, '1'], 'also afterwards');
});

test('what is set can be taken back', async (t) => {
  const { sink, response } = exchange();
  response
    .header('A', '1')
    .header('Set-Cookie', 'a')
    .header('B', '2')
    .header('set-cookie', 'b')
    .header('Content-Length', 9);
  response.removeHeader('SET-COOKIE').removeHeader('Content-Length').removeHeader('a').removeHeader('unknown');
  response.text('x');
  t.match(
    sink.text,
    /^HTTP\/1\.1 200 OK\r\nDate: [^\r]*\r\nContent-Type: [^\r]*\r\nB: 2\r\nContent-Length: 1\r\n\r\nx$/,
  );
  t.doesNotThrow(() => exchange().response.removeHeader('X'));
});

test('an array is one line for each value', async (t) => {
  t.equal(
    fieldsOf((r) => r.header('Link', ['<a>', '<b>'])),
    'Link: <a>\r\nLink: <b>\r\n',
  );
  t.equal(
    fieldsOf((r) => r.header('X', '1').header('Y', '2').header('x', ['3', '4'])),
    'Y: 2\r\nx: 3\r\nx: 4\r\n',
    'in place of an earlier one',
  );
  t.equal(
    fieldsOf((r) => r.header('X', ['3', '4', '5']).header('Y', '2').header('X', '1')),
    'X: 1\r\nY: 2\r\n',
    'all are replaced',
  );
  t.equal(
    fieldsOf((r) => r.header('X', ['1']).header('X', [])),
    '',
    'none is none',
  );
  t.equal(
    fieldsOf((r) => r.header('Set-Cookie', 'a').header('Set-Cookie', ['b', 'c'])),
    'Set-Cookie: a\r\nSet-Cookie: b\r\nSet-Cookie: c\r\n',
  );
  const { response } = exchange();
  t.throws(() => response.header('X', ['a', 'b\r\nY: 1']), TypeError);
  t.throws(() => response.header('Content-Length', ['1', '1']), RangeError);
  response.header('Connection', ['x', 'close']);
  t.ok(response.isClosing);
});

test('append adds to a list', async (t) => {
  const rows: [title: string, prepare: (r: ResponseWriter) => ResponseWriter, expected: string][] = [
    ['the first', (r) => r.append('Link', '<a>'), 'Link: <a>\r\n'],
    [
      'a second, in the name that was given first',
      (r) => r.header('Link', '<a>').append('link', '<b>'),
      'Link: <a>, <b>\r\n',
    ],
    ['a number', (r) => r.append('X', 1).append('X', 2), 'X: 1, 2\r\n'],
    ['to an empty one', (r) => r.header('X', '').append('X', 'a'), 'X: a\r\n'],
    ['nothing', (r) => r.header('X', 'a').append('X', ''), 'X: a\r\n'],
    [
      'Vary',
      (r) => r.append('Vary', 'Origin').append('vary', 'accept-encoding, ORIGIN, x'),
      'Vary: Origin, accept-encoding, x\r\n',
    ],
    ['Vary, nothing new', (r) => r.append('Vary', 'Origin').append('Vary', 'origin'), 'Vary: Origin\r\n'],
    ['Vary: *', (r) => r.header('Vary', '*').append('Vary', 'Origin'), 'Vary: *\r\n'],
    ['Set-Cookie', (r) => r.append('Set-Cookie', 'a').append('set-cookie', 'b'), 'Set-Cookie: a\r\nset-cookie: b\r\n'],
    [
      'WWW-Authenticate',
      (r) => r.append('WWW-Authenticate', 'Basic').append('WWW-Authenticate', 'Bearer'),
      'WWW-Authenticate: Basic\r\nWWW-Authenticate: Bearer\r\n',
    ],
    ['what the server writes', (r) => r.append('Keep-Alive', 'timeout=5'), ''],
  ];
  for (const [title, prepare, expected] of rows) t.equal(fieldsOf(prepare), expected, title);
  const { response } = exchange();
  for (const name of ['Content-Type', 'ETAG', 'Location', 'Date', 'Expires', 'Last-Modified', 'Content-Range']) {
    t.throws(() => response.append(name, 'x'), { message: /is not a list/ }, name);
  }
  t.throws(() => response.append('Transfer-Encoding', 'gzip'), /set by the server/);
  t.throws(() => response.append('Content-Length', 'x'), RangeError);
  t.throws(() => response.append('X', 'a\r\nb'), TypeError);
  t.throws(() => response.append('X Y', 'a'), TypeError);
});

test('cookies: checked, safe by default, one for each name, domain and path', async (t) => {
  const cookie = (...all: [name: string, value: string, options?: CookieOptions][]) =>
    fieldsOf((r) => all.reduce((response, each) => response.cookie(...each), r));
  t.equal(cookie(['a', 'b c']), 'Set-Cookie: a=b%20c; Path=/; HttpOnly; SameSite=Lax\r\n');
  t.equal(
    cookie(['a', '1'], ['b', '2'], ['a', '3']),
    'Set-Cookie: b=2; Path=/; HttpOnly; SameSite=Lax\r\nSet-Cookie: a=3; Path=/; HttpOnly; SameSite=Lax\r\n',
  );
  t.equal(
    cookie(['a', '1'], ['a', '', { path: '/p', maxAge: 0 }]).split('\r\n').length,
    3,
    'another path is another cookie',
  );
  t.equal(fieldsOf((r) => r.header('X', 'a=1; Path=/').cookie('a', '2')).split('\r\n').length, 3, 'other fields stay');
  const { response } = exchange();
  t.throws(() => response.cookie('__Host-a', 'b', { domain: 'x.example' }), /must not have a domain/);
  t.same([...response.headers], []);
});

const preparations: [string, (r: ResponseWriter) => unknown][] = [
  ['append', (r) => r.append('X', '1')],
  ['cookie', (r) => r.cookie('a', 'b')],
  ['removeHeader', (r) => r.removeHeader('X')],
  ['informational', (r) => r.informational(103)],
  ['beforeHead', (r) => r.beforeHead(() => {})],
  ['transformBody', (r) => r.transformBody(() => null)],
];

test('afterwards it is too late', async (t) => {
  for (const [name, prepare] of preparations) {
    const ended = exchange();
    ended.response.text('x');
    t.throws(() => prepare(ended.response), { message: `${name}() was called after the response had ended` });
    const begun = exchange();
    void begun.response.write('x');
    t.throws(() => prepare(begun.response), { message: `${name}() was called after the response had begun` });
  }
});

test('informational responses: before the final one, as many as there are', async (t) => {
  const { sink, response } = exchange();
  t.ok(response.informational(103, { Link: ['</a.css>; rel=preload', '</b.js>; rel=preload'], 'X-N': 1 }));
  t.ok(response.informational(102));
  t.ok(response.informational(199, {}));
  t.notOk(response.hasBegun);
  const early =
    'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\nX-N: 1\r\n\r\n';
  t.equal(sink.text, `${early}HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 \r\n\r\n`);
  t.equal(sink.informational.length, 3);
  response.text('x');
  t.match(sink.text, /199 \r\n\r\nHTTP\/1\.1 200 OK\r\nDate/);
});

test('informational responses: not to HTTP/1.0, to a client that has gone, or to one that does not read', async (t) => {
  for (const request of [{ minorVersion: 0 }, { isClosed: true }, { isOverfull: true }]) {
    const { sink, response } = exchange(request);
    t.equal(response.informational(103, { Link: '<a>' }), false);
    t.equal(sink.text, '');
    t.throws(() => response.informational(101), RangeError, 'a mistake of the program throws for every client');
  }
});

test('informational responses: nothing that frames a message, and no final status', async (t) => {
  const { sink, response } = exchange();
  for (const status of [99, 100, 101, 200, 103.5, Number.NaN, '103']) {
    t.throws(
      () => response.informational(status as number),
      { name: 'RangeError', message: /from 102 to 199/ },
      String(status),
    );
  }
  t.throws(() => response.informational(100), /the server sends it when the body is read/);
  t.throws(() => response.informational(101), /use upgrade\(\)/);
  for (const name of ['Content-Length', 'transfer-encoding', 'Connection', 'Keep-Alive', 'Trailer', 'Upgrade']) {
    t.throws(() => response.informational(103, { [name]: '1' }), /cannot be sent in an informational response/, name);
  }
  for (const value of ['a\r\nb', '\0', ['a', '\n']])
    t.throws(() => response.informational(103, { X: value }), TypeError);
  t.throws(() => response.informational(103, { 'X:': 'a' }), TypeError);
  t.equal(sink.text, '');
});
