/**
 * The limits of a stack: those of its loop, of IP and of TCP in one object, so that `createStack` takes any of them by its name.
 *
 * Next: stack-address.ts
 */

import { defaultLoopLimits, type LoopLimits } from '../loop/loop-limits.ts';
import { defaultIpLimits, type IpLimits } from './ip/ip-limits.ts';
import { defaultTcpLayerLimits, type TcpLayerLimits } from './tcp/tcp-layer.ts';

/**
 * The limits of a stack, each an option of `createStack`. `receiveBufferBytes` is the window of a connection here, and not a buffer of the loop.
 * No limit of the loop for calls to a kernel has a meaning here: `acceptsPerTurn`, `datagramsPerTurn`, `acceptRestMs`, and the bytes per turn.
 *
 * ```ts
 * import { createStack, openTap, type StackLimits } from 'simplenet';
 *
 * const small: Partial<StackLimits> = { receiveBufferBytes: 65_536, timeWaits: 1_000, reassemblyPackets: 8 };
 * createStack({ link: openTap('tap0'), address: '10.9.0.2/24', ...small });
 * ```
 */
export interface StackLimits extends LoopLimits, IpLimits, TcpLayerLimits {
  /**
   * How many streams, listeners and UDP ports may be open, as the limit of descriptors has it for sockets. A client beyond it gets RST, unless
   * `onShortage` makes room; calls of the program throw ENOBUFS.
   */
  readonly openMembers: number;
}

export const defaultStackLimits: StackLimits = {
  ...defaultLoopLimits,
  ...defaultIpLimits,
  ...defaultTcpLayerLimits,
  openMembers: 16_384,
};

const LAST_PORT = 65_535;

/** Throws a RangeError that names the first limit that is not a number above 0. */
export function checkStackLimits(limits: StackLimits): void {
  for (const [name, value] of Object.entries(limits) as [keyof StackLimits, unknown][]) {
    if (!Object.hasOwn(defaultStackLimits, name)) throw new TypeError(`a stack has no option ${name}`);
    if (!(typeof value === 'number' && value > 0)) {
      throw new RangeError(`${name} must be a number > 0, not ${String(value)}`);
    }
  }
  const { firstEphemeralPort, lastEphemeralPort } = limits;
  if (firstEphemeralPort > lastEphemeralPort || lastEphemeralPort > LAST_PORT) {
    throw new RangeError(
      `ephemeral ports go up to ${LAST_PORT}, not from ${firstEphemeralPort} to ${lastEphemeralPort}`,
    );
  }
}
