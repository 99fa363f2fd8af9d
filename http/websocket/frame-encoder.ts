/**
 * Frames of a server: a header, and the payload without a mask (RFC 6455 section 5.1).
 *
 * `encodeFrame` returns a frame with memory of its own, for many connections: what is published is encoded once. A frame for one connection is written into
 * the output of the turn instead (frame-output.ts).
 *
 * Messages are never sent in fragments: a program gives a whole message, so its length is known.
 *
 * Next: frame-output.ts
 */

const FIN = 0x80;

const MAX_SHORT_LENGTH = 125;
const MAX_16_BIT_LENGTH = 0xffff;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

const WORD = 0x1_0000_0000;

/** The longest header: two bytes and eight of length. */
export const MAX_SERVER_HEADER_BYTES = 10;

export function byteLengthOf(payload: string | Uint8Array): number {
  return typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength;
}

/** How long the header of a payload is. */
export function headerBytesFor(payloadBytes: number): number {
  if (payloadBytes <= MAX_SHORT_LENGTH) return 2;
  return payloadBytes <= MAX_16_BIT_LENGTH ? 4 : MAX_SERVER_HEADER_BYTES;
}

/** Writes a header at `at`. `opcode` may have RSV1. Returns the offset after it. */
export function writeHeader(bytes: Buffer, at: number, opcode: number, payloadBytes: number): number {
  bytes[at] = FIN | opcode;
  if (payloadBytes <= MAX_SHORT_LENGTH) {
    bytes[at + 1] = payloadBytes;
    return at + 2;
  }
  if (payloadBytes <= MAX_16_BIT_LENGTH) {
    bytes[at + 1] = LENGTH_16;
    bytes[at + 2] = payloadBytes >>> 8;
    bytes[at + 3] = payloadBytes & 0xff;
    return at + 4;
  }
  bytes[at + 1] = LENGTH_64;
  bytes.writeUInt32BE(Math.floor(payloadBytes / WORD), at + 2);
  bytes.writeUInt32BE(payloadBytes % WORD, at + 6);
  return at + MAX_SERVER_HEADER_BYTES;
}

/** Returns a whole frame. Its memory is its own, so that a connection that cannot send it at once keeps nothing else alive. */
export function encodeFrame(opcode: number, payload: string | Uint8Array): Buffer {
  const length = byteLengthOf(payload);
  const frame = Buffer.allocUnsafeSlow(headerBytesFor(length) + length);
  const at = writeHeader(frame, 0, opcode, length);
  if (typeof payload === 'string') frame.write(payload, at);
  else frame.set(payload, at);
  return frame;
}
