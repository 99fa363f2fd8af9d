/**
 * LossModel: the pseudo-code of RFC 8985 section 6 as it is written there, over a plain array of segments. It costs O(n) for each step, and
 * is what LossDetection is compared with.
 */

import type { RoundTrip } from '../../../../simplenet/tcpip/tcp/round-trip.ts';

interface Segment {
  readonly start: number;
  readonly end: number;
  sentAt: number;
  isRetransmitted: boolean;
  isLost: boolean;
  isSacked: boolean;
}

export interface ModelAck {
  readonly position: number;
  readonly blocks: readonly (readonly [number, number])[];
  readonly echoedAt: number;
}

export class LossModel {
  segments: Segment[] = [];
  first = 0;
  next = 0;
  recovery: 'none' | 'fast' | 'timeout' = 'none';
  #recoveryPoint = 0;
  #rackSentAt = Number.NEGATIVE_INFINITY;
  #rackEnd = 0;
  #rackRoundTrip = -1;
  #highest = 0;
  #isReorderingSeen = false;
  #multiplier = 1;
  #persist = 0;
  #dsackRound = -1;

  send(length: number, now: number): void {
    const [start, end] = [this.next, this.next + length];
    this.segments.push({ start, end, sentAt: now, isRetransmitted: false, isLost: false, isSacked: false });
    this.next = end;
  }

  get #firstLost(): Segment | undefined {
    return this.segments.find((segment) => segment.isLost);
  }

  resend(now: number): void {
    const segment = this.#firstLost as Segment;
    segment.isLost = false;
    segment.isRetransmitted = true;
    segment.sentAt = now;
  }

  /** Returns how many bytes have newly arrived. */
  acknowledge(ack: ModelAck, hasDuplicateSack: boolean, roundTrip: RoundTrip, now: number): number {
    const acked = this.segments.filter((segment) => segment.end <= ack.position);
    this.segments = this.segments.filter((segment) => segment.end > ack.position);
    this.first = ack.position;
    const sacked = this.segments.filter(({ start, end }) =>
      ack.blocks.some(([from, to]) => from <= start && end <= to),
    );
    const arrived = [...acked, ...sacked].filter((segment) => !segment.isSacked);
    for (const segment of sacked) Object.assign(segment, { isSacked: true, isLost: false });
    // The echo is that of a segment in order, so it says nothing of those that SACK reports.
    for (const segment of arrived) this.#update(segment, acked.includes(segment) ? ack.echoedAt : -1, roundTrip, now);
    if (this.#dsackRound >= 0 && this.first >= this.#dsackRound) this.#dsackRound = -1;
    if (hasDuplicateSack && this.#dsackRound < 0) {
      this.#dsackRound = this.next;
      this.#multiplier++;
      this.#persist = 16;
    }
    if (this.recovery !== 'none' && this.first >= this.#recoveryPoint) {
      this.recovery = 'none';
      this.#persist--;
      if (this.#persist <= 0) this.#multiplier = 1;
    }
    this.detect(roundTrip, now, sampleOf(arrived, acked.length > 0 ? ack.echoedAt : -1, now));
    return arrived.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  #update(segment: Segment, echoedAt: number, roundTrip: RoundTrip, now: number): void {
    const { end, sentAt, isRetransmitted } = segment;
    if (end > this.#highest) this.#highest = end;
    else if (end < this.#highest && !isRetransmitted) this.#isReorderingSeen = true;
    const sample = now - sentAt;
    if (isRetransmitted && echoedAt >= 0 && echoedAt < Math.floor(sentAt)) return;
    if (isRetransmitted && sample < roundTrip.minMs) return;
    this.#rackRoundTrip = sample;
    if (isSentAfter(sentAt, end, this.#rackSentAt, this.#rackEnd)) [this.#rackSentAt, this.#rackEnd] = [sentAt, end];
  }

  #reorderingWindow(roundTrip: RoundTrip, sample: number): number {
    const sacked = this.segments.filter((segment) => segment.isSacked).length;
    if (!this.#isReorderingSeen && (this.recovery !== 'none' || sacked >= 3)) return 0;
    const smoothed = roundTrip.smoothedMs < 0 ? sample : roundTrip.smoothedMs;
    if (smoothed < 0) return 0;
    const min = Math.min(roundTrip.minMs, sample < 0 ? Number.POSITIVE_INFINITY : sample);
    return Math.min((this.#multiplier * min) / 4, smoothed);
  }

  detect(roundTrip: RoundTrip, now: number, sample = -1): void {
    if (this.#rackRoundTrip < 0) return;
    const patience = this.#rackRoundTrip + this.#reorderingWindow(roundTrip, sample);
    let isLossFound = false;
    for (const segment of this.segments) {
      if (segment.isSacked || segment.isLost) continue;
      if (!isSentAfter(this.#rackSentAt, this.#rackEnd, segment.sentAt, segment.end)) continue;
      if (segment.sentAt + patience > now) continue;
      segment.isLost = true;
      isLossFound = true;
    }
    if (isLossFound && this.recovery === 'none') this.#begin('fast');
  }

  timeout(roundTrip: RoundTrip, now: number): void {
    const latest = now - this.#rackRoundTrip - this.#reorderingWindow(roundTrip, -1);
    for (const segment of this.segments) {
      if (segment.isSacked) continue;
      const isOld = this.#rackRoundTrip < 0 || segment.sentAt <= latest;
      if (segment === this.segments[0] || isOld) segment.isLost = true;
    }
    this.#begin('timeout');
  }

  #begin(recovery: 'fast' | 'timeout'): void {
    this.recovery = recovery;
    this.#recoveryPoint = this.next;
  }

  #bytesOf(isCounted: (segment: Segment) => boolean): number {
    return this.segments.filter(isCounted).reduce((sum, { start, end }) => sum + end - start, 0);
  }

  describe(): object {
    const lost = this.#firstLost;
    return {
      first: this.first,
      next: this.next,
      recovery: this.recovery,
      inFlightBytes: this.#bytesOf((segment) => !segment.isLost && !segment.isSacked),
      lostBytes: this.#bytesOf((segment) => segment.isLost),
      sackedBytes: this.#bytesOf((segment) => segment.isSacked),
      nextLost: lost === undefined ? -1 : lost.start,
    };
  }
}

/** That of the first segment that has arrived, unless one of them was retransmitted: then the timestamp tells, or nothing does. */
function sampleOf(arrived: readonly Segment[], echoedAt: number, now: number): number {
  const [first] = arrived;
  if (first !== undefined && !arrived.some((segment) => segment.isRetransmitted)) return now - first.sentAt;
  return echoedAt < 0 ? -1 : now - echoedAt;
}

function isSentAfter(sentAt: number, end: number, otherSentAt: number, otherEnd: number): boolean {
  return sentAt > otherSentAt || (sentAt === otherSentAt && end > otherEnd);
}
