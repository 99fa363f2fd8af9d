/**
 * TransformLane: what a connection with an extension sends, in order, although the extension may take its time with each message.
 *
 *     send(1) -> encode ... pending        send(2), send(3), close wait in the queue        settled: 1 leaves, then 2 is encoded
 *
 * While nothing is pending and `encode` returns a value at once, a message passes through without a queue and without a promise. Ping and pong do not wait:
 * they may come between two messages (RFC 6455 section 5.5).
 *
 * Next: web-socket-end.ts
 */

import { promiseOf } from '../promises.ts';
import { INVALID_PAYLOAD, TRY_AGAIN_LATER, WebSocketFault } from './close-code.ts';
import { BINARY, RSV1, TEXT } from './frame-decoder.ts';
import type { MessageTransform } from './message-transform.ts';
import type { SharedMessage } from './shared-message.ts';
import { UTF8_COMPLETE, validateUtf8 } from './utf8-validator.ts';
import type { WebSocketEndpoint } from './web-socket-endpoint.ts';

/** What the lane asks of its connection. */
export interface LaneOwner {
  writeFrame(opcode: number, payload: string | Uint8Array): boolean;
  writeShared(frame: Buffer): boolean;
  /** All that waited has left. */
  laneEmpty(): void;
  laneFailed(error: unknown): void;
}

/** What waits: a message that is to be encoded, a message for many, or a call when all before it has left. */
type Waiting =
  | { readonly payload: Buffer; readonly isText: boolean }
  | { readonly shared: SharedMessage; readonly payload: Buffer }
  | { readonly whenSent: () => void; readonly payload: Buffer };

const NOTHING = Buffer.alloc(0);

export class TransformLane {
  readonly #transform: MessageTransform;
  readonly #owner: LaneOwner;
  readonly #endpoint: WebSocketEndpoint;
  #queue: Waiting[] | null = null;
  #isClosed = false;
  /** Bytes that wait here, before they are encoded. */
  queuedBytes = 0;

  constructor(transform: MessageTransform, owner: LaneOwner, endpoint: WebSocketEndpoint) {
    this.#endpoint = endpoint;
    this.#transform = transform;
    this.#owner = owner;
  }

  /** Returns false if the message waits, here or in the stream. */
  send(data: string | Uint8Array): boolean {
    const isText = typeof data === 'string';
    const payload = isText ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    // What waits, or is worked on by another thread, must not change when the program uses its bytes again.
    if (this.#queue !== null) return this.#wait({ payload: isText ? payload : Buffer.from(payload), isText });
    return this.#encode(payload, isText);
  }

  /** A message for many. */
  sendShared(message: SharedMessage): boolean {
    if (this.#queue !== null) return this.#wait({ shared: message, payload: message.frame });
    return this.#writeShared(message);
  }

  /** Calls back when all that waits has left: at once if nothing does. */
  whenSent(callback: () => void): void {
    if (this.#queue === null) callback();
    else this.#queue.push({ whenSent: callback, payload: NOTHING });
  }

  /**
   * Returns the message of a payload that has come with RSV1: for a text a string. Throws, or rejects, as the transform does; with 1007 for a text that is not UTF-8,
   * and with 1013 without memory. So many bytes `behind` the message wait for it.
   */
  decode(payload: Buffer, isText: boolean, behind: number): string | Buffer | Promise<string | Buffer> {
    const { partial } = this.#endpoint;
    const waiting = payload.length + behind;
    if (!partial.pin(waiting)) throw new WebSocketFault(TRY_AGAIN_LATER, 'too many messages wait to be decompressed');
    let pending: Promise<Buffer> | null = null;
    try {
      const result = this.#transform.decode(payload, this.#endpoint.settings.maxMessageBytes);
      pending = promiseOf<Buffer>(result);
      if (pending === null) return isText ? textOf(result as Buffer) : (result as Buffer);
    } finally {
      if (pending === null) partial.unpin(waiting);
    }
    const decoded = pending.finally(() => partial.unpin(waiting));
    return isText ? decoded.then(textOf) : decoded;
  }

  /** The connection is closed. What waits is dropped. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#queue = null;
    this.queuedBytes = 0;
    this.#transform.close();
  }

  #wait(waiting: Waiting): false {
    (this.#queue as Waiting[]).push(waiting);
    this.queuedBytes += waiting.payload.length;
    return false;
  }

  #writeShared(message: SharedMessage): boolean {
    const { transformed } = message;
    const isTaken = transformed !== null && this.#transform.takesShared(transformed.payload);
    return this.#owner.writeShared(isTaken ? transformed.frame : message.frame);
  }

  #encode(payload: Buffer, isText: boolean): boolean {
    const result = this.#transform.encode(payload, isText);
    const pending = promiseOf<Buffer | null>(result);
    if (pending === null) return this.#write(result as Buffer | null, payload, isText);
    const queue: Waiting[] = [];
    this.#queue = queue;
    this.queuedBytes += payload.length;
    void this.#finish(queue, pending, payload, isText);
    return false;
  }

  #write(encoded: Buffer | null, payload: Buffer, isText: boolean): boolean {
    const opcode = isText ? TEXT : BINARY;
    return encoded === null ? this.#owner.writeFrame(opcode, payload) : this.#owner.writeFrame(opcode | RSV1, encoded);
  }

  /** One message is pending. Sends it, and then what has waited for it. */
  async #finish(queue: Waiting[], first: Promise<Buffer | null>, payload: Buffer, isText: boolean): Promise<void> {
    try {
      const encoded = await first;
      if (this.#isClosed) return;
      this.queuedBytes -= payload.length;
      this.#write(encoded, payload, isText);
      for (let next = queue.shift(); next !== undefined && !this.#isClosed; next = queue.shift()) {
        if ('isText' in next) {
          const result = await this.#transform.encode(next.payload, next.isText);
          /* c8 ignore next -- as above, for a message that has waited. */
          if (this.#isClosed) return;
          this.#write(result, next.payload, next.isText);
        } else if ('shared' in next) this.#writeShared(next.shared);
        else next.whenSent();
        this.queuedBytes -= next.payload.length;
      }
      this.#queue = null;
      if (!this.#isClosed) this.#owner.laneEmpty();
    } catch (error) {
      if (!this.#isClosed) this.#owner.laneFailed(error);
    }
  }
}

function textOf(message: Buffer): string {
  if (validateUtf8(UTF8_COMPLETE, message, 0, message.length) === UTF8_COMPLETE) return message.toString('utf8');
  throw new WebSocketFault(INVALID_PAYLOAD, 'a text message that is not UTF-8');
}
