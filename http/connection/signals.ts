/**
 * Signals: the two abort signals of a request: its client leaves (`request.signal`), or the server stops (`request.closing`).
 *
 * Most handlers read neither, so an exchange makes this object when one of them is first read. Each request has signals of its own: on one signal
 * for the whole server, the listeners of all requests would gather.
 *
 * A signal is aborted in the async context in which it was first read. The news of a client comes in the context of the loop, and the listeners
 * would run with the stores of another request.
 *
 * Next: handover.ts
 */

import { AsyncResource } from 'node:async_hooks';
import { abortErrorOf, type ClientGoneError } from '../http-error.ts';

type Abort = (reason: DOMException) => void;

/** The reason of `request.closing` and of `server.closing`. */
export function closingError(): DOMException {
  return new DOMException('the server is closing', 'AbortError');
}

export class Signals {
  #abortGone: Abort | null = null;
  #abortClosing: Abort | null = null;

  /** Code of the program may wait for the client to leave. */
  get awaitsClient(): boolean {
    return this.#abortGone !== null;
  }

  forGone(): AbortSignal {
    const controller = new AbortController();
    this.#abortGone = boundAbort(controller);
    return controller.signal;
  }

  forClosing(): AbortSignal {
    const controller = new AbortController();
    this.#abortClosing = boundAbort(controller);
    return controller.signal;
  }

  abortGone(error: ClientGoneError): void {
    const abort = this.#abortGone;
    if (abort === null) return;
    this.#abortGone = null;
    abort(abortErrorOf(error));
  }

  abortClosing(): void {
    const abort = this.#abortClosing;
    this.#abortClosing = null;
    abort?.(closingError());
  }
}

function boundAbort(controller: AbortController): Abort {
  return AsyncResource.bind((reason: DOMException) => controller.abort(reason));
}
