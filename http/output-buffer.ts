/**
 * OutputBuffer: where answers are put together, so that head and body, and all answers of a pipeline, leave in one send.
 *
 * A second send for the body costs three quarters of a request; sixteen sends for sixteen pipelined answers cost twelve
 * times one. There is one buffer for all connections of a server: it is emptied before the thread does anything else.
 * Should a handler write to another connection than its own meanwhile, what is there for the first one goes out before.
 *
 * Next: response-writer.ts
 */

import type { Stream } from '../simplenet/event-loop.ts';

/** Larger bodies are not copied: a second send costs less than copying so much. */
const MOST_COPIED_BYTES = 16_384;

/** A UTF-16 unit takes at most three bytes in UTF-8. */
const MOST_BYTES_PER_UNIT = 3;

/** What Buffer.write comes down to for this encoding, without finding out each time. Node's types leave it out. */
type FastBuffer = Buffer & { latin1Write(text: string, offset: number, length: number): number };

export class OutputBuffer {
  readonly #buffer: FastBuffer;
  #view: Buffer;
  #length = 0;
  #stream: Stream | null = null;

  constructor(byteLength: number) {
    this.#buffer = Buffer.allocUnsafeSlow(byteLength) as FastBuffer;
    this.#view = this.#buffer;
  }

  /** Text whose characters are all below 256: heads, and bodies in ASCII. */
  latin1(stream: Stream, text: string): void {
    if (!this.#hasRoom(stream, text.length)) {
      stream.writeOwned(Buffer.from(text, 'latin1'));
      return;
    }
    this.#length += this.#buffer.latin1Write(text, this.#length, text.length);
  }

  utf8(stream: Stream, text: string): void {
    if (!this.#hasRoom(stream, text.length * MOST_BYTES_PER_UNIT)) {
      stream.writeOwned(Buffer.from(text));
      return;
    }
    this.#length += this.#buffer.write(text, this.#length);
  }

  /** Bytes that the caller leaves alone from now on. */
  bytes(stream: Stream, bytes: Uint8Array): void {
    if (bytes.byteLength > MOST_COPIED_BYTES || !this.#hasRoom(stream, bytes.byteLength)) {
      this.flush();
      stream.writeOwned(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.byteLength;
  }

  flush(): void {
    const stream = this.#stream;
    const length = this.#length;
    this.#stream = null;
    this.#length = 0;
    if (stream !== null && length > 0) stream.write(this.#viewOf(length));
  }

  /** The first bytes of the buffer. Answers are often equally long: then the last view serves again. */
  #viewOf(length: number): Buffer {
    if (this.#view.length !== length) this.#view = this.#buffer.subarray(0, length);
    return this.#view;
  }

  /** Makes room for that stream's bytes, in order; false where they are too many for the whole buffer. */
  #hasRoom(stream: Stream, byteLength: number): boolean {
    if (this.#stream !== stream || this.#length + byteLength > this.#buffer.length) this.flush();
    this.#stream = stream;
    return byteLength <= this.#buffer.length;
  }
}
