/**
 * The local port of a connection that we open. Pure.
 *
 * Next: tcp-counters.ts
 */

import { EADDRNOTAVAIL } from '../../kernel/abi.ts';

/**
 * Returns a free port from `first` to `last`, or -EADDRNOTAVAIL. The search begins at a random place (RFC 6056 section 3.3.1), so that a stranger
 * who does not see the segments does not know the port.
 */
export function chooseEphemeralPort(
  first: number,
  last: number,
  random: () => number,
  isFree: (port: number) => boolean,
): number {
  const count = last - first + 1;
  const begin = Math.floor(random() * count);
  for (let i = 0; i < count; i++) {
    const port = first + ((begin + i) % count);
    if (isFree(port)) return port;
  }
  return -EADDRNOTAVAIL;
}
