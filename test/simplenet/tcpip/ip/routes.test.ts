/** Routes: the longest prefix wins, and a gateway must be a neighbour. */

import t from 'tap';
import { ipv4ToNumber } from '../../../../simplenet/tcpip/ip/ipv4-address.ts';
import { Routes, routesOfHost } from '../../../../simplenet/tcpip/ip/routes.ts';

const at = (text: string) => ipv4ToNumber(text) as number;

t.test('a host: its own network, and a gateway for the rest', async (t) => {
  const routes = new Routes(routesOfHost(at('10.9.0.2'), 24, at('10.9.0.1')));
  t.equal(routes.nextHop(at('10.9.0.77')), at('10.9.0.77'));
  t.equal(routes.nextHop(at('10.9.1.77')), at('10.9.0.1'));
  t.equal(routes.nextHop(at('10.9.0.1')), at('10.9.0.1'));
  t.equal(routes.nextHop(at('203.0.113.5')), at('10.9.0.1'));
});

t.test('without a gateway only the own network is reached', async (t) => {
  const routes = new Routes(routesOfHost(at('10.9.0.2'), 30, null));
  t.equal(routes.nextHop(at('10.9.0.3')), at('10.9.0.3'));
  t.equal(routes.nextHop(at('10.9.0.4')), null);
});

t.test('the longest prefix wins, in whatever order they are given', async (t) => {
  const table = [
    { network: 0, prefixLength: 0, gateway: at('10.9.0.1') },
    { network: at('192.168.0.0'), prefixLength: 16, gateway: at('10.9.0.3') },
    { network: at('192.168.7.0'), prefixLength: 24, gateway: at('10.9.0.4') },
    { network: at('10.9.0.0'), prefixLength: 24, gateway: null },
    { network: at('192.168.7.9'), prefixLength: 32, gateway: at('10.9.0.5') },
  ];
  for (const order of [table, [...table].reverse()]) {
    const routes = new Routes(order);
    const hops = ['8.8.8.8', '192.168.1.1', '192.168.7.8', '192.168.7.9', '10.9.0.9'].map((text) =>
      routes.nextHop(at(text)),
    );
    t.same(hops, ['10.9.0.1', '10.9.0.3', '10.9.0.4', '10.9.0.5', '10.9.0.9'].map(at));
  }
});

t.test('a gateway that is not a neighbour', async (t) => {
  t.throws(() => new Routes(routesOfHost(at('10.9.0.2'), 24, at('10.9.1.1'))), {
    name: 'RangeError',
    message: 'the gateway 10.9.1.1 is not in a network of this host',
  });
});
