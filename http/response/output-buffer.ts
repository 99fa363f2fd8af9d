/**
 * OutputBuffer: where answers are put together, so that head and body, and all answers of a pipeline, leave in one send.
 *
 * A second send for the body costs three quarters of a request; sixteen sends for sixteen pipelined answers cost twelve
 * times one. There is one buffer for all connections of a server: it is emptied before the thread does anything else.
 * Should a handler write to another connection than its own meanwhile, what is there for the first one goes out before.
 *
 * Next: plain-bytes.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import { CR, LF } from '../grammar.ts';
import { writeLatin1 } from './latin1.ts';

/** Larger bodies are not copied: a second send, in the same packet, costs less than copying so much. */
const MAX_COPIED_BYTES = 16_384;

/** A UTF-16 unit takes at most three bytes in UTF-8. */
export const MAX_BYTES_PER_UNIT = 3;

const END_OF_HEAD = '\r\n\r\n';
const DIGIT_0 = 0x30;
/** Of Number.MAX_SAFE_INTEGER. */
const MAX_DIGITS = 16;

export class OutputBuffer {
  readonly #buffer: Buffer;
  #length = 0;
  #stream: Stream | null = null;

  constructor(byteLength: number) {
    this.#buffer = Buffer.allocUnsafeSlow(byteLength);
  }

  /** Text whose characters are all below 256: heads, and bodies in ASCII. */
  latin1(stream: Stream, text: string): void {
    if (!this.#hasRoom(stream, text.length)) {
      stream.writeOwned(Buffer.from(text, 'latin1'));
      return;
    }
    this.#length += writeLatin1(this.#buffer, this.#length, text);
  }

  utf8(stream: Stream, text: string): void {
    if (!this.#hasRoom(stream, text.length * MAX_BYTES_PER_UNIT)) {
      stream.writeOwned(Buffer.from(text));
      return;
    }
    this.#length += this.#buffer.write(text, this.#length);
  }

  /** Bytes that the caller leaves alone from now on. */
  bytes(stream: Stream, bytes: Uint8Array): void {
    if (bytes.byteLength > MAX_COPIED_BYTES || !this.#hasRoom(stream, bytes.byteLength)) {
      this.#makeWayFor(stream);
      stream.writeOwned(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.byteLength;
  }

  /** A head of which only the length and the empty line are missing. */
  plainHead(stream: Stream, begin: Uint8Array, contentLength: number): void {
    this.#hasRoom(stream, begin.length + MAX_DIGITS + END_OF_HEAD.length); // it has, in the end: these heads are short
    const buffer = this.#buffer;
    buffer.set(begin, this.#length);
    let at = this.#length + begin.length + digitsOf(contentLength);
    this.#length = at + END_OF_HEAD.length;
    buffer[at] = buffer[at + 2] = CR;
    buffer[at + 1] = buffer[at + 3] = LF;
    let rest = contentLength;
    do {
      buffer[--at] = DIGIT_0 + (rest % 10);
      rest = Math.floor(rest / 10);
    } while (rest > 0);
  }

  /** How much waits here. */
  get byteLength(): number {
    return this.#length;
  }

  flush(): void {
    this.#send(false);
  }

  /** What is here goes out; in one packet with what is to follow, if both are for the same client. */
  #makeWayFor(stream: Stream): void {
    this.#send(this.#stream === stream);
  }

  #send(hasMore: boolean): void {
    const stream = this.#stream;
    const length = this.#length;
    this.#stream = null;
    this.#length = 0;
    if (stream !== null && length > 0) stream.write(this.#buffer, length, hasMore);
  }

  /** Makes room for that stream's bytes, in order; false where they are too many for the whole buffer. */
  #hasRoom(stream: Stream, byteLength: number): boolean {
    if (this.#stream !== stream || this.#length + byteLength > this.#buffer.length) this.#makeWayFor(stream);
    this.#stream = stream;
    return byteLength <= this.#buffer.length;
  }
}

function digitsOf(value: number): number {
  let digits = 1;
  for (let power = 10; power <= value; power *= 10) digits++;
  return digits;
}
