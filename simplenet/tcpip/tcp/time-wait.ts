/**
 * TimeWait: what is left of a connection in TIME_WAIT, for two lifetimes of a segment (RFC 9293 section 3.6.1).
 *
 * It answers the FIN of a peer that has not got our last ACK, and keeps old segments of this connection from being taken for those of
 * the next one between the same ports. It has no buffers and no timers, so the layer keeps it in place of the connection.
 *
 * A SYN may open the next connection early if its numbers cannot be confused with old ones: its timestamp is later than the
 * last one we saw (RFC 6191), or its sequence number is (RFC 1122 section 4.2.2.13).
 *
 * Next: tcp-core.ts
 */

import { ACK, FIN, RST, SYN, sequenceLength, type TcpSegment } from './segment.ts';
import { add, difference, isAfter } from './sequence.ts';

/** What the owner does: nothing, send the ACK again, forget the connection, or open the next one with this SYN. */
export type TimeWaitVerdict = 'ignore' | 'acknowledge' | 'close' | 'reopen';

export interface TimeWaitSetup {
  /** SND.NXT and RCV.NXT. */
  readonly sendNext: number;
  readonly receiveNext: number;
  /** The window: as bytes, and as the field that our ACKs have. */
  readonly windowBytes: number;
  readonly windowField: number;
  /** TS.Recent; -1 without timestamps. */
  readonly recentTimestamp: number;
  readonly timestampOffset: number;
  readonly lingerMs: number;
  readonly now: number;
}

export class TimeWait {
  readonly sendNext: number;
  readonly receiveNext: number;
  readonly windowField: number;
  readonly recentTimestamp: number;
  readonly timestampOffset: number;
  readonly #windowBytes: number;
  readonly #lingerMs: number;
  #endsAt: number;

  constructor(setup: TimeWaitSetup) {
    this.sendNext = setup.sendNext;
    this.receiveNext = setup.receiveNext;
    this.windowField = setup.windowField;
    this.recentTimestamp = setup.recentTimestamp;
    this.timestampOffset = setup.timestampOffset;
    this.#windowBytes = setup.windowBytes;
    this.#lingerMs = setup.lingerMs;
    this.#endsAt = setup.now + setup.lingerMs;
  }

  get endsAt(): number {
    return this.#endsAt;
  }

  receive(segment: TcpSegment, now: number): TimeWaitVerdict {
    const { flags } = segment;
    const distance = difference(segment.sequence, this.receiveNext);
    if ((flags & RST) !== 0) return distance === 0 ? 'close' : this.#challenge(distance);
    if ((flags & SYN) !== 0) return (flags & ACK) === 0 && this.#isLater(segment) ? 'reopen' : 'acknowledge';
    const end = add(segment.sequence, sequenceLength(segment));
    if ((flags & FIN) !== 0 && end === this.receiveNext) {
      this.#endsAt = now + this.#lingerMs;
      return 'acknowledge';
    }
    // Bare ACKs get no answer, or two ends in TIME_WAIT could answer each other.
    return segment.end > segment.start ? 'acknowledge' : 'ignore';
  }

  /** A reset with a number that only a guess or an old segment has (RFC 5961 section 3). */
  #challenge(distance: number): TimeWaitVerdict {
    return distance > 0 && distance < this.#windowBytes ? 'acknowledge' : 'ignore';
  }

  #isLater(segment: TcpSegment): boolean {
    const { timestampValue } = segment.options;
    if (this.recentTimestamp >= 0 && timestampValue >= 0 && timestampValue !== this.recentTimestamp) {
      return isAfter(timestampValue, this.recentTimestamp);
    }
    return isAfter(segment.sequence, this.receiveNext);
  }
}
