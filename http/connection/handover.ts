/**
 * Handover: a stream between HTTP and the protocol that its client has asked for (Upgrade, RFC 9110 section 7.8).
 *
 * `response.upgrade` is a call of the program, and no callback of the new protocol may run inside it. So what has come behind the
 * request is delivered in a microtask. The loop may have a turn before that microtask, or deliver more in the same turn. This
 * object keeps those bytes, or the new protocol would get them first.
 *
 * A stream whose new handler has called `end` still brings what its client sends, and one on which it has called `close` brings
 * nothing. `isEnded` is true of both. So such a stream is asked for a turn: only the first has one.
 *
 * The loop calls all streams of a turn from one async context. What one upgraded stream stores there (`enterWith`) would reach the
 * next one. So the callbacks of each run in a context that begins with the stores of the request.
 *
 * Next: connection.ts
 */

import { AsyncResource } from 'node:async_hooks';
import type { Stream, StreamHandler, SystemError } from '../../simplenet/index.ts';
import { PendingInput } from '../request/pending-input.ts';

export class Handover implements StreamHandler {
  /** Only where the new protocol has one: without it a deadline ends the stream. */
  readonly onTimeout?: (stream: Stream) => void;
  readonly #handler: StreamHandler;
  #kept: PendingInput | null = null;
  #hasPeerEnded = false;
  /** Whatever the loop tells next shows that the stream is not closed. */
  #awaitsNews = false;
  #hasHadTurn = false;

  constructor(handler: StreamHandler) {
    const inContext = new HandlerInContext(handler);
    this.#handler = inContext;
    if (inContext.onTimeout !== undefined) this.onTimeout = inContext.onTimeout;
  }

  /** Puts a Handover between the stream and its new protocol, and takes it away when the program has let go. */
  static begin(
    stream: Stream,
    createHandler: (stream: Stream) => StreamHandler,
    /** What the client has sent by then, and whether it has ended its side. */
    takeRest: () => { readonly behind: PendingInput | null; readonly hasPeerEnded: boolean },
  ): void {
    let handover: Handover;
    try {
      handover = new Handover(createHandler(stream));
    } catch (error) {
      stream.abort(); // nothing reads from it or ends it
      throw error;
    }
    stream.handler = handover;
    queueMicrotask(() => {
      const { behind, hasPeerEnded } = takeRest();
      handover.complete(stream, behind, hasPeerEnded);
    });
  }

  onData(stream: Stream, bytes: Buffer): void {
    if (this.#kept === null) this.#kept = new PendingInput(bytes, 0);
    else this.#kept.append(bytes);
    if (this.#awaitsNews) this.#deliver(stream);
  }

  onEnd(stream: Stream): void {
    this.#hasPeerEnded = true;
    if (this.#awaitsNews) this.#deliver(stream);
  }

  onDrain(stream: Stream): void {
    this.#handler.onDrain?.(stream);
  }

  onTurn(stream: Stream): void {
    if (!this.#awaitsNews) {
      this.#hasHadTurn = true;
      this.#handler.onTurn?.(stream);
      return;
    }
    this.#deliver(stream);
    if (!this.#hasHadTurn) stream.awaitTurn(); // the new protocol may have asked for one, too: both are one
  }

  onClose(stream: Stream, error: SystemError | null): void {
    this.#handler.onClose?.(stream, error);
  }

  /** From now on the stream has its new handler. `behind` is what had come behind the request before this object was made. */
  complete(stream: Stream, behind: PendingInput | null, hadPeerEnded: boolean): void {
    if (behind !== null) {
      if (this.#kept !== null) behind.append(this.#kept.all());
      this.#kept = behind;
    }
    if (hadPeerEnded) this.#hasPeerEnded = true;
    const hasNews = this.#kept !== null || this.#hasPeerEnded;
    if (hasNews && stream.isEnded && stream.handler === this) {
      this.#awaitsNews = true;
      stream.awaitTurn();
      return;
    }
    try {
      this.#deliver(stream);
    } catch (error) {
      stream.abort(); // as the loop does: this callback is not one of its own
      throw error;
    }
  }

  #deliver(stream: Stream): void {
    if (stream.handler === this) stream.handler = this.#handler;
    if (this.#kept !== null) stream.handler.onData(stream, this.#kept.all());
    if (!this.#hasPeerEnded) return;
    if (stream.isEnded && !this.#awaitsNews) return; // both sides have ended, or it was closed: it hears of nothing but that
    if (stream.handler.onEnd !== undefined) stream.handler.onEnd(stream);
    else stream.end(); // as the stream does by itself; nothing else would ever let the descriptor go
  }
}

type Callback = (stream: Stream) => void;

/** A handler whose callbacks run in an async context of their own. It has those that the handler has when it is given. */
class HandlerInContext implements StreamHandler {
  readonly onData: (stream: Stream, bytes: Buffer) => void;
  readonly onEnd?: Callback;
  readonly onDrain?: Callback;
  readonly onTurn?: Callback;
  readonly onTimeout?: Callback;
  readonly onClose?: (stream: Stream, error: SystemError | null) => void;
  readonly #handler: StreamHandler;

  constructor(handler: StreamHandler) {
    const context = new AsyncResource('SIMPLENET_UPGRADE');
    const bound =
      <A extends unknown[]>(callback: (...args: A) => void) =>
      (...args: A): void =>
        context.runInAsyncScope(callback, handler, ...args);
    this.#handler = handler;
    this.onData = bound(handler.onData);
    if (handler.onEnd !== undefined) this.onEnd = bound(handler.onEnd);
    if (handler.onDrain !== undefined) this.onDrain = bound(handler.onDrain);
    if (handler.onTurn !== undefined) this.onTurn = bound(handler.onTurn);
    if (handler.onTimeout !== undefined) this.onTimeout = bound(handler.onTimeout);
    if (handler.onClose !== undefined) this.onClose = bound(handler.onClose);
  }

  get endsAtBreak(): boolean {
    return this.#handler.endsAtBreak === true;
  }
}
