/**
 * ContextExchange: one exchange as the draft sees it: its state, its `Request` and its `100 Continue`. Contexts stand on it; after a
 * fall-through two of them share one.
 *
 * That the client has gone is not told but asked: a signal for each request would cost every handler something, and most call nothing
 * that depends on it.
 *
 * Next: capsules.ts
 */

import type { HttpRequest, ResponseWriter } from '../handler.ts';
import { markHandled } from '../promises.ts';
import type { FieldValue } from '../response/response-fields.ts';
import { type ExchangeOperation, type ExchangeState, invalidState, notSupported, step } from './exchange-state.ts';
import { inboundErrorOf, type ProtocolError, protocolError } from './protocol-error.ts';
import { trueRequestOf } from './true-request.ts';

/** What the constructor of `Headers` takes. */
export type FieldsInit = ConstructorParameters<typeof Headers>[0];

/**
 * What a context needs of the server around it. `serve` of simplenet/http has one, and simplenet/fetch makes its own.
 *
 * ```ts
 * import { type ContextHost, contextHandler, Router, type ServerContext } from 'simplenet/http';
 *
 * const host: ContextHost = {
 *   autoContinue: true,
 *   maxBodyBytes: 1_000_000,
 *   tunnelIdleMs: 60_000,
 *   refusal: null,
 *   limitReceive: null,
 *   waitUntil: (promise, request) => request.waitUntil(promise),
 * };
 * const app = { fetch: (ctx: ServerContext) => new Response(ctx.request.body) };
 * new Router().all('/app/*', contextHandler(app, host));
 * ```
 */
export interface ContextHost {
  /** Whether `100 Continue` is sent when the program begins to read the body. */
  readonly autoContinue: boolean;
  /** A request body; reads fail above it. Infinity leaves it to the limits of simplenet/http. */
  readonly maxBodyBytes: number;
  /** How long a tunnel may carry no byte. */
  readonly tunnelIdleMs: number;
  /** Why no handler is called now: 503 for the client. */
  readonly refusal: 'busy' | 'closing' | null;
  /** Calls back once, unless the returned function is called before. Null: a slow body is left to simplenet/http. */
  readonly limitReceive: ((onLate: () => void) => () => void) | null;
  waitUntil(promise: Promise<unknown>, request: HttpRequest): void;
}

const CONTINUE = 100;
const SWITCHING_PROTOCOLS = 101;
const MAX_INFORMATIONAL = 199;

export class ContextExchange {
  readonly httpRequest: HttpRequest;
  readonly response: ResponseWriter;
  readonly host: ContextHost;
  /** The name of the protocol, while the client's Upgrade can still be accepted; null otherwise. */
  upgrade: string | null;
  /** The tunnel or the WebSocket that the program has accepted. */
  tunnel: { destroy(error: unknown): void } | null = null;
  /** Why the response was broken off. */
  failure: unknown = null;
  #state: ExchangeState = 'open';
  #abortReason: ProtocolError | null = null;
  #controller: AbortController | null = null;
  #request: Request | null = null;
  #completed: Promise<void> | null = null;
  /** Whether a `100 Continue` is due; null until somebody asks. */
  #owesContinue: boolean | null = null;
  #bodyBytes = 0;

  constructor(request: HttpRequest, response: ResponseWriter, host: ContextHost, upgrade: string | null) {
    this.httpRequest = request;
    this.response = response;
    this.host = host;
    this.upgrade = upgrade;
  }

  get state(): ExchangeState {
    if (this.#state !== 'denied' && this.#state !== 'aborted' && this.httpRequest.signal.aborted) {
      this.#abort(inboundErrorOf(this.httpRequest.signal.reason));
    }
    return this.#state;
  }

  /** Meaningful once the state is `aborted`. */
  get abortReason(): ProtocolError {
    return this.#abortReason ?? protocolError('ERR_HTTP_CONNECTION_RESET', 'the client has gone');
  }

  /** Returns false if the operation does nothing, because the client has gone. Throws if it is not allowed. */
  take(operation: ExchangeOperation): boolean {
    const next = step(this.state, operation);
    if (next === null) return false;
    this.#state = next;
    return true;
  }

  /** As `take`, but without a change: for a call that may still fail. */
  check(operation: ExchangeOperation): boolean {
    return step(this.state, operation) !== null;
  }

  get request(): Request {
    this.#request ??= trueRequestOf(this.httpRequest, this.signal, {
      pull: () => this.#pull(),
      cancel: () => this.httpRequest.body.cancel(),
    });
    return this.#request;
  }

  /** As the signal of the request, with a ProtocolError for its reason. */
  get signal(): AbortSignal {
    if (this.#controller !== null) return this.#controller.signal;
    this.#controller = new AbortController();
    const { signal } = this.httpRequest;
    const abort = () => this.#abort(inboundErrorOf(signal.reason));
    if (this.state === 'aborted') this.#controller.abort(this.abortReason);
    else signal.addEventListener('abort', abort, { once: true });
    return this.#controller.signal;
  }

  /** Rejects if something other than this server has ended the exchange. */
  get completed(): Promise<void> {
    this.#completed ??= markHandled(this.#untilCompleted());
    return this.#completed;
  }

  sendInformational(status: number, headers: FieldsInit): void {
    if (this.httpRequest.httpVersion === '1.0') throw notSupported('HTTP/1.0 has no informational responses');
    if (!(status >= CONTINUE && status <= MAX_INFORMATIONAL) || status === SWITCHING_PROTOCOLS) {
      throw new RangeError(`an informational status is from 100 to 199 and not 101: ${String(status)}`);
    }
    if (!this.check('sendInformational')) return;
    if (status === CONTINUE) {
      if (!this.#isContinueDue) throw invalidState('no 100 Continue is due');
      this.response.sendContinue(fieldsOf(headers));
      this.#owesContinue = false;
    } else {
      const fields = fieldsOf(headers);
      if (this.host.autoContinue && this.#isContinueDue) {
        this.response.sendContinue({});
        this.#owesContinue = false;
      }
      this.response.informational(status, fields);
    }
    this.take('sendInformational');
  }

  async #untilCompleted(): Promise<void> {
    const { clientGone, error } = await this.httpRequest.done;
    if (this.#state === 'denied') return;
    // Breaking the response off closes the connection, which then looks as if the client had gone.
    if (this.failure !== null && inboundErrorOf(this.failure) === null) {
      throw protocolError('ERR_HTTP_INTERNAL_ERROR', 'the response was broken off', this.failure);
    }
    if (this.#abortReason !== null) throw this.#abortReason;
    if (clientGone) throw inboundErrorOf(error) ?? this.abortReason;
  }

  get #isContinueDue(): boolean {
    const { httpRequest } = this;
    this.#owesContinue ??= httpRequest.httpVersion !== '1.0' && httpRequest.headers.has('expect');
    return this.#owesContinue;
  }

  async #pull(): Promise<Uint8Array | null> {
    if (this.#isContinueDue && this.host.autoContinue) {
      // The connection sends it when it is read. If the client has not waited, it sends none.
      if (this.response.isContinueDue && this.#state === 'open') this.#state = 'informational';
      this.#owesContinue = false;
    }
    const settled = this.host.limitReceive?.(() => this.#receiveIsLate());
    try {
      return await this.#readPiece();
    } finally {
      settled?.();
    }
  }

  async #readPiece(): Promise<Uint8Array | null> {
    try {
      const piece = await this.httpRequest.body.read();
      if (piece === null) return null;
      this.#bodyBytes += piece.byteLength;
      if (this.#bodyBytes > this.host.maxBodyBytes) throw this.#refuseBody();
      return new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
    } catch (error) {
      const inbound = inboundErrorOf(error);
      if (inbound === null) throw error;
      if (inbound.code === 'ERR_HTTP_CONTENT_TOO_LARGE') throw inbound;
      this.#abort(inbound);
      throw this.abortReason; // the same error wherever the program looks
    }
  }

  /** The response stays with the handler. */
  #refuseBody(): ProtocolError {
    const error = protocolError('ERR_HTTP_CONTENT_TOO_LARGE', `a body of more than ${this.host.maxBodyBytes} bytes`);
    this.httpRequest.body.cancel(error);
    return error;
  }

  #receiveIsLate(): void {
    const error = protocolError('ERR_HTTP_TIMEOUT', 'the client sends nothing more of the body');
    this.#abort(error);
    this.httpRequest.body.cancel(error);
    this.response.breakOff();
  }

  #abort(reason: ProtocolError | null): void {
    if (this.#state === 'denied' || this.#state === 'aborted') return;
    this.#state = 'aborted';
    this.#abortReason = reason;
    this.#controller?.abort(this.abortReason);
  }
}

/** Fields as the writer takes them. Throws what `Headers` throws. */
export function fieldsOf(headers: FieldsInit): Record<string, FieldValue> {
  const fields: Record<string, string[]> = {};
  for (const [name, value] of new Headers(headers)) {
    fields[name] ??= [];
    fields[name].push(value);
  }
  return fields;
}
