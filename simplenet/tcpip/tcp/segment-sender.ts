/**
 * SegmentSender: makes the segments of a connection: their numbers, options and payload. One segment object serves all connections: it is filled in
 * for each segment and read before the next.
 *
 * Next: tcp-connection.ts
 */

import { EFAULT, ENOBUFS } from '../../kernel/abi.ts';
import type { ResetReply } from './reset-reply.ts';
import { ACK, noOptions, SYN, type TcpOptions } from './segment.ts';
import type { SendBuffer } from './send-buffer.ts';
import type { TcpCore } from './tcp-core.ts';
import { type Receiver, windowShiftFor } from './tcp-receiver.ts';
import type { Emit, OutgoingSegment } from './tcp-setup.ts';
import { LISTEN, SYN_SENT } from './tcp-states.ts';

const SACK_HEAD_BYTES = 4;
const SACK_EDGE_BYTES = 4;
const MAX_WINDOW_FIELD = 65_535;

class SegmentOut implements OutgoingSegment {
  sequence = 0;
  acknowledgment = 0;
  flags = 0;
  window = 0;
  readonly urgent = 0;
  options: TcpOptions = noOptions;
  length = 0;
  buffer: SendBuffer | null = null;
  offset = 0;

  copyPayload(into: Buffer, at: number): boolean {
    return this.buffer === null || this.buffer.copyTo(into, at, this.offset, this.length);
  }
}

const segmentOut = new SegmentOut();

export class SegmentSender {
  readonly #core: TcpCore;
  /** The errno with which the connection ends when `transmit` is done. */
  #failure = 0;
  /** The SACK blocks of the segments that `transmit` is sending. */
  #sackBlocks: readonly number[] = [];

  constructor(core: TcpCore) {
    this.#core = core;
  }

  /** Emits what the windows allow. If `emit` returns -ENOBUFS the rest waits; any other error counts as a segment lost on its way. */
  transmit(now: number, emit: Emit): void {
    if (this.#core.reset !== null) this.#emitReset(this.#core.reset, now, emit);
    if (this.#core.isClosed || this.#core.state === LISTEN) return;
    this.#sackBlocks = this.#core.receiver === null ? [] : this.#core.receiver.takeSackBlocks();
    const sackBytes = this.#sackBlocks.length === 0 ? 0 : SACK_HEAD_BYTES + SACK_EDGE_BYTES * this.#sackBlocks.length;
    this.#core.sender.transmit(this.#core.sender.segmentBytes - sackBytes, now, (sequence, flags, offset, length) =>
      this.#emit(sequence, flags, offset, length, now, emit),
    );
    if (this.#core.receiver?.acks.isDue) this.#emit(this.#core.sender.next, ACK, 0, 0, now, emit);
    this.#sackBlocks = [];
    if (this.#failure === 0) {
      this.#core.observe(now);
      return;
    }
    this.#core.fail(this.#failure);
    this.transmit(now, emit);
  }

  #emitReset(reset: ResetReply, now: number, emit: Emit): void {
    this.#core.reset = null;
    segmentOut.sequence = reset.sequence;
    segmentOut.acknowledgment = reset.acknowledgment;
    segmentOut.flags = reset.flags;
    segmentOut.window = 0;
    segmentOut.options = this.#core.hasTimestamps ? this.#optionsOf(0, now) : noOptions;
    segmentOut.length = 0;
    emit(segmentOut);
  }

  /** Returns 0 or -errno. Every segment but the first SYN has ACK. */
  #emit(sequence: number, flags: number, offset: number, length: number, now: number, emit: Emit): number {
    const receiver = this.#core.receiver;
    segmentOut.sequence = sequence;
    segmentOut.flags = receiver === null ? flags : flags | ACK;
    segmentOut.acknowledgment = receiver === null ? 0 : receiver.next;
    segmentOut.window =
      receiver === null ? Math.min(this.#core.setup.receiveBufferBytes, MAX_WINDOW_FIELD) : receiver.offerWindow(flags);
    segmentOut.options = this.#optionsOf(flags, now);
    segmentOut.buffer = length === 0 ? null : this.#core.sender.buffer;
    segmentOut.offset = offset;
    segmentOut.length = length;
    const result = emit(segmentOut);
    segmentOut.buffer = null;
    if (result >= 0) receiver?.onAckSent();
    else if (result !== -ENOBUFS) this.#onLocalError(-result);
    return this.#failure === 0 ? result : -ENOBUFS;
  }

  /** Our own machine cannot send to the peer. Nobody but it says so, so an attempt to connect ends. */
  #onLocalError(errno: number): void {
    if (errno === EFAULT || this.#core.state === SYN_SENT) this.#failure = errno;
    else this.#core.softError = errno;
  }

  #optionsOf(flags: number, now: number): TcpOptions {
    const isSyn = (flags & SYN) !== 0;
    const { receiveBufferBytes, maxReceiveBufferBytes } = this.#core.setup;
    const isFirst = this.#core.receiver === null;
    const hasTimestamps = isFirst || this.#core.hasTimestamps;
    const hasScale = isFirst || this.#core.options.windowScale !== null;
    return {
      mss: isSyn ? this.#core.setup.maxSegmentBytes : null,
      windowScale: isSyn && hasScale ? windowShiftFor(receiveBufferBytes, maxReceiveBufferBytes) : null,
      sackPermitted: isSyn && (isFirst || this.#core.options.sackPermitted),
      timestampValue: hasTimestamps ? this.#core.timestamp(now) : -1,
      timestampEcho: hasTimestamps ? (isFirst ? 0 : (this.#core.receiver as Receiver).recentTimestamp) : -1,
      sackBlocks: this.#sackBlocks,
    };
  }
}
