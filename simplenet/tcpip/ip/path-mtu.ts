/**
 * Path MTU: how large a packet may be on its way to each destination (RFC 1191). Pure: time is an argument.
 *
 * TCP sends packets that must not be fragmented. A router for which one is too large drops it and says how large it may be. That is believed for
 * `pathMtuMs`, and then the size of our own link is tried again, because the route may have changed.
 *
 * An attacker could say that all packets must be tiny. So a size below FLOOR is not believed: packets of FLOOR bytes are sent, and
 * routers may fragment these, as Linux does it (min_pmtu). A size that no network may have is ignored.
 *
 * Next: fragments.ts
 */

import type { IpLimits } from './ip-limits.ts';

/** 512 bytes of data and 40 of headers. */
export const PATH_MTU_FLOOR = 552;

/** RFC 791: each network carries 68 bytes. */
const SMALLEST_MTU = 68;

/** RFC 1191 section 7: the sizes that networks have. */
const plateaus: readonly number[] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296];

/** The next usual size below that of a packet which was too large. */
export function plateauBelow(length: number): number {
  return plateaus.find((plateau) => plateau < length) ?? SMALLEST_MTU;
}

interface Path {
  readonly mtu: number;
  readonly mayFragment: boolean;
  readonly expiresAt: number;
}

export class PathMtu {
  readonly #linkMtu: number;
  readonly #limits: IpLimits;
  /** Only destinations with less than the MTU of the link, in the order in which they expire. */
  readonly #paths = new Map<number, Path>();

  constructor(linkMtu: number, limits: IpLimits) {
    this.#linkMtu = linkMtu;
    this.#limits = limits;
  }

  get size(): number {
    return this.#paths.size;
  }

  /** How large a packet to this destination may be, header included. */
  to(destination: number): number {
    return this.#paths.get(destination)?.mtu ?? this.#linkMtu;
  }

  /** Whether routers may fragment packets to this destination, even if their sender does not want that. */
  mayFragment(destination: number): boolean {
    return this.#paths.get(destination)?.mayFragment ?? false;
  }

  /** Returns whether packets to this destination must be smaller from now on. */
  lower(destination: number, mtu: number, now: number): boolean {
    if (mtu < SMALLEST_MTU || mtu >= this.to(destination)) return false;
    this.#paths.delete(destination);
    if (this.#paths.size >= this.#limits.pathMtuEntries) this.#paths.delete(this.#oldest()?.[0] as number);
    const expiresAt = now + this.#limits.pathMtuMs;
    const mayFragment = mtu < PATH_MTU_FLOOR;
    this.#paths.set(destination, {
      mtu: Math.max(mtu, Math.min(PATH_MTU_FLOOR, this.#linkMtu)),
      mayFragment,
      expiresAt,
    });
    return true;
  }

  get deadlineAt(): number {
    return this.#oldest()?.[1].expiresAt ?? Number.POSITIVE_INFINITY;
  }

  onDeadline(now: number): void {
    for (let oldest = this.#oldest(); oldest !== undefined && oldest[1].expiresAt <= now; oldest = this.#oldest()) {
      this.#paths.delete(oldest[0]);
    }
  }

  #oldest(): [number, Path] | undefined {
    return this.#paths.entries().next().value;
  }
}
