/**
 * MessageReader: messages and control frames of a client, whole, from bytes that end anywhere.
 *
 * A message that is complete in the buffer is read where it lies, and nothing is kept. Only if its end is missing are its bytes copied. That copy grows by
 * doubling: a declared length is trusted once a quarter of it has come, or a client could make the server reserve memory with a header alone.
 *
 * Text is checked piece by piece, so a fault (1007) comes with the first byte that is wrong, and not at the end of a long message. What an extension has
 * transformed cannot be checked before it is transformed back: `isTransformed` tells the caller to do both.
 *
 * A reader is lent: a connection has one only while a message has come in part.
 *
 * Next: frame-encoder.ts
 */

import { INVALID_PAYLOAD } from './close-code.ts';
import { CLOSE, FrameDecoder, MAX_CONTROL_BYTES, TEXT } from './frame-decoder.ts';
import { isAllAscii } from './unmask.ts';
import { UTF8_COMPLETE, UTF8_FAULT, validateUtf8 } from './utf8-validator.ts';

/** What @types/node leaves out: without a check of arguments, which costs as much as a short text. */
export interface TextBuffer extends Buffer {
  latin1Slice(start: number, end: number): string;
  utf8Slice(start: number, end: number): string;
}

const MIN_ASSEMBLY_BYTES = 512;

/** A declared length is trusted once this fraction (one in four) of it has arrived. */
const TRUSTED_FACTOR = 4;

const NOT_UTF8 = 'a text message that is not UTF-8';

/** How many readers are kept for the next connections. */
const MAX_SPARE_READERS = 16;

const spares: MessageReader[] = [];

export class MessageReader {
  /** TEXT, BINARY, CLOSE, PING or PONG: one has come whole. 0: not yet. */
  kind = 0;
  /** The message, if its kind is TEXT and it is not transformed. */
  text = '';
  /** The payload of everything else. It belongs to the caller, but for a control frame: its bytes count until the next `read`. */
  payload: Buffer = Buffer.alloc(0);
  isTransformed = false;
  /** A message has begun to be kept. The caller sets it back. */
  hasBegunToKeep = false;
  /** What was wrong. */
  fault = '';
  readonly #decoder = new FrameDecoder();
  #maxMessageBytes = 0;
  /** Bytes of a message that has come in part. */
  #kept: Buffer | null = null;
  #keptBytes = 0;
  #seen = 0;
  #utf8 = UTF8_COMPLETE;
  #control: Buffer | null = null;
  #controlBytes = 0;

  /** Returns a reader for one connection. `takesRsv1`: an extension is in use. */
  static lend(maxMessageBytes: number, takesRsv1: boolean): MessageReader {
    const reader = spares.pop() ?? new MessageReader();
    reader.reset(maxMessageBytes, takesRsv1);
    return reader;
  }

  /** The connection needs it no longer. */
  giveBack(): void {
    this.text = '';
    this.#drop();
    if (spares.length < MAX_SPARE_READERS) spares.push(this);
  }

  reset(maxMessageBytes: number, takesRsv1: boolean): void {
    this.#maxMessageBytes = maxMessageBytes;
    this.#decoder.reset(maxMessageBytes, takesRsv1);
    this.#controlBytes = 0;
    this.#drop();
  }

  /** The memory of a message that has come in part. */
  get keptBytes(): number {
    return this.#kept === null ? 0 : this.#kept.length;
  }

  /** No message and no frame has come in part. */
  get isIdle(): boolean {
    return this.#decoder.isIdle;
  }

  /**
   * Reads from bytes[at..end), and changes what it unmasks there. Returns the offset after what was read, with `kind`, or the negative of a close code, with
   * `fault`. Call it again until all bytes are used.
   */
  read(bytes: Buffer, at: number, end: number): number {
    const decoder = this.#decoder;
    this.kind = 0;
    const next = decoder.read(bytes, at, end);
    if (next < 0) {
      this.fault = decoder.fault;
      return next;
    }
    if (!decoder.hasPiece) return next;
    if (decoder.opcode >= CLOSE) {
      this.#readControl(bytes);
      return next;
    }
    return this.#readData(bytes) ? next : this.#refuseText();
  }

  #readControl(bytes: Buffer): void {
    const { start, end, isFrameEnd, opcode } = this.#decoder;
    if (isFrameEnd && this.#controlBytes === 0) {
      this.payload = bytes.subarray(start, end);
      this.kind = opcode;
      return;
    }
    this.#control ??= Buffer.alloc(MAX_CONTROL_BYTES);
    this.#controlBytes += bytes.copy(this.#control, this.#controlBytes, start, end);
    if (!isFrameEnd) return;
    this.payload = this.#control.subarray(0, this.#controlBytes);
    this.#controlBytes = 0;
    this.kind = opcode;
  }

  /** Returns false if a text is not UTF-8. */
  #readData(bytes: Buffer): boolean {
    const { start, end, isFrameEnd, isFinal, isTransformed, opcode } = this.#decoder;
    const isWhole = isFrameEnd && isFinal;
    const isText = opcode === TEXT && !isTransformed;
    if (isText && !this.#check(bytes, isWhole)) return false;
    if (!isWhole) {
      this.#keep(bytes, start, end);
      return true;
    }
    this.kind = opcode;
    this.isTransformed = isTransformed;
    const source = this.#keptBytes === 0 ? bytes : this.#keep(bytes, start, end);
    const from = source === bytes ? start : 0;
    const to = source === bytes ? end : this.#keptBytes;
    if (isText) {
      const isAscii = isAllAscii(this.#seen);
      this.text = isAscii ? (source as TextBuffer).latin1Slice(from, to) : (source as TextBuffer).utf8Slice(from, to);
    } else {
      this.payload = source === bytes || source.length > 2 * to ? copyOf(source, from, to) : source.subarray(from, to);
    }
    this.#drop();
    return true;
  }

  #check(bytes: Buffer, isLast: boolean): boolean {
    const { start, end, seen } = this.#decoder;
    this.#seen |= seen;
    if (this.#utf8 !== UTF8_COMPLETE || !isAllAscii(seen)) {
      this.#utf8 = validateUtf8(this.#utf8, bytes, start, end);
      if (this.#utf8 === UTF8_FAULT) return false;
    }
    return !isLast || this.#utf8 === UTF8_COMPLETE;
  }

  #keep(bytes: Buffer, start: number, end: number): Buffer {
    const needed = this.#keptBytes + end - start;
    let kept = this.#kept;
    if (kept === null) this.hasBegunToKeep = true;
    if (kept === null || kept.length < needed) {
      const larger = Buffer.allocUnsafeSlow(this.#sizeFor(needed));
      kept?.copy(larger, 0, 0, this.#keptBytes);
      kept = larger;
      this.#kept = larger;
    }
    bytes.copy(kept, this.#keptBytes, start, end);
    this.#keptBytes = needed;
    return kept;
  }

  #sizeFor(needed: number): number {
    const { messageBytes, isFinal } = this.#decoder;
    if (isFinal && messageBytes <= needed * TRUSTED_FACTOR) return messageBytes;
    const doubled = Math.max(MIN_ASSEMBLY_BYTES, 2 * needed);
    return Math.max(needed, Math.min(doubled, isFinal ? messageBytes : this.#maxMessageBytes));
  }

  #drop(): void {
    this.#kept = null;
    this.#keptBytes = 0;
    this.#seen = 0;
    this.#utf8 = UTF8_COMPLETE;
  }

  #refuseText(): number {
    this.fault = NOT_UTF8;
    return -INVALID_PAYLOAD;
  }
}

function copyOf(source: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafe(to - from);
  source.copy(copy, 0, from, to);
  return copy;
}
