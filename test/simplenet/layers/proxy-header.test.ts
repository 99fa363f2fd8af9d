/** decodeProxyHeader: each kind of header, byte by byte; what is refused; and damaged ones. */

import { test } from 'tap';
import { crc32c } from '../../../simplenet/layers/crc32c.ts';
import {
  decodeProxyHeader,
  MAX_LINE_BYTES,
  mayBeProxyHeader,
  type ProxyHeader,
} from '../../../simplenet/layers/proxy-header.ts';
import { mutate } from '../../fuzz/mutator.ts';
import { Random } from '../../simulation/random.ts';
import { addresses4, block, LOCAL, PROXY, TCP4, TCP6, tlv, UNIX, withChecksum } from './proxy-headers.ts';

const MAX = 4_096;
const rest = 'GET / HTTP/1.1\r\n';
const client = { address: '192.0.2.1', port: 4711 };
const server = { address: '198.51.100.7', port: 443 };
const latin1 = (text: string) => Buffer.from(text, 'latin1');

function paths(from: string, to: string): Buffer {
  const field = (path: string) => Buffer.concat([Buffer.from(path), Buffer.alloc(108)]).subarray(0, 108);
  return Buffer.concat([field(from), field(to)]);
}

const addresses6 = Buffer.concat([
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from('20010db8000000000000000000000002', 'hex'),
  Buffer.from([0, 1, 0xff, 0xff]),
]);

const ends = (source: object | null, destination: object | null, version: 1 | 2) => ({ version, source, destination });

const headers: readonly (readonly [name: string, header: Buffer, info: object])[] = [
  ['TCP4', latin1('PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n'), ends(client, server, 1)],
  [
    'TCP6',
    latin1('PROXY TCP6 2001:DB8::1 ::1 1 65535\r\n'),
    ends({ address: '2001:db8::1', port: 1 }, { address: '::1', port: 65535 }, 1),
  ],
  ['port 0', latin1('PROXY TCP4 192.0.2.1 198.51.100.7 0 443\r\n'), ends({ address: '192.0.2.1', port: 0 }, server, 1)],
  ['UNKNOWN', latin1('PROXY UNKNOWN\r\n'), ends(null, null, 1)],
  ['UNKNOWN with a tail', latin1('PROXY UNKNOWN ffff:f 1 x\n\r y\r\n'), ends(null, null, 1)],
  ['the longest line', latin1(`PROXY UNKNOWN ${'x'.repeat(MAX_LINE_BYTES - 16)}\r\n`), ends(null, null, 1)],
  ['2: TCP4', block(PROXY, TCP4, addresses4), ends(client, server, 2)],
  [
    '2: TCP6',
    block(PROXY, TCP6, addresses6),
    ends({ address: '2001:db8::1', port: 1 }, { address: '2001:db8::2', port: 65535 }, 2),
  ],
  ['2: UNIX', block(PROXY, UNIX, paths('/run/a', '/run/b')), ends({ path: '/run/a' }, { path: '/run/b' }, 2)],
  ['2: abstract', block(PROXY, UNIX, paths('\0ab', '')), ends({ path: '\0ab' }, { path: '' }, 2)],
  [
    '2: a whole path',
    block(PROXY, UNIX, paths('p'.repeat(108), 'q')),
    ends({ path: 'p'.repeat(108) }, { path: 'q' }, 2),
  ],
  ['2: LOCAL', block(LOCAL, 0, Buffer.alloc(0)), ends(null, null, 2)],
  ['2: LOCAL, its block is skipped', block(LOCAL, 0xff, latin1('anything')), ends(null, null, 2)],
  [
    '2: unspecified',
    block(PROXY, 0, tlv(1, 'h2')),
    { ...ends(null, null, 2), tlvs: [{ type: 1, value: Buffer.from('h2') }] },
  ],
  [
    '2: TLVs',
    block(PROXY, TCP4, Buffer.concat([addresses4, tlv(2, 'a.example'), tlv(4, ''), tlv(0xea, 'vpce')])),
    { ...ends(client, server, 2), usesTls: false, tlvs: [{ type: 2 }, { type: 4 }, { type: 0xea }] },
  ],
  [
    '2: TLS',
    block(PROXY, TCP4, Buffer.concat([addresses4, tlv(0x20, Uint8Array.of(1, 0, 0, 0, 0))])),
    { usesTls: true },
  ],
  [
    '2: a checksum',
    withChecksum(tlv(2, 'a.example')),
    { ...ends(client, server, 2), tlvs: [{ type: 2 }, { type: 3 }] },
  ],
];

test('each kind of header, at every cut', async (t) => {
  for (const [name, header, info] of headers) {
    const bytes = Buffer.concat([header, latin1(rest)]);
    for (let length = 0; length < header.length; length++) {
      const part = bytes.subarray(0, length);
      if (decodeProxyHeader(part, MAX) !== null) t.fail(`${name}, ${length} bytes`);
      if (!mayBeProxyHeader(part)) t.fail(`${name} may begin with ${length} bytes`);
    }
    for (let length = header.length; length <= bytes.length; length++) {
      const decoded = decodeProxyHeader(bytes.subarray(0, length), MAX) as ProxyHeader;
      if (decoded.end !== header.length) t.fail(`${name}, ${length} bytes`);
    }
    const decoded = decodeProxyHeader(bytes, MAX) as ProxyHeader;
    t.match(decoded.info, info, name);
  }
});

test('what TLS of the client is: the flag of a whole TLV', async (t) => {
  const usesTls = (value: readonly number[]) => {
    const header = block(PROXY, TCP4, Buffer.concat([addresses4, tlv(0x20, Uint8Array.from(value))]));
    return (decodeProxyHeader(header, MAX) as ProxyHeader).info.usesTls;
  };
  t.same([[1, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0x21, 0, 0], [6, 0, 0, 0, 0], [1, 0, 0, 0], []].map(usesTls), [
    true,
    true,
    false,
    false,
    false,
  ]);
});

test('what is not exactly a header is refused', async (t) => {
  const line = /the line of the header is malformed/;
  const wrongCrc = withChecksum(tlv(2, 'a'));
  wrongCrc.writeUInt8(wrongCrc.readUInt8(16) ^ 1, 16);
  const cases: readonly (readonly [bytes: Buffer, reason: RegExp])[] = [
    [latin1('GET / HTTP/1.1\r\n'), /first bytes/],
    [latin1('PROXZ'), /first bytes/],
    [latin1('\r\n\r\nGET'), /first bytes/],
    [latin1('PROXY TCP4 192.0.2.1 198.51.100.7 4711\r\n'), line],
    [latin1('PROXY TCP4 192.0.2.1 198.51.100.7 4711 443 \r\n'), line],
    [latin1('PROXY  TCP4 192.0.2.1 198.51.100.7 4711 443\r\n'), line],
    [latin1('PROXY TCP4 192.0.2.1 198.51.100.7 04711 443\r\n'), line],
    [latin1('PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n'), line],
    [latin1('PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n'), line],
    [latin1('PROXY TCP4 192.0.2.01 198.51.100.7 1 443\r\n'), line],
    [latin1('PROXY TCP4 ::1 ::1 1 443\r\n'), line],
    [latin1('PROXY TCP6 192.0.2.1 ::1 1 443\r\n'), line],
    [latin1('PROXY TCP6 fe80::1%lo ::1 1 443\r\n'), line],
    [latin1('PROXY UDP4 192.0.2.1 198.51.100.7 1 443\r\n'), line],
    [latin1('PROXY UNKNOWNS\r\n'), line],
    [latin1('PROXY \r\n'), line],
    [latin1(`PROXY UNKNOWN ${'x'.repeat(MAX_LINE_BYTES - 15)}\r\n`), /too long/],
    [latin1(`PROXY UNKNOWN ${'x'.repeat(MAX_LINE_BYTES)}`), /too long/],
    [block(0x11, TCP4, addresses4), /version and command 0x11/],
    [block(0x22, TCP4, addresses4), /version and command 0x22/],
    [block(PROXY, 0x12, addresses4), /family 0x12/],
    [block(PROXY, 0x41, addresses4), /family 0x41/],
    [block(PROXY, TCP4, addresses4.subarray(1)), /too short/],
    [block(PROXY, TCP6, addresses4), /too short/],
    [block(PROXY, TCP4, Buffer.concat([addresses4, Buffer.from([1, 0])])), /cut off/],
    [block(PROXY, TCP4, Buffer.concat([addresses4, tlv(1, 'h2', 3)])), /longer than the header/],
    [wrongCrc, /checksum/],
    [block(PROXY, TCP4, Buffer.concat([addresses4, tlv(3, 'abc')])), /checksum/],
  ];
  for (const [bytes, reason] of cases) t.match(decodeProxyHeader(bytes, MAX), { reason }, bytes.toString('latin1'));
});

test('the longest header, and one byte more', async (t) => {
  const header = block(PROXY, TCP4, Buffer.concat([addresses4, tlv(4, Buffer.alloc(100))]));
  t.match(decodeProxyHeader(header, header.length), { end: header.length });
  const reason = `the header has ${header.length} bytes, and may have ${header.length - 1}`;
  t.same(decodeProxyHeader(header, header.length - 1), { reason });
  t.same(decodeProxyHeader(header.subarray(0, 16), header.length - 1), { reason }, 'as soon as its length is known');
  const line = latin1('PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n');
  t.match(decodeProxyHeader(line, line.length), { end: line.length });
  t.match(decodeProxyHeader(line, line.length - 1), { reason: /too long/ });
});

test('crc32c: the values of RFC 3720 appendix B.4', async (t) => {
  const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);
  const values = [Buffer.alloc(32), Buffer.alloc(32, 0xff), ascending, ascending.toReversed(), latin1('123456789')];
  t.same(values.map(crc32c), [0x8a9136aa, 0x62a8ab43, 0x46dd794e, 0x113fdb5c, 0xe3069283]);
});

test('a damaged header is read, incomplete or refused, and never more than is there', async (t) => {
  const random = new Random(Number(process.env.SEED ?? 1));
  const other = latin1('\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0cPROXY TCP4 ::1 1.2.3.4 0 1\r\n');
  for (let i = 0; i < Number(process.env.CASES ?? 20_000); i++) {
    const bytes = mutate(random, Buffer.concat([random.pick(headers)[1], latin1(rest)]), other);
    const before = Buffer.from(bytes);
    const decoded = decodeProxyHeader(bytes, 300);
    if (decoded === null) {
      if (bytes.length >= 300) t.fail(`incomplete at ${bytes.length} bytes: ${bytes.toString('hex')}`);
    } else if ('end' in decoded) {
      const { end, info } = decoded;
      if (end > bytes.length || end > 300) t.fail(`ends at ${end}: ${bytes.toString('hex')}`);
      if ((info.source === null) !== (info.destination === null)) t.fail(`half an address: ${bytes.toString('hex')}`);
    }
    if (!bytes.equals(before)) t.fail('the bytes are changed');
  }
  t.pass();
});
