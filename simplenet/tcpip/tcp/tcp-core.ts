/**
 * TcpCore: the variables of a connection (the TCB of RFC 9293 section 3.3.1), and the steps that several events have in common.
 *
 * Only three files use it, and each writes to it: segment-arrives.ts, segment-sender.ts and tcp-connection.ts, which is all that the owner sees.
 *
 * Next: segment-arrives.ts
 */

import { TokenBucket } from '../ip/token-bucket.ts';
import { GrowingBuffer } from './growing-buffer.ts';
import { Patience } from './patience.ts';
import type { ResetReply } from './reset-reply.ts';
import { ACK, noOptions, RST, SYN, type TcpOptions, type TcpSegment } from './segment.ts';
import { add } from './sequence.ts';
import { Receiver, windowShiftFor } from './tcp-receiver.ts';
import { Sender } from './tcp-sender.ts';
import type { TcpSetup } from './tcp-setup.ts';
import {
  CLOSED,
  ESTABLISHED,
  enter,
  FIN_WAIT_1,
  isSynchronized,
  LAST_ACK,
  type TcpState,
  TIME_WAIT,
} from './tcp-states.ts';
import { TimeWait } from './time-wait.ts';

export class TcpCore {
  readonly setup: TcpSetup;
  readonly sender: Sender;
  readonly patience: Patience;
  readonly challenges: TokenBucket;
  /** Null until the SYN of the peer has come. */
  receiver: Receiver | null = null;
  /** The options on which both sides agree, with the MSS of the peer. */
  options: TcpOptions = noOptions;
  state: TcpState = CLOSED;
  timeWait: TimeWait | null = null;
  error = 0;
  /** What an ICMP error said. It becomes the error only if the connection times out (RFC 1122 section 4.2.3.9). */
  softError = 0;
  isEstablished = false;
  isCloseWanted = false;
  isRefusingInput = false;
  /** The reset that is to be sent. */
  reset: ResetReply | null = null;

  constructor(setup: TcpSetup) {
    this.setup = setup;
    this.sender = new Sender({
      initialSequence: setup.initialSequence,
      maxSegmentBytes: setup.maxSegmentBytes,
      buffer: new GrowingBuffer(setup.sendBufferBytes, setup.maxSendBufferBytes, setup.bufferBudget),
      roundTrip: setup.limits,
    });
    this.patience = new Patience(setup.limits);
    this.challenges = new TokenBucket(setup.limits.challengeAcksPerSecond, setup.limits.challengeAcksPerSecond);
  }

  get isClosed(): boolean {
    return this.state === CLOSED;
  }

  get hasTimestamps(): boolean {
    return this.options.timestampValue >= 0;
  }

  enter(state: TcpState): void {
    this.state = enter(this.state, state);
  }

  /** The options of the peer's SYN are those on which both agree: we offer all of them, or answer those that it has offered. */
  agree(options: TcpOptions, peerSequence: number, now: number): void {
    const { receiveBufferBytes, maxReceiveBufferBytes, bufferBudget } = this.setup;
    this.options = options;
    this.receiver = new Receiver({
      peerSequence,
      buffer: new GrowingBuffer(receiveBufferBytes, maxReceiveBufferBytes, bufferBudget),
      windowShift: windowShiftFor(receiveBufferBytes, maxReceiveBufferBytes),
      segmentBytes: this.setup.maxSegmentBytes,
      delayedAckMs: this.setup.limits.delayedAckMs,
      options,
      now,
    });
  }

  establish(now: number): void {
    this.enter(ESTABLISHED);
    this.isEstablished = true;
    this.sender.start(this.options, this.setup.congestion);
    this.patience.onEstablished(now);
    if (this.isCloseWanted) this.finish();
  }

  finish(): void {
    this.sender.finish();
    this.enter(this.state === ESTABLISHED ? FIN_WAIT_1 : LAST_ACK);
  }

  enterTimeWait(now: number): void {
    const receiver = this.receiver as Receiver;
    this.enter(TIME_WAIT);
    this.sender.stop();
    this.patience.stop();
    this.timeWait = new TimeWait({
      sendNext: this.sender.next,
      receiveNext: receiver.next,
      windowBytes: receiver.windowBytes,
      windowField: receiver.offerWindow(ACK),
      recentTimestamp: receiver.recentTimestamp,
      timestampOffset: this.setup.timestampOffset,
      lingerMs: 2 * this.setup.limits.maxSegmentLifetimeMs,
      now,
    });
  }

  /** A segment is not accepted, and the peer is told what would be. Empty ones and those with SYN could be part of a loop. */
  challenge(segment: TcpSegment, now: number): void {
    const hasText = segment.end > segment.start && (segment.flags & (SYN | RST)) === 0;
    if (!hasText && !this.challenges.take(now)) return;
    if (hasText) this.receiver?.noteMisplaced(segment);
    else this.receiver?.acks.require();
  }

  /** Ends the connection and tells the peer, if it knows of it. */
  fail(error: number): void {
    if (isSynchronized(this.state) && this.state !== TIME_WAIT) {
      const acknowledgment = (this.receiver as Receiver).next;
      this.reset = { sequence: this.sender.next, acknowledgment, flags: RST | ACK };
    }
    this.end(error);
  }

  /** What was received and is not consumed stays readable. */
  end(error: number): void {
    this.enter(CLOSED);
    this.error = error;
    this.timeWait = null;
    this.sender.stop();
    this.patience.stop();
  }

  observe(now: number): void {
    if (this.isClosed || this.timeWait !== null) return;
    if (!this.isEstablished) return; // the handshake has a wait of its own
    this.patience.observe(this.sender.awaitsAnswer, this.sender.hasUnacknowledged, now);
  }

  timestamp(now: number): number {
    return add(Math.floor(now), this.setup.timestampOffset);
  }
}
