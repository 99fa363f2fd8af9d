/**
 * PartingStreams: connections whose socket is closed, and which still have bytes to send.
 *
 * close(2) returns at once, and the bytes that send(2) has taken still reach the peer. A stream's `close` would drop its queue. So a stream with
 * a queue stays here until the queue is sent. Nobody reads from it any more: if the peer still sends, it gets RST, as from Linux.
 *
 * Their number and their time are limited: a client could else leave any number of them to peers that read nothing.
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';

export const MAX_PARTING = 64;
const PARTING_MS = 60_000;

export class PartingStreams implements StreamHandler {
  readonly #streams = new Set<Stream>();

  /** The oldest one makes room. */
  add(stream: Stream): void {
    stream.handler = this;
    if (stream.queuedBytes === 0) {
      stream.close();
      return;
    }
    const [oldest] = this.#streams;
    if (oldest !== undefined && this.#streams.size === MAX_PARTING) oldest.abort();
    this.#streams.add(stream);
    stream.setDeadline(PARTING_MS);
  }

  onData(stream: Stream): void {
    stream.abort();
  }

  onEnd(): void {} // without this method the stream would end when the peer does

  onDrain(stream: Stream): void {
    stream.close();
  }

  /** Also after shutdown(2), which sent FIN after the queue: there `onDrain` does not come. */
  onTimeout(stream: Stream): void {
    if (stream.queuedBytes > 0) stream.abort();
    else stream.close();
  }

  onClose(stream: Stream): void {
    this.#streams.delete(stream);
  }
}
