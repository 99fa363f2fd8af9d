/**
 * AckPolicy: when the bytes of the peer are acknowledged (RFC 9293 section 3.8.6.3, RFC 5681 section 4.2).
 *
 * An ACK waits up to 40 ms for a segment that carries it, so a request and its response need no ACK between them. It does not wait
 * - for every second full segment, because a sender opens its congestion window by ACKs;
 * - at the start of a connection, where the window of the sender is small and each ACK opens it;
 * - when a segment has left a hole or has filled one, and when FIN has come.
 *
 * All of these still wait for the end of the turn, with two exceptions: the sender counts ACKs behind a hole (fast retransmit), and a turn may receive
 * hundreds of segments.
 *
 * Next: tcp-receiver.ts
 */

/** Linux begins with as many. */
const QUICK_ACKS = 16;
const SEGMENTS_PER_ACK = 2;
const MAX_SEGMENTS_PER_ACK = 10;
/** A peer that sends little pieces has not shown yet how large its full segments are (RFC 9293 section 3.7.1: the default MSS). */
const SMALLEST_FULL_SEGMENT = 536;

export class AckPolicy {
  readonly #delayMs: number;
  #quickAcks = QUICK_ACKS;
  #fullSegment = SMALLEST_FULL_SEGMENT;
  #unacknowledged = 0;
  #isDue = false;
  #isUrgent = false;
  #delayedUntil = Number.POSITIVE_INFINITY;

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  /** Whether an ACK is to be sent at the end of the turn. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** Whether it is to be sent at once. */
  get isUrgent(): boolean {
    return this.#isUrgent;
  }

  get deadlineAt(): number {
    return this.#isDue ? Number.POSITIVE_INFINITY : this.#delayedUntil;
  }

  /** A segment with `length` bytes has come in order. */
  onData(length: number, now: number): void {
    this.#unacknowledged += length;
    if (length > this.#fullSegment) this.#fullSegment = length;
    if (this.#quickAcks > 0) {
      this.#quickAcks--;
      this.#isDue = true;
    } else if (this.#unacknowledged >= SEGMENTS_PER_ACK * this.#fullSegment) {
      this.#isDue = true;
    } else if (this.#delayedUntil === Number.POSITIVE_INFINITY) {
      this.#delayedUntil = now + this.#delayMs;
    }
    if (this.#unacknowledged >= MAX_SEGMENTS_PER_ACK * this.#fullSegment) this.#isUrgent = true;
  }

  /** A segment has left a hole, has filled one, or was here before. The sender repairs a loss, so ACKs are quick for a while. */
  onDisorder(): void {
    this.#quickAcks = QUICK_ACKS;
    this.#isDue = true;
    this.#isUrgent = true;
  }

  /** Sends an ACK at the end of the turn. */
  require(): void {
    this.#isDue = true;
  }

  onDeadline(now: number): void {
    if (this.#delayedUntil <= now) this.#isDue = true;
  }

  /** A segment with an ACK has been sent. */
  onSent(): void {
    this.#unacknowledged = 0;
    this.#isDue = false;
    this.#isUrgent = false;
    this.#delayedUntil = Number.POSITIVE_INFINITY;
  }
}
