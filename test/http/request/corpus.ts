/**
 * Corpus: requests as bytes, valid and invalid, each with what must become of it.
 *
 * Several tests read it, each in its own way: whole, byte by byte, cut at every pair of offsets, on a real socket. So what one
 * of them accepts in one piece, and another in two, is the same list. Requests here are small, for there are n * n / 2 ways
 * to cut one of n bytes in three.
 *
 * Bytes are written as latin1 text: `\xff` is the byte 255.
 */

export interface ValidRequest {
  readonly title: string;
  readonly text: string;
  readonly method: string;
  readonly target: string;
  readonly minorVersion: number;
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** null: it has none. */
  readonly body: string | null;
  readonly trailers: readonly (readonly [name: string, value: string])[];
}

/** Who notices that it is invalid. */
export type Layer = 'syntax' | 'rules' | 'body';

export interface InvalidRequest {
  readonly title: string;
  readonly text: string;
  readonly status: number;
  readonly layer: Layer;
}

type Fields = readonly (readonly [name: string, value: string])[];

interface Described {
  readonly method?: string;
  readonly target?: string;
  readonly minorVersion?: number;
  readonly fields?: Fields;
  readonly body?: string;
  readonly trailers?: Fields;
}

const HOST = ['Host', 'a'] as const;

function valid(title: string, text: string, described: Described = {}): ValidRequest {
  const { method = 'GET', target = '/', minorVersion = 1, fields = [HOST], body = null, trailers = [] } = described;
  return { title, text, method, target, minorVersion, fields, body, trailers };
}

const post = (fields: string, body: string) => `POST /up HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`;
const chunked = (body: string) => post('Transfer-Encoding: chunked', body);
const get = (fields: string) => `GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;

const CHUNKED = [HOST, ['Transfer-Encoding', 'chunked']] as const;

function validChunked(title: string, wire: string, body: string, trailers: Fields = []): ValidRequest {
  return valid(title, chunked(wire), { method: 'POST', target: '/up', fields: CHUNKED, body, trailers });
}

function validField(title: string, line: string, name: string, value: string): ValidRequest {
  return valid(title, get(`${line}\r\n`), { fields: [HOST, [name, value]] });
}

function validTarget(title: string, target: string, method = 'GET'): ValidRequest {
  return valid(title, `${method} ${target} HTTP/1.1\r\nHost: a\r\n\r\n`, { method, target });
}

export const validRequests: readonly ValidRequest[] = [
  valid('the smallest', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
  valid('HTTP/1.0 without any field', 'GET / HTTP/1.0\r\n\r\n', { minorVersion: 0, fields: [] }),
  valid('HTTP/1.0 with Host', 'GET / HTTP/1.0\r\nHost: a\r\n\r\n', { minorVersion: 0 }),
  valid('HTTP/1.2, which is served as 1.1', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n'),
  valid('HTTP/1.9, which is served as 1.1', 'GET / HTTP/1.9\r\nHost: a\r\n\r\n'),
  valid('an empty line before', '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'),
  valid('four empty lines before', '\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'),

  validTarget('an unknown method', '/', 'FROBNICATE'),
  validTarget('a method in lower case, which is a token', '/', 'get'),
  validTarget('a method of every kind of token byte', '/', "!#$%&'*+-.^_`|~09azAZ"),
  validTarget('a long path with a query', '/a/b.c/%C3%A4;v=1/~me?x=1&y=%20&z=a/b?c'),
  validTarget('bytes that RFC 3986 forbids and browsers send', '/a|b?c="d"&e={f}^`\\<>[]'),
  validTarget('two slashes at the start', '//a//b'),
  validTarget('dot segments, which a parser leaves alone', '/a/../%2e%2e/b'),
  validTarget('absolute-form', 'http://b:80/c?d'),
  validTarget('absolute-form without a path', 'http://b'),
  validTarget('absolute-form in upper case', 'HTTP://B/'),
  validTarget('absolute-form with an IPv6 address', 'https://[::1]:8443/x'),
  validTarget('asterisk-form', '*', 'OPTIONS'),

  valid('no space before a value', 'GET / HTTP/1.1\r\nHost:a\r\n\r\n'),
  valid('blanks of both kinds around a value', 'GET / HTTP/1.1\r\nHost: \t a\t \r\n\r\n'),
  valid('a name in another case', 'GET / HTTP/1.1\r\nhOsT: a\r\n\r\n', { fields: [['hOsT', 'a']] }),
  validField('a tab inside a value', 'X: a\tb', 'X', 'a\tb'),
  validField('obs-text in a value', 'X: \x80\xe4\xff', 'X', '\x80\xe4\xff'),
  validField('0xa0 around a value, which is no blank', 'X:\xa0a\xa0', 'X', '\xa0a\xa0'),
  validField('an empty value', 'X:', 'X', ''),
  validField('a value of nothing but blanks', 'X: \t  ', 'X', ''),
  validField('a value with colons', 'X: a:b: c', 'X', 'a:b: c'),
  validField('a value that looks like a request', 'X: GET /evil HTTP/1.1', 'X', 'GET /evil HTTP/1.1'),
  validField('a name of one byte', 'x: 1', 'x', '1'),
  validField('a name of every kind of token byte', "!#$%&'*+-.^_`|~09azAZ: 1", "!#$%&'*+-.^_`|~09azAZ", '1'),
  validField('Content_Length, which is no Content-Length', 'Content_Length: 5', 'Content_Length', '5'),
  valid('equal fields, in their order', get('X: 1\r\nx: 2\r\nX: 1\r\n'), {
    fields: [HOST, ['X', '1'], ['x', '2'], ['X', '1']],
  }),
  valid('what a browser sends', get('User-Agent: M/5 (X; L)\r\nAccept: */*;q=0.8\r\nCookie: a=b; c=d\r\n'), {
    fields: [HOST, ['User-Agent', 'M/5 (X; L)'], ['Accept', '*/*;q=0.8'], ['Cookie', 'a=b; c=d']],
  }),
  valid('Connection in two fields', get('Connection: a\r\nconnection: Keep-Alive\r\n'), {
    fields: [HOST, ['Connection', 'a'], ['connection', 'Keep-Alive']],
  }),

  valid('a body of no bytes', post('Content-Length: 0', ''), {
    method: 'POST',
    target: '/up',
    fields: [HOST, ['Content-Length', '0']],
    body: '',
  }),
  valid('a body of five bytes', post('Content-Length: 5', 'hello'), {
    method: 'POST',
    target: '/up',
    fields: [HOST, ['Content-Length', '5']],
    body: 'hello',
  }),
  valid('a body that looks like a request', get('Content-Length: 27\r\n').concat('GET /evil HTTP/1.1\r\nHost: b'), {
    fields: [HOST, ['Content-Length', '27']],
    body: 'GET /evil HTTP/1.1\r\nHost: b',
  }),
  valid('a body of line ends', post('Content-Length: 6', '\r\n\r\n\r\n'), {
    method: 'POST',
    target: '/up',
    fields: [HOST, ['Content-Length', '6']],
    body: '\r\n\r\n\r\n',
  }),
  valid('a Content-Length repeated', post('Content-Length: 2, 2\r\ncontent-length: 2', 'ab'), {
    method: 'POST',
    target: '/up',
    fields: [HOST, ['Content-Length', '2, 2'], ['content-length', '2']],
    body: 'ab',
  }),
  valid('a body in HTTP/1.0', 'POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab', {
    method: 'POST',
    minorVersion: 0,
    fields: [['Content-Length', '2']],
    body: 'ab',
  }),

  validChunked('chunked, empty', '0\r\n\r\n', ''),
  validChunked('one chunk', '5\r\nhello\r\n0\r\n\r\n', 'hello'),
  validChunked('several chunks', '1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n', 'abcdef'),
  validChunked(
    'sizes in hexadecimal of both cases',
    'a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n',
    '01234567890123456789a',
  ),
  validChunked('sizes with leading zeros', '0005\r\nhello\r\n000\r\n\r\n', 'hello'),
  validChunked('data that looks like chunks', 'a\r\n0\r\n\r\n5\r\nab\r\n0\r\n\r\n', '0\r\n\r\n5\r\nab'),
  validChunked('an extension without a value', '1;x\r\na\r\n0\r\n\r\n', 'a'),
  validChunked('an extension with a token', '1;x=y\r\na\r\n0;z=1\r\n\r\n', 'a'),
  validChunked('an extension with a quoted string', '1;x="a;b\\"\\\\\t=\xff"\r\na\r\n0\r\n\r\n', 'a'),
  validChunked('an empty quoted string', '1;x=""\r\na\r\n0\r\n\r\n', 'a'),
  validChunked('blanks in extensions', '1 \t; x\t = \t"y" ;z ; v=w\r\na\r\n0\r\n\r\n', 'a'),
  validChunked('trailers', '1\r\na\r\n0\r\nX: 1\r\ny:\t2 \r\n\r\n', 'a', [
    ['X', '1'],
    ['y', '2'],
  ]),
  validChunked('trailers that frame nothing', '0\r\nContent-Length: 9\r\nHost: b\r\n\r\n', '', [
    ['Content-Length', '9'],
    ['Host', 'b'],
  ]),
  valid('Chunked in another case', post('Transfer-Encoding: \tchUNKED ', '1\r\na\r\n0\r\n\r\n'), {
    method: 'POST',
    target: '/up',
    fields: [HOST, ['Transfer-Encoding', 'chUNKED']],
    body: 'a',
  }),
];

const syntax = (status: number, title: string, text: string): InvalidRequest => ({
  title,
  text,
  status,
  layer: 'syntax',
});
const rules = (status: number, title: string, text: string): InvalidRequest => ({
  title,
  text,
  status,
  layer: 'rules',
});
const body = (status: number, title: string, text: string): InvalidRequest => ({ title, text, status, layer: 'body' });

const line = (status: number, title: string, requestLine: string) =>
  syntax(status, title, `${requestLine}\r\nHost: a\r\n\r\n`);
const version = (status: number, text: string) => line(status, `the version ${text}`, `GET / ${text}`);
const target = (title: string, text: string) => line(400, `${title} in the target`, `GET ${text} HTTP/1.1`);
const field = (title: string, text: string) => syntax(400, title, get(`${text}\r\n`));
const host = (title: string, value: string) =>
  rules(400, `${title} as Host`, `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`);
const framed = (status: number, title: string, fields: string) => rules(status, title, post(fields, '0\r\n\r\n'));
const length = (status: number, value: string) =>
  framed(status, `Content-Length ${JSON.stringify(value)}`, `Content-Length: ${value}`);
const coding = (status: number, value: string) =>
  framed(status, `Transfer-Encoding ${JSON.stringify(value)}`, `Transfer-Encoding: ${value}`);
const chunks = (title: string, wire: string) => body(400, title, chunked(wire));

const CONTROL_BYTES = ['\x00', '\x01', '\x08', '\x0b', '\x0c', '\x1b', '\x1f', '\x7f'];
const byteName = (byte: string) => `0x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`;

export const invalidRequests: readonly InvalidRequest[] = [
  // The request line, RFC 9112 section 3.
  syntax(400, 'five empty lines before', '\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'),
  syntax(400, 'a bare LF before', '\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'),
  syntax(400, 'a bare CR before', '\rGET / HTTP/1.1\r\nHost: a\r\n\r\n'),
  line(400, 'a space before the method', ' GET / HTTP/1.1'),
  line(400, 'two spaces before the target', 'GET  / HTTP/1.1'),
  line(400, 'two spaces before the version', 'GET /  HTTP/1.1'),
  line(400, 'a tab before the target', 'GET\t/ HTTP/1.1'),
  line(400, 'a tab before the version', 'GET /\tHTTP/1.1'),
  line(400, 'a space behind the version', 'GET / HTTP/1.1 '),
  line(400, 'a tab behind the version', 'GET / HTTP/1.1\t'),
  line(400, 'no target', 'GET HTTP/1.1'),
  line(400, 'an empty target', 'GET  HTTP/1.1'),
  line(400, 'no method', '/ HTTP/1.1'),
  line(400, 'a method alone', 'GET'),
  line(400, 'the simple request of HTTP/0.9', 'GET /'),
  line(400, 'the simple request of HTTP/0.9, with a space', 'GET / '),
  line(400, 'a word too many', 'GET / HTTP/1.1 x'),
  syntax(400, 'a bare LF behind the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n'),
  syntax(400, 'CR CR LF behind the request line', 'GET / HTTP/1.1\r\r\nHost: a\r\n\r\n'),
  syntax(400, 'a bare CR behind the request line', 'GET / HTTP/1.1\rHost: a\r\n\r\n'),
  syntax(400, 'a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
  ...['http/1.1', 'Http/1.1', 'HTTP/1.10', 'HTTP/01.1', 'HTTP/1', 'HTTP/1.', 'HTTP/.1', 'HTTP/1.1x', 'HTP/1.1'].map(
    (text) => version(400, text),
  ),
  ...['HTTP/a.1', 'HTTP/1.a', 'HTTP/1,1', 'HTTP 1.1', 'HTTP/-1.1', 'HTTP/1.1\x00', 'XTTP/1.1', 'HTTPS/1.1'].map(
    (text) => version(400, text),
  ),
  ...['HTTP/9.9', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/3.0', 'HTTP/0.1'].map((text) => version(505, text)),
  syntax(505, 'the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  target('a fragment', '/#x'),
  target('an 8-bit byte', '/\xe4'),
  target('a UTF-8 character', '/\xc3\xa4'),
  target('a bare CR', '/\rx'),
  target('a bare LF', '/\nx'),
  target('a space', '/a b'),
  ...CONTROL_BYTES.map((byte) => target(byteName(byte), `/${byte}`)),
  ...['(', '@', '"', ',', '/', ':', '\x00', '\x7f', '\xe4'].map((byte) =>
    line(400, `${byteName(byte)} in the method`, `G${byte}T / HTTP/1.1`),
  ),
  line(501, 'a method of 33 letters', `${'M'.repeat(33)} / HTTP/1.1`),
  ...['foo', 'x:80', '*', 'a/b', '?x', 'ftp://b/', 'http:/b', 'http:b', 'mailto:b@c', '.'].map((text) =>
    rules(400, `GET ${text}`, `GET ${text} HTTP/1.1\r\nHost: a\r\n\r\n`),
  ),
  ...[
    'http://',
    'http:///x',
    'http://?x',
    'http://u@b/',
    'http://u:p@b/',
    'http://b:x/',
    'http://b:65536/',
    'http://[b]/',
  ].map((text) => rules(400, `GET ${text}`, `GET ${text} HTTP/1.1\r\nHost: a\r\n\r\n`)),
  rules(400, 'absolute-form without Host', 'GET http://b/ HTTP/1.1\r\n\r\n'),
  rules(501, 'CONNECT', 'CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n'),

  // Host, section 3.2.
  rules(400, 'no Host', 'GET / HTTP/1.1\r\n\r\n'),
  rules(400, 'two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'),
  rules(400, 'two equal Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n'),
  rules(400, 'two Hosts in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n'),
  host('nothing', ''),
  host('a list', 'a, b'),
  host('two words', 'a b'),
  host('a path', 'a/b'),
  host('a URL', 'http://a'),
  host('user information', 'u@a'),
  host('a query', 'a?b'),
  host('a fragment', 'a#b'),
  host('a port alone', ':80'),
  host('a port of letters', 'a:b'),
  host('two ports', 'a:1:2'),
  host('a port of 65536', 'a:65536'),
  host('an endless port', `a:${'9'.repeat(40)}`),
  host('a half escape', 'a%2'),
  host('a backslash', 'a\\b'),
  host('an 8-bit byte', '\xe4'),
  host('0xa0', '\xa0a'),
  host('an IPv6 address without brackets', '::1'),
  host('a bracket that is not closed', '[::1'),
  host('a bracket with junk behind', '[::1]x'),
  host('brackets around nothing', '[]'),
  host('brackets around a name', '[a.b]'),
  host('brackets around colons', '[:::]'),

  // Fields, section 5.
  field('a space before the colon', 'X : 1'),
  field('a tab before the colon', 'X\t: 1'),
  field('a folded line', 'X: 1\r\n 2'),
  field('a line folded with a tab', 'X: 1\r\n\t2'),
  syntax(400, 'a space before the first field', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n'),
  field('a line without a colon', 'X'),
  field('an empty name', ': 1'),
  field('a bare LF behind a field', 'X: 1\nY: 2'),
  field('a bare CR in a value', 'X: 1\rY: 2'),
  field('CR CR LF behind a field', 'X: 1\r'),
  field('a bare CR in a name', 'X\rY: 2'),
  syntax(400, 'LF LF at the end', 'GET / HTTP/1.1\r\nHost: a\n\n'),
  syntax(400, 'CR LF LF at the end', 'GET / HTTP/1.1\r\nHost: a\r\n\n'),
  syntax(400, 'a bare CR at the end', 'GET / HTTP/1.1\r\nHost: a\r\n\rX'),
  ...CONTROL_BYTES.map((byte) => field(`${byteName(byte)} in a value`, `X: a${byte}b`)),
  ...CONTROL_BYTES.map((byte) => field(`${byteName(byte)} at the start of a value`, `X:${byte}b`)),
  ...[
    ...CONTROL_BYTES,
    ' ',
    '(',
    ')',
    ',',
    '/',
    ';',
    '<',
    '=',
    '>',
    '?',
    '@',
    '[',
    ']',
    '{',
    '}',
    '"',
    '\\',
    '\xe4',
  ].map((byte) => field(`${byteName(byte)} in a name`, `X${byte}Y: 1`)),

  // Content-Length, section 6.3.
  ...[
    '',
    '+5',
    '-5',
    '0x5',
    '5 5',
    '5.0',
    '1e1',
    '5,',
    ',5',
    '5,,5',
    '5;',
    'five',
    '\xb2',
    '\xd9\xa5',
    '\xa05',
    '5\xa0',
  ].map((value) => length(400, value)),
  ...['5, 6', '5,05', '5, 5, 6'].map((value) => length(400, value)),
  framed(400, 'two different Content-Lengths', 'Content-Length: 5\r\nContent-Length: 6'),
  framed(400, 'an empty Content-Length behind another', 'Content-Length: 5\r\nContent-Length:'),
  ...['9007199254740993', '18446744073709551616', `1${'0'.repeat(60)}`].map((value) => length(413, value)),

  // Transfer-Encoding, sections 6.1 and 6.3.
  framed(400, 'Content-Length and Transfer-Encoding', 'Content-Length: 5\r\nTransfer-Encoding: chunked'),
  framed(400, 'Transfer-Encoding and Content-Length', 'Transfer-Encoding: chunked\r\nContent-Length: 5'),
  framed(400, 'an unknown coding and Content-Length', 'Transfer-Encoding: x\r\nContent-Length: 5'),
  rules(400, 'Transfer-Encoding in HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
  ...[
    '',
    ',',
    'chunked, gzip',
    'chunked, chunked',
    'chunked,',
    ',chunked',
    'chunked;a',
    '"chunked"',
    'chunked chunked',
  ].map((value) => coding(400, value)),
  ...['\xa0chunked', 'chunked\xa0', 'chunk\xe9d', 'gzip, chunked, chunked'].map((value) => coding(400, value)),
  framed(400, 'chunked in two fields', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'),
  framed(400, 'chunked in the first of two fields', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip'),
  ...['gzip', 'gzip, chunked', 'identity', 'xchunked', 'chunked-x', 'identity, chunked'].map((value) =>
    coding(501, value),
  ),

  // Expect, RFC 9110 section 10.1.1.
  rules(417, 'an unknown expectation', post('Content-Length: 1\r\nExpect: more', 'a')),
  rules(417, 'an unknown expectation among others', post('Content-Length: 1\r\nExpect: 100-continue, x', 'a')),
  rules(413, 'a body over the limit, announced', post('Content-Length: 99999999999\r\nExpect: 100-continue', '')),

  // Chunks, section 7.1.
  chunks('no size', '\r\n\r\n'),
  chunks('a size that is no number', 'x\r\n'),
  chunks('a negative size', '-1\r\na\r\n'),
  chunks('a signed size', '+1\r\na\r\n'),
  chunks('a size with 0x', '0x1\r\na\r\n'),
  chunks('a blank before a size', ' 1\r\na\r\n'),
  chunks('a blank behind a size, and no extension', '1 \r\na\r\n'),
  chunks('a blank behind an extension', '1;x \r\na\r\n'),
  chunks('a size with a point', '1.0\r\na\r\n'),
  chunks('a size of 17 digits', `${'0'.repeat(16)}1\r\na\r\n`),
  chunks('a bare LF behind a size', '1\na\r\n'),
  chunks('a bare CR behind a size', '1\ra\r\n'),
  chunks('CR CR LF behind a size', '1\r\r\na\r\n'),
  chunks('a bare LF behind data', '1\r\na\n0\r\n\r\n'),
  chunks('a bare CR behind data', '1\r\na\r0\r\n\r\n'),
  chunks('nothing behind data', '1\r\na0\r\n\r\n'),
  chunks('more data than the size', '1\r\nab\r\n0\r\n\r\n'),
  chunks('less data than the size', '3\r\na\r\n0\r\n\r\n'),
  chunks('an extension without a name', '1;\r\na\r\n'),
  chunks('an extension that begins with =', '1;=x\r\na\r\n'),
  chunks('an extension behind =', '1=x\r\na\r\n'),
  chunks('an extension without a value behind =', '1;x=\r\na\r\n'),
  chunks('an extension with two values', '1;x=y=z\r\na\r\n'),
  chunks('an extension of two words', '1;x y\r\na\r\n'),
  chunks('a quoted string that is not closed', '1;x="y\r\na\r\n'),
  chunks('a quoted string with a bare LF', '1;x="\n"\r\na\r\n'),
  chunks('a quoted pair of CR', '1;x="\\\r\n"\r\na\r\n'),
  chunks('junk behind a quoted string', '1;x="y"z\r\na\r\n'),
  chunks('a bare LF in an extension', '1;x\na\r\n'),
  chunks('CR CR LF behind an extension', '1;x\r\r\na\r\n'),
  ...CONTROL_BYTES.map((byte) => chunks(`${byteName(byte)} in an extension`, `1;x${byte}\r\na\r\n`)),
  ...CONTROL_BYTES.map((byte) => chunks(`${byteName(byte)} in a quoted string`, `1;x="${byte}"\r\na\r\n`)),
  chunks('a bare LF behind the last chunk', '0\r\n\n'),
  chunks('a bare CR behind the last chunk', '0\r\n\rX'),
  chunks('a malformed trailer', '0\r\nX : 1\r\n\r\n'),
  chunks('a folded trailer', '0\r\nX: 1\r\n 2\r\n\r\n'),
  chunks('a trailer without a colon', '0\r\nX\r\n\r\n'),
  chunks('NUL in a trailer', '0\r\nX: \x00\r\n\r\n'),
  chunks('another request instead of trailers', '0\r\nGET / HTTP/1.1\r\n\r\n'),
  body(413, 'a chunk over the limit', chunked('fffffffff\r\n')),
  body(413, 'a size that overflows 64 bits', chunked('ffffffffffffffff\r\n')),
];
