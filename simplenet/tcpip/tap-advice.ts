/**
 * TapAdvice: says how Linux gets to reach a stack behind a TAP interface, if it does not yet.
 *
 * The interface has two ends. openTap has one of them, where the stack is. The other one is Linux's, and needs an address of the same network and
 * to be up: then Linux has a route to the stack. Only root can do that, with ip(8), so a program prints what to type.
 *
 * Next: ../layers/client-hello.ts
 */

import { readFileSync } from 'node:fs';
import { broadcastOf, formatIpv4Number, networkOf } from './ip/ipv4-address.ts';
import { interfaceAddressOf } from './stack-address.ts';

/**
 * The options of `tapAdvice`.
 *
 * ```ts
 * import { type TapAdviceOptions, tapAdvice } from 'simplenet';
 *
 * const options: TapAdviceOptions = { gateway: '10.9.0.254' };
 * console.log(tapAdvice('tap0', '10.9.0.2/24', options)); // ... ip addr add 10.9.0.254/24 dev tap0 ...
 * ```
 */
export interface TapAdviceOptions {
  /** The gateway of the stack, which is Linux. Without it, Linux gets the first address of the network that is free. */
  readonly gateway?: string;
  /** False: the interface did not exist before this program, and ends with it. */
  readonly wasThere?: boolean;
  /** The routes of this machine, as in /proc/net/route. */
  readonly routes?: string;
}

/**
 * Returns the commands that are missing before Linux reaches the address through this interface, or null.
 *
 * ```ts
 * import { createStack, openTap, tapAdvice } from 'simplenet';
 *
 * createStack({ link: openTap('tap0'), address: '10.9.0.2/24' });
 * const advice = tapAdvice('tap0', '10.9.0.2/24');
 * if (advice !== null) console.log(advice); // Linux has no route to 10.9.0.2 yet. As root, ...
 * ```
 */
export function tapAdvice(name: string, address: string, options: TapAdviceOptions = {}): string | null {
  const { gateway, wasThere = true, routes = readFileSync('/proc/net/route', 'latin1') } = options;
  const stack = interfaceAddressOf(address);
  if (hasRoute(routes, name, stack.address)) return null;
  const linux = gateway ?? formatIpv4Number(otherAddressIn(stack.address, stack.prefixLength));
  const commands = `Linux has no route to ${formatIpv4Number(stack.address)} yet. As root, in another terminal, type:

  ip addr add ${linux}/${stack.prefixLength} dev ${name}
  ip link set ${name} up`;
  if (wasThere) return commands;
  return `${commands}

${name} ends with this program. One that stays is made before it starts, by:

  ip tuntap add dev ${name} mode tap`;
}

/** The columns of /proc/net/route, as proc(5) names them: Iface, Destination, Gateway, Flags, RefCnt, Use, Metric, Mask. */
const DESTINATION_COLUMN = 1;
const MASK_COLUMN = 7;

function hasRoute(routes: string, name: string, address: number): boolean {
  return routes.split('\n').some((line) => {
    const columns = line.split('\t').map((column) => column.trim());
    if (columns[0] !== name) return false;
    const mask = addressOf(columns[MASK_COLUMN] as string);
    return (address & mask) >>> 0 === addressOf(columns[DESTINATION_COLUMN] as string);
  });
}

/** The kernel prints the four bytes as one number of a little-endian machine. */
function addressOf(column: string): number {
  return Buffer.from(column, 'hex').readUInt32LE(0);
}

/** Throws a RangeError if the stack has the only address of its network. */
function otherAddressIn(own: number, prefixLength: number): number {
  const network = networkOf(own, prefixLength);
  // In a network of two addresses both belong to hosts (RFC 3021). Otherwise the first is that of the network itself.
  const first = broadcastOf(own, prefixLength) === null ? network : network + 1;
  const other = first === own ? first + 1 : first;
  if (networkOf(other, prefixLength) === network) return other;
  throw new RangeError(
    `the network of ${formatIpv4Number(own)}/${prefixLength} has no address for Linux: choose a shorter prefix`,
  );
}
