/**
 * Requests made by grammar: every part is mostly as RFC 9112 has it, and now and then one of the things that have fooled a
 * parser somewhere. So most requests are valid, many are wrong in one place, and few are mere noise, which any parser
 * refuses at its first byte.
 *
 * They are fast-check's arbitraries: a property that fails is shrunk to its simplest request, which is why the harmless
 * choice stands first in each list. Text is latin1, one character a byte.
 */

import fc from 'fast-check';

type Text = fc.Arbitrary<string>;

/** How often a part is well-formed, for each time that it is not. There are some twenty parts in a request. */
const SOUNDNESS = 40;

const oneOf = (...texts: string[]): Text => fc.constantFrom(...texts);

const mostly = (sound: Text, ...poisoned: string[]): Text =>
  fc.oneof({ arbitrary: sound, weight: SOUNDNESS }, { arbitrary: oneOf(...poisoned), weight: 1 });

/** The parts, one behind the other. */
const sequence = (...parts: Text[]): Text => fc.tuple(...parts).map((texts) => texts.join(''));

const several = (part: Text, maxLength: number, minLength = 0): Text =>
  fc.array(part, { minLength, maxLength }).map((texts) => texts.join(''));

const wordOf = (alphabet: string, maxLength: number, minLength = 1): Text =>
  fc.string({ unit: fc.constantFrom(...alphabet), minLength, maxLength });

const TOKEN = "ab-!#$%&'*+.^_`|~019XYZ";
const VALUE = 'ab 1\t,;:="\'()[]{}\x80\xa0\xff!#';

const token = wordOf(TOKEN, 8);
const crlf = mostly(oneOf('\r\n'), '\n', '\r', '\r\r\n', ' \r\n', '\r\n\r\n', '');
const blanks = fc.oneof({ arbitrary: oneOf('', ' '), weight: 4 }, { arbitrary: wordOf(' \t', 3), weight: 1 });

const anyByte = fc.nat(255).map((byte) => String.fromCharCode(byte));

const method = mostly(
  oneOf('GET', 'POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'QUERY', 'M-SEARCH'),
  ...['get', 'G', 'GETT', '', 'CONNECT', 'PRI', 'SOURCE', 'G\x00T', 'GE(', 'BREW', 'PLAY', 'DESCRIBE', 'M'.repeat(33)],
);

const host = mostly(
  oneOf('a', 'example.org', 'a:80', '127.0.0.1:8080', '[::1]', '[::1]:8080', 'a:', 'A%20b'),
  ...['', 'a b', 'a/b', 'u@a', ':80', 'a:b', 'a:65536', '[::1', '[x]', '[:::]', 'a%2', 'a#', '\xe4', 'a,b', 'a\\b'],
);

const target = mostly(
  fc.oneof(
    { arbitrary: oneOf('/', '/a', '/a?b=c&d', '/a/../b', '//a', '/%41;x', '/a?/?'), weight: 4 },
    { arbitrary: wordOf('ab/?%&=:;@!$\'()*+,-._~1|"<>[]{}\\^`', 8, 0).map((text) => `/${text}`), weight: 2 },
    { arbitrary: host.map((text) => `http://${text}/a?b`), weight: 1 },
  ),
  ...[
    '',
    '*',
    'a',
    'a:80',
    '?',
    '/#a',
    '/\x00',
    '/ ',
    '/\t',
    '/\x7f',
    '/\xe4',
    'http:/a',
    'http://',
    'HTTPS://A',
    'ftp://a/',
  ],
  ...['http://u:p@a/', 'http://a', 'http://a?b', 'http://a#b', 'http:///', 'x://a', 'http://a:b/', '/\r', '/\n'],
);

const version = mostly(
  fc.oneof({ arbitrary: oneOf('HTTP/1.1'), weight: 9 }, { arbitrary: oneOf('HTTP/1.0'), weight: 1 }),
  ...['HTTP/1.2', 'HTTP/2.0', 'HTTP/0.9', 'HTTP/1.', 'HTTP/11', 'HTTP/1.10', 'http/1.1', 'HTTP/1.1 ', '', 'RTSP/1.0'],
  ...['HTTP/9.9', 'ICE/1.0', 'HTTP/01.1', 'HTTP/1.1\t'],
);

const requestLine = sequence(
  fc.oneof(
    { arbitrary: oneOf(''), weight: SOUNDNESS },
    { arbitrary: several(oneOf('\r\n', '\n', '\r'), 6), weight: 1 },
  ),
  mostly(oneOf(''), ' ', '\t', '\x00'),
  method,
  mostly(oneOf(' '), '  ', '\t', '', '\r', '\n'),
  target,
  mostly(oneOf(' '), '  ', '\t', '', '\r', '\n'),
  version,
  crlf,
);

/** A field line whose name is given: the value is what matters. */
const fieldNamed = (name: Text, value: Text): Text =>
  sequence(mostly(name, ''), mostly(oneOf(':'), ' :', '\t:', '', '::', '\r:', '\n:'), blanks, value, blanks, crlf);

const anyCase = (name: string): Text => oneOf(name, name.toLowerCase(), name.toUpperCase());

const hostField = fc.oneof(
  { arbitrary: fieldNamed(anyCase('Host'), host), weight: SOUNDNESS },
  {
    arbitrary: oneOf(
      '',
      'Host: a\r\nHost: a\r\n',
      'Host : a\r\n',
      'Host\r\n',
      ' Host: a\r\n',
      'Host: a\r\nhOST: b\r\n',
    ),
    weight: 2,
  },
);

const plainValue = mostly(
  wordOf(VALUE, 10, 0),
  ...['a\x00b', 'a\x7f', '\x0b', 'a\rb', 'a\nb', 'a\r\n b', '\r\n\tb', 'GET / HTTP/1.1', '\x1f'],
);

const plainField = fc.oneof(
  { arbitrary: fieldNamed(token, plainValue), weight: 6 },
  {
    arbitrary: fieldNamed(oneOf('Cookie', 'Accept', 'Content_Length', 'Hos', 'Hostt', 'Transfer-Encodin'), plainValue),
    weight: 2,
  },
  { arbitrary: sequence(token, anyByte, token, oneOf(': a\r\n')), weight: 1 },
);

const connectionField = fieldNamed(
  anyCase('Connection'),
  mostly(
    oneOf('close', 'keep-alive', 'Keep-Alive', 'CLOSE', 'x', 'x, close', 'keep-alive, x', 'upgrade'),
    ...['', ',', 'close,', ' ,close', 'clos', 'closed', 'close x', 'close;x', 'keep-alive, close', 'close, keep-alive'],
    ...['"close"', 'keep-alive-x', 'xclose', 'close\tx', 'keep-alivex, close'],
  ),
);

const oddField = fc.oneof(
  fieldNamed(anyCase('Expect'), mostly(oneOf('100-continue', '100-Continue'), '', 'x', '100-continue, x')),
  fieldNamed(anyCase('Upgrade'), oneOf('x', 'websocket')),
  fieldNamed(oneOf('Proxy-Connection', 'Keep-Alive', 'TE', 'Trailer'), oneOf('close', 'keep-alive', 'x')),
);

const fields = sequence(
  hostField,
  several(
    fc.oneof(
      { arbitrary: plainField, weight: 5 },
      { arbitrary: connectionField, weight: 2 },
      { arbitrary: oddField, weight: 1 },
    ),
    4,
  ),
);

/** What frames a body, and the body. */
interface Framed {
  readonly fields: string;
  readonly body: string;
}

const data = fc.oneof(
  { arbitrary: wordOf('ab\r\n\x00\xff0:', 8, 0), weight: 4 },
  { arbitrary: oneOf('0\r\n\r\n', 'GET /evil HTTP/1.1\r\nHost: b\r\n\r\n', 'x'.repeat(20)), weight: 1 },
);

const lengthField = (length: number): Text =>
  fieldNamed(
    anyCase('Content-Length'),
    mostly(
      oneOf(String(length), String(length), `0${length}`),
      ...[`${length}, ${length}`, `${length},${length + 1}`, `+${length}`, `-${length}`, '', `${length} ${length}`],
      ...[`0x${length}`, `${length}.0`, `${length}\x00`, '99999999999999999999', `${length};`, `,${length}`, '\xb2'],
    ),
  );

const withLength: fc.Arbitrary<Framed> = data.chain((body) =>
  fc.record({
    fields: fc.oneof(
      { arbitrary: lengthField(body.length), weight: SOUNDNESS },
      { arbitrary: sequence(lengthField(body.length), lengthField(body.length)), weight: 1 },
      { arbitrary: lengthField(body.length + 1), weight: 1 },
    ),
    body: fc.constant(body),
  }),
);

const extension = sequence(
  mostly(oneOf(';'), '; ', ' ;', '\t;', ';;', '', ','),
  mostly(token, '', '='),
  fc.oneof(
    { arbitrary: oneOf(''), weight: 4 },
    {
      arbitrary: sequence(mostly(oneOf('='), ' = ', '=='), mostly(token, '', '"', '"\r\n"', '"a"b', 'a b', '\n', '\r')),
      weight: 2,
    },
    {
      arbitrary: oneOf('="a"', '="a\\"b;c"', '=""', '="\t\xff"', '="\\\r"', '="\x00"', '=\r\n', ' ', '\r\n'),
      weight: 1,
    },
  ),
);

const chunkSize = (length: number): Text => {
  const hex = length.toString(16);
  return mostly(
    oneOf(hex, hex.toUpperCase(), `0${hex}`, `000${hex}`),
    ...[`${hex} `, ` ${hex}`, `+${hex}`, `-${hex}`, `0x${hex}`, '', (length + 1).toString(16), `${hex}\t`, `${hex}g`],
    ...[`${hex};`, 'ffffffffffffffff', '10000000000000000', 'fffffffff', `${'0'.repeat(16)}${hex}`],
  );
};

const extensions = fc.oneof({ arbitrary: oneOf(''), weight: 4 }, { arbitrary: several(extension, 3), weight: 1 });

const chunk = fc
  .oneof(wordOf('ab\r\n0', 12), oneOf('0\r\n\r\n', 'x'.repeat(17)))
  .chain((body) => sequence(chunkSize(body.length), extensions, crlf, fc.constant(body), crlf));

const trailers = fc.oneof(
  { arbitrary: oneOf(''), weight: 6 },
  { arbitrary: several(plainField, 2), weight: 2 },
  {
    arbitrary: oneOf('Content-Length: 5\r\n', 'Host: b\r\n', 'Transfer-Encoding: chunked\r\n', 'Connection: close\r\n'),
    weight: 1,
  },
);

const chunkedBody = sequence(
  several(chunk, 3),
  mostly(oneOf('0', '0', '00'), '', '0x0', ' 0'),
  extensions,
  crlf,
  trailers,
  crlf,
);

const codingField = fieldNamed(
  anyCase('Transfer-Encoding'),
  mostly(
    oneOf('chunked', 'chunked', 'Chunked', 'CHUNKED'),
    ...[
      'gzip, chunked',
      'chunked, gzip',
      'gzip',
      'identity',
      'chunked, chunked',
      '',
      ',',
      'chunked,',
      ',chunked',
      'xchunked',
    ],
    ...[
      'chunkedx',
      'chunked x',
      '"chunked"',
      'chunked;a=b',
      '\x0bchunked',
      'chunked\x00',
      'chunke',
      'identity, chunked',
    ],
  ),
);

const withChunks: fc.Arbitrary<Framed> = fc.record({
  fields: fc.oneof(
    { arbitrary: codingField, weight: SOUNDNESS },
    { arbitrary: sequence(codingField, lengthField(5)), weight: 1 },
    { arbitrary: sequence(lengthField(5), codingField), weight: 1 },
    { arbitrary: sequence(codingField, codingField), weight: 1 },
  ),
  body: chunkedBody,
});

const framed = fc.oneof(
  { arbitrary: fc.constant<Framed>({ fields: '', body: '' }), weight: 3 },
  { arbitrary: withLength, weight: 3 },
  { arbitrary: withChunks, weight: 4 },
);

/** One request. */
export const requestText: Text = fc
  .tuple(requestLine, fields, framed, crlf)
  .map(([line, before, { fields, body }, end]) => `${line}${before}${fields}${end}${body}`);

/** What a client sends on one connection. */
export const pipelineText: Text = several(requestText, 4, 1);

/** Where text of some length is cut: offsets in order, the last of which is the length. */
export function cutsOf(length: number): fc.Arbitrary<number[]> {
  const some = fc.uniqueArray(fc.nat(Math.max(0, length - 1)), { maxLength: 6 });
  return some.map((cuts) => [...cuts.filter((cut) => cut > 0).sort((a, b) => a - b), length]);
}

/** Bytes on a connection, and how they arrive. */
export interface Arrival {
  readonly text: string;
  readonly cuts: readonly number[];
}

export const arrival: fc.Arbitrary<Arrival> = pipelineText.chain((text) =>
  fc.record({ text: fc.constant(text), cuts: cutsOf(text.length) }),
);

/** So many, always the same for a seed. */
export function sampled<T>(arbitrary: fc.Arbitrary<T>, seed: number, count: number): T[] {
  return fc.sample(arbitrary, { seed, numRuns: count });
}
