/**
 * Ethernet headers: the bytes of a real frame, what was written is read, and no bytes throw.
 *
 * Next: seeded-random.test.ts
 */

import fc from 'fast-check';
import { test } from 'tap';
import {
  BROADCAST_HARDWARE_ADDRESS,
  decodeEthernet,
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  formatHardwareAddress,
  isGroupAddress,
  parseHardwareAddress,
  writeEthernetHeader,
} from '../../../../simplenet/tcpip/link/ethernet-frame.ts';

/** An ARP request of Linux, as tcpdump showed it: `b6:4c:6e:3f:a5:d1 > Broadcast, ethertype ARP, Request who-has 10.9.0.2 tell 10.9.0.1`. */
const ARP_REQUEST = Buffer.from(
  'ffffffffffff' + 'b64c6e3fa5d1' + '0806' + '0001080006040001b64c6e3fa5d10a0900010000000000000a090002',
  'hex',
);

test('a frame of Linux', async (t) => {
  const bytes = Buffer.concat([Buffer.from([1, 2, 3]), ARP_REQUEST, Buffer.from([4])]);
  const frame = decodeEthernet(bytes, 3, 3 + ARP_REQUEST.length);
  t.same(frame, {
    destination: BROADCAST_HARDWARE_ADDRESS,
    source: 0xb64c6e3fa5d1,
    type: ETHERTYPE_ARP,
    bytes,
    start: 3 + ETHERNET_HEADER_BYTES,
    end: 3 + ARP_REQUEST.length,
  });
  const written = Buffer.alloc(3 + ETHERNET_HEADER_BYTES);
  t.equal(writeEthernetHeader(written, 3, BROADCAST_HARDWARE_ADDRESS, 0xb64c6e3fa5d1, ETHERTYPE_ARP), 17);
  t.same(written, Buffer.concat([Buffer.alloc(3), ARP_REQUEST.subarray(0, ETHERNET_HEADER_BYTES)]));
});

test('a frame needs a whole header, and nothing behind it', async (t) => {
  const bytes = Buffer.alloc(ETHERNET_HEADER_BYTES);
  t.equal(decodeEthernet(bytes, 0, ETHERNET_HEADER_BYTES - 1), null);
  const frame = decodeEthernet(bytes, 0, ETHERNET_HEADER_BYTES);
  t.same([frame?.start, frame?.end], [ETHERNET_HEADER_BYTES, ETHERNET_HEADER_BYTES]);
});

test('what was written is read', async () => {
  const address = fc.integer({ min: 0, max: BROADCAST_HARDWARE_ADDRESS });
  fc.assert(
    fc.property(address, address, fc.integer({ min: 0, max: 0xffff }), (destination, source, type) => {
      const bytes = Buffer.alloc(ETHERNET_HEADER_BYTES);
      const end = writeEthernetHeader(bytes, 0, destination, source, type);
      const frame = decodeEthernet(bytes, 0, end);
      return frame?.destination === destination && frame.source === source && frame.type === type;
    }),
  );
});

test('any bytes: null, or a packet that lies behind the header', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (array) => {
      const frame = decodeEthernet(Buffer.from(array), 0, array.length);
      return frame === null ? array.length < 14 : frame.start === 14 && frame.end === array.length;
    }),
  );
});

test('hardware addresses as text', async (t) => {
  t.equal(formatHardwareAddress(0x02005e100001), '02:00:5e:10:00:01');
  t.equal(formatHardwareAddress(0), '00:00:00:00:00:00');
  t.equal(formatHardwareAddress(BROADCAST_HARDWARE_ADDRESS), 'ff:ff:ff:ff:ff:ff');
  t.equal(parseHardwareAddress('02:00:5E:10:00:01'), 0x02005e100001);
  for (const text of [
    '',
    '02:00:5e:10:00',
    '02:00:5e:10:00:01:02',
    '2:0:5e:10:0:1',
    '02-00-5e-10-00-01',
    'x2:00:5e:10:00:01',
  ]) {
    t.equal(parseHardwareAddress(text), null, text);
  }
  fc.assert(
    fc.property(fc.integer({ min: 0, max: BROADCAST_HARDWARE_ADDRESS }), (address) => {
      return parseHardwareAddress(formatHardwareAddress(address)) === address;
    }),
  );
});

test('group addresses have the lowest bit of their first byte', async (t) => {
  t.equal(isGroupAddress(BROADCAST_HARDWARE_ADDRESS), true);
  t.equal(isGroupAddress(0x01005e000001), true, 'multicast of IPv4');
  t.equal(isGroupAddress(0x333300000001), true, 'multicast of IPv6');
  t.equal(isGroupAddress(0x02005e000001), false);
  t.equal(isGroupAddress(0x00ffffffffff), false);
});
