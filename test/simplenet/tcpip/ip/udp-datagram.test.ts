/** UDP: captured datagrams, the checksum with its two zeros, and lengths that do not fit. */

import fc from 'fast-check';
import t from 'tap';
import { decodeIpv4, type Ipv4Packet } from '../../../../simplenet/tcpip/ip/ipv4-packet.ts';
import { decodeUdp, MAX_UDP_PAYLOAD, writeUdpHeader } from '../../../../simplenet/tcpip/ip/udp-datagram.ts';
import { datagram, datagramWithOptions, PACKET } from './captured.ts';

const addresses = { source: 0x0a090001, sourcePort: 5555, destination: 0x0a090002, destinationPort: 9 };

function packetOf(frame: Buffer): Ipv4Packet {
  const packet = decodeIpv4(frame, PACKET, frame.length);
  if (packet === null) throw new Error('it does not decode');
  return packet;
}

/** A packet around the bytes of a datagram. */
function around(bytes: Buffer, start = 0, end = bytes.length): Ipv4Packet {
  return { ...packetOf(datagram), bytes, headerStart: 0, start, end };
}

t.test('captured datagrams', async (t) => {
  const decoded = decodeUdp(packetOf(datagram));
  t.match(decoded, { sourcePort: 5555, destinationPort: 9 });
  t.equal(decoded?.bytes.toString('latin1', decoded.start, decoded.end), 'hello');
  const behindOptions = decodeUdp(packetOf(datagramWithOptions));
  t.equal(behindOptions?.bytes.toString('latin1', behindOptions.start, behindOptions.end), 'with options');
});

t.test('the same bytes are written as Linux has written', async (t) => {
  const bytes = Buffer.from(datagram);
  bytes.fill(0xee, 34, 42);
  writeUdpHeader(bytes, 34, bytes.length, addresses);
  t.same(bytes, datagram);
});

t.test('the checksum covers header, payload and addresses', async (t) => {
  for (let at = 34; at < datagram.length; at++) {
    const damaged = Buffer.from(datagram);
    damaged[at] = (damaged[at] as number) ^ 0x10;
    t.equal(decodeUdp(packetOf(damaged)), null, `byte ${at}`);
  }
  t.equal(decodeUdp({ ...packetOf(datagram), source: 0x0a090003 }), null);
  t.equal(decodeUdp({ ...packetOf(datagram), destination: 0x0a0900ff }), null);
});

t.test('a checksum of 0 means none, and one that is 0 is sent as 0xffff', async (t) => {
  const without = Buffer.from(datagram);
  without.writeUInt16BE(0, 40);
  without[44] = 0x78;
  t.match(decodeUdp(packetOf(without)), { sourcePort: 5555 }, 'any payload is accepted');

  const bytes = Buffer.alloc(10);
  writeUdpHeader(bytes, 0, 10, addresses);
  // With its own checksum as the payload, the sum of a datagram is 0.
  bytes.writeUInt16BE(bytes.readUInt16BE(6), 8);
  writeUdpHeader(bytes, 0, 10, addresses);
  t.equal(bytes.readUInt16BE(6), 0xffff);
  t.match(decodeUdp(around(bytes)), { start: 8, end: 10 });
});

t.test('lengths', async (t) => {
  const bytes = Buffer.alloc(30, 0xee);
  writeUdpHeader(bytes, 3, 15, addresses);
  t.match(decodeUdp(around(bytes, 3, 15)), { start: 11, end: 15 });
  t.match(decodeUdp(around(bytes, 3, 30)), { start: 11, end: 15 }, 'what follows is padding');
  t.equal(decodeUdp(around(bytes, 3, 14)), null, 'cut off');
  t.equal(decodeUdp(around(bytes, 3, 10)), null, 'less than a header');
  writeUdpHeader(bytes, 3, 11, addresses);
  t.match(decodeUdp(around(bytes, 3, 11)), { start: 11, end: 11 }, 'an empty payload is right');
  bytes.writeUInt16BE(7, 7);
  bytes.writeUInt16BE(0, 9);
  t.equal(decodeUdp(around(bytes, 3, 15)), null, 'a length below that of the header');
  t.equal(MAX_UDP_PAYLOAD, 65_507);
});

t.test('properties: what is written is decoded, and any bytes are decoded or refused', async () => {
  const ports = fc.nat(65_535);
  fc.assert(
    fc.property(
      ports,
      ports,
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(5),
      (sourcePort, destinationPort, payload, at) => {
        const bytes = Buffer.concat([Buffer.alloc(at + 8), payload, Buffer.alloc(3)]);
        const end = at + 8 + payload.length;
        writeUdpHeader(bytes, at, end, { ...addresses, sourcePort, destinationPort });
        const decoded = decodeUdp(around(bytes, at));
        return decoded?.sourcePort === sourcePort && decoded.destinationPort === destinationPort && decoded.end === end;
      },
    ),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (content) => {
      const decoded = decodeUdp(around(Buffer.from(content)));
      return decoded === null || (decoded.start === 8 && decoded.end <= content.length);
    }),
  );
});
