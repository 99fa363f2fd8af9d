/**
 * SharedMessage: one message for many connections, encoded once for all of them.
 *
 * A frame is made when the first connection needs it: one of the message as it is, one of what an extension has made of it. All connections write the same
 * bytes, and one that cannot send them yet keeps them without a copy. So a message that 1,000 slow clients wait for is in memory once.
 *
 * Next: topics.ts
 */

import { BINARY, RSV1, TEXT } from './frame-decoder.ts';
import { byteLengthOf, encodeFrame } from './frame-encoder.ts';
import type { MessageExtension, SharedPayload } from './message-transform.ts';

/** What an extension has made of a message. */
interface TransformedMessage {
  readonly payload: SharedPayload;
  readonly frame: Buffer;
}

export class SharedMessage {
  /** As the program gave it. */
  readonly data: string | Uint8Array;
  readonly #extension: MessageExtension | null;
  #frame: Buffer | null = null;
  /** Null: it is not made yet. False: the extension leaves the message as it is. */
  #transformed: TransformedMessage | false | null = null;

  constructor(data: string | Uint8Array, extension: MessageExtension | null) {
    this.data = data;
    this.#extension = extension;
  }

  /** The frame of the message as it is. */
  get frame(): Buffer {
    this.#frame ??= encodeFrame(this.#opcode, this.data);
    return this.#frame;
  }

  /** For connections with the extension; null if it leaves the message as it is. */
  get transformed(): TransformedMessage | null {
    this.#transformed ??= this.#transform();
    return this.#transformed === false ? null : this.#transformed;
  }

  get #opcode(): number {
    return typeof this.data === 'string' ? TEXT : BINARY;
  }

  #transform(): TransformedMessage | false {
    const extension = this.#extension as MessageExtension; // only a connection with the extension asks
    // The payload in the frame, which does not change when the program uses its bytes again.
    const { frame } = this;
    const payload = extension.encodeShared(
      frame.subarray(frame.length - byteLengthOf(this.data)),
      this.#opcode === TEXT,
    );
    return payload !== null && { payload, frame: encodeFrame(this.#opcode | RSV1, payload.bytes) };
  }
}
