/**
 * SharedMessage: one message for many connections, encoded once for all of them.
 *
 * A frame is made when the first connection needs it: one of the message as it is, one of what an extension has made of it. All connections write the same
 * bytes, and one that cannot send them yet keeps them without a copy. So a message that 1,000 slow clients wait for is in memory once.
 *
 * Next: topics.ts
 */

import { BINARY, RSV1, TEXT } from './frame-decoder.ts';
import { encodeFrame } from './frame-encoder.ts';
import type { MessageExtension } from './message-transform.ts';

export class SharedMessage {
  readonly #data: string | Uint8Array;
  readonly #extension: MessageExtension | null;
  #frame: Buffer | null = null;
  /** Null: it is not made yet. False: the extension leaves the message as it is. */
  #transformed: Buffer | false | null = null;

  constructor(data: string | Uint8Array, extension: MessageExtension | null) {
    this.#data = data;
    this.#extension = extension;
  }

  /** The frame of the message as it is. */
  get frame(): Buffer {
    this.#frame ??= encodeFrame(this.#opcode, this.#data);
    return this.#frame;
  }

  /** The frame for connections with the extension, or null if it leaves the message as it is. */
  get transformedFrame(): Buffer | null {
    this.#transformed ??= this.#transform();
    return this.#transformed === false ? null : this.#transformed;
  }

  get #opcode(): number {
    return typeof this.#data === 'string' ? TEXT : BINARY;
  }

  #transform(): Buffer | false {
    const data = this.#data;
    const isText = typeof data === 'string';
    const payload = isText ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const made = this.#extension?.encodeShared(payload, isText) ?? null;
    return made === null ? false : encodeFrame(this.#opcode | RSV1, made);
  }
}
