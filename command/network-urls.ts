/**
 * The URLs under which other machines reach a server: none while it listens on the loopback address, that of each network
 * card if it listens on a wildcard address.
 *
 * Next: reporter.ts
 */

import type { NetworkInterfaceInfo } from 'node:os';
import { formatSocketAddress, type SocketAddress } from '../simplenet/index.ts';

/** As `networkInterfaces()` of node:os. */
export type NetworkInterfaces = () => Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

const LINK_LOCAL = /^fe[89ab]/i; // such an address needs a zone, which a URL of a browser cannot have

/** `interfaces` is called for a wildcard address alone. */
export function networkUrls(address: SocketAddress, interfaces: NetworkInterfaces, scheme = 'http'): string[] {
  if (!('port' in address) || isLoopback(address.address)) return [];
  if (address.address !== '0.0.0.0' && address.address !== '::') return [urlOf(scheme, address.address, address.port)];
  return Object.values(readable(interfaces))
    .flatMap((infos = []) => infos)
    .filter(({ internal, family }) => !internal && (family === 'IPv4' || address.address === '::'))
    .map((info) => info.address)
    .filter((each) => !LINK_LOCAL.test(each))
    .map((each) => urlOf(scheme, each, address.port));
}

/** Node asks the kernel by AF_NETLINK. Where that is forbidden (RestrictAddressFamilies= of systemd) no address is shown, and the server serves. */
function readable(interfaces: NetworkInterfaces): ReturnType<NetworkInterfaces> {
  try {
    return interfaces();
  } catch {
    return {};
  }
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

function urlOf(scheme: string, address: string, port: number): string {
  return `${scheme}://${formatSocketAddress({ address, port })}`;
}
