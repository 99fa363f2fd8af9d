/**
 * Fragments: puts packets together that were too large for a network on their way (RFC 791 section 3.2, RFC 815).
 *
 * Fragments are the oldest way around a filter: what the filter sees in one fragment is replaced by another. And they cost the receiver memory
 * that the sender does not need. So
 *
 * - a packet with two fragments that overlap is refused whole, with all its fragments that are still to come (RFC 5722 says so for IPv6). An exact
 *   copy of a fragment is ignored, because networks duplicate packets;
 * - a fragment that is not the last has MIN_FRAGMENT_BYTES at least. So the first one holds the ports and the flags of TCP (RFC 1858);
 * - a fragment that ends beyond 65,535 bytes is refused ("ping of death");
 * - packets, fragments and bytes are bounded, and the oldest packet makes room.
 *
 * The oldest makes room because the fragments of an honest packet come together. In a flood it is complete before its turn comes.
 *
 * Next: token-bucket.ts
 */

import type { IpLimits } from './ip-limits.ts';
import { IPV4_HEADER_BYTES, type Ipv4Header, type Ipv4Packet, MAX_IPV4_BYTES, writeIpv4Header } from './ipv4-packet.ts';

/** The smallest MTU that RFC 791 allows is 68. A network that can carry 48 bytes behind a header has no reason to carry less. */
export const MIN_FRAGMENT_BYTES = 48;

const OFFSET_UNIT = 8;

/** What a fragment occupies beside its bytes: the object, the Buffer and its place in the list. Without it, a flood of one-byte fragments would cost nothing. */
const OVERHEAD_BYTES = 256;

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly bytes: Buffer;
}

class PartialPacket {
  readonly key: string;
  readonly expiresAt: number;
  /** Of the first fragment, once it has come. */
  header: Ipv4Header | null = null;
  /** In the order of their place. */
  pieces: Piece[] = [];
  payloadBytes = 0;
  /** Known once the last fragment has come. */
  totalBytes = Number.POSITIVE_INFINITY;
  isRefused = false;

  constructor(key: string, expiresAt: number) {
    this.key = key;
    this.expiresAt = expiresAt;
  }

  get occupiedBytes(): number {
    return this.payloadBytes + this.pieces.length * OVERHEAD_BYTES;
  }
}

export class Fragments {
  readonly #limits: IpLimits;
  /** In the order of their beginning, which is also that of their end. */
  readonly #partial = new Map<string, PartialPacket>();
  #bytes = 0;
  /** Fragments that were refused, and packets that were given up for others. */
  refused = 0;

  constructor(limits: IpLimits) {
    this.#limits = limits;
  }

  /** How many packets are incomplete, and what their fragments occupy. */
  get packets(): number {
    return this.#partial.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get deadlineAt(): number {
    return this.#oldest()?.expiresAt ?? Number.POSITIVE_INFINITY;
  }

  #oldest(): PartialPacket | undefined {
    return this.#partial.values().next().value;
  }

  /** Takes a copy of a fragment. Returns the whole packet if this was its last missing one, in memory of its own. */
  add(fragment: Ipv4Packet, now: number): Ipv4Packet | null {
    if (!isPlausible(fragment)) {
      this.refused++;
      return null;
    }
    const partial = this.#find(fragment, now);
    if (partial.isRefused || !this.#insert(partial, fragment)) return null;
    if (partial.payloadBytes < partial.totalBytes) return null;
    this.#forget(partial);
    return assemble(partial, false);
  }

  #find(fragment: Ipv4Packet, now: number): PartialPacket {
    const { source, destination, protocol, identification } = fragment;
    const key = `${source} ${destination} ${protocol} ${identification}`;
    const known = this.#partial.get(key);
    if (known !== undefined) return known;
    if (this.#partial.size >= this.#limits.reassemblyPackets) this.#giveUp(this.#oldest() as PartialPacket);
    const partial = new PartialPacket(key, now + this.#limits.reassemblyMs);
    this.#partial.set(key, partial);
    return partial;
  }

  /** Returns whether the fragment has been added. */
  #insert(partial: PartialPacket, fragment: Ipv4Packet): boolean {
    const start = fragment.fragmentOffset;
    const bytes = fragment.bytes.subarray(fragment.start, fragment.end);
    const end = start + bytes.length;
    let place = partial.pieces.length;
    while (place > 0 && (partial.pieces[place - 1] as Piece).start >= start) place--;
    const next = partial.pieces[place];
    if (next?.start === start && next.bytes.equals(bytes)) return false;
    const isOverlapping = (partial.pieces[place - 1]?.end ?? 0) > start || (next?.start ?? end) < end;
    if (isOverlapping || !acceptEnd(partial, end, fragment.moreFragments)) return this.#refuse(partial);
    if (partial.pieces.length >= this.#limits.reassemblyFragments) return this.#refuse(partial);
    if (!this.#makeRoom(partial, bytes.length + OVERHEAD_BYTES)) return false;
    if (start === 0) partial.header = headerOf(fragment);
    partial.pieces.splice(place, 0, { start, end, bytes: copyOf(bytes) });
    partial.payloadBytes += bytes.length;
    this.#bytes += bytes.length + OVERHEAD_BYTES;
    return true;
  }

  /** The packet stays in the table without its bytes, so that it refuses its other fragments, too. */
  #refuse(partial: PartialPacket): false {
    this.refused++;
    this.#bytes -= partial.occupiedBytes;
    partial.pieces = [];
    partial.payloadBytes = 0;
    partial.header = null;
    partial.isRefused = true;
    return false;
  }

  /** Gives the oldest packets up. Returns false if the packet itself had to go. */
  #makeRoom(partial: PartialPacket, bytes: number): boolean {
    while (this.#bytes + bytes > this.#limits.reassemblyBytes) {
      const oldest = this.#oldest() as PartialPacket;
      this.#giveUp(oldest);
      if (oldest === partial) return false;
    }
    return true;
  }

  #giveUp(partial: PartialPacket): void {
    this.refused++;
    this.#forget(partial);
  }

  #forget(partial: PartialPacket): void {
    this.#partial.delete(partial.key);
    this.#bytes -= partial.occupiedBytes;
  }

  /** Forgets packets whose time is over. `onExpired` gets the beginning of each whose first fragment has come (RFC 1122 section 3.3.2). */
  onDeadline(now: number, onExpired: (beginning: Ipv4Packet) => void): void {
    for (let oldest = this.#oldest(); oldest !== undefined && oldest.expiresAt <= now; oldest = this.#oldest()) {
      this.#forget(oldest);
      if (oldest.header === null) continue;
      oldest.pieces.length = 1;
      onExpired(assemble(oldest, true));
    }
  }
}

function isPlausible(fragment: Ipv4Packet): boolean {
  const { fragmentOffset, moreFragments } = fragment;
  const length = fragment.end - fragment.start;
  const headerBytes = fragment.start - fragment.headerStart;
  if (length === 0 || headerBytes + fragmentOffset + length > MAX_IPV4_BYTES) return false;
  return !moreFragments || (length % OFFSET_UNIT === 0 && length >= MIN_FRAGMENT_BYTES);
}

/** Whether a fragment that ends at `end` agrees with the others about where the packet ends. */
function acceptEnd(partial: PartialPacket, end: number, moreFragments: boolean): boolean {
  if (moreFragments) return end < partial.totalBytes;
  const isKnown = partial.totalBytes !== Number.POSITIVE_INFINITY;
  if (isKnown || (partial.pieces.at(-1)?.end ?? 0) > end) return false;
  partial.totalBytes = end;
  return true;
}

/** Memory of its own: a Buffer from the pool of Node would hold 8 KiB for a fragment of a few bytes. */
function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

/** The fields of a header, without the frame that they came in. */
function headerOf(packet: Ipv4Packet): Ipv4Header {
  const { bytes: _, headerStart: _at, start: _start, end: _end, ...header } = packet;
  return header;
}

/** One packet of all pieces, which must not have gaps, with the header of the first. Its options are left out. */
function assemble(partial: PartialPacket, moreFragments: boolean): Ipv4Packet {
  const payloadBytes = (partial.pieces.at(-1) as Piece).end;
  const bytes = Buffer.allocUnsafeSlow(IPV4_HEADER_BYTES + payloadBytes);
  const header = { ...(partial.header as Ipv4Header), moreFragments };
  writeIpv4Header(bytes, 0, header, payloadBytes);
  for (const piece of partial.pieces) bytes.set(piece.bytes, IPV4_HEADER_BYTES + piece.start);
  return { ...header, bytes, headerStart: 0, start: IPV4_HEADER_BYTES, end: bytes.length };
}
