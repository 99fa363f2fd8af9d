/** The commands that are missing before Linux reaches a stack, by the routes that Linux has. */

import { test } from 'tap';
import { tapAdvice } from '../../../simplenet/tcpip/tap-advice.ts';

const HEAD = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';

/** A line of /proc/net/route. */
const route = (name: string, destination: string, mask: string) =>
  `${name}\t${destination}\t00000000\t0001\t0\t0\t0\t${mask}\t0\t0\t0\n`;

/** The address that Linux should have, or null. */
function linuxAddress(address: string, routes = HEAD, gateway?: string): string | null {
  const advice = tapAdvice('tap0', address, { routes, ...(gateway === undefined ? {} : { gateway }) });
  return advice === null ? null : (/ip addr add (\S+) dev tap0/.exec(advice)?.[1] ?? '');
}

test('a route through the interface is all that it takes', async (t) => {
  t.equal(linuxAddress('10.9.0.2/24', HEAD + route('tap0', '0000090A', '00FFFFFF')), null);
  for (const routes of [
    route('tap1', '0000090A', '00FFFFFF'),
    route('tap0', '0000080A', '00FFFFFF'),
    route('eth0', '00000000', '00000000'),
  ]) {
    t.equal(linuxAddress('10.9.0.2/24', HEAD + routes), '10.9.0.1/24', routes);
  }
});

test('Linux gets the gateway of the stack, or the first address that is free', async (t) => {
  t.equal(linuxAddress('10.9.0.2/24', HEAD, '10.9.0.254'), '10.9.0.254/24');
  t.equal(linuxAddress('10.9.0.1/24'), '10.9.0.2/24');
  t.equal(linuxAddress('10.9.0.7/29'), '10.9.0.1/29');
  t.equal(linuxAddress('10.9.0.4/31'), '10.9.0.5/31');
  t.equal(linuxAddress('10.9.0.5/31'), '10.9.0.4/31');
  t.throws(() => linuxAddress('10.9.0.5/32'), {
    name: 'RangeError',
    message: /10\.9\.0\.5\/32 has no address for Linux/,
  });
});

test('an interface that goes with the program: how to make one that stays', async (t) => {
  const options = { routes: HEAD };
  t.equal(
    tapAdvice('tap0', '10.9.0.2/24', { ...options, wasThere: false }),
    `Linux has no route to 10.9.0.2 yet. As root, in another terminal, type:

  ip addr add 10.9.0.1/24 dev tap0
  ip link set tap0 up

tap0 ends with this program. One that stays is made before it starts, by:

  ip tuntap add dev tap0 mode tap`,
  );
  t.notMatch(tapAdvice('tap0', '10.9.0.2/24', options), /tuntap/);
  t.match(tapAdvice('no-such-device', '10.9.0.2/24'), /no route/, 'by the routes of this machine');
});
