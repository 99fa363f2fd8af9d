/**
 * StreamedBody: the body of a response that comes in pieces, behind its head: chunks, a promised length, or the end of the connection.
 *
 *     handler -> length check -> [transform] -> framing -> output
 *
 * A body that is longer than its Content-Length throws before a byte of the surplus leaves. A shorter one breaks the connection off.
 *
 * Next: response-hooks.ts
 */

import { markHandled } from '../promises.ts';
import { type BodyStage, BodyTransform, discardStages, type TransformOutput } from './body-transform.ts';
import type { Framing } from './response-head.ts';
import type { ResponseOutput, ResponseOwner } from './response-output.ts';

export class StreamedBody implements TransformOutput {
  readonly framing: Framing;
  readonly #owner: ResponseOwner;
  readonly #output: ResponseOutput;
  /** The response has a body on the wire: it is no answer to HEAD, and no 204, 205 or 304. */
  readonly #isSent: boolean;
  readonly #declaredLength: number;
  #transform: BodyTransform | null = null;
  #onTransformError: ((error: Error) => void) | null = null;
  #trailers = '';
  #writtenBytes = 0;
  #isOver = false;

  constructor(owner: ResponseOwner, output: ResponseOutput, framing: Framing, isSent: boolean, declaredLength: number) {
    this.framing = framing;
    this.#owner = owner;
    this.#output = output;
    this.#isSent = isSent;
    this.#declaredLength = declaredLength;
  }

  transformBy(stages: readonly BodyStage[], onError: (error: Error) => void): void {
    if (!this.#isSent) {
      discardStages(stages);
      return;
    }
    this.#transform = new BodyTransform(stages, this);
    this.#onTransformError = onError;
  }

  /** A transform is at work, and completes the body by itself. */
  get isTransforming(): boolean {
    return this.#transform !== null && !this.#isOver;
  }

  /** Sends the first piece. Earlier responses of a pipeline may be queued before it. */
  writeFirst(bytes: Uint8Array): Promise<void> {
    this.#writtenBytes += bytes.byteLength;
    if (this.#transform === null) return this.send(bytes);
    this.#output.pieceWritten(); // the head leaves, even if the transform keeps the piece for long
    return this.#transform.write(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    const waitingBytes = this.#transform?.queuedBytes ?? 0;
    if (this.#output.isOverfull || waitingBytes > this.#output.answerBufferBytes) {
      this.#owner.abortResponse();
      return markHandled(Promise.reject(new Error('too much is queued for the client: await each write()')));
    }
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
  }

  // For the transform.

  send(bytes: Uint8Array): Promise<void> {
    if (this.#output.isClosed) return this.#output.waitForDrain();
    // An empty chunk would end the body.
    if (this.#isSent && bytes.byteLength > 0) {
      if (this.framing === 'chunked') this.#output.chunk(bytes);
      else this.#output.bytes(bytes);
    }
    this.#output.pieceWritten();
    return this.#output.waitForDrain();
  }

  transformEnded(error: Error | null): void {
    this.#isOver = true;
    if (error === null) this.#complete();
    else this.#onTransformError?.(error);
  }

  #complete(): void {
    if (this.framing === 'chunked' && this.#isSent) this.#output.lastChunk(this.#trailers);
    this.#owner.responseCompleted();
  }
}

export function wrongLength(declared: number, byteLength: number): Error {
  return new Error(`Content-Length is ${declared}, but the body would have ${byteLength} bytes`);
}
