/**
 * Handover: a stream between HTTP and the protocol that its client has asked for (Upgrade, RFC 9110 section 7.8).
 *
 * `response.upgrade` is a call of the program, and no callback of the new protocol may run inside it. So what has come behind the
 * request is delivered in a microtask. The loop may have a turn before that microtask, or deliver more in the same turn. This
 * object keeps those bytes, or the new protocol would get them first.
 *
 * Next: context-factory.ts
 */

import type { Stream, StreamHandler } from '../simplenet/event-loop.ts';
import type { SystemError } from '../simplenet/system-error.ts';
import { PendingInput } from './pending-input.ts';

export class Handover implements StreamHandler {
  /** Only where the new protocol has one: without it a deadline ends the stream. */
  readonly onTimeout?: (stream: Stream) => void;
  readonly #handler: StreamHandler;
  #kept: PendingInput | null = null;
  #hasPeerEnded = false;

  constructor(handler: StreamHandler) {
    this.#handler = handler;
    if (handler.onTimeout !== undefined) this.onTimeout = (stream) => handler.onTimeout?.(stream);
  }

  onData(_stream: Stream, bytes: Buffer): void {
    if (this.#kept === null) this.#kept = new PendingInput(bytes, 0);
    else this.#kept.append(bytes);
  }

  onEnd(): void {
    this.#hasPeerEnded = true;
  }

  onDrain(stream: Stream): void {
    this.#handler.onDrain?.(stream);
  }

  onClose(stream: Stream, error: SystemError | null): void {
    this.#handler.onClose?.(stream, error);
  }

  /** From now on the stream has its new handler. `behind` is what had come behind the request before this object was made. */
  complete(stream: Stream, behind: PendingInput | null, hadPeerEnded: boolean): void {
    if (stream.handler === this) stream.handler = this.#handler;
    const kept = this.#kept;
    if (behind !== null && kept !== null) behind.append(kept.all());
    const rest = behind ?? kept;
    if (rest !== null && !stream.isEnded) stream.handler.onData(stream, rest.all());
    if ((!hadPeerEnded && !this.#hasPeerEnded) || stream.isEnded) return;
    if (stream.handler.onEnd !== undefined) stream.handler.onEnd(stream);
    else stream.end(); // as the stream does by itself; nothing else would ever let the descriptor go
  }
}
