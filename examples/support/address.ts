/**
 * An address as people type it: `10.9.0.2:8080`, or a port alone, which is one of the loopback of this machine.
 */

import { parseSocketAddress, type SocketAddress } from '../../simplenet/index.ts';
import { portFrom } from './port.ts';

export function addressFrom(text: string): SocketAddress {
  return parseSocketAddress(text) ?? { address: '127.0.0.1', port: portFrom(text) };
}
