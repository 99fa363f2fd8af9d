/**
 * WebSocketEnd: how one connection ends: our close frame, FIN, and the wait for the client. It exists once something has begun to end the connection.
 *
 * A client that breaks the protocol gets a close frame with the code of its fault. Then FIN follows and what still comes is read and dropped for a while, as
 * HTTP does: close(2) with unread bytes would send an RST, which may destroy the close frame on its way.
 *
 * Next: web-socket-connection.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import type { WebSocketCounts } from '../web-socket-counts.ts';
import { type Closure, closePayload } from './close-code.ts';
import { CLOSE } from './frame-decoder.ts';
import { flushFor, writeFrame } from './frame-output.ts';

/** How long a client may take to answer a close frame, and then to end its side. */
const CLOSE_WAIT_MS = 10_000;
const LINGER_MS = 2_000;

/** How much is read and dropped behind the end. */
const MAX_LINGER_BYTES = 1024 * 1024;

export class WebSocketEnd {
  /** How it ends, once that is known. */
  closure: Closure | null = null;
  readonly #stream: Stream;
  readonly #counts: WebSocketCounts;
  #hasSentClose = false;
  /** What was queued when the last LINGER_MS began. */
  #unsent = 0;
  #dropped = 0;

  constructor(stream: Stream, counts: WebSocketCounts) {
    this.#stream = stream;
    this.#counts = counts;
  }

  /** Sends the one close frame, behind which nothing may follow. */
  sendClose(code: number, reason: string): void {
    if (this.#hasSentClose) return;
    this.#hasSentClose = true;
    writeFrame(this.#stream, this.#counts, CLOSE, closePayload(code, reason));
  }

  /** Sends it first: the client is to answer it. */
  askForClose(code: number, reason: string): void {
    this.sendClose(code, reason);
    this.#stream.setDeadline(CLOSE_WAIT_MS);
  }

  /** FIN follows what is queued. */
  finish(): void {
    const stream = this.#stream;
    flushFor(stream);
    stream.end();
    this.#unsent = stream.queuedBytes + 1;
    stream.setDeadline(LINGER_MS);
  }

  /** A client that still takes what was sent before the close frame gets all of it. */
  lingerOn(): void {
    const { queuedBytes } = this.#stream;
    if (queuedBytes === 0 || queuedBytes >= this.#unsent) this.#stream.close();
    else {
      this.#unsent = queuedBytes;
      this.#stream.setDeadline(LINGER_MS);
    }
  }

  dropInput(length: number): void {
    this.#dropped += length;
    if (this.#dropped > MAX_LINGER_BYTES) this.#stream.pause();
  }
}
