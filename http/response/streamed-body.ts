/**
 * StreamedBody: the body of a response that comes in pieces, behind its head: chunks, a promised length, or the end of the connection.
 *
 *     handler -> length check -> [transform] -> framing -> output
 *
 * A body that is longer than its Content-Length throws before a byte of the surplus leaves. A shorter one breaks the connection off.
 *
 * Next: event-writer.ts
 */

import { markHandled } from '../promises.ts';
import { type BodyStage, BodyTransform, discardStages, type TransformOutput } from './body-transform.ts';
import type { Framing } from './response-head.ts';
import type { ResponseOutput, ResponseOwner } from './response-output.ts';

/** A stream of events, which has no end of its own. */
export interface StreamEnd {
  readonly heartbeatMs: number;
  /** The handler has sent nothing for `heartbeatMs`. */
  heartbeat(): void;
  close(): void;
  /** The response is over. */
  ended(): void;
}

/** The response of a body. */
interface BodyOwner {
  /** The body has failed, and no call of the handler stands for the error: that of a transform, or of writes that nobody awaits. */
  bodyFailed(error: Error): void;
}

export class StreamedBody implements TransformOutput {
  readonly framing: Framing;
  readonly #owner: ResponseOwner;
  readonly #output: ResponseOutput;
  /** The response has a body on the wire: it is no answer to HEAD, and no 204, 205 or 304. */
  readonly #isSent: boolean;
  readonly #declaredLength: number;
  readonly #response: BodyOwner;
  #transform: BodyTransform | null = null;
  /** Set once: a handler that writes on in the same tick is reported once. */
  #overflow: Error | null = null;
  #trailers = '';
  #writtenBytes = 0;
  /** Set if the body is a stream of events. */
  events: StreamEnd | null = null;
  #isOver = false;

  constructor(
    response: BodyOwner,
    owner: ResponseOwner,
    output: ResponseOutput,
    framing: Framing,
    isSent: boolean,
    declaredLength: number,
  ) {
    this.#response = response;
    this.framing = framing;
    this.#owner = owner;
    this.#output = output;
    this.#isSent = isSent;
    this.#declaredLength = declaredLength;
  }

  transformBy(stages: readonly BodyStage[]): void {
    if (!this.#isSent) {
      discardStages(stages);
      return;
    }
    this.#transform = new BodyTransform(stages, this);
  }

  /** A transform is at work, and completes the body by itself. */
  get isTransforming(): boolean {
    return this.#transform !== null && !this.#isOver;
  }

  /** How much waits for the client. */
  get queuedBytes(): number {
    return this.#output.queuedBytes + (this.#transform?.queuedBytes ?? 0);
  }

  /** The rest of the body reaches nobody. */
  get isCut(): boolean {
    return this.#output.isClosed;
  }

  /** Sends the first piece. Earlier responses of a pipeline may be queued before it. */
  writeFirst(bytes: Uint8Array): Promise<void> {
    this.#writtenBytes += bytes.byteLength;
    if (this.#transform === null) return this.send(bytes);
    this.#output.pieceWritten(); // the head leaves, even if the transform keeps the piece for long
    return this.#transform.write(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#overflow === null && this.#isOverfull) {
      this.#overflow = new Error('too much is queued for the client: await each write()');
      this.#response.bodyFailed(this.#overflow); // a handler that ignores this promise would not learn why its client was cut off
    }
    if (this.#overflow !== null) return markHandled(Promise.reject(this.#overflow));
    const sum = this.#writtenBytes + bytes.byteLength;
    if (this.#declaredLength >= 0 && sum > this.#declaredLength) {
      this.#owner.abortResponse();
      throw wrongLength(this.#declaredLength, sum);
    }
    return this.writeFirst(bytes);
  }

  /** Sends a part of an open file. There is no transform: it would have to read the file. `end` checks the length. */
  writeFile(fd: number, offset: number, length: number): Promise<void> {
    this.#writtenBytes += length;
    this.#output.file(fd, offset, length);
    this.#output.pieceWritten();
    return this.#output.waitForDrain();
  }

  /** The handler has written all pieces. */
  end(trailers: string): void {
    this.#trailers = trailers;
    if (this.#declaredLength >= 0 && this.#writtenBytes !== this.#declaredLength && this.#isSent) {
      this.#owner.abortResponse();
      throw new Error(`Content-Length is ${this.#declaredLength}, but only ${this.#writtenBytes} bytes were written`);
    }
    if (this.#transform === null) this.#complete();
    else this.#transform.end();
  }

  /** Sends a whole body through the transform. */
  sendWhole(bytes: Uint8Array, trailers: string): void {
    this.#trailers = trailers;
    if (this.#transform === null) this.#complete();
    else this.#transform.end(bytes);
  }

  /** The connection is closed. */
  destroy(reason: Error): void {
    this.#transform?.destroy(reason);
    this.events?.ended();
  }

  // For a stream of events, which does not wait for the client.

  /** Sends a piece with the others of this tick. */
  push(bytes: Uint8Array): void {
    if (this.#transform === null) this.#gather(bytes);
    else void this.#transform.write(bytes);
  }

  /** Where chunks that many responses share go without a detour: null if a transform or another framing is in the way. */
  get chunkOutput(): ResponseOutput | null {
    return this.#transform === null && this.framing === 'chunked' ? this.#output : null;
  }

  /** Sends a piece that many responses share, at once. Only without a `chunkOutput`. */
  sendNow(bytes: Uint8Array): void {
    if (this.#transform === null) this.#output.sendNow(bytes, null);
    else void this.#transform.write(bytes);
  }

  /** Breaks the response off: the client takes too little. */
  breakOff(): void {
    this.#owner.abortResponse();
  }

  // For the transform.

  send(bytes: Uint8Array): Promise<void> {
    this.#gather(bytes);
    return this.#output.waitForDrain();
  }

  transformEnded(error: Error | null): void {
    this.#isOver = true;
    if (error === null) this.#complete();
    else this.#response.bodyFailed(error);
  }

  /** More is queued than a handler that waits for the client can have written: for the client, or in front of a transform. */
  get #isOverfull(): boolean {
    return this.#output.isOverfull || (this.#transform?.queuedBytes ?? 0) > this.#output.answerBufferBytes;
  }

  #gather(bytes: Uint8Array): void {
    if (this.#output.isClosed) return;
    // An empty chunk would end the body.
    if (this.#isSent && bytes.byteLength > 0) {
      if (this.framing === 'chunked') this.#output.chunk(bytes);
      else this.#output.bytes(bytes);
    }
    this.#output.pieceWritten();
  }

  #complete(): void {
    if (this.framing === 'chunked' && this.#isSent) this.#output.lastChunk(this.#trailers);
    this.#owner.responseCompleted();
  }
}

export function wrongLength(declared: number, byteLength: number): Error {
  return new Error(`Content-Length is ${declared}, but the body would have ${byteLength} bytes`);
}
