/** The header of IPv4: captured packets, each field that can be wrong, and what the fuzzer would find. */

import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { finishChecksum, sumWords } from '../../../../simplenet/tcpip/ip/checksum.ts';
import {
  decodeIpv4,
  decodeQuotedIpv4,
  type Ipv4Header,
  isFragment,
  totalLengthOf,
  writeIpv4Header,
} from '../../../../simplenet/tcpip/ip/ipv4-packet.ts';
import { datagramWithOptions, echoRequest, lastFragment, PACKET, portUnreachable } from './captured.ts';

/** A packet with options, whose checksum is right. */
function packetWith(options: readonly number[], payload = 'payload'): Buffer {
  const header = Buffer.alloc(20 + options.length);
  const bytes = Buffer.concat([header, Buffer.from(payload)]);
  bytes[0] = 0x40 | (header.length / 4);
  bytes.writeUInt16BE(bytes.length, 2);
  bytes[8] = 64;
  bytes[9] = 17;
  bytes.writeUInt32BE(0x0a090001, 12);
  bytes.writeUInt32BE(0x0a090002, 16);
  bytes.set(options, 20);
  return withChecksum(bytes);
}

function withChecksum(bytes: Buffer): Buffer {
  bytes.writeUInt16BE(0, 10);
  bytes.writeUInt16BE(finishChecksum(sumWords(bytes, 0, ((bytes[0] as number) & 0xf) * 4)), 10);
  return bytes;
}

const decode = (bytes: Buffer) => decodeIpv4(bytes, 0, bytes.length);

t.test('captured packets', async (t) => {
  t.match(decodeIpv4(echoRequest, PACKET, echoRequest.length), {
    source: 0x0a090001,
    destination: 0x0a090002,
    protocol: 1,
    ttl: 64,
    identification: 0x42cd,
    dontFragment: true,
    moreFragments: false,
    fragmentOffset: 0,
    typeOfService: 0,
    headerStart: 14,
    start: 34,
    end: echoRequest.length,
  });
  const fragment = decodeIpv4(lastFragment, PACKET, lastFragment.length);
  t.match(fragment, { fragmentOffset: 1480, moreFragments: false, dontFragment: false });
  const withOptions = decodeIpv4(datagramWithOptions, PACKET, datagramWithOptions.length);
  t.match(withOptions, { start: 14 + 28, end: datagramWithOptions.length });
  t.match(decodeIpv4(portUnreachable, PACKET, portUnreachable.length), { typeOfService: 0xc0 });
});

t.test('the same bytes are written as Linux has written', async (t) => {
  for (const frame of [echoRequest, lastFragment, portUnreachable]) {
    const packet = decodeIpv4(frame, PACKET, frame.length);
    if (packet === null) throw new Error('it does not decode');
    const bytes = Buffer.alloc(25, 0xee);
    writeIpv4Header(bytes, 3, packet, packet.end - packet.start);
    t.same(bytes.subarray(3, 23), frame.subarray(14, 34));
    t.same([...bytes.subarray(0, 3), ...bytes.subarray(23)], [0xee, 0xee, 0xee, 0xee, 0xee], 'and nothing beside them');
  }
});

t.test('bytes after the packet are padding', async (t) => {
  const padded = Buffer.concat([packetWith([]), Buffer.alloc(19)]);
  t.equal(decode(padded)?.end, 27);
});

t.test('a packet cut off anywhere is refused', async (t) => {
  const bytes = packetWith([1, 1, 1, 0]);
  for (let length = 0; length < bytes.length; length++) t.equal(decodeIpv4(bytes, 0, length), null, `${length}`);
  t.not(decode(bytes), null);
});

t.test('fields that are wrong, with a right checksum', async (t) => {
  const wrong: Readonly<Record<string, (bytes: Buffer) => void>> = {
    'version 6': (bytes) => void bytes.writeUInt8(0x65),
    'version 0': (bytes) => void bytes.writeUInt8(0x05),
    'a header of 16 bytes': (bytes) => void bytes.writeUInt8(0x44),
    'a header longer than the packet': (bytes) => void bytes.writeUInt8(0x4f),
    'a total length within the header': (bytes) => void bytes.writeUInt16BE(19, 2),
    'a total length of 0 (as of offloaded segments)': (bytes) => void bytes.writeUInt16BE(0, 2),
    'a total length beyond the frame': (bytes) => void bytes.writeUInt16BE(28, 2),
  };
  for (const [what, change] of Object.entries(wrong)) {
    const bytes = packetWith([]);
    change(bytes);
    t.equal(decode(withChecksum(bytes)), null, what);
  }
  const exact = packetWith([]);
  exact.writeUInt16BE(20, 2);
  t.match(decode(withChecksum(exact)), { start: 20, end: 20 }, 'a packet without payload is right');
});

t.test('each single bit of the header that is flipped is noticed', async (t) => {
  const bytes = packetWith([7, 3, 4, 0]);
  const unnoticed: number[] = [];
  for (let bit = 0; bit < 24 * 8; bit++) {
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    if (decode(bytes) !== null) unnoticed.push(bit);
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
  }
  t.same(unnoticed, []);
});

t.test('options: skipped if they are well-formed, refused with a source route', async (t) => {
  const good = {
    'no-operation and end': [1, 1, 0, 0],
    'what follows the end is not read': [0, 131, 1, 1],
    'record route': [7, 7, 4, 0, 0, 0, 0, 1],
    timestamp: [68, 8, 5, 0, 0, 0, 0, 0],
    'an unknown one of two bytes': [222, 2, 1, 1],
    'forty bytes': [222, 40, ...Array<number>(38).fill(0)],
  };
  for (const [what, options] of Object.entries(good)) {
    t.match(decode(packetWith(options)), { start: 20 + options.length }, what);
  }
  const bad = {
    'loose source route': [131, 7, 4, 10, 0, 0, 1, 0],
    'strict source route': [137, 7, 4, 10, 0, 0, 1, 0],
    'a source route behind others': [1, 7, 3, 4, 131, 3, 4, 0],
    'a length of 0, which would never end': [222, 0, 0, 0],
    'a length of 1': [222, 1, 0, 0],
    'beyond the header by one byte': [222, 5, 0, 0],
    'without a length': [1, 1, 1, 222],
  };
  for (const [what, options] of Object.entries(bad)) t.equal(decode(packetWith(options)), null, what);
});

t.test('isFragment', async (t) => {
  const fragment = decodeIpv4(lastFragment, PACKET, lastFragment.length);
  const whole = decodeIpv4(echoRequest, PACKET, echoRequest.length);
  if (fragment === null || whole === null) throw new Error('they do not decode');
  t.equal(isFragment(fragment), true);
  t.equal(isFragment(whole), false);
  t.equal(isFragment({ ...whole, moreFragments: true }), true);
});

t.test('a quoted packet needs neither its end nor its checksum', async (t) => {
  const bytes = packetWith([7, 3, 4, 0], 'a long payload that the error does not quote whole');
  bytes[8] = 1;
  const quoted = decodeQuotedIpv4(bytes, 0, 32);
  t.match(quoted, { ttl: 1, start: 24, end: 32, source: 0x0a090001 });
  t.equal(quoted === null ? 0 : totalLengthOf(quoted), bytes.length);
  t.equal(decodeQuotedIpv4(bytes, 0, 23), null, 'but all of its header');
  t.equal(decodeQuotedIpv4(bytes, 0, 19), null);
  t.equal(decodeQuotedIpv4(Buffer.alloc(40), 0, 40), null);
});

t.test('property: what is written is decoded', async () => {
  const header: fc.Arbitrary<Ipv4Header> = fc.record({
    source: fc.nat(0xffff_ffff),
    destination: fc.nat(0xffff_ffff),
    protocol: fc.nat(255),
    ttl: fc.nat(255),
    identification: fc.nat(65_535),
    dontFragment: fc.boolean(),
    moreFragments: fc.boolean(),
    fragmentOffset: fc.nat(8191).map((units) => units * 8),
    typeOfService: fc.nat(255),
  });
  fc.assert(
    fc.property(header, fc.uint8Array({ maxLength: 100 }), fc.nat(9), (fields, payload, at) => {
      const bytes = Buffer.concat([Buffer.alloc(at + 20, 0xee), payload, Buffer.alloc(5)]);
      writeIpv4Header(bytes, at, fields, payload.length);
      const start = at + 20;
      const expected = { ...fields, bytes, headerStart: at, start, end: start + payload.length };
      return isDeepStrictEqual(decodeIpv4(bytes, at, bytes.length), expected);
    }),
  );
});

t.test('property: any bytes are decoded or refused', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 90 }), fc.boolean(), (content, isRepaired) => {
      const bytes = Buffer.from(content);
      if (isRepaired && bytes.length > 20) {
        bytes[0] = 0x40 | (5 + ((bytes[0] as number) % 11));
        if (((bytes[0] as number) & 0xf) * 4 <= bytes.length) withChecksum(bytes);
      }
      const packet = decode(bytes);
      return packet === null || (packet.start >= 20 && packet.start <= packet.end && packet.end <= bytes.length);
    }),
  );
});
