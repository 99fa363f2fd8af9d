/** clientNetwork: who counts as one client. */

import { test } from 'tap';
import { clientNetwork } from '../../../http/content/client-network.ts';

test('the network of each kind of address', async (t) => {
  const cases: readonly (readonly [address: string, network: string])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:DB8:0:0:1:2:3:4', '2001:db8:0:0::/64'],
    ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
    ['2001:0db8:00a0::', '2001:db8:a0:0::/64'],
    ['2001:db8:1:2:3::8', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['1::2:3:4:5:6:7', '1:0:2:3::/64'],
    ['::2:3:4:5:6:7:8', '0:2:3:4::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    ['::5:6:7:8:192.0.2.1', '0:0:5:6::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['/run/site.sock', '/run/site.sock'],
    ['/run/a:b', '/run/a:b'],
    ['\0abstract', '\0abstract'],
    ['', ''],
  ];
  for (const [address, network] of cases) t.equal(clientNetwork(address), network, address);
});
