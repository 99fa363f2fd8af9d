/**
 * FrameOutput: what a connection sends while its input is being read, as one write: ten messages that have come together get ten answers in one send(2).
 *
 * Two buffers are shared by all connections of the thread. One gathers for the connection whose input is being read (`begin`, `flush`); no other connection is
 * read meanwhile. The other one takes a single frame, for a connection that sends of its own accord. Both are empty whenever nothing runs, so an
 * idle connection owns no buffer.
 *
 * A large payload is not copied: its header goes first, with the hint that more follows, so they are still one packet.
 *
 * Next: message-transform.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import type { WebSocketCounts } from '../web-socket-counts.ts';
import { encodeFrame, headerBytesFor, MAX_SERVER_HEADER_BYTES, writeHeader } from './frame-encoder.ts';

const GATHER_BYTES = 64 * 1024;

/** A larger payload is written by itself: copying it costs more than the second send. */
const MAX_COPIED_BYTES = 16 * 1024;

/** UTF-16 units of a text that has at most MAX_COPIED_BYTES as UTF-8. */
const MAX_COPIED_LENGTH = Math.floor(MAX_COPIED_BYTES / 3);

/** A text of so many units has a header of two bytes, whatever its characters are. */
const MAX_SURELY_SHORT = 41;

/** What @types/node leaves out: `write` without its checks. */
interface TextTarget extends Buffer {
  utf8Write(text: string, offset: number): number;
}

const gathered = Buffer.allocUnsafeSlow(GATHER_BYTES) as TextTarget;
const single = Buffer.allocUnsafeSlow(MAX_COPIED_BYTES + MAX_SERVER_HEADER_BYTES) as TextTarget;

let gatheringFor: Stream | null = null;
let gatheredBytes = 0;

/** What is written to this stream from now on waits for `flush`. */
export function gatherFor(stream: Stream): void {
  gatheringFor = stream;
}

/** Sends what was gathered. Returns whether the stream has taken all of it. */
export function flushGathered(): boolean {
  const stream = gatheringFor;
  gatheringFor = null;
  return stream === null || sendGathered(stream);
}

/** How many bytes of this stream wait for `flush`. */
export function gatheredFor(stream: Stream): number {
  return stream === gatheringFor ? gatheredBytes : 0;
}

/** Sends a frame, and counts its bytes. Returns false if the stream has to queue it, or a frame before it. */
export function writeFrame(
  stream: Stream,
  counts: WebSocketCounts,
  opcode: number,
  payload: string | Uint8Array,
): boolean {
  if (payload.length > (typeof payload === 'string' ? MAX_COPIED_LENGTH : MAX_COPIED_BYTES)) {
    return writeLarge(stream, counts, opcode, payload);
  }
  if (stream !== gatheringFor) {
    const length = putFrame(single, 0, opcode, payload);
    counts.sentBytes += length;
    return stream.write(single, length);
  }
  if (gatheredBytes + MAX_SERVER_HEADER_BYTES + MAX_COPIED_BYTES > GATHER_BYTES) sendGathered(stream);
  const end = putFrame(gathered, gatheredBytes, opcode, payload);
  counts.sentBytes += end - gatheredBytes;
  gatheredBytes = end;
  return stream.queuedBytes === 0;
}

/** Sends bytes that are a frame already, and that other streams send as well. The stream keeps them, without a copy, if it must queue them. */
export function writeShared(stream: Stream, counts: WebSocketCounts, frame: Buffer): boolean {
  counts.sentBytes += frame.length;
  if (stream === gatheringFor && gatheredBytes > 0) sendGathered(stream);
  return stream.writeOwned(frame);
}

/** Returns the offset after the frame. */
function putFrame(target: TextTarget, at: number, opcode: number, payload: string | Uint8Array): number {
  if (typeof payload !== 'string') {
    const next = writeHeader(target, at, opcode, payload.byteLength);
    target.set(payload, next);
    return next + payload.byteLength;
  }
  if (payload.length <= MAX_SURELY_SHORT) {
    const length = target.utf8Write(payload, at + 2);
    writeHeader(target, at, opcode, length);
    return at + 2 + length;
  }
  // Most text is ASCII: its header is as long as its number of characters says. If not, the text moves.
  const guessed = headerBytesFor(payload.length);
  const length = target.utf8Write(payload, at + guessed);
  const actual = headerBytesFor(length);
  if (actual !== guessed) target.copyWithin(at + actual, at + guessed, at + guessed + length);
  writeHeader(target, at, opcode, length);
  return at + actual + length;
}

function writeLarge(stream: Stream, counts: WebSocketCounts, opcode: number, payload: string | Uint8Array): boolean {
  if (typeof payload === 'string') return writeShared(stream, counts, encodeFrame(opcode, payload));
  if (stream === gatheringFor && gatheredBytes > 0) sendGathered(stream);
  const headerBytes = writeHeader(single, 0, opcode, payload.byteLength);
  counts.sentBytes += headerBytes + payload.byteLength;
  stream.write(single, headerBytes, true);
  return stream.write(payload);
}

function sendGathered(stream: Stream): boolean {
  const length = gatheredBytes;
  gatheredBytes = 0;
  return length === 0 ? stream.queuedBytes === 0 : stream.write(gathered, length);
}

/** Sends what this stream has gathered, because something else follows it. */
export function flushFor(stream: Stream): void {
  if (stream === gatheringFor && gatheredBytes > 0) sendGathered(stream);
}
