/**
 * Routes: which neighbour a packet goes to, by the longest prefix that fits its destination (RFC 1812 section 5.2.4.3). Pure.
 *
 * A host needs two routes: its own network, where each host is a neighbour, and a gateway for everything else. More are for hosts with several gateways. The
 * table is a list, longest prefix first; a router with many routes would need a tree.
 *
 * Next: loopback.ts
 */

import { formatIpv4Number, isSameNetwork, networkOf } from './ipv4-address.ts';

export interface Route {
  readonly network: number;
  readonly prefixLength: number;
  /** null: the hosts of this network are neighbours. */
  readonly gateway: number | null;
}

export class Routes {
  readonly #routes: readonly Route[];

  /** Throws a RangeError if a gateway is not a neighbour. */
  constructor(routes: readonly Route[]) {
    this.#routes = [...routes].sort((one, other) => other.prefixLength - one.prefixLength);
    for (const { gateway } of routes) {
      if (gateway === null || this.#find(gateway)?.gateway === null) continue;
      throw new RangeError(`the gateway ${formatIpv4Number(gateway)} is not in a network of this host`);
    }
  }

  /** The neighbour that a packet to `destination` goes to, or null if no route fits. */
  nextHop(destination: number): number | null {
    const route = this.#find(destination);
    return route === undefined ? null : (route.gateway ?? destination);
  }

  #find(destination: number): Route | undefined {
    return this.#routes.find(({ network, prefixLength }) => isSameNetwork(network, destination, prefixLength));
  }
}

/** The routes of a host with one interface. */
export function routesOfHost(address: number, prefixLength: number, gateway: number | null): Route[] {
  const own: Route = { network: networkOf(address, prefixLength), prefixLength, gateway: null };
  return gateway === null ? [own] : [own, { network: 0, prefixLength: 0, gateway }];
}
