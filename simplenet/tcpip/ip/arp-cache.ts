/**
 * ARP cache: the hardware addresses of the neighbours, and the packets that wait for one.
 *
 * ARP has no proof: whoever answers first is believed. An attacker on the same network can thus pretend to be any neighbour ("cache
 * poisoning"), and only a switch that filters ARP prevents it. Three rules make it harder:
 *
 * - A packet that nobody asked for creates an entry only if it is a request for our own address: then we are about to send to its sender. Such an entry
 *   is a claim. It is checked by its first use, and never drives out an entry that is in use.
 * - A packet that contradicts a neighbour that has answered us changes nothing. It makes the neighbour STALE, so its next use asks the old
 *   address, and only if that is silent everyone. So a live neighbour keeps its address, and one that has moved is found after `arpRequests`.
 * - The table is bounded, and so are the packets that wait in it. A flood of claims drives out claims, and a flood of packets to addresses that nobody has
 *   drives out its own requests. Each address is asked for at most once in `arpRetryMs` (RFC 1122 section 2.3.2.1).
 *
 * Next: address-claim.ts
 */

import { BROADCAST_HARDWARE_ADDRESS } from '../link/ethernet-frame.ts';
import type { IpLimits } from './ip-limits.ts';
import { FAILED, INCOMPLETE, Neighbour, PROBING, REACHABLE, STALE } from './neighbour.ts';

/** What `lookUp` returns without a hardware address: the packet can wait with `hold`; the neighbour is not there; the table has no room. */
export const UNRESOLVED = -1;
export const UNREACHABLE = -2;
export const NO_ROOM = -3;

export interface ArpOutput {
  /** Asks for `address`: everyone, or only the neighbour that had it. */
  ask(address: number, hardwareAddress: number): void;
  /** The hardware address for a frame that has waited is known. */
  release(frame: Buffer, hardwareAddress: number): void;
  /** The neighbour has not answered. The frame that has waited for it is lost. */
  fail(frame: Buffer, now: number): void;
  /** A frame that has waited is lost because there is no room for it. */
  drop(frame: Buffer): void;
}

export class ArpCache {
  readonly #limits: IpLimits;
  readonly #output: ArpOutput;
  readonly #neighbours = new Map<number, Neighbour>();
  #waitingBytes = 0;
  #deadlineAt = Number.POSITIVE_INFINITY;

  constructor(limits: IpLimits, output: ArpOutput) {
    this.#limits = limits;
    this.#output = output;
  }

  get size(): number {
    return this.#neighbours.size;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** When `onDeadline` should be called. It may have nothing to do then. */
  get deadlineAt(): number {
    return this.#deadlineAt;
  }

  /** For a test or a statistic. */
  stateOf(address: number): number | null {
    return this.#neighbours.get(address)?.state ?? null;
  }

  /** Returns the hardware address to send to, or UNRESOLVED, UNREACHABLE or NO_ROOM. Asks for it if it is not known or old. */
  lookUp(address: number, now: number): number {
    const neighbour = this.#neighbours.get(address);
    if (neighbour === undefined) return this.#begin(address, now);
    if (neighbour.state === REACHABLE && neighbour.endsAt <= now) neighbour.enter(STALE, Number.POSITIVE_INFINITY);
    if (neighbour.state === STALE) {
      neighbour.enter(PROBING, now);
      this.#ask(neighbour, now);
    }
    if (neighbour.state === INCOMPLETE) return UNRESOLVED;
    return neighbour.state === FAILED ? UNREACHABLE : neighbour.hardwareAddress;
  }

  #begin(address: number, now: number): number {
    if (!this.#makeRoom(MAX_RANK)) return NO_ROOM;
    const neighbour = new Neighbour(address, INCOMPLETE);
    this.#neighbours.set(address, neighbour);
    this.#ask(neighbour, now);
    return UNRESOLVED;
  }

  #ask(neighbour: Neighbour, now: number): void {
    neighbour.requests++;
    this.#setEnd(neighbour, now + this.#limits.arpRetryMs);
    const to = neighbour.state === PROBING ? neighbour.hardwareAddress : BROADCAST_HARDWARE_ADDRESS;
    this.#output.ask(neighbour.address, to);
  }

  #setEnd(neighbour: Neighbour, endsAt: number): void {
    neighbour.endsAt = endsAt;
    if (endsAt < this.#deadlineAt) this.#deadlineAt = endsAt;
  }

  /**
   * Keeps a frame for a neighbour that is UNRESOLVED. The cache owns it from now on. The oldest frame for the same neighbour makes room, because the latest
   * is the one to keep (RFC 1122 section 2.3.2.2). Returns false if too many bytes wait for others.
   */
  hold(address: number, frame: Buffer): boolean {
    const { waiting } = this.#neighbours.get(address) as Neighbour;
    if (waiting.length >= this.#limits.arpQueuedPackets) {
      const oldest = waiting.shift() as Buffer;
      this.#waitingBytes -= oldest.length;
      this.#output.drop(oldest);
    }
    if (this.#waitingBytes + frame.length > this.#limits.arpQueuedBytes) return false;
    waiting.push(frame);
    this.#waitingBytes += frame.length;
    return true;
  }

  /** Takes note of the sender of an ARP packet. `isForUs`: it is a request for our address. */
  learn(address: number, hardwareAddress: number, isForUs: boolean, now: number): void {
    const neighbour = this.#neighbours.get(address);
    if (neighbour === undefined) {
      if (isForUs && this.#makeRoom(RANK_OF_CLAIM)) this.#admitClaim(address, hardwareAddress);
      return;
    }
    const isSame = neighbour.hardwareAddress === hardwareAddress;
    if (neighbour.state === INCOMPLETE || (neighbour.state === PROBING && isSame)) {
      this.#confirm(neighbour, hardwareAddress, now);
    } else if (neighbour.state === FAILED || (neighbour.state === STALE && !neighbour.hasAnswered)) {
      neighbour.enter(STALE, Number.POSITIVE_INFINITY);
      neighbour.hardwareAddress = hardwareAddress;
    } else if (neighbour.state === REACHABLE && !isSame) {
      neighbour.enter(STALE, Number.POSITIVE_INFINITY);
    }
  }

  #admitClaim(address: number, hardwareAddress: number): void {
    const neighbour = new Neighbour(address, STALE);
    neighbour.hardwareAddress = hardwareAddress;
    this.#neighbours.set(address, neighbour);
  }

  #confirm(neighbour: Neighbour, hardwareAddress: number, now: number): void {
    // A neighbour in use needs no alarm: `lookUp` notices that it has become too old.
    neighbour.enter(REACHABLE, now + this.#limits.arpReachableMs);
    neighbour.hardwareAddress = hardwareAddress;
    neighbour.hasAnswered = true;
    for (const frame of this.#takeWaiting(neighbour)) this.#output.release(frame, hardwareAddress);
  }

  #takeWaiting(neighbour: Neighbour): Buffer[] {
    const { waiting } = neighbour;
    neighbour.waiting = [];
    for (const frame of waiting) this.#waitingBytes -= frame.length;
    return waiting;
  }

  onDeadline(now: number): void {
    this.#deadlineAt = Number.POSITIVE_INFINITY;
    for (const neighbour of this.#neighbours.values()) {
      if (neighbour.state === REACHABLE || neighbour.state === STALE) continue;
      if (neighbour.endsAt <= now) this.#continue(neighbour, now);
      else this.#setEnd(neighbour, neighbour.endsAt);
    }
  }

  /** The time of a neighbour that is INCOMPLETE, PROBING or FAILED is over. */
  #continue(neighbour: Neighbour, now: number): void {
    if (neighbour.state === FAILED) {
      this.#neighbours.delete(neighbour.address);
    } else if (neighbour.requests < this.#limits.arpRequests) {
      this.#ask(neighbour, now);
    } else if (neighbour.state === PROBING) {
      neighbour.enter(INCOMPLETE, now);
      this.#ask(neighbour, now);
    } else {
      neighbour.enter(FAILED, now);
      this.#setEnd(neighbour, now + this.#limits.arpFailedMs);
      for (const frame of this.#takeWaiting(neighbour)) this.#output.fail(frame, now);
    }
  }

  /** Returns false if every entry has a higher rank than `maxRank`. */
  #makeRoom(maxRank: number): boolean {
    if (this.#neighbours.size < this.#limits.arpEntries) return true;
    let victim: Neighbour | null = null;
    let lowest = maxRank + 1;
    for (const neighbour of this.#neighbours.values()) {
      const rank = rankOf(neighbour);
      if (rank >= lowest) continue;
      victim = neighbour;
      lowest = rank;
    }
    if (victim === null) return false;
    this.#neighbours.delete(victim.address);
    for (const frame of this.#takeWaiting(victim)) this.#output.drop(frame);
    return true;
  }
}

const RANK_OF_CLAIM = 0;
const MAX_RANK = 2;

/** What an entry is worth: a claim or a failure least, a neighbour in use most. Of equals the oldest goes first. */
function rankOf(neighbour: Neighbour): number {
  if (neighbour.state === FAILED || (neighbour.state === STALE && !neighbour.hasAnswered)) return RANK_OF_CLAIM;
  if (neighbour.state === INCOMPLETE) return 1;
  return neighbour.state === STALE ? MAX_RANK : MAX_RANK + 1;
}
