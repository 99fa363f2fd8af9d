/** The internet checksum: the example of RFC 1071, captured packets, and a slow implementation as the oracle. */

import fc from 'fast-check';
import t from 'tap';
import { finishChecksum, pseudoHeaderSum, sumWords } from '../../../../simplenet/tcpip/ip/checksum.ts';
import { datagram, echoRequest } from './captured.ts';

/** RFC 1071 section 1, word for word. */
function slowChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += (bytes[at] as number) * 256 + (bytes[at + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return ~sum & 0xffff;
}

t.test('the example of RFC 1071 section 3', async (t) => {
  const bytes = Buffer.from('0001f203f4f5f6f7', 'hex');
  t.equal(finishChecksum(sumWords(bytes, 0, 8)), ~0xddf2 & 0xffff);
});

t.test('the checksums of captured packets are right: header, ICMP and UDP', async (t) => {
  t.equal(finishChecksum(sumWords(echoRequest, 14, 34)), 0);
  t.equal(finishChecksum(sumWords(echoRequest, 34, echoRequest.length)), 0);
  const pseudoHeader = pseudoHeaderSum(0x0a090001, 0x0a090002, 17, 13);
  t.equal(finishChecksum(sumWords(datagram, 34, datagram.length, pseudoHeader)), 0);
  t.equal(finishChecksum(sumWords(datagram, 34, datagram.length, pseudoHeader + 1)) === 0, false);
});

t.test('no bytes, and all zeros', async (t) => {
  t.equal(finishChecksum(sumWords(Buffer.alloc(0), 0, 0)), 0xffff);
  t.equal(finishChecksum(sumWords(Buffer.alloc(100), 0, 100)), 0xffff);
});

t.test('every length and place around a power of two, with odd ends', async (t) => {
  const bytes = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 151 + 7) & 0xff));
  const wrong: string[] = [];
  for (let start = 0; start < 20; start++) {
    for (let length = 0; length < 270; length++) {
      const expected = slowChecksum(bytes.subarray(start, start + length));
      if (finishChecksum(sumWords(bytes, start, start + length)) !== expected) wrong.push(`${start}+${length}`);
    }
  }
  t.same(wrong, []);
});

t.test('the largest packet of the largest words does not lose a carry', async (t) => {
  const bytes = Buffer.alloc(65_535, 0xff);
  const head = pseudoHeaderSum(0xffff_ffff, 0xffff_ffff, 255, 65_535);
  t.equal(finishChecksum(sumWords(bytes, 0, 65_534)), 0);
  t.equal(
    finishChecksum(sumWords(bytes, 0, 65_535, head)),
    slowChecksum(Buffer.concat([Buffer.from('ffffffffffffffff00ffffff', 'hex'), bytes])),
  );
});

t.test('property: any bytes, in any even pieces, anywhere in memory', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.nat(2000), fc.nat(9), (content, cut, shift) => {
      const memory = Buffer.concat([Buffer.alloc(shift, 0xaa), content, Buffer.alloc(9, 0xbb)]).subarray(shift);
      const middle = Math.min(cut - (cut % 2), content.length);
      const sum = sumWords(memory, middle, content.length, sumWords(memory, 0, middle));
      return middle % 2 === 1 || finishChecksum(sum) === slowChecksum(content);
    }),
  );
});
