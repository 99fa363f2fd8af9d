/**
 * The addresses of a stack: what `createStack` and its methods are given as text, as numbers. Pure.
 *
 * Next: stack-options.ts
 */

import { EOPNOTSUPP } from '../kernel/abi.ts';
import { encodeSocketAddress, formatSocketAddress, type SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import { ipv4ToNumber, isHostAddress, parseIpv4Interface } from './ip/ipv4-address.ts';
import { isGroupAddress, parseHardwareAddress } from './link/ethernet-frame.ts';

/** The address of the stack with the length of the prefix of its network, such as '10.9.0.2/24'. Throws a RangeError for other text. */
export function interfaceAddressOf(text: string): { address: number; prefixLength: number } {
  const parsed = parseIpv4Interface(text);
  if (parsed === null || !isHostAddress(parsed.address) || parsed.prefixLength === 0) {
    throw new RangeError(`the address of a stack is IPv4 with a prefix, such as '10.9.0.2/24', not '${text}'`);
  }
  return parsed;
}

/** Throws EOPNOTSUPP for a family that the stack does not have, and RangeError for what is not an address. */
export function internetAddressOf(address: SocketAddress): { address: number; port: number } {
  if ('path' in address || address.address.includes(':')) {
    throw unsupported(`a TCP/IP stack of its own has IPv4 addresses only, not ${formatSocketAddress(address)}`);
  }
  encodeSocketAddress(address); // checks the port, and the text
  return { address: ipv4ToNumber(address.address) as number, port: address.port };
}

/** EOPNOTSUPP, which is one number with ENOTSUP on Linux: Node uses this name. */
export function unsupported(message: string): SystemError {
  const error = new SystemError('stack', -EOPNOTSUPP);
  error.message = `${message} (${error.code})`;
  return error;
}

/** Six bytes in hexadecimal, as ip-link(8) writes them. Throws a RangeError for other text, and for a group address: it is not of one host. */
export function hardwareAddressOf(text: string): number {
  const address = parseHardwareAddress(text);
  if (address === null || isGroupAddress(address)) {
    throw new RangeError(`a hardware address is text such as '02:00:0a:09:00:02', not '${text}'`);
  }
  return address;
}

/** The second bit of the first byte says that no manufacturer has given out the address (IEEE 802). */
const LOCALLY_ADMINISTERED = 0x0200_0000_0000;

/** An address that no other stack in this network has: the IPv4 address is part of it. */
export function hardwareAddressFor(address: number): number {
  return LOCALLY_ADMINISTERED + address;
}
