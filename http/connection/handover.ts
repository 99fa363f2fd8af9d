/**
 * Handover: a stream between HTTP and the protocol that its client has asked for (Upgrade, RFC 9110 section 7.8).
 *
 * The program calls `response.upgrade`, and no callback of the new handler may run inside that call. So the bytes that the client has
 * sent after its request are delivered in a microtask. Before that microtask the loop may deliver later bytes. This object is the
 * handler of the stream meanwhile, and keeps them, so that the new handler gets all bytes in order.
 *
 * `isEnded` of a stream is true after `end` and after `close`. After `end` the stream still delivers what its client sends, after `close`
 * nothing. So this object calls `awaitTurn` to find out: a closed stream gets no turn.
 *
 * The loop calls the handlers of all streams of a turn from one async context. A store that the handler of one stream sets there
 * (`enterWith`) would leak to the next. So the callbacks of each handler run in a context that begins with the stores of the request. A protocol of ours (WebSocket)
 * sees to that itself.
 *
 * Next: upgraded-connection.ts
 */

import { AsyncResource } from 'node:async_hooks';
import type { Stream, StreamHandler, SystemError } from '../../simplenet/index.ts';
import { isOwnProtocol, type OwnProtocol, type UpgradeHost } from '../own-protocol.ts';
import { promiseOf } from '../promises.ts';
import { PendingInput } from '../request/pending-input.ts';

export class Handover implements OwnProtocol {
  readonly isOwnProtocol = true;
  /** Missing if the new handler has none: then a deadline ends the stream. */
  readonly onTimeout?: (stream: Stream) => void;
  readonly #handler: StreamHandler;
  #kept: PendingInput | null = null;
  #hasPeerEnded = false;
  /** `isEnded` is true. The next event of the stream shows that it is not closed. */
  #awaitsNextEvent = false;
  #hasHadTurn = false;

  constructor(handler: StreamHandler) {
    const inContext = isOwnProtocol(handler) ? handler : new HandlerInContext(handler);
    this.#handler = inContext;
    if (inContext.onTimeout !== undefined) this.onTimeout = (stream) => inContext.onTimeout?.(stream);
  }

  /** Makes a Handover the handler of the stream until the calling code of the program has returned. Returns it. */
  static begin(
    stream: Stream,
    createHandler: (stream: Stream) => StreamHandler,
    /** Returns the bytes that HTTP has received after the request, and whether the client has ended its side. */
    takeRest: () => { readonly rest: PendingInput | null; readonly hasPeerEnded: boolean },
  ): Handover {
    let handover: Handover;
    try {
      handover = new Handover(createHandler(stream));
    } catch (error) {
      stream.abort(); // no handler would read from it or end it
      throw error;
    }
    stream.handler = handover;
    queueMicrotask(() => {
      const { rest, hasPeerEnded } = takeRest();
      handover.complete(stream, rest, hasPeerEnded);
    });
    return handover;
  }

  /** The new handler is a protocol of ours. */
  get isToOwnProtocol(): boolean {
    return isOwnProtocol(this.#handler);
  }

  handedOver(host: UpgradeHost): void {
    if (isOwnProtocol(this.#handler)) this.#handler.handedOver(host);
  }

  serverStops(): void {
    if (isOwnProtocol(this.#handler)) this.#handler.serverStops();
  }

  onData(stream: Stream, bytes: Buffer): void {
    if (this.#kept === null) this.#kept = new PendingInput(bytes, 0);
    else this.#kept.append(bytes);
    if (this.#awaitsNextEvent) this.#deliver(stream);
  }

  onEnd(stream: Stream): void {
    this.#hasPeerEnded = true;
    if (this.#awaitsNextEvent) this.#deliver(stream);
  }

  onDrain(stream: Stream): void {
    this.#handler.onDrain?.(stream);
  }

  onTurn(stream: Stream): void {
    if (!this.#awaitsNextEvent) {
      this.#hasHadTurn = true;
      this.#handler.onTurn?.(stream);
      return;
    }
    this.#deliver(stream);
    if (!this.#hasHadTurn) stream.awaitTurn(); // the new handler may have asked for a turn too, and this one was used here
  }

  onClose(stream: Stream, error: SystemError | null): void {
    this.#handler.onClose?.(stream, error);
  }

  /** Gives the stream its new handler. `rest` are the bytes that HTTP had received after the request. */
  complete(stream: Stream, rest: PendingInput | null, hadPeerEnded: boolean): void {
    if (rest !== null) {
      if (this.#kept !== null) rest.append(this.#kept.all());
      this.#kept = rest;
    }
    if (hadPeerEnded) this.#hasPeerEnded = true;
    const hasUndelivered = this.#kept !== null || this.#hasPeerEnded;
    if (hasUndelivered && stream.isEnded && stream.handler === this) {
      this.#awaitsNextEvent = true;
      stream.awaitTurn();
      return;
    }
    try {
      this.#deliver(stream);
    } catch (error) {
      stream.abort(); // as the loop does when a callback throws
      throw error;
    }
  }

  #deliver(stream: Stream): void {
    if (stream.handler === this) stream.handler = this.#handler;
    if (this.#kept !== null) stream.handler.onData(stream, this.#kept.all());
    if (!this.#hasPeerEnded) return;
    if (stream.isEnded && !this.#awaitsNextEvent) return; // both sides have ended, or it was closed: only onClose follows
    if (stream.handler.onEnd !== undefined) stream.handler.onEnd(stream);
    else stream.end(); // as the stream does for a handler without onEnd; otherwise the descriptor would stay open
  }
}

type Callback = (stream: Stream) => void;

/** The callbacks of a handler, each bound to one new async context. A callback that the program adds later is not called. */
class HandlerInContext implements StreamHandler {
  readonly onData: (stream: Stream, bytes: Buffer) => void;
  readonly onEnd?: Callback;
  readonly onDrain?: Callback;
  readonly onTurn?: Callback;
  readonly onTimeout?: Callback;
  readonly onClose?: (stream: Stream, error: SystemError | null) => void;
  readonly #handler: StreamHandler;

  constructor(handler: StreamHandler) {
    // Without this check it would fail in a turn of the loop, and such an error ends the process.
    if (typeof (handler as StreamHandler | undefined)?.onData !== 'function') {
      promiseOf(handler)?.then(undefined, () => {}); // the error below says enough
      throw new TypeError('upgrade() takes a function that returns a handler, an object with onData');
    }
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
