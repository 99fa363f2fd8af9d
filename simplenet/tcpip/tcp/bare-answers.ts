/**
 * BareAnswers: what is sent without a connection: resets, the ACKs of TIME_WAIT, and SYN, ACKs with a cookie. If one is lost, it is not
 * sent again: its peer asks again.
 *
 * Next: tcp-listener.ts
 */

import { TokenBucket } from '../ip/token-bucket.ts';
import type { Peer } from './connection-table.ts';
import { resetFor } from './reset-reply.ts';
import { ACK, noOptions, SYN, type TcpSegment } from './segment.ts';
import type { SegmentWriter } from './segment-writer.ts';
import { add } from './sequence.ts';
import type { TcpCounters } from './tcp-counters.ts';
import type { CookieReply } from './tcp-listener.ts';
import type { OutgoingSegment } from './tcp-setup.ts';
import type { WaitingPeer } from './time-wait-table.ts';

const bare: OutgoingSegment = {
  sequence: 0,
  acknowledgment: 0,
  flags: 0,
  window: 0,
  urgent: 0,
  options: noOptions,
  length: 0,
  copyPayload: () => true,
};

export class BareAnswers {
  readonly #writer: SegmentWriter;
  readonly #counters: TcpCounters;
  readonly #bucket: TokenBucket;

  /** Resets and ACKs of TIME_WAIT have one limit: a stranger can ask for as many as there are segments. */
  constructor(writer: SegmentWriter, counters: TcpCounters, perSecond: number) {
    this.#writer = writer;
    this.#counters = counters;
    this.#bucket = new TokenBucket(perSecond, perSecond);
  }

  reset(peer: Peer, segment: TcpSegment, now: number): void {
    const reset = resetFor(segment);
    if (reset === null) return;
    if (!this.#bucket.take(now)) {
      this.#counters.resetsSuppressed++;
      return;
    }
    this.#counters.resetsSent++;
    this.#send(peer, { ...bare, ...reset }, now);
  }

  acknowledge(peer: WaitingPeer, now: number): void {
    if (!this.#bucket.take(now)) return;
    const { sendNext, receiveNext, windowField, recentTimestamp, timestampOffset } = peer.timeWait;
    const timestampValue = recentTimestamp < 0 ? -1 : add(Math.floor(now), timestampOffset);
    const options = { ...noOptions, timestampValue, timestampEcho: recentTimestamp };
    const numbers = { sequence: sendNext, acknowledgment: receiveNext, window: windowField };
    this.#send(peer, { ...bare, ...numbers, flags: ACK, options }, now);
  }

  cookie(peer: Peer, syn: TcpSegment, reply: CookieReply, now: number): void {
    this.#counters.cookiesSent++;
    this.#send(peer, { ...bare, ...reply, acknowledgment: add(syn.sequence, 1), flags: SYN | ACK }, now);
  }

  #send(peer: Peer, segment: OutgoingSegment, now: number): void {
    this.#writer.send(peer, segment, now);
    this.#counters.segmentsSent++;
  }
}
