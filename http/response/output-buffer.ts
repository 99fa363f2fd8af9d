/**
 * OutputBuffer: gathers response bytes, so that head and body, and all responses of a pipeline, leave in one send.
 *
 * A second send for the body costs as much as three quarters of a request; sixteen sends for sixteen pipelined responses cost twelve
 * times one send. All connections of a server share one buffer. It holds bytes of one stream at a time: a write for another stream
 * sends them first. A connection flushes it when it has used the bytes that came.
 *
 * Next: checked-bytes.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import { CR, LF } from '../grammar.ts';
import { writeLatin1 } from './latin1.ts';

/** Larger bodies are not copied: copying them would cost more than a second send (MSG_MORE puts both into the same packets). */
const MAX_COPIED_BYTES = 16_384;

/** A UTF-16 unit takes at most three bytes in UTF-8. */
export const MAX_BYTES_PER_UNIT = 3;

/** The size of a copied chunk has four hexadecimal digits at most, and the two line ends have four bytes. */
const MAX_SIZE_BITS = 12;
const MAX_CHUNK_FRAME = 8;
const HEX_DIGITS = '0123456789abcdef';

const END_OF_HEAD = '\r\n\r\n';
const DIGIT_0 = 0x30;
/** The digits of Number.MAX_SAFE_INTEGER. */
const MAX_DIGITS = 16;

export class OutputBuffer {
  readonly #buffer: Buffer;
  #length = 0;
  #stream: Stream | null = null;

  constructor(byteLength: number) {
    this.#buffer = Buffer.allocUnsafeSlow(byteLength);
  }

  /** Adds text whose characters are all below 256: heads, and bodies in ASCII. */
  latin1(stream: Stream, text: string): void {
    if (!this.#makeRoom(stream, text.length)) {
      stream.writeOwned(Buffer.from(text, 'latin1'));
      return;
    }
    this.#length += writeLatin1(this.#buffer, this.#length, text);
  }

  utf8(stream: Stream, text: string): void {
    if (!this.#makeRoom(stream, text.length * MAX_BYTES_PER_UNIT)) {
      stream.writeOwned(Buffer.from(text));
      return;
    }
    this.#length += this.#buffer.write(text, this.#length);
  }

  /** Adds bytes. The caller must not change them afterwards: they may be sent later without a copy. */
  bytes(stream: Stream, bytes: Uint8Array): void {
    if (bytes.byteLength > MAX_COPIED_BYTES || !this.#makeRoom(stream, bytes.byteLength)) {
      this.#sendBefore(stream);
      stream.writeOwned(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.byteLength;
  }

  /** Adds bytes as a chunk (RFC 9112 section 7.1). Writes the digits of a short one itself: a string for its size would cost as much as its bytes. */
  chunk(stream: Stream, bytes: Uint8Array): void {
    const { byteLength } = bytes;
    if (byteLength > MAX_COPIED_BYTES || !this.#makeRoom(stream, byteLength + MAX_CHUNK_FRAME)) {
      this.latin1(stream, `${byteLength.toString(16)}\r\n`);
      this.bytes(stream, bytes);
      this.latin1(stream, '\r\n');
      return;
    }
    const buffer = this.#buffer;
    let at = this.#length;
    for (let bits = MAX_SIZE_BITS; bits >= 0; bits -= 4) {
      if (byteLength >>> bits > 0) buffer[at++] = HEX_DIGITS.charCodeAt((byteLength >>> bits) & 0xf);
    }
    buffer[at] = CR;
    buffer[at + 1] = LF;
    buffer.set(bytes, at + 2);
    at += byteLength + 2;
    buffer[at] = CR;
    buffer[at + 1] = LF;
    this.#length = at + 2;
  }

  /** Adds a head of HeadCache, then the length and the empty line that it lacks. */
  headWithLength(stream: Stream, begin: Uint8Array, contentLength: number): void {
    this.#makeRoom(stream, begin.length + MAX_DIGITS + END_OF_HEAD.length); // always true: these heads are short
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

  /** Sends a part of an open file, behind what is gathered. */
  file(stream: Stream, fd: number, offset: number, length: number): void {
    this.#sendBefore(stream);
    this.#stream = null;
    stream.sendFile(fd, offset, length);
  }

  /** How many bytes are gathered. */
  get byteLength(): number {
    return this.#length;
  }

  flush(): void {
    this.#send(false);
  }

  /** Sends the gathered bytes. If the next bytes are for the same stream, MSG_MORE lets both share a packet. */
  #sendBefore(stream: Stream): void {
    this.#send(this.#stream === stream);
  }

  #send(hasMore: boolean): void {
    const stream = this.#stream;
    const length = this.#length;
    this.#stream = null;
    this.#length = 0;
    if (stream !== null && length > 0) stream.write(this.#buffer, length, hasMore);
  }

  /** Prepares the buffer for so many bytes of that stream, in order. Returns false if they are too many for the whole buffer. */
  #makeRoom(stream: Stream, byteLength: number): boolean {
    if (this.#stream !== stream || this.#length + byteLength > this.#buffer.length) this.#sendBefore(stream);
    this.#stream = stream;
    return byteLength <= this.#buffer.length;
  }
}

function digitsOf(value: number): number {
  let digits = 1;
  for (let power = 10; power <= value; power *= 10) digits++;
  return digits;
}
