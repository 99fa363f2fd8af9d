/**
 * The URLs under which other machines reach a server: none while it listens on the loopback address, that of each network
 * card if it listens on a wildcard address.
 *
 * Next: reporter.ts
 */

import type { NetworkInterfaceInfo } from 'node:os';
import { formatSocketAddress, type SocketAddress } from '../simplenet/index.ts';

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

const LINK_LOCAL = /^fe[89ab]/i; // such an address needs a zone, which a URL of a browser cannot have

/** `interfaces` as `networkInterfaces()` of node:os returns them. */
export function networkUrls(address: SocketAddress, interfaces: Interfaces, scheme = 'http'): string[] {
  if (!('port' in address) || isLoopback(address.address)) return [];
  if (address.address !== '0.0.0.0' && address.address !== '::') return [urlOf(scheme, address.address, address.port)];
  return Object.values(interfaces)
    .flatMap((infos = []) => infos)
    .filter(({ internal, family }) => !internal && (family === 'IPv4' || address.address === '::'))
    .map((info) => info.address)
    .filter((each) => !LINK_LOCAL.test(each))
    .map((each) => urlOf(scheme, each, address.port));
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

function urlOf(scheme: string, address: string, port: number): string {
  return `${scheme}://${formatSocketAddress({ address, port })}`;
}
