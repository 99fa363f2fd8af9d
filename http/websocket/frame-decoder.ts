/**
 * FrameDecoder: the frames of a client, from bytes that end anywhere (RFC 6455 section 5).
 *
 *      0               1               2               3
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *     |F|R|R|R| opcode|M| length      | 16 or 64 bits more of length  |    then 4 bytes of mask, and the payload
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *
 * It returns a piece of a payload at a time, where it lies and without its mask: `start`, `end` and what is known of its frame. A frame that is complete in the
 * buffer is one piece. A caller never waits for the rest of a frame to use what has come, so a wrong byte is found when it comes.
 *
 * A fault is the negative of a close code. It comes with the first byte that shows it, and `fault` says in words what was wrong:
 * - 1002: no mask (section 5.1), a reserved bit or opcode (5.2), a control frame that is fragmented or above 125 bytes (5.5), a message inside another one or a
 *   continuation of none (5.4), a length in more bytes than it needs, or with the highest bit set (5.2).
 * - 1009: a message above `maxMessageBytes`, as soon as its length is declared.
 *
 * It knows nothing of text, and no clock. After a fault it must not be used again.
 *
 * Next: message-reader.ts
 */

import { MESSAGE_TOO_BIG, PROTOCOL_ERROR } from './close-code.ts';
import { turnMask, unmask } from './unmask.ts';

export const CONTINUATION = 0x0;
export const TEXT = 0x1;
export const BINARY = 0x2;
export const CLOSE = 0x8;
export const PING = 0x9;
export const PONG = 0xa;

const FIN = 0x80;
export const RSV1 = 0x40;
const RSV2_AND_3 = 0x30;
const OPCODE = 0x0f;
const MASKED = 0x80;
const LENGTH = 0x7f;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/** What a length must exceed to be sent in 16 or in 64 bits. */
const MAX_SHORT_LENGTH = 125;
const MAX_16_BIT_LENGTH = 0xffff;

export const MAX_CONTROL_BYTES = 125;

const MASK_BYTES = 4;
/** Two bytes, eight of length, four of mask. */
const MAX_HEADER_BYTES = 14;

const WORD = 0x1_0000_0000;

/**
 * A compressed message may be longer on the wire than it is: deflate stores what it cannot compress, with five bytes for each block.
 */
function wireBytes(maxMessageBytes: number): number {
  return maxMessageBytes + (maxMessageBytes >>> 6) + 64;
}

export class FrameDecoder {
  /** The piece: bytes[start..end) of what was passed to `read`. */
  start = 0;
  end = 0;
  /** All bytes of the piece "or"ed together: see unmask.ts. */
  seen = 0;
  /** Of the frame: TEXT or BINARY also for a continuation of such a message. */
  opcode = 0;
  /** The piece ends its frame. */
  isFrameEnd = false;
  /** The frame is the last one of its message. */
  isFinal = false;
  /** The message has RSV1: an extension has transformed it. */
  isTransformed = false;
  /** How many bytes of the message its frames have declared so far. Meaningful for TEXT and BINARY. */
  messageBytes = 0;
  /** What was wrong. */
  fault = '';

  /** Bytes of the payload that have not come yet. -1: the next byte is one of a header. */
  #left = -1;
  #mask = 0;
  /** The opcode of the message whose frames have not all come; 0 if there is none. */
  #message = 0;
  #isMessageTransformed = false;
  /** The bytes of a header that has come in part. Null until that happens. */
  #header: Buffer | null = null;
  #headerBytes = 0;
  #maxMessageBytes = 0;
  #takesRsv1 = false;

  /** For another connection. */
  reset(maxMessageBytes: number, takesRsv1: boolean): void {
    this.#maxMessageBytes = maxMessageBytes;
    this.#takesRsv1 = takesRsv1;
    this.#left = -1;
    this.#message = 0;
    this.#headerBytes = 0;
    this.messageBytes = 0;
  }

  /** No frame and no message has come in part. */
  get isIdle(): boolean {
    return this.#left === -1 && this.#message === 0 && this.#headerBytes === 0;
  }

  /**
   * Reads from bytes[at..end). Returns the offset after what was read, and `hasPiece` says whether there is a piece; if not, all bytes are used. Or
   * returns the negative of a close code.
   */
  read(bytes: Buffer, at: number, end: number): number {
    let from = at;
    if (this.#left === -1) {
      from = this.#headerBytes === 0 ? this.#parse(bytes, at, end) : this.#parseRest(bytes, at, end);
      if (from < 0) return from;
      if (this.#left === -1) {
        this.hasPiece = false;
        if (from < end) this.#keep(bytes, from, end);
        return end;
      }
    }
    const length = Math.min(this.#left, end - from);
    this.isFrameEnd = length === this.#left;
    if (length === 0 && !this.isFrameEnd) {
      this.hasPiece = false;
      return from;
    }
    this.start = from;
    this.end = from + length;
    this.seen = unmask(bytes, from, this.end, this.#mask);
    if (this.isFrameEnd) this.#left = -1;
    else {
      this.#mask = turnMask(this.#mask, length);
      this.#left -= length;
    }
    this.hasPiece = true;
    return this.end;
  }

  hasPiece = false;

  /** The header goes on where it has been cut. */
  #parseRest(bytes: Buffer, at: number, end: number): number {
    const header = this.#header as Buffer;
    const before = this.#headerBytes;
    const more = Math.min(MAX_HEADER_BYTES - before, end - at);
    bytes.copy(header, before, at, at + more);
    this.#headerBytes += more;
    const used = this.#parse(header, 0, this.#headerBytes);
    if (used < 0) return used;
    if (this.#left === -1) return at + more;
    this.#headerBytes = 0;
    return at + used - before;
  }

  #keep(bytes: Buffer, from: number, end: number): void {
    this.#header ??= Buffer.alloc(MAX_HEADER_BYTES);
    bytes.copy(this.#header, 0, from, end);
    this.#headerBytes = end - from;
  }

  /** Returns the offset after the header, and `#left` is its length; or `at` if the header is incomplete; or a fault. */
  #parse(bytes: Buffer, at: number, end: number): number {
    const first = bytes[at] as number;
    const opcode = first & OPCODE;
    const fault = this.#faultOfFirst(first, opcode);
    if (fault !== '') return this.#refuse(fault);
    if (end - at < 2) return at;
    const second = bytes[at + 1] as number;
    if ((second & MASKED) === 0) return this.#refuse('a frame without a mask');
    let length = second & LENGTH;
    if (opcode >= CLOSE && length > MAX_CONTROL_BYTES) return this.#refuse('a control frame above 125 bytes');
    let next = at + 2;
    if (length === LENGTH_16) {
      if (end - at < 4) return at;
      length = bytes.readUInt16BE(next);
      next += 2;
      if (length <= MAX_SHORT_LENGTH) return this.#refuse('a length in more bytes than it needs');
    } else if (length === LENGTH_64) {
      if (end > next && (bytes[next] as number) > 0x7f) return this.#refuse('a length with its highest bit set');
      if (end - at < 10) return at;
      length = bytes.readUInt32BE(next) * WORD + bytes.readUInt32BE(next + 4);
      next += 8;
      if (length <= MAX_16_BIT_LENGTH) return this.#refuse('a length in more bytes than it needs');
    }
    // Before the mask: its bytes do not matter, and a client that declares too much need not send them.
    if (opcode < CLOSE && this.#isTooLong(first, opcode, length)) {
      this.fault = `a message above ${this.#maxMessageBytes} bytes`;
      return -MESSAGE_TOO_BIG;
    }
    if (end - next < MASK_BYTES) return at;
    this.#mask = bytes.readInt32LE(next);
    this.#begin(first, opcode, length);
    return next + MASK_BYTES;
  }

  #faultOfFirst(first: number, opcode: number): string {
    const isFinal = (first & FIN) !== 0;
    if ((first & RSV2_AND_3) !== 0) return 'a reserved bit is set';
    if ((first & RSV1) !== 0 && !(this.#takesRsv1 && (opcode === TEXT || opcode === BINARY))) {
      return 'a reserved bit is set';
    }
    if (opcode >= CLOSE) {
      if (opcode > PONG) return `the opcode ${opcode} is not defined`;
      return isFinal ? '' : 'a control frame in fragments';
    }
    if (opcode > BINARY) return `the opcode ${opcode} is not defined`;
    if (opcode === CONTINUATION) return this.#message === 0 ? 'a continuation of no message' : '';
    return this.#message === 0 ? '' : 'a message inside another one';
  }

  #isTooLong(first: number, opcode: number, length: number): boolean {
    const isTransformed = opcode === CONTINUATION ? this.#isMessageTransformed : (first & RSV1) !== 0;
    const max = isTransformed ? wireBytes(this.#maxMessageBytes) : this.#maxMessageBytes;
    return (opcode === CONTINUATION ? this.messageBytes : 0) + length > max;
  }

  #begin(first: number, opcode: number, length: number): void {
    this.#left = length;
    this.isFinal = (first & FIN) !== 0;
    if (opcode >= CLOSE) {
      this.opcode = opcode;
      return;
    }
    if (opcode === CONTINUATION) this.messageBytes += length;
    else {
      this.messageBytes = length;
      this.#message = opcode;
      this.#isMessageTransformed = (first & RSV1) !== 0;
    }
    this.opcode = this.#message;
    this.isTransformed = this.#isMessageTransformed;
    if (this.isFinal) this.#message = 0;
  }

  #refuse(fault: string): number {
    this.fault = fault;
    return -PROTOCOL_ERROR;
  }
}
