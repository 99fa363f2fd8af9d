/**
 * The limits of a stack: those of its loop, of IP and of TCP in one object, so that `createStack` takes any of them by its name.
 *
 * Next: stack-address.ts
 */

import { defaultLoopLimits, type LoopLimits } from '../loop/loop-limits.ts';
import { defaultIpLimits, type IpLimits } from './ip/ip-limits.ts';
import { defaultTcpLayerLimits, type TcpLayerLimits } from './tcp/tcp-layer.ts';

export interface StackLimits extends LoopLimits, IpLimits, TcpLayerLimits {}

export const defaultStackLimits: StackLimits = {
  ...defaultLoopLimits,
  ...defaultIpLimits,
  ...defaultTcpLayerLimits,
};

/** Throws a RangeError that names the first limit that is not a number above 0. */
export function checkStackLimits(limits: StackLimits): void {
  for (const [name, value] of Object.entries(limits) as [keyof StackLimits, unknown][]) {
    if (!Object.hasOwn(defaultStackLimits, name)) throw new TypeError(`a stack has no option ${name}`);
    if (typeof defaultStackLimits[name] !== 'number') continue;
    if (!(typeof value === 'number' && value > 0))
      throw new RangeError(`${name} must be a number > 0, not ${String(value)}`);
  }
}
