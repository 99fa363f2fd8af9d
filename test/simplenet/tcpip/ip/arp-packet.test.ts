/** ARP packets: captured ones, and what is not about IPv4 on Ethernet. */

import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { type ArpPacket, decodeArp, writeArp } from '../../../../simplenet/tcpip/ip/arp-packet.ts';
import { arpReply, arpRequest, PACKET } from './captured.ts';

const request: ArpPacket = {
  operation: 1,
  senderHardware: 0x0200_0000_0001,
  sender: 0x0a090001,
  targetHardware: 0,
  target: 0x0a090002,
};
const reply: ArpPacket = {
  operation: 2,
  senderHardware: 0x0200_0000_0002,
  sender: 0x0a090002,
  targetHardware: 0x0200_0000_0001,
  target: 0x0a090001,
};

t.test('captured packets are decoded, and written again', async (t) => {
  for (const [frame, packet] of [
    [arpRequest, request],
    [arpReply, reply],
  ] as const) {
    t.same(decodeArp(frame, PACKET, frame.length), packet);
    const bytes = Buffer.alloc(frame.length, 0xee);
    t.equal(writeArp(bytes, PACKET, packet), frame.length);
    t.same(bytes.subarray(PACKET), frame.subarray(PACKET));
  }
});

t.test('padding is ignored, and a packet cut off is refused', async (t) => {
  const padded = Buffer.concat([arpRequest, Buffer.alloc(18, 0xff)]);
  t.same(decodeArp(padded, PACKET, padded.length), request);
  for (let end = PACKET; end < arpRequest.length; end++) t.equal(decodeArp(arpRequest, PACKET, end), null);
});

t.test('other networks, and operations other than request and reply', async (t) => {
  const changes = { 'hardware type 6': [1, 6], IPv6: [2, 0x86], 'eight bytes': [4, 8], RARP: [7, 3], none: [7, 0] };
  for (const [what, [at, value]] of Object.entries(changes) as [string, [number, number]][]) {
    const bytes = Buffer.from(arpRequest.subarray(PACKET));
    bytes[at] = value;
    t.equal(decodeArp(bytes, 0, bytes.length), null, what);
  }
});

t.test('properties: what is written is decoded, and any bytes are decoded or refused', async () => {
  const packets = fc.record({
    operation: fc.constantFrom(1, 2),
    senderHardware: fc.maxSafeNat().map((n) => n % 2 ** 48),
    sender: fc.nat(0xffff_ffff),
    targetHardware: fc.maxSafeNat().map((n) => n % 2 ** 48),
    target: fc.nat(0xffff_ffff),
  });
  fc.assert(
    fc.property(packets, (packet) => {
      const bytes = Buffer.alloc(28);
      return isDeepStrictEqual(decodeArp(bytes, 0, writeArp(bytes, 0, packet)), { ...packet });
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      decodeArp(Buffer.from(bytes), 0, bytes.length);
    }),
  );
});
