/**
 * contextHandler: makes a Handler of a marked object: which of its methods is called, and what happens with what it returns or throws.
 *
 * A table of the draft (section "Error handling") has all cases; the functions below follow it. A response is chosen at most twice: by
 * the method, and by `error` if the method failed before its response began. What fails later breaks the response or the tunnel off.
 *
 * Next: handler-source.ts
 */

import { isProtocol } from '../grammar.ts';
import type { Handler, HttpRequest, ResponseWriter } from '../handler.ts';
import { bodyTooLarge, HttpError } from '../http-error.ts';
import { promiseOf } from '../promises.ts';
import { reasonOf } from '../status.ts';
import { ConnectContext } from './connect-context.ts';
import { ContextExchange, type ContextHost } from './context-exchange.ts';
import { isResponseCapable } from './exchange-state.ts';
import type { PROTOCOL_MARKER } from './fetch-server-draft.ts';
import { isProtocolError } from './protocol-error.ts';
import { isResponse, sendResponse } from './send-response.ts';
import { refuse, ServerContext } from './server-context.ts';

/**
 * What `fetch`, `connect` and `error` may return.
 *
 * ```ts
 * import type { ContextAnswer, ServerContext } from 'simplenet/http';
 *
 * function fetch(ctx: ServerContext): ContextAnswer {
 *   if (ctx.request.method === 'GET') return new Response('hello\n');
 *   ctx.deny();
 *   return undefined;
 * }
 * ```
 */
export type ContextAnswer = Response | undefined | PromiseLike<Response | undefined>;

/**
 * An object with the protocol marker, `[Symbol.for('wintertc.server.protocol')]: 1`.
 *
 * ```ts
 * import { type ContextApp, PROTOCOL_MARKER, serve } from 'simplenet/http';
 *
 * const app: ContextApp = {
 *   [PROTOCOL_MARKER]: 1,
 *   fetch: (ctx) => new Response(`hello ${ctx.remoteAddress.address}\n`),
 *   error: (_ctx, error) => new Response(String(error), { status: 500 }),
 * };
 * serve(app);
 * ```
 */
export interface ContextApp {
  /** 1 is the version that this server knows. `contextHandler`, and `serve` of simplenet/fetch, need none. */
  readonly [PROTOCOL_MARKER]?: number;
  fetch(context: ServerContext): ContextAnswer;
  /** Gets CONNECT and requests with Upgrade. Without it the first is 501, and the second an ordinary request. */
  connect?(context: ConnectContext): ContextAnswer;
  /** May answer when `fetch` or `connect` has failed. */
  error?(context: ServerContext, error: unknown): ContextAnswer;
}

/** What the connections must know about a handler of that kind. */
export interface ContextTraits {
  /** CONNECT reaches the handler. */
  readonly opensTunnels: boolean;
  /** The program sends `100 Continue` itself. */
  readonly continuesByHand: boolean;
}

const NO_TRAITS: ContextTraits = { opensTunnels: false, continuesByHand: false };

const traits = new WeakMap<Handler, ContextTraits>();

/** The traits of a handler that `contextHandler` has made, and the defaults for all others. */
export function traitsOf(handler: Handler): ContextTraits {
  return traits.get(handler) ?? NO_TRAITS;
}

/** Returns `outer`, which calls `inner`, with the traits of `inner`: a connection sees the outer one alone. */
export function keepTraits(inner: Handler, outer: Handler): Handler {
  const kept = traits.get(inner);
  if (kept !== undefined) traits.set(outer, kept);
  return outer;
}

const plainHost: ContextHost = {
  autoContinue: true,
  maxBodyBytes: Number.POSITIVE_INFINITY,
  tunnelIdleMs: Number.POSITIVE_INFINITY,
  refusal: null,
  limitReceive: null,
  waitUntil: (promise, request) => request.waitUntil(promise),
};

const CONTENT_TOO_LARGE = 413;
const INTERNAL_SERVER_ERROR = 500;
const BAD_GATEWAY = 502;

/**
 * Returns a Handler that calls the methods of the object with a context.
 *
 * ```ts
 * import { contextHandler, Router, type ServerContext } from 'simplenet/http';
 *
 * const app = { fetch: (ctx: ServerContext) => new Response(`you asked for ${ctx.request.url}\n`) };
 * new Router().all('/app/*', contextHandler(app));
 * ```
 */
export function contextHandler(app: ContextApp, host: ContextHost = plainHost): Handler {
  if (typeof app.fetch !== 'function') throw new TypeError('a handler object must have a function fetch');
  const connects = typeof app.connect === 'function';
  const handler: Handler = (request, response) => {
    const { refusal } = host;
    if (refusal !== null) return refuse({ response }, refusal === 'closing');
    if (host.maxBodyBytes < Number(request.headers.get('content-length') ?? 0)) throw bodyTooLarge(host.maxBodyBytes);
    const upgrade = connects ? upgradeOf(request, response) : null;
    const exchange = new ContextExchange(request, response, host, upgrade);
    const call = new Call(app, exchange, connects && (upgrade !== null || request.method === 'CONNECT'));
    return call.run();
  };
  traits.set(handler, { opensTunnels: connects, continuesByHand: !host.autoContinue });
  return handler;
}

/** The first protocol of the Upgrade field, if the connection can be upgraded. */
function upgradeOf(request: HttpRequest, response: ResponseWriter): string | null {
  const field = request.headers.get('upgrade');
  if (field === null || request.method === 'CONNECT') return null;
  const first = (field.split(',')[0] as string).trim();
  return isProtocol(first) && response.hasAskedFor(first) ? first : null;
}

/** One call of `fetch` or `connect`. */
class Call {
  readonly #app: ContextApp;
  readonly #exchange: ContextExchange;
  readonly #isConnect: boolean;
  readonly #context: ServerContext;

  constructor(app: ContextApp, exchange: ContextExchange, isConnect: boolean) {
    this.#app = app;
    this.#exchange = exchange;
    this.#isConnect = isConnect;
    this.#context = isConnect ? new ConnectContext(exchange) : new ServerContext(exchange);
  }

  run(): Promise<void> | undefined {
    let returned: unknown;
    let promise: Promise<unknown> | null;
    try {
      returned = this.#isConnect
        ? this.#app.connect?.(this.#context as ConnectContext)
        : this.#app.fetch(this.#context);
      promise = promiseOf<unknown>(returned);
    } catch (error) {
      return this.#failed(error);
    }
    if (promise === null) return this.#returned(returned);
    return promise.then(
      (value) => this.#returned(value),
      (error: unknown) => this.#failed(error),
    );
  }

  #returned(value: unknown): Promise<void> | undefined {
    const exchange = this.#exchange;
    if (this.#context.hasFallenThrough) {
      if (value !== undefined) return this.#failed(invalidReturn(value, 'after deny() has let the request go on'));
      exchange.upgrade = null; // the offer counts as ignored
      return new Call(this.#app, exchange, false).run();
    }
    if (value !== undefined) return this.#isSendable(value) ? this.#send(value) : this.#failed(invalidReturn(value));
    if (isResponseCapable(exchange.state)) {
      return this.#failed(invalidReturn(value, 'without deny() or accept()'));
    }
    return undefined;
  }

  /** RFC 9110 section 9.3.6: a client takes any 2xx to CONNECT for a tunnel. */
  #isSendable(value: unknown): value is Response {
    if (!isResponse(value) || !isUncommitted(this.#exchange)) return false;
    return this.#exchange.httpRequest.method !== 'CONNECT' || !value.ok;
  }

  async #sendAsync(sending: Promise<void>): Promise<void> {
    try {
      await sending;
    } catch (error) {
      this.#exchange.failure = error;
      throw error;
    }
  }

  #send(answer: Response): Promise<void> | undefined {
    const exchange = this.#exchange;
    exchange.take('respond');
    // The body of the response is cancelled with the reason that the draft names.
    const request = {
      method: exchange.httpRequest.method,
      get signal() {
        return exchange.signal;
      },
      get done() {
        return exchange.httpRequest.done;
      },
    };
    const sending = sendResponse(answer, request, exchange.response);
    return sending === null ? undefined : this.#sendAsync(sending);
  }

  /** The method threw, or returned what it must not. */
  #failed(error: unknown): Promise<void> | undefined {
    const exchange = this.#exchange;
    const { state, tunnel, response } = exchange;
    if (tunnel !== null) tunnel.destroy(error);
    if (!isResponseCapable(state)) {
      if (state !== 'aborted') response.fail(error); // it is too late for a response: this reports it
      return undefined;
    }
    if (typeof this.#app.error !== 'function') return this.#fallBack(error);
    let promise: Promise<unknown> | null;
    let returned: unknown;
    try {
      returned = this.#app.error(this.#context, error);
      promise = promiseOf<unknown>(returned);
    } catch (second) {
      return this.#fallBack(error, second);
    }
    if (promise === null) return this.#answered(error, returned);
    return promise.then(
      (value) => this.#answered(error, value),
      (second: unknown) => this.#fallBack(error, second),
    );
  }

  /** What `error` has returned. */
  #answered(error: unknown, value: unknown): Promise<void> | undefined {
    const { state } = this.#exchange;
    if (value === undefined) return isResponseCapable(state) ? this.#fallBack(error) : undefined;
    if (this.#isSendable(value)) return this.#send(value);
    return this.#fallBack(error, invalidReturn(value));
  }

  /** The default response. Throws it, so that it is reported and sent as all errors are. */
  #fallBack(error: unknown, second?: unknown): undefined {
    const { state, response } = this.#exchange;
    if (second !== undefined && isResponseCapable(state))
      void this.#exchange.httpRequest.waitUntil(Promise.reject(second));
    if (!isResponseCapable(state)) {
      if (state !== 'aborted') response.fail(second); // `error` has seen the first
      return undefined;
    }
    if (isProtocolError(error) && error.code === 'ERR_HTTP_CONTENT_TOO_LARGE') {
      throw new HttpError(CONTENT_TOO_LARGE, reasonOf(CONTENT_TOO_LARGE), { cause: error });
    }
    if (this.#isConnect) throw new HttpError(BAD_GATEWAY, reasonOf(BAD_GATEWAY), { cause: error });
    // The draft has no error that chooses its status: an HttpError is a failure like any other.
    throw error instanceof HttpError
      ? new HttpError(INTERNAL_SERVER_ERROR, reasonOf(INTERNAL_SERVER_ERROR), { cause: error })
      : error;
  }
}

/** The client may have gone, but if it has only ended its side, it still reads. */
function isUncommitted(exchange: ContextExchange): boolean {
  return exchange.state !== 'committed' && exchange.state !== 'denied';
}

function invalidReturn(value: unknown, when = ''): TypeError {
  const what = value === null ? 'null' : isResponse(value) ? 'a Response' : typeof value;
  const wanted = isResponse(value) ? ' where none can be sent' : ', not a Response';
  return new TypeError(`a method of the handler returned ${what}${when === '' ? wanted : ` ${when}`}`);
}
