/** AddressRanges: which addresses are in it, and which texts are refused. */

import { test } from 'tap';
import { AddressRanges, canonicalAddress } from '../../../simplenet/index.ts';

test('an address is in the ranges that have its first bits', async (t) => {
  const cases: readonly (readonly [range: string, inside: readonly string[], outside: readonly string[]])[] = [
    ['10.0.0.0/8', ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3'], ['9.255.255.255', '11.0.0.0', '::', '::a00:1']],
    ['192.0.2.128/25', ['192.0.2.128', '192.0.2.255'], ['192.0.2.127', '192.0.3.128']],
    ['192.0.2.1', ['192.0.2.1', '::FFFF:192.0.2.1'], ['192.0.2.0', '192.0.2.2']],
    ['192.0.2.4/31', ['192.0.2.4', '192.0.2.5'], ['192.0.2.3', '192.0.2.6']],
    ['0.0.0.0/0', ['1.2.3.4', '255.255.255.255', '::ffff:9.9.9.9'], ['::1', '2001:db8::']],
    ['::/0', ['::1', 'ffff::', 'fe80::1%eth0'], ['1.2.3.4', '::ffff:1.2.3.4']],
    ['2001:db8::/33', ['2001:db8:7fff::'], ['2001:db8:8000::', '2001:db7::']],
    ['::ffff:10.0.0.0/104', ['10.9.9.9'], ['11.0.0.0']],
    ['loopback', ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'], ['128.0.0.1', '::2']],
    [
      'private',
      ['10.1.1.1', '172.16.0.0', '172.31.255.255', '192.168.7.7', 'fd00::1'],
      ['172.32.0.0', '172.15.255.255', '192.169.0.0', '127.0.0.1', 'fe00::', '169.254.1.1'],
    ],
  ];
  for (const [range, inside, outside] of cases) {
    const ranges = new AddressRanges(range);
    for (const address of inside) t.ok(ranges.has(address), `${address} in ${range}`);
    for (const address of outside) t.notOk(ranges.has(address), `${address} not in ${range}`);
  }
  const several = new AddressRanges(['192.0.2.1', '2001:db8::/32']);
  t.same(
    ['192.0.2.1', '2001:db8::1', '192.0.2.2'].map((each) => several.has(each)),
    [true, true, false],
  );
  t.ok(new AddressRanges(' 192.0.2.1 , loopback').has('::1'), 'a text with commas');
});

test('an address of a stream; the peer of a Unix socket belongs to loopback', async (t) => {
  const loopback = new AddressRanges('loopback');
  t.ok(loopback.has({ address: '127.0.0.1', port: 1 }));
  t.notOk(loopback.has({ address: '192.0.2.1', port: 1 }));
  t.ok(loopback.has({ path: '/run/x' }));
  t.notOk(new AddressRanges('0.0.0.0/0,::/0').has({ path: '127.0.0.1' }));
});

test('what is no address is in no range', async (t) => {
  const all = new AddressRanges('0.0.0.0/0,::/0');
  for (const text of ['', 'unknown', '127.1', '010.0.0.1', '1.2.3.4:80', '[::1]', '1.2.3.4 ', '/run/x', '::1::']) {
    t.notOk(all.has(text), text);
  }
});

test('a range that could be a mistake is an error', async (t) => {
  const cases: readonly (readonly [range: string | readonly string[], message: RegExp])[] = [
    ['', /'' is no address: write 192\.0\.2\.1/],
    [[], /is empty/],
    ['10.0.0.1/8', /'10\.0\.0\.1\/8' is an address inside a range: write 10\.0\.0\.0\/8/],
    ['2001:db8::1/32', /write 2001:db8::\/32/],
    ['10.0.0.0/33', /length of its prefix/],
    ['::/129', /length of its prefix/],
    ['::ffff:10.0.0.0/95', /length of its prefix/],
    ['10.0.0.0/', /is no address/],
    ['10/8', /is no address/],
    ['fe80::1%eth0', /is no address/],
    ['localhost', /is no address/],
    ['10.0.0.0/8,', /is no address/],
    ['LOOPBACK', /is no address/],
  ];
  for (const [range, message] of cases) t.throws(() => new AddressRanges(range), { name: 'RangeError', message });
});

test('the one form of an address', async (t) => {
  const cases: readonly (readonly [text: string, canonical: string | null])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['fe80::1%eth0', null],
    ['0x7f.1', null],
    ['', null],
  ];
  for (const [text, canonical] of cases) t.equal(canonicalAddress(text), canonical, text);
});
