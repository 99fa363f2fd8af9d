/**
 * IP addresses. Node's own isIPv4 and isIPv6 serve as an oracle: thousands of strings, good, bad and nearly good, on
 * which both have to agree.
 */

import { isIPv4, isIPv6 } from 'node:net';
import t from 'tap';
import {
  formatIPv4,
  formatIPv6,
  htonl,
  htons,
  ntohl,
  ntohs,
  parseIPv4,
  parseIPv6,
} from '../../../simplenet/kernel/ip-address.ts';
import { Random } from '../../simulation/random.ts';
import { cpuMsOf } from '../../support/machine-time.ts';

/** Hexadecimal digits as bytes. */
function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

t.test('IPv4: good', async (t) => {
  for (const [text, hex] of [
    ['0.0.0.0', '00000000'],
    ['127.0.0.1', '7f000001'],
    ['1.2.3.4', '01020304'],
    ['255.255.255.255', 'ffffffff'],
    ['10.20.130.240', '0a1482f0'],
    ['192.168.0.100', 'c0a80064'],
  ] as const) {
    t.same(parseIPv4(text), bytesOf(hex), text);
    t.equal(formatIPv4(bytesOf(hex)), text);
  }
});

t.test('IPv4: every number in every place', async (t) => {
  let wrong = '';
  for (let place = 0; place < 4; place++) {
    for (let number = 0; number < 1100; number++) {
      const bytes = [1, 2, 3, 4].with(place, number);
      const parsed = parseIPv4(bytes.join('.'));
      const isRight = number < 256 ? parsed?.every((byte, i) => byte === bytes[i]) : parsed === null;
      if (isRight !== true) wrong += ` ${bytes.join('.')}`;
    }
  }
  t.equal(wrong, '');
});

t.test('IPv4: bad', async (t) => {
  const bad = [
    '',
    ' ',
    '.',
    '...',
    '1',
    '1.2',
    '1.2.3',
    '1.2.3.',
    '.1.2.3',
    '1..2.3',
    '1.2.3.4.',
    '.1.2.3.4',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.1.1.256',
    '300.1.1.1',
    '1.2.3.1000',
    '-1.2.3.4',
    '+1.2.3.4',
    '1.2.3.-4',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2. 3.4',
    '1.2.3.4\n',
    '1.2.3.4\0',
    '1.2.3.4/8',
    '1.2.3.4:80',
    '1.2.3.a',
    '1.2.3.0x4',
    '1,2,3,4',
    '1.2.3.4e0',
    '1.2.3.٤',
    '１.2.3.4',
    'localhost',
    '::1',
    '::ffff:1.2.3.4',
    // What inet_aton(3) takes for an address, and everybody for another one.
    '127.1',
    '2130706433',
    '0x7f.0.0.1',
    '0x7f000001',
    '0177.0.0.1',
    '010.0.0.1',
    '00.0.0.0',
    '127.0.0.01',
    '127.0.0.001',
  ];
  for (const text of bad) t.equal(parseIPv4(text), null, JSON.stringify(text));
});

t.test('IPv6: good, in every way in which they may be written', async (t) => {
  for (const [text, hex] of [
    ['::', '00000000 00000000 00000000 00000000'],
    ['0:0:0:0:0:0:0:0', '00000000 00000000 00000000 00000000'],
    ['::1', '00000000 00000000 00000000 00000001'],
    ['1::', '00010000 00000000 00000000 00000000'],
    ['1::8', '00010000 00000000 00000000 00000008'],
    ['1:2:3:4:5:6:7:8', '00010002 00030004 00050006 00070008'],
    ['::2:3:4:5:6:7:8', '00000002 00030004 00050006 00070008'],
    ['1:2:3:4:5:6:7::', '00010002 00030004 00050006 00070000'],
    ['1:2:3::5:6:7:8', '00010002 00030000 00050006 00070008'],
    ['1:2:3::6:7:8', '00010002 00030000 00000006 00070008'],
    ['ABCD:EF01:2345:6789:ABCD:EF01:2345:6789', 'abcdef01 23456789 abcdef01 23456789'],
    ['2001:DB8::8:800:200C:417A', '20010db8 00000000 00080800 200c417a'],
    ['0001:0002:0003:0004:0005:0006:0007:0008', '00010002 00030004 00050006 00070008'],
    ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'ffffffff ffffffff ffffffff ffffffff'],
    ['FF01::101', 'ff010000 00000000 00000000 00000101'],
    ['::13.1.68.3', '00000000 00000000 00000000 0d014403'],
    ['0:0:0:0:0:0:13.1.68.3', '00000000 00000000 00000000 0d014403'],
    ['::ffff:129.144.52.38', '00000000 00000000 0000ffff 81903426'],
    ['::FFFF:8190:3426', '00000000 00000000 0000ffff 81903426'],
    ['1:2:3:4:5:6:1.2.3.4', '00010002 00030004 00050006 01020304'],
    ['1::1.2.3.4', '00010000 00000000 00000000 01020304'],
    ['64:ff9b::192.0.2.33', '0064ff9b 00000000 00000000 c0000221'],
  ] as const) {
    t.same(parseIPv6(text), { bytes: bytesOf(hex), zone: '' }, text);
    t.equal(isIPv6(text), true, 'Node agrees');
  }
});

t.test('IPv6: zones', async (t) => {
  const linkLocal = bytesOf('fe800000 00000000 00000000 00000001');
  for (const zone of ['1', 'eth0', 'enp0s3', 'br-0123abc', 'wlan0.100', 'x'.repeat(15)]) {
    t.same(parseIPv6(`fe80::1%${zone}`), { bytes: linkLocal, zone }, zone);
  }
  t.equal(parseIPv6('fe80::1%'), null, 'an empty zone');
  t.equal(parseIPv6('%eth0'), null, 'no address');
  t.equal(parseIPv6('1.2.3.4%eth0'), null);
});

t.test('IPv6: bad', async (t) => {
  const bad = [
    '',
    ' ',
    ':',
    ':::',
    '::::',
    '1',
    '1:',
    ':1',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    ':1:2:3:4:5:6:7',
    ':1:2:3:4:5:6:7:8',
    '1:2:3:4:5:6:7:8:',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    '1:2:3:4::5:6:7:8',
    '1::2::3',
    '::1::',
    ':::1',
    '1:::2',
    '1:2:::',
    '12345::',
    '::00001',
    '::g',
    '::-1',
    '::+1',
    '::0x1',
    ':: 1',
    '::1 ',
    ' ::1',
    '::1\n',
    '::1\0',
    '[::1]',
    '::1/128',
    '::1.2.3',
    '::1.2.3.4.5',
    '::1.2.3.256',
    '::1.2.3.04',
    '1.2.3.4::',
    '1.2.3.4:5:6:7:8:9:10',
    '1:2:3:4:5:6:7:1.2.3.4',
    '1:2:3:4:5:1.2.3.4',
    '1.2.3.4::1',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7::1.2.3.4',
    '1.2.3.4',
    'localhost',
  ];
  for (const text of bad) {
    t.equal(parseIPv6(text), null, JSON.stringify(text));
    t.equal(isIPv6(text), false, 'Node agrees');
  }
});

t.test('IPv6: the text is the one that RFC 5952 wants', async (t) => {
  for (const [given, wanted] of [
    // Section 1: all of these are one address.
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:db8:0000:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:DB8:0:0:1::1', '2001:db8::1:0:0:1'],
    // Section 4.1: no leading zeros.
    ['2001:0db8::0001', '2001:db8::1'],
    // Section 4.2.1: as short as it can be.
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    // Section 4.2.2: one group alone is not shortened.
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    // Section 4.2.3: the longest run, and the first of two.
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:0:0:2:0:0:3:4', '1::2:0:0:3:4'],
    // Section 4.3: lower case.
    ['2001:DB8::ABCD:EF12', '2001:db8::abcd:ef12'],
    // Section 5: known to contain an IPv4 address.
    ['0:0:0:0:0:ffff:c000:201', '::ffff:192.0.2.1'],
    ['::ffff:0:0', '::ffff:0.0.0.0'],
    ['::fffe:102:304', '::fffe:102:304'],
    ['0:0:0:0:1:ffff:102:304', '::1:ffff:102:304'],
    // Runs at the ends.
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['0:0:1:0:0:0:0:0', '0:0:1::'],
    ['0:0:0:0:0:1:0:0', '::1:0:0'],
    ['0:1:0:1:0:1:0:1', '0:1:0:1:0:1:0:1'],
    ['0:1:2:3:4:5:6:0', '0:1:2:3:4:5:6:0'],
    ['0:0:2:3:4:5:0:0', '::2:3:4:5:0:0'],
  ] as const) {
    t.equal(formatIPv6(parseIPv6(given)!.bytes), wanted, given);
  }
});

t.test('random bytes: there and back, and Node understands the text', async (t) => {
  const random = new Random(1);
  const wrong: string[] = [];
  for (let i = 0; i < 20_000; i++) {
    // Every other group is zero, so that runs of all lengths come up.
    const bytes = new Uint8Array(16);
    for (let group = 0; group < 16; group += 2) {
      if (random.chance(0.5)) continue;
      bytes[group] = random.chance(0.3) ? 0 : random.below(256);
      bytes[group + 1] = random.below(256);
    }
    const text = formatIPv6(bytes);
    const back = parseIPv6(text);
    if (!isIPv6(text) || back === null || Buffer.compare(back.bytes, bytes) !== 0) wrong.push(text);
    // URL writes IPv6 addresses as RFC 5952 says, save for those with an IPv4 address in them.
    const url = new URL(`http://[${text}]`).hostname;
    if (!text.includes('.') && url !== `[${text}]`) wrong.push(`${text} is ${url} to URL`);
    const v4 = formatIPv4(bytes.subarray(0, 4));
    if (!isIPv4(v4) || Buffer.compare(parseIPv4(v4)!, bytes.subarray(0, 4)) !== 0) wrong.push(v4);
  }
  t.same(wrong, []);
});

t.test('random text: Node agrees whether it is an address', async (t) => {
  const random = new Random(2);
  const pieces4 = ['.', '.', '.', '0', '1', '9', '25', '255', '256', '01', '', 'a', ' ', '-1', '1e1'];
  const pieces6 = [':', ':', ':', '::', '0', '1', 'ffff', 'ABCD', '00001', 'g', '1.2.3.4', '1.2.3', '', ' ', '.'];
  const wrong: string[] = [];
  const counts = { v4: 0, v6: 0 };
  for (let i = 0; i < 200_000; i++) {
    const isFour = random.chance(0.5);
    const pieces = isFour ? pieces4 : pieces6;
    let text = '';
    for (let left = random.below(isFour ? 9 : 17); left > 0; left--) text += random.pick(pieces);
    const v4 = parseIPv4(text) !== null;
    const v6 = parseIPv6(text) !== null;
    if (v4) counts.v4++;
    if (v6) counts.v6++;
    if (v4 !== isIPv4(text) || v6 !== isIPv6(text)) wrong.push(text);
  }
  t.same(wrong, []);
  t.ok(counts.v4 > 20 && counts.v6 > 200, `there were good ones among them: ${counts.v4} and ${counts.v6}`);
});

t.test('random damage to good addresses: Node agrees', async (t) => {
  const random = new Random(3);
  const alphabet = ':::...0019afF gG%-+x/[]\t\0é';
  const wrong: string[] = [];
  for (let i = 0; i < 100_000; i++) {
    const good = random.pick(['127.0.0.1', '255.255.255.255', '::1', '1:2:3:4:5:6:7:8', '1::8', '::ffff:1.2.3.4']);
    const at = random.below(good.length + 1);
    const damaged = good.slice(0, at) + random.pick([...alphabet]) + good.slice(at + random.below(2));
    if (damaged.includes('%')) continue; // zones are looser here than in Node: any name of an interface will do
    if ((parseIPv4(damaged) !== null) !== isIPv4(damaged)) wrong.push(damaged);
    if ((parseIPv6(damaged) !== null) !== isIPv6(damaged)) wrong.push(damaged);
  }
  t.same(wrong, []);
});

t.test('very long text costs no time', async (t) => {
  const tookMs = await cpuMsOf(() => {
    for (const piece of ['1', '.', ':', '::', '1.', '1:', '0', '%', '1.2.3.4:']) {
      const text = piece.repeat(200_000);
      t.equal(parseIPv4(text), null);
      t.equal(parseIPv6(text), null);
    }
  });
  t.ok(tookMs < 5_000, `${tookMs} ms`);
});

t.test('byte order', async (t) => {
  const inMemory = (number: number, Kind: typeof Uint16Array | typeof Uint32Array) =>
    Buffer.from(new Kind([number]).buffer).toString('hex');
  for (const number of [0, 1, 80, 255, 256, 0x1234, 8080, 0x8000, 0xff00, 0xffff]) {
    t.equal(inMemory(htons(number), Uint16Array), number.toString(16).padStart(4, '0'), 'high byte first');
    t.equal(ntohs(htons(number)), number);
  }
  for (const number of [0, 1, 255, 0x7f000001, 0x12345678, 0x80000000, 0xff000000, 0xffffffff]) {
    t.equal(inMemory(htonl(number), Uint32Array), number.toString(16).padStart(8, '0'));
    t.equal(ntohl(htonl(number)), number);
    t.ok(htonl(number) >= 0, 'unsigned');
  }
  t.equal(htons(0x12345), htons(0x2345), 'only the low sixteen bits count');
});
