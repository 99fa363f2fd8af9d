/**
 * PeerWindow: how much the peer lets us send, SND.WND and its companions (RFC 9293 section 3.3.1).
 *
 * Next: send-timers.ts
 */

import { SYN, type TcpSegment } from './segment.ts';
import { add, difference, isBefore } from './sequence.ts';

export class PeerWindow {
  /** SND.WND, and the largest that it ever was. */
  #bytes = 0;
  #maxBytes = 0;
  #shift = 0;
  /** SND.WL1 and SND.WL2: the numbers of the segment that brought it. */
  #sequence = 0;
  #acknowledgment = 0;

  get isClosed(): boolean {
    return this.#bytes === 0;
  }

  /** SND.WND. */
  get bytes(): number {
    return this.#bytes;
  }

  /** MAX.SND.WND of RFC 5961 section 5. */
  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** The window in the SYN of the peer, or in the ACK of a cookie. */
  begin(bytes: number, sequence: number, acknowledgment: number): void {
    this.#bytes = bytes;
    this.#maxBytes = bytes;
    this.#sequence = sequence;
    this.#acknowledgment = acknowledgment;
  }

  /** How far the windows of all further segments are shifted (RFC 7323 section 2). */
  scale(shift: number): void {
    this.#shift = shift;
  }

  /** Returns whether the window is another one now. A segment that is older than the last one says nothing (RFC 9293 section 3.10.7.4). */
  update(segment: TcpSegment): boolean {
    const { sequence, acknowledgment } = segment;
    const isOlder =
      isBefore(sequence, this.#sequence) ||
      (sequence === this.#sequence && isBefore(acknowledgment, this.#acknowledgment));
    if (isOlder) return false;
    this.#sequence = sequence;
    this.#acknowledgment = acknowledgment;
    // The window of a SYN is not scaled (RFC 7323 section 2.2).
    const bytes = segment.window << ((segment.flags & SYN) === 0 ? this.#shift : 0);
    if (bytes === this.#bytes) return false;
    this.#bytes = bytes;
    if (bytes > this.#maxBytes) this.#maxBytes = bytes;
    return true;
  }

  /** What it has room for behind SND.NXT; below 0 if the peer has shrunk it. */
  usable(firstUnacknowledged: number, next: number): number {
    return difference(add(firstUnacknowledged, this.#bytes), next);
  }
}
