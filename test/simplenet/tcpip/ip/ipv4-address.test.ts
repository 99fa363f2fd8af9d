/** IPv4 addresses as numbers, and the ranges that are nobody's. */

import fc from 'fast-check';
import t from 'tap';
import {
  broadcastOf,
  formatIpv4Number,
  ipv4ToNumber,
  isHostAddress,
  isSameNetwork,
  networkOf,
  parseIpv4Interface,
} from '../../../../simplenet/tcpip/ip/ipv4-address.ts';

t.test('text', async (t) => {
  t.equal(ipv4ToNumber('10.9.0.2'), 0x0a090002);
  t.equal(ipv4ToNumber('255.255.255.255'), 0xffff_ffff);
  t.equal(ipv4ToNumber('0.0.0.0'), 0);
  for (const bad of ['', '10.9.0', '10.9.0.256', '10.9.0.02', '::1', '10.9.0.2/24']) t.equal(ipv4ToNumber(bad), null);
  fc.assert(fc.property(fc.nat(0xffff_ffff), (address) => ipv4ToNumber(formatIpv4Number(address)) === address));
});

t.test('the address of an interface', async (t) => {
  t.same(parseIpv4Interface('10.9.0.2/24'), { address: 0x0a090002, prefixLength: 24 });
  t.same(parseIpv4Interface('10.9.0.2/0'), { address: 0x0a090002, prefixLength: 0 });
  t.same(parseIpv4Interface('10.9.0.2/32'), { address: 0x0a090002, prefixLength: 32 });
  for (const bad of [
    '10.9.0.2',
    '10.9.0.2/',
    '10.9.0.2/33',
    '10.9.0.2/024',
    '10.9.0.2/-1',
    '10.9.0/24',
    '10.9.0.2/24/1',
  ]) {
    t.equal(parseIpv4Interface(bad), null, bad);
  }
});

t.test('networks', async (t) => {
  const address = 0xc0a8_7f42;
  const rows = [32, 31, 30, 24, 16, 1, 0].map((length) => [
    length,
    formatIpv4Number(networkOf(address, length)),
    broadcastOf(address, length) === null ? null : formatIpv4Number(broadcastOf(address, length) as number),
  ]);
  t.same(rows, [
    [32, '192.168.127.66', null],
    [31, '192.168.127.66', null],
    [30, '192.168.127.64', '192.168.127.67'],
    [24, '192.168.127.0', '192.168.127.255'],
    [16, '192.168.0.0', '192.168.255.255'],
    [1, '128.0.0.0', '255.255.255.255'],
    [0, '0.0.0.0', '255.255.255.255'],
  ]);
  t.ok(isSameNetwork(0x0a090002, 0x0a0900fe, 24));
  t.notOk(isSameNetwork(0x0a090002, 0x0a090102, 24));
  t.notOk(isSameNetwork(0x0a090002, 0x8a090002, 1));
  t.ok(isSameNetwork(0x0a090002, 0xff00_0000, 0));
  t.notOk(isSameNetwork(0x0a090002, 0x0a090003, 32));
});

t.test('ranges', async (t) => {
  const isHost = (text: string) => isHostAddress(ipv4ToNumber(text) as number);
  for (const host of ['1.0.0.0', '10.9.0.2', '126.255.255.255', '128.0.0.0', '223.255.255.255'])
    t.ok(isHost(host), host);
  for (const nobody of ['0.0.0.0', '0.255.255.255', '127.0.0.1', '127.255.255.255', '224.0.0.0', '255.255.255.255']) {
    t.notOk(isHost(nobody), nobody);
  }
});
