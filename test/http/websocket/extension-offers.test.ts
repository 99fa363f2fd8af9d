/** What a client offers in Sec-WebSocket-Extensions, and which fields offer nothing. */

import { test } from 'tap';
import { parseExtensions } from '../../../http/websocket/handshake.ts';

type Short = readonly [name: string, ...parameters: string[]];

const read: readonly (readonly [field: string, offers: readonly Short[]])[] = [
  ['permessage-deflate', [['permessage-deflate']]],
  ['a, b', [['a'], ['b']]],
  ['a,b', [['a'], ['b']]],
  [' \ta \t;\t x ', [['a', 'x']]],
  ['a; x; y=1', [['a', 'x', 'y=1']]],
  ['a;x=1;x=2', [['a', 'x=1', 'x=2']]],
  ['a; x="1"', [['a', 'x=1']]],
  ['a; x="1\\0"', [['a', 'x=10']]],
  ['a; x = 1 ; y', [['a', 'x=1', 'y']]],
  // RFC 9110 section 5.6.1.2: empty members.
  [', a,, b ,', [['a'], ['b']]],
  ['', []],
  [',', []],
];

const malformed = [
  ...['a b', 'a;', 'a; ;x', 'a; x=', 'a; x=1 2', 'a; =1', '; x', 'a/b', 'a; x=1=2'],
  // A value must be a token also without its quotes (RFC 6455 section 9.1).
  ...['a; x=""', 'a; x="1', 'a; x="1 0"', 'a; x="1,2"', 'a; x="\\"', 'a; x="1\\"', 'a; x=1"2"'],
  ...['a, b;', 'a\u00e9', 'a; x=\u00e9', '@'],
];

test('offers, in order, with their parameters', async (t) => {
  for (const [field, offers] of read) {
    const found = parseExtensions(field).map(({ name, parameters }) => [
      name,
      ...parameters.map(([parameter, value]) => (value === true ? parameter : `${parameter}=${value}`)),
    ]);
    t.same(found, offers, field);
  }
});

test('a malformed field offers nothing', async (t) => {
  for (const field of malformed) t.same(parseExtensions(field), [], field);
});
