/**
 * What an arriving segment does to a connection: RFC 9293 section 3.10.7, state by state and in its order.
 *
 * Not here: data and FIN in a SYN are ignored, so the peer sends them again; the urgent pointer is ignored, so urgent bytes
 * come in their place among the others (RFC 6093); ECN is never agreed on.
 *
 * Next: segment-sender.ts
 */

import { ECONNREFUSED, ECONNRESET } from '../../kernel/abi.ts';
import { resetFor } from './reset-reply.ts';
import { ACK, FIN, RST, SYN, type TcpSegment } from './segment.ts';
import { add, difference, isAfter, isBefore } from './sequence.ts';
import type { TcpCore } from './tcp-core.ts';
import type { Receiver } from './tcp-receiver.ts';
import {
  CLOSE_WAIT,
  CLOSED,
  CLOSING,
  canReceive,
  ESTABLISHED,
  FIN_WAIT_1,
  FIN_WAIT_2,
  LAST_ACK,
  LISTEN,
  SYN_RECEIVED,
  SYN_SENT,
  TIME_WAIT,
} from './tcp-states.ts';

/** One segment has come. */
export function segmentArrives(core: TcpCore, segment: TcpSegment, now: number): void {
  switch (core.state) {
    case CLOSED:
      core.reset = resetFor(segment);
      return;
    case LISTEN:
      receiveInListen(core, segment, now);
      return;
    case SYN_SENT:
      receiveInSynSent(core, segment, now);
      break;
    case TIME_WAIT:
      receiveInTimeWait(core, segment, now);
      return;
    default:
      receiveSynchronized(core, segment, now, core.receiver as Receiver);
  }
  core.observe(now);
}

/** RFC 9293 section 3.10.7.2. */
function receiveInListen(core: TcpCore, segment: TcpSegment, now: number): void {
  const { flags } = segment;
  if ((flags & RST) !== 0) return;
  if ((flags & ACK) !== 0) {
    core.reset = resetFor(segment);
    return;
  }
  // SYN with FIN asks for nothing that a client could want, and gets past careless filters.
  if ((flags & SYN) === 0 || (flags & FIN) !== 0) return;
  core.patience.onOpen(false, now);
  core.agree(segment.options, segment.sequence, now);
  core.sender.window.begin(segment.window, segment.sequence, core.setup.initialSequence);
  core.enter(SYN_RECEIVED);
  core.sender.sendSyn();
  core.observe(now);
}

/** RFC 9293 section 3.10.7.3. */
function receiveInSynSent(core: TcpCore, segment: TcpSegment, now: number): void {
  const { flags, acknowledgment } = segment;
  const hasAck = (flags & ACK) !== 0;
  // Nothing but our SYN was sent, so there is one acceptable acknowledgment (RFC 5961 section 3.2 says so for RST).
  if (hasAck && (acknowledgment !== core.sender.next || !isSynSent(core))) {
    core.reset = resetFor(segment);
    return;
  }
  if ((flags & RST) !== 0) {
    if (hasAck) core.end(ECONNREFUSED);
    return;
  }
  if ((flags & SYN) === 0) return;
  core.agree(segment.options, segment.sequence, now);
  core.sender.window.begin(segment.window, segment.sequence, core.setup.initialSequence);
  if (hasAck) {
    core.establish(now);
    acknowledge(core, segment, now);
    core.receiver?.acks.require();
  } else {
    core.enter(SYN_RECEIVED); // both sides have opened at the same time
    core.sender.sendSyn();
  }
}

function isSynSent(core: TcpCore): boolean {
  return core.sender.next !== core.setup.initialSequence;
}

function receiveInTimeWait(core: TcpCore, segment: TcpSegment, now: number): void {
  switch (core.timeWait?.receive(segment, now)) {
    case 'close':
      core.end(0);
      return;
    case 'acknowledge':
    case 'reopen': // only the owner can open another connection; until it does, this is a SYN in the wrong place
      core.challenge(segment, now);
      return;
    default:
  }
}

/** RFC 9293 section 3.10.7.4, in its order. */
function receiveSynchronized(core: TcpCore, segment: TcpSegment, now: number, receiver: Receiver): void {
  receiver.keep();
  const { flags } = segment;
  if (core.state === SYN_RECEIVED && (flags & (SYN | RST)) === SYN && isPeerSyn(segment, receiver)) {
    receiveSynAgain(core, segment, now, receiver);
    return;
  }
  // First: the sequence number, and the timestamp before it (RFC 7323 section 5.3).
  if (receiver.lacksTimestamp(segment)) return;
  if (receiver.isOldByTimestamp(segment, now) || !receiver.isAcceptable(segment)) {
    if ((flags & RST) === 0) core.challenge(segment, now);
    return;
  }
  // Second: RST, which only counts exactly at RCV.NXT (RFC 5961 section 3).
  if ((flags & RST) !== 0) {
    if (segment.sequence === receiver.next) onReset(core);
    else core.challenge(segment, now);
    return;
  }
  // Fourth: SYN. A peer that has really started again answers our ACK with a reset (RFC 5961 section 4).
  if ((flags & SYN) !== 0) {
    core.challenge(segment, now);
    return;
  }
  // Fifth: ACK.
  if ((flags & ACK) === 0 || !acceptAcknowledgment(core, segment, now)) return;
  receiver.noteTimestamp(segment, now);
  core.patience.onHeard(now);
  if (!afterAcknowledgment(core, now)) return;
  // Seventh and eighth: text and FIN. The sixth, URG, is not looked at.
  if (canReceive(core.state)) takeText(core, segment, now, receiver);
}

function isPeerSyn(segment: TcpSegment, receiver: Receiver): boolean {
  return add(segment.sequence, 1) === receiver.next;
}

/** The peer has not got our SYN, ACK, or both sides have opened at the same time, and this is the peer's. */
function receiveSynAgain(core: TcpCore, segment: TcpSegment, now: number, receiver: Receiver): void {
  if ((segment.flags & ACK) === 0) {
    if (core.challenges.take(now)) core.sender.sendSyn();
    return;
  }
  if (!acceptAcknowledgment(core, segment, now)) return;
  core.patience.onHeard(now);
  receiver.acks.require();
}

/** Returns whether the segment may be processed further. */
function acceptAcknowledgment(core: TcpCore, segment: TcpSegment, now: number): boolean {
  const { acknowledgment } = segment;
  const { firstUnacknowledged, next, window } = core.sender;
  if (core.state === SYN_RECEIVED) {
    if (!isAfter(acknowledgment, firstUnacknowledged) || isAfter(acknowledgment, next)) {
      core.reset = resetFor(segment);
      return false;
    }
    core.establish(now);
    acknowledge(core, segment, now);
    return true;
  }
  // RFC 5961 section 5: bytes from somebody who has to guess are not taken.
  if (isAfter(acknowledgment, next) || isBefore(acknowledgment, add(firstUnacknowledged, -window.maxBytes))) {
    core.challenge(segment, now);
    return false;
  }
  acknowledge(core, segment, now);
  return true;
}

function acknowledge(core: TcpCore, segment: TcpSegment, now: number): void {
  const acknowledged = core.sender.onAcknowledgment(segment, echoedAt(core, segment, now), now);
  if (acknowledged > 0 || core.sender.window.isClosed) core.patience.onAnswer(acknowledged > 0);
}

/** When we sent the timestamp that the segment echoes; -1 if it echoes none. */
function echoedAt(core: TcpCore, segment: TcpSegment, now: number): number {
  const { timestampEcho } = segment.options;
  if (!core.hasTimestamps || timestampEcho <= 0) return -1; // 0 is what a peer writes that has seen none of ours
  const age = difference(core.timestamp(now), timestampEcho);
  return age < 0 ? -1 : Math.floor(now) - age;
}

/** What the ACK of our FIN changes. Returns false if the connection has ended by it. */
function afterAcknowledgment(core: TcpCore, now: number): boolean {
  if (!core.sender.isFinAcknowledged) return true;
  switch (core.state) {
    case FIN_WAIT_1:
      core.enter(FIN_WAIT_2);
      if (core.isRefusingInput) core.patience.awaitFin(now);
      return true;
    case CLOSING:
      core.enterTimeWait(now);
      return false;
    case LAST_ACK:
      core.end(0);
      return false;
    default:
      return true;
  }
}

function takeText(core: TcpCore, segment: TcpSegment, now: number, receiver: Receiver): void {
  if (core.isRefusingInput && receiver.hasNewText(segment)) {
    core.fail(ECONNRESET);
    return;
  }
  receiver.adjustBuffer(core.sender.roundTripMs, now);
  receiver.receive(segment, now);
  if (!receiver.isFinReceived) return;
  if (core.state === ESTABLISHED) core.enter(CLOSE_WAIT);
  else if (core.state === FIN_WAIT_1) core.enter(CLOSING);
  else core.enterTimeWait(now);
}

function onReset(core: TcpCore): void {
  core.end(core.state === SYN_RECEIVED && core.setup.isActive ? ECONNREFUSED : ECONNRESET);
}
