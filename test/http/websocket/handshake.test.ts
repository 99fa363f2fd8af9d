/** The handshake: each refusal, and how offers are read. */

import { test } from 'tap';
import {
  acceptOf,
  chooseSubprotocol,
  isSameHost,
  parseExtensions,
  refusalOfHandshake,
} from '../../../http/websocket/handshake.ts';

const GOOD: Readonly<Record<string, string>> = {
  connection: 'keep-alive, Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

interface Change {
  readonly fields?: Readonly<Record<string, string | null>>;
  readonly method?: string;
  readonly httpVersion?: string;
  readonly authority?: string;
}

function refusal({ fields = {}, method = 'GET', httpVersion = '1.1', authority = 'example.org' }: Change = {}) {
  const all: Readonly<Record<string, string | null>> = { ...GOOD, ...fields };
  return refusalOfHandshake({ method, httpVersion, authority, field: (name) => all[name] ?? null });
}

test('the example of RFC 6455 section 1.3', async (t) => {
  t.equal(refusal(), null);
  t.equal(acceptOf('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  t.equal(refusal({ fields: { upgrade: 'h2c, WebSocket', connection: 'UPGRADE' } }), null);
  t.equal(refusal({ fields: { 'sec-websocket-version': ' 13 ' } }), null);
});

const refused: readonly (readonly [string, Change, number, Readonly<Record<string, string>>])[] = [
  ['no Upgrade', { fields: { upgrade: null } }, 426, { Upgrade: 'websocket' }],
  ['another protocol', { fields: { upgrade: 'h2c' } }, 426, { Upgrade: 'websocket' }],
  ['no Connection', { fields: { connection: null } }, 426, { Upgrade: 'websocket' }],
  ['Connection without Upgrade', { fields: { connection: 'keep-alive' } }, 426, { Upgrade: 'websocket' }],
  ['HTTP/1.0', { httpVersion: '1.0' }, 400, {}],
  ['no Host', { authority: '' }, 400, {}],
  ['HEAD', { method: 'HEAD' }, 405, { Allow: 'GET' }],
  ['POST', { method: 'POST' }, 405, { Allow: 'GET' }],
  ...[null, '', '8', '12', '14', '13, 8', '0013', 'x'].map(
    (version) =>
      [
        `version ${version}`,
        { fields: { 'sec-websocket-version': version } },
        426,
        { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' },
      ] as const,
  ),
  ...[
    null,
    '',
    'x',
    'dGhlIHNhbXBsZSBub25jZQ',
    'dGhlIHNhbXBsZSBub25jZQ===',
    'dGhlIHNhbXBsZSBub25j',
    '*GhlIHNhbXBsZSBub25jZQ==',
  ].map((key) => [`key ${key}`, { fields: { 'sec-websocket-key': key } }, 400, {}] as const),
  [
    'two keys',
    { fields: { 'sec-websocket-key': `${GOOD['sec-websocket-key']}, ${GOOD['sec-websocket-key']}` } },
    400,
    {},
  ],
];

for (const [name, change, status, fields] of refused) {
  test(`refused: ${name}`, async (t) => {
    const result = refusal(change);
    t.same([result?.status, result?.fields], [status, fields]);
    t.match(result?.message, /\w/);
  });
}

test('the first subprotocol of ours that the client offers', async (t) => {
  t.equal(chooseSubprotocol(null, ['a']), '');
  t.equal(chooseSubprotocol('a, b', []), '');
  t.equal(chooseSubprotocol('a,\tb', ['b', 'a']), 'b');
  t.equal(chooseSubprotocol('A', ['a']), '');
  t.equal(chooseSubprotocol('x, y', ['a']), '');
});

test('whether an origin has the host of the request', async (t) => {
  for (const [origin, authority] of [
    ['https://example.org', 'example.org'],
    ['https://example.org', 'Example.org:443'],
    ['http://example.org', 'example.org:80'],
    ['http://localhost:8080', 'localhost:8080'],
    ['http://[::1]:8080', '[::1]:8080'],
  ] as const) {
    t.ok(isSameHost(origin, authority), `${origin} at ${authority}`);
  }
  for (const [origin, authority] of [
    ['https://example.org.evil.example', 'example.org'],
    ['https://evil.example', 'example.org'],
    ['http://localhost:8081', 'localhost:8080'],
    ['null', 'null'],
    ['file://', ''],
    ['', ''],
  ] as const) {
    t.notOk(isSameHost(origin, authority), `${origin} at ${authority}`);
  }
});

test('offers of extensions', async (t) => {
  t.same(parseExtensions(null), []);
  t.same(parseExtensions('permessage-deflate; client_max_window_bits; server_max_window_bits=10, x-y'), [
    {
      name: 'permessage-deflate',
      parameters: [
        ['client_max_window_bits', true],
        ['server_max_window_bits', '10'],
      ],
    },
    { name: 'x-y', parameters: [] },
  ]);
  t.same(parseExtensions(',a;b="c" , ,d;e="f\\g"'), [
    { name: 'a', parameters: [['b', 'c']] },
    { name: 'd', parameters: [['e', 'fg']] },
  ]);
});

test('offers that cannot be read are no offers', async (t) => {
  const many = Array.from({ length: 17 }, (_, i) => `x${i}`).join();
  for (const field of [
    'a b',
    'a;',
    ';b',
    'a; =c',
    'a; b="c',
    'a; b="c,d"',
    'a; b="c;d"',
    'a; b=',
    'a; b c',
    'a; b="c"d',
    many,
    'a'.repeat(2_049),
  ]) {
    t.same(parseExtensions(field), [], field.slice(0, 40));
  }
  t.equal(parseExtensions(many.replace(',x16', '')).length, 16);
  t.equal(parseExtensions('a'.repeat(2_048)).length, 1);
});
