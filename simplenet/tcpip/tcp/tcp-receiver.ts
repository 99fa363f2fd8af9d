/**
 * Receiver: the half of a connection that receives. RCV.NXT, the window, timestamps and PAWS, FIN, and what an ACK says.
 *
 * The window never shrinks: a byte that the peer was allowed to send is taken (RFC 9293 section 3.8.6, SHLD-14). It opens in large steps, because a
 * sender would fill small ones with small segments (silly window syndrome, section 3.8.6.2.2).
 *
 * Next: round-trip.ts
 */

import { AckPolicy } from './ack-policy.ts';
import type { GrowingBuffer } from './growing-buffer.ts';
import { ReceiveQueue } from './receive-queue.ts';
import {
  FIN,
  MAX_WINDOW_SCALE,
  maxSackBlocks,
  RST,
  SYN,
  sequenceLength,
  type TcpOptions,
  type TcpSegment,
} from './segment.ts';
import { add, difference, isAtOrBefore, isBefore } from './sequence.ts';

const MAX_WINDOW_FIELD = 65_535;
const MIN_WINDOW_STEPS = 64;
/** One Gbit/s: about as much as a stack takes. */
const MAX_BYTES_PER_MS = 125_000;
/** How many ranges with gaps between them are kept. More need so many losses in one window that the rest may come again. */
const MAX_RANGES = 256;
/** RFC 7323 section 5.5: a timestamp of the peer says nothing after 24 days, because its clock may have gone round. */
const TIMESTAMP_LIFETIME_MS = 24 * 24 * 60 * 60 * 1000;

export interface ReceiverSetup {
  /** The initial sequence number of the peer. */
  readonly peerSequence: number;
  readonly buffer: GrowingBuffer;
  /** The shift that our SYN offers. */
  readonly windowShift: number;
  /** What our segments can be expected to carry: windows open by at least that much. */
  readonly segmentBytes: number;
  readonly delayedAckMs: number;
  /** The options of the peer's SYN, as far as both sides have agreed on them. */
  readonly options: TcpOptions;
  readonly now: number;
}

/**
 * The smallest shift with which a window field reaches what the buffer may become. But the field counts in steps of 2^shift, and a small
 * first window must not become none: it has 64 steps at least, unless it is smaller than that.
 */
export function windowShiftFor(firstBytes: number, maxBytes: number): number {
  const isReached = (shift: number) => MAX_WINDOW_FIELD << shift >= Math.max(firstBytes, maxBytes);
  const isFineEnough = (shift: number) => firstBytes >>> shift >= MIN_WINDOW_STEPS;
  let shift = 0;
  while (shift < MAX_WINDOW_SCALE && !isReached(shift) && isFineEnough(shift + 1)) shift++;
  return shift;
}

export class Receiver {
  readonly acks: AckPolicy;
  readonly #queue: ReceiveQueue;
  readonly #segmentBytes: number;
  readonly #buffer: GrowingBuffer;
  readonly #shift: number;
  readonly #hasSack: boolean;
  readonly #hasTimestamps: boolean;
  /** TS.Recent, and when it was set. */
  #recentTimestamp: number;
  #recentSetAt: number;
  #lastAckSent: number;
  /** The right edge of the window: the largest RCV.NXT + RCV.WND that was ever sent. */
  #edge: number;
  /** When the present round trip began, and RCV.NXT then. */
  #roundStartedAt: number;
  #roundStart: number;
  /** The sequence number of the peer's FIN, or -1. */
  #finSequence = -1;
  #isFinReceived = false;

  constructor(setup: ReceiverSetup) {
    const first = add(setup.peerSequence, 1);
    this.acks = new AckPolicy(setup.delayedAckMs);
    this.#queue = new ReceiveQueue(first, { maxBytes: setup.buffer.bytes, maxRanges: MAX_RANGES });
    this.#segmentBytes = setup.segmentBytes;
    this.#buffer = setup.buffer;
    this.#shift = setup.options.windowScale === null ? 0 : setup.windowShift;
    this.#hasSack = setup.options.sackPermitted;
    this.#hasTimestamps = setup.options.timestampValue >= 0;
    this.#recentTimestamp = setup.options.timestampValue;
    this.#recentSetAt = setup.now;
    this.#lastAckSent = first;
    this.#edge = first;
    this.#roundStartedAt = setup.now;
    this.#roundStart = first;
  }

  /** RCV.NXT. */
  get next(): number {
    return this.#isFinReceived ? add(this.#finSequence, 1) : this.#queue.nextSequence;
  }

  /** RCV.WND: what the peer may send, by what we have told it. */
  get windowBytes(): number {
    return Math.max(0, difference(this.#edge, this.next));
  }

  /** TSecr of what we send; -1 without timestamps. */
  get recentTimestamp(): number {
    return this.#recentTimestamp;
  }

  get isFinReceived(): boolean {
    return this.#isFinReceived;
  }

  get readable(): Buffer | null {
    return this.#queue.readable;
  }

  get readableBytes(): number {
    return this.#queue.readableBytes;
  }

  /**
   * The first check of RFC 9293 section 3.10.7.4. It is wider than the table there in two cases. A closed window accepts what begins exactly at RCV.NXT,
   * so that its ACK counts; its text is not taken. And an empty segment may lie at the right edge: a peer whose last full window was lost sends its ACKs from there.
   */
  isAcceptable(segment: TcpSegment): boolean {
    const length = sequenceLength(segment);
    const distance = difference(segment.sequence, this.next);
    if (distance < 0) return distance + length > 0;
    const window = this.windowBytes;
    return length === 0 ? distance <= window : distance < window || distance === 0;
  }

  /** PAWS, RFC 7323 section 5.3: the segment is older than one that came before, so its sequence number has gone round. */
  isOldByTimestamp(segment: TcpSegment, now: number): boolean {
    const { timestampValue } = segment.options;
    if (!this.#hasTimestamps || timestampValue < 0 || (segment.flags & RST) !== 0) return false;
    return isBefore(timestampValue, this.#recentTimestamp) && now - this.#recentSetAt < TIMESTAMP_LIFETIME_MS;
  }

  /** RFC 7323 section 3.2: once agreed on, timestamps are in every segment. What lacks them is dropped. */
  lacksTimestamp(segment: TcpSegment): boolean {
    return this.#hasTimestamps && segment.options.timestampValue < 0 && (segment.flags & RST) === 0;
  }

  /** RFC 7323 section 4.3: TS.Recent comes from the segment that the next ACK answers, and not from one behind a gap. */
  noteTimestamp(segment: TcpSegment, now: number): void {
    const { timestampValue } = segment.options;
    if (!this.#hasTimestamps || timestampValue < 0 || isBefore(timestampValue, this.#recentTimestamp)) return;
    if (!isAtOrBefore(segment.sequence, this.#lastAckSent)) return;
    this.#recentTimestamp = timestampValue;
    this.#recentSetAt = now;
  }

  /** Whether the segment has bytes that did not come before. */
  hasNewText(segment: TcpSegment): boolean {
    const length = segment.end - segment.start;
    return length > 0 && difference(add(segment.sequence, length), this.next) > 0;
  }

  /**
   * Lets the buffer grow if the program has taken half of it within a round trip: with a larger window more would have come. Linux sizes its
   * windows by the same observation (dynamic right-sizing). But on a short path a larger window only fills the queue in front of us
   * until it overflows: an upload over TAP fell to half. `roundTripMs` is what the sender has measured, or -1.
   */
  adjustBuffer(roundTripMs: number, now: number): void {
    if (now - this.#roundStartedAt < roundTripMs || this.#buffer.bytes > roundTripMs * MAX_BYTES_PER_MS) return;
    const next = this.#queue.nextSequence;
    const taken = difference(next, this.#roundStart) - this.#queue.readableBytes;
    if (taken * 2 >= this.#buffer.bytes) {
      this.#buffer.grow();
      this.#queue.maxBytes = this.#buffer.bytes;
    }
    this.#roundStartedAt = now;
    this.#roundStart = next;
  }

  /**
   * Takes the text and the FIN of an acceptable segment, until FIN has come. The urgent pointer is not looked at: urgent bytes stay in
   * their place.
   */
  receive(segment: TcpSegment, now: number): void {
    const { sequence, start } = segment;
    if ((segment.flags & FIN) !== 0 && this.#finSequence < 0) {
      this.#finSequence = add(sequence, segment.end - start);
    }
    let end = segment.end;
    if (this.#finSequence >= 0) end = Math.min(end, start + Math.max(0, difference(this.#finSequence, sequence)));
    if (end > start) {
      const hadGap = this.#queue.outOfOrderBytes > 0;
      const moved = this.#queue.receive(sequence, segment.bytes, start, end, this.windowBytes);
      if (moved > 0 && !hadGap) this.acks.onData(moved, now);
      else this.acks.onDisorder();
    }
    if (this.#finSequence < 0) return;
    this.#isFinReceived = this.#queue.nextSequence === this.#finSequence;
    if (this.#isFinReceived) this.acks.require();
    else if ((segment.flags & FIN) !== 0) this.acks.onDisorder();
  }

  /** Text that is not accepted is acknowledged at once. If all of it has come before, the ACK says which (RFC 2883). */
  noteMisplaced(segment: TcpSegment): void {
    if (!this.hasNewText(segment)) {
      this.#queue.receive(segment.sequence, segment.bytes, segment.start, segment.end);
    }
    this.acks.onDisorder();
  }

  consume(length: number): void {
    this.#queue.consume(length);
    // A peer that has filled the window waits for this, and no segment of its own would bring an ACK.
    if (!this.#isFinReceived && this.#growth >= Math.min(2 * this.#segmentBytes, this.#buffer.bytes / 2)) {
      this.acks.require();
    }
  }

  keep(): void {
    this.#queue.keep();
  }

  /** The program reads no more. */
  clear(): void {
    this.#queue.clear();
    this.releaseBuffer();
  }

  releaseBuffer(): void {
    this.#buffer.release();
  }

  /**
   * The window field of the next segment. It is a promise: the right edge never moves back. The window of a SYN is not scaled (RFC
   * 7323 section 2.2).
   */
  offerWindow(flags: number): number {
    const shift = (flags & SYN) === 0 ? this.#shift : 0;
    const current = this.windowBytes;
    const mayOpen = this.#growth >= Math.min(this.#segmentBytes, this.#buffer.bytes / 2);
    // The field is rounded up if the window stays as it is, because rounding down would shrink it. `receive` takes what that promises: less than 2^shift
    // bytes more than the buffer has.
    const field = mayOpen ? (current + this.#growth) >>> shift : Math.ceil(current / (1 << shift));
    const window = Math.min(field, MAX_WINDOW_FIELD);
    const edge = add(this.next, window << shift);
    if (difference(edge, this.#edge) > 0) this.#edge = edge;
    return window;
  }

  /** The SACK blocks of the next ACK, or an empty list. They say once what has come twice, so they must be sent. */
  takeSackBlocks(): readonly number[] {
    if (!this.#hasSack || !this.#queue.hasSackBlocks) return [];
    const blocks = this.#queue.takeSackBlocks(maxSackBlocks(this.#hasTimestamps));
    // FIN has a number of its own. A block that ends before it would say that the segment has not come whole.
    const finAt = this.#finSequence < 0 ? -1 : blocks.indexOf(this.#finSequence);
    if (finAt >= 0) blocks[finAt] = add(this.#finSequence, 1);
    return blocks;
  }

  onAckSent(): void {
    this.#lastAckSent = this.next;
    this.acks.onSent();
  }

  /** By how much the window could open. */
  get #growth(): number {
    return this.#queue.windowBytes - this.windowBytes;
  }
}
