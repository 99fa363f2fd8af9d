import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'tap';
import { networkUrls } from '../../command/network-urls.ts';

const info = (address: string, family: string, internal = false) =>
  ({ address, family, internal }) as NetworkInterfaceInfo;

const interfaces = {
  lo: [info('127.0.0.1', 'IPv4', true), info('::1', 'IPv6', true)],
  eth0: [info('192.0.2.7', 'IPv4'), info('2001:db8::7', 'IPv6'), info('fe80::7', 'IPv6')],
  gone: undefined,
};

const urlsAt = (address: string) => networkUrls({ address, port: 80 }, () => interfaces);
const forbidden = () => {
  throw new Error('uv_interface_addresses returned Unknown system error 97');
};

test('no other machine reaches the loopback address, or a path', async (t) => {
  t.same(urlsAt('127.0.0.1'), []);
  t.same(urlsAt('127.1.2.3'), []);
  t.same(urlsAt('::1'), []);
  t.same(networkUrls({ path: '/run/site' }, forbidden), []);
  t.same(networkUrls({ address: '192.0.2.7', port: 443 }, forbidden, 'https'), ['https://192.0.2.7:443']);
});

test('an address of a network card is its own URL', async (t) => {
  t.same(urlsAt('192.0.2.7'), ['http://192.0.2.7:80']);
  t.same(urlsAt('2001:db8::7'), ['http://[2001:db8::7]:80']);
});

test('a wildcard address is each card, without addresses that a browser cannot use', async (t) => {
  t.same(urlsAt('0.0.0.0'), ['http://192.0.2.7:80']);
  t.same(urlsAt('::'), ['http://192.0.2.7:80', 'http://[2001:db8::7]:80']);
});

test('without the right to see the cards there are no URLs', async (t) => {
  for (const address of ['0.0.0.0', '::']) t.same(networkUrls({ address, port: 80 }, forbidden), []);
  t.same(networkUrls({ address: '127.0.0.1', port: 80 }, forbidden), []);
});
