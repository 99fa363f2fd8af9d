/**
 * Connection report: what a connection of the stack is doing at a moment, as `ss -ti` shows it for the kernel's.
 *
 * It is read on demand, so it costs nothing while nobody asks. A program that wants a curve asks at intervals
 * (examples/tcpip/plot-congestion.ts).
 *
 * Next: stack-context.ts
 */

import type { InternetAddress } from '../kernel/socket-address.ts';
import { formatIpv4Number } from './ip/ipv4-address.ts';
import type { TcpEntry } from './tcp/tcp-entry.ts';
import type { SendState } from './tcp/tcp-sender.ts';
import { nameOfState } from './tcp/tcp-states.ts';

/**
 * One connection of a stack at a moment.
 *
 * ```ts
 * import { type ConnectionReport, createStack, openTap } from 'simplenet';
 *
 * const stack = createStack({ link: openTap('tap0'), address: '10.9.0.2/24' });
 * const show = ({ remoteAddress, state, smoothedRoundTripMs }: ConnectionReport) =>
 *   console.log(remoteAddress.address, state, smoothedRoundTripMs);
 * stack.after(1_000, () => stack.connections().forEach(show));
 * ```
 */
export interface ConnectionReport extends SendState {
  readonly localAddress: InternetAddress;
  readonly remoteAddress: InternetAddress;
  /** Its name in RFC 9293, such as ESTABLISHED. */
  readonly state: string;
  /** What was written and is not acknowledged, sent or not. */
  readonly unacknowledgedBytes: number;
  /** What has come and was not read. */
  readonly unreadBytes: number;
}

export function reportOf(entry: TcpEntry): ConnectionReport {
  const { connection } = entry;
  return {
    localAddress: { address: formatIpv4Number(entry.localAddress), port: entry.localPort },
    remoteAddress: { address: formatIpv4Number(entry.remoteAddress), port: entry.remotePort },
    state: nameOfState(connection.state),
    ...connection.sendState,
    unacknowledgedBytes: connection.unacknowledgedBytes,
    unreadBytes: connection.readableBytes,
  };
}
