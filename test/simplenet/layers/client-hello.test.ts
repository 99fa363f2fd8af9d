/** decodeClientHello: hellos of real clients, cut at every offset and into records, and everything that is wrong with one. */

import fc from 'fast-check';
import { test } from 'tap';
import {
  type ClientHello,
  DECODE_ERROR,
  decodeClientHello,
  type HelloFault,
  ILLEGAL_PARAMETER,
  MAX_CLIENT_HELLO_BYTES,
  MAX_CLIENT_HELLO_RECORDS,
  PROTOCOL_VERSION,
  RECORD_OVERFLOW,
  TLS_1_2,
  TLS_1_3,
  UNEXPECTED_MESSAGE,
  UNRECOGNIZED_NAME,
} from '../../../simplenet/layers/client-hello.ts';
import { encodeBody, encodeHello, inRecords, messageOf, number, serverNameData, vector } from './hello-encoder.ts';
import * as recorded from './recorded-hellos.ts';

const h2AndHttp1 = ['h2', 'http/1.1'];

const golden: Readonly<Record<keyof typeof recorded, ClientHello>> = {
  curl: {
    serverName: 'example.com',
    protocols: h2AndHttp1,
    versions: [TLS_1_3, TLS_1_2, 0x0302, 0x0301],
    legacyVersion: TLS_1_2,
    offersResumption: false,
  },
  curlTls12: {
    serverName: 'example.com',
    protocols: ['http/1.1'],
    versions: [TLS_1_2],
    legacyVersion: TLS_1_2,
    offersResumption: false,
  },
  openssl12: {
    serverName: 'example.com',
    protocols: [],
    versions: [TLS_1_2],
    legacyVersion: TLS_1_2,
    offersResumption: false,
  },
  openssl13: {
    serverName: null,
    protocols: [],
    versions: [TLS_1_3],
    legacyVersion: TLS_1_2,
    offersResumption: false,
  },
  python: {
    serverName: null,
    protocols: ['http/1.1'],
    versions: [TLS_1_3, TLS_1_2],
    legacyVersion: TLS_1_2,
    offersResumption: false,
  },
  chromium: {
    serverName: 'example.com',
    protocols: h2AndHttp1,
    versions: [0xfafa, TLS_1_3, TLS_1_2],
    legacyVersion: TLS_1_2,
    offersResumption: false,
  },
};

function alertOf(bytes: Uint8Array): number | null | 'no fault' {
  const result = decodeClientHello(bytes);
  return result !== null && 'alert' in result ? result.alert : 'no fault';
}

test('hellos of real clients say what their clients were told to ask for', async (t) => {
  for (const [client, expected] of Object.entries(golden)) {
    const bytes = Buffer.from(recorded[client as keyof typeof recorded], 'base64');
    const decoded = decodeClientHello(bytes) as ClientHello;
    // GREASE: Chromium makes the value up.
    const versions = decoded.versions.map((version) => ((version & 0x0f0f) === 0x0a0a ? 0xfafa : version));
    t.same({ ...decoded, versions }, expected, client);
    for (let length = 0; length < bytes.length; length++) {
      if (decodeClientHello(bytes, length) !== null) t.fail(`${client} is complete after ${length} bytes`);
    }
    t.same(decodeClientHello(Buffer.concat([bytes, Buffer.of(20, 3, 3)])), decoded, 'what follows does not matter');
  }
});

test('a hello may be cut into two records at every offset', async (t) => {
  const bytes = Buffer.from(recorded.curl, 'base64');
  const expected = decodeClientHello(bytes);
  const message = bytes.subarray(5);
  for (let at = 1; at < message.length; at++) {
    const cut = inRecords(message, [at]);
    t.same(decodeClientHello(cut), expected);
    for (const length of [5, 5 + at, 5 + at + 5, cut.length - 1]) {
      if (decodeClientHello(cut, length) !== null) t.fail(`cut at ${at} it is complete after ${length} bytes`);
    }
  }
});

test('the number of records is limited', async (t) => {
  const message = messageOf(encodeBody({ serverName: 'a.example' }));
  const sizesOf = (records: number) => Array.from({ length: records - 1 }, () => 1);
  t.type(decodeClientHello(inRecords(message, sizesOf(MAX_CLIENT_HELLO_RECORDS))), Object);
  t.match(decodeClientHello(inRecords(message, sizesOf(MAX_CLIENT_HELLO_RECORDS))), { serverName: 'a.example' });
  t.equal(alertOf(inRecords(message, sizesOf(MAX_CLIENT_HELLO_RECORDS + 1))), ILLEGAL_PARAMETER);
});

test('the length of a hello is limited, and a longer one is refused by its header', async (t) => {
  const parts = (padding: number) => ({ more: [[21, Buffer.alloc(padding)]] as const });
  const bare = messageOf(encodeBody(parts(0))).length;
  const longest = messageOf(encodeBody(parts(MAX_CLIENT_HELLO_BYTES - bare)));
  t.equal(longest.length, MAX_CLIENT_HELLO_BYTES);
  t.match(decodeClientHello(inRecords(longest)), { serverName: null });
  const tooLong = inRecords(messageOf(encodeBody(parts(MAX_CLIENT_HELLO_BYTES - bare + 1))));
  t.equal(alertOf(tooLong.subarray(0, 9)), ILLEGAL_PARAMETER);
  t.equal(decodeClientHello(tooLong.subarray(0, 8)), null);
});

test('the length of a record is limited', async (t) => {
  t.equal(decodeClientHello(Buffer.of(22, 3, 1, 0x40, 0x00)), null);
  t.equal(alertOf(Buffer.of(22, 3, 1, 0x40, 0x01)), RECORD_OVERFLOW);
  t.equal(alertOf(Buffer.of(22, 3, 1, 0, 0)), DECODE_ERROR, 'an empty one');
});

test('what is not TLS is seen at its first or second byte, and gets no alert', async (t) => {
  for (const bytes of [
    'GET / HTTP/1.1\r\n',
    'G',
    '\x80\x2e\x01\x03\x01',
    '\x00',
    '\x16\x02',
    'PRI * HTTP/2.0',
    'SSH-2.0-x',
  ]) {
    t.equal(alertOf(Buffer.from(bytes, 'latin1')), null, JSON.stringify(bytes));
  }
  t.equal(decodeClientHello(new Uint8Array(0)), null);
  t.equal(decodeClientHello(Buffer.of(22)), null);
});

test('another message, and another record inside a hello', async (t) => {
  t.equal(alertOf(Buffer.of(22, 3, 1, 0, 4, 2)), UNEXPECTED_MESSAGE);
  const message = messageOf(encodeBody({}));
  const first = inRecords(message, [10]).subarray(0, 15);
  t.equal(alertOf(Buffer.concat([first, Buffer.of(21)])), UNEXPECTED_MESSAGE);
  t.equal(decodeClientHello(Buffer.concat([first, Buffer.of(22)])), null);
  t.equal(alertOf(Buffer.concat([first, Buffer.of(22, 2)])), PROTOCOL_VERSION);
});

test('the body: what a hello must have', async (t) => {
  t.same(decodeClientHello(encodeHello({ withoutExtensions: true })), {
    serverName: null,
    protocols: [],
    versions: [TLS_1_2],
    legacyVersion: TLS_1_2,
    offersResumption: false,
  });
  t.equal(alertOf(encodeHello({ sessionId: Buffer.alloc(32) })), 'no fault');
  t.equal(alertOf(encodeHello({ sessionId: Buffer.alloc(33) })), DECODE_ERROR);
  t.equal(alertOf(encodeHello({ ciphers: Buffer.alloc(0) })), DECODE_ERROR);
  t.equal(alertOf(encodeHello({ ciphers: Buffer.alloc(3) })), DECODE_ERROR);
  t.equal(alertOf(encodeHello({ compression: Buffer.of(1, 0) })), 'no fault');
  t.equal(alertOf(encodeHello({ compression: Buffer.of(1) })), ILLEGAL_PARAMETER);
  const body = encodeBody({ serverName: 'a.example', versions: [TLS_1_3] });
  const extensionsAt = encodeBody({ withoutExtensions: true }).length;
  for (let length = 0; length < body.length; length++) {
    const expected = length === extensionsAt ? 'no fault' : DECODE_ERROR;
    t.equal(alertOf(inRecords(messageOf(body.subarray(0, length)))), expected, `a body of ${length} bytes`);
  }
  t.equal(
    alertOf(inRecords(messageOf(Buffer.concat([body, Buffer.of(0)])))),
    DECODE_ERROR,
    'bytes behind the extensions',
  );
});

test('extensions: their lengths, their order, and none twice', async (t) => {
  const data = Buffer.alloc(2);
  const psk = [41, Buffer.alloc(4)] as const;
  const cases: readonly (readonly [readonly (readonly [number, Uint8Array])[], number | 'no fault'])[] = [
    [
      [
        [9_999, data],
        [9_998, data],
      ],
      'no fault',
    ],
    [
      [
        [9_999, data],
        [9_999, data],
      ],
      ILLEGAL_PARAMETER,
    ],
    [[[9_999, data], psk], 'no fault'],
    [[psk, [9_999, data]], ILLEGAL_PARAMETER],
  ];
  for (const [more, expected] of cases) t.equal(alertOf(encodeHello({ more })), expected, JSON.stringify(more));
  const broken = Buffer.concat([
    encodeBody({ withoutExtensions: true }),
    vector(2, number(9_999, 2), Buffer.of(0, 5, 1)),
  ]);
  t.equal(alertOf(inRecords(messageOf(broken))), DECODE_ERROR);
});

test('resumption: a ticket with content, or a pre-shared key', async (t) => {
  const offers = (bytes: Buffer) => (decodeClientHello(bytes) as ClientHello).offersResumption;
  t.equal(offers(encodeHello({ ticket: Buffer.alloc(0) })), false);
  t.equal(offers(encodeHello({ ticket: Buffer.alloc(1) })), true);
  t.equal(offers(encodeHello({ more: [[41, Buffer.alloc(9)]] })), true);
  t.equal(offers(encodeHello({ sessionId: Buffer.alloc(32, 1) })), false);
});

test('server names', async (t) => {
  const nameOf = (name: string) => {
    const result = decodeClientHello(encodeHello({ serverName: name })) as ClientHello | HelloFault;
    return 'alert' in result ? result.alert : result.serverName;
  };
  const label = 'a'.repeat(63);
  const longest = [label, label, label, 'b'.repeat(61)].join('.');
  t.equal(longest.length, 253);
  const accepted = [
    'localhost',
    'a.b',
    'xn--bcher-kva.example',
    '_dmarc.example',
    '1.example',
    `${label}.example`,
    longest,
  ];
  for (const name of accepted) t.equal(nameOf(name), name);
  t.equal(nameOf('WWW.Example.COM'), 'www.example.com');
  t.equal(nameOf('example.com.'), 'example.com', 'one dot at the end is the root');
  for (const address of ['127.0.0.1', '::1', '[::1]', '2130706433', '0x7f.1']) t.equal(nameOf(address), null, address);
  const refused = [
    '.',
    '..',
    'a..b',
    '.a',
    'a b',
    'a\0b',
    'b\xfccher',
    '-a.b',
    'a-.b',
    `${label}a.b`,
    `${longest}b`,
    '*.a',
    'a/b',
    'a\r\nb',
    "a'b",
  ];
  for (const name of refused) t.equal(nameOf(name), UNRECOGNIZED_NAME, JSON.stringify(name));
  const malformed = [
    Buffer.alloc(0),
    Buffer.of(0, 0),
    vector(2, Buffer.of(0), vector(2)),
    vector(2, Buffer.of(1), vector(2, Buffer.from('a'))),
    vector(2, Buffer.of(0), vector(2, Buffer.from('a')), Buffer.of(0), vector(2, Buffer.from('b'))),
    Buffer.concat([serverNameData('a'), Buffer.of(0)]),
    serverNameData('abc').subarray(0, 6),
  ];
  for (const data of malformed)
    t.equal(alertOf(encodeHello({ more: [[0, data]] })), DECODE_ERROR, data.toString('hex'));
});

test('protocols and versions: lists that are malformed', async (t) => {
  const lists: readonly (readonly [number, Uint8Array])[] = [
    [16, Buffer.alloc(0)],
    [16, Buffer.of(0, 0)],
    [16, Buffer.of(0, 1, 0)],
    [16, Buffer.of(0, 2, 2, 104)],
    [16, Buffer.of(0, 2, 1, 104, 0)],
    [43, Buffer.alloc(0)],
    [43, Buffer.of(0)],
    [43, Buffer.of(3, 3, 4, 3)],
    [43, Buffer.of(2, 3, 4, 0)],
    [43, Buffer.of(4, 3, 4)],
  ];
  for (const list of lists)
    t.equal(alertOf(encodeHello({ more: [list] })), DECODE_ERROR, `${list[0]}: ${list[1].join(' ')}`);
});

const hellos = fc.record({
  serverName: fc.option(fc.constantFrom('localhost', 'www.example.com', 'xn--a.example', `${'a'.repeat(63)}.b`)),
  protocols: fc.array(
    fc.uint8Array({ minLength: 1, maxLength: 255 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    { maxLength: 20 },
  ),
  versions: fc.option(fc.array(fc.nat(0xffff), { minLength: 1, maxLength: 127 })),
  legacyVersion: fc.nat(0xffff),
  ticket: fc.option(fc.uint8Array({ maxLength: 300 })),
});

test('what is encoded is decoded, in any records', async (t) => {
  const property = fc.property(
    hellos,
    fc.array(fc.integer({ min: 1, max: 2_000 }), { maxLength: 12 }),
    (hello, sizes) => {
      const decoded = decodeClientHello(inRecords(messageOf(encodeBody(hello)), sizes));
      t.same(decoded, {
        serverName: hello.serverName,
        protocols: hello.protocols,
        versions: hello.versions ?? [hello.legacyVersion],
        legacyVersion: hello.legacyVersion,
        offersResumption: (hello.ticket ?? []).length > 0,
      });
    },
  );
  fc.assert(property, { numRuns: 300 });
});

/** Whatever comes: a result, never an exception, and a decision that more bytes do not change. */
function checkDecision(bytes: Buffer): void {
  const decision = decodeClientHello(bytes);
  if (decision === null) return;
  const longer = decodeClientHello(Buffer.concat([bytes, Buffer.alloc(40, 22)]));
  if (JSON.stringify(longer) !== JSON.stringify(decision))
    throw new Error(`more bytes change ${JSON.stringify(decision)}`);
}

test('damaged hellos get a decision that more bytes do not change', async (t) => {
  const sources = Object.values(recorded).map((text) => Buffer.from(text, 'base64'));
  const damages = fc.array(fc.tuple(fc.nat(4_000), fc.nat(255)), { minLength: 1, maxLength: 4 });
  const property = fc.property(fc.constantFrom(...sources), damages, fc.nat(4_000), (source, changes, length) => {
    const damaged = Buffer.from(source);
    for (const [at, value] of changes) damaged[at % damaged.length] = value;
    checkDecision(damaged.subarray(0, length % 2 === 0 ? damaged.length : length));
  });
  fc.assert(property, { numRuns: Number(process.env.HELLOS ?? 3_000) });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => checkDecision(Buffer.from(bytes))));
  t.pass();
});
