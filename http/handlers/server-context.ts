/**
 * ServerContext: what `fetch(ctx)` of a marked handler gets: the `Request`, and all that a `Request` lacks.
 *
 * Next: connect-context.ts
 */

import { parsePriority, type RequestPriority } from '../content/request-priority.ts';
import type { HttpRequest } from '../handler.ts';
import type { ContextExchange, FieldsInit } from './context-exchange.ts';
import { invalidState } from './exchange-state.ts';
import { FALL_THROUGH } from './fetch-server-draft.ts';
import { deniedCodeOf } from './protocol-error.ts';

/**
 * The end of a connection. On a Unix socket there is none: the address is '' and the port 0.
 *
 * ```ts
 * import type { ContextAddress, ServerContext } from 'simplenet/http';
 *
 * const nameOf = ({ address, port }: ContextAddress) => (port === 0 ? 'a Unix socket' : `${address} port ${port}`);
 * const app = { fetch: (ctx: ServerContext) => new Response(nameOf(ctx.remoteAddress)) };
 * ```
 */
export interface ContextAddress {
  readonly address: string;
  readonly port: number;
  readonly family?: 'IPv4' | 'IPv6';
}

const NO_ADDRESS: ContextAddress = Object.freeze({ address: '', port: 0 });

const SERVICE_UNAVAILABLE = 503;

/**
 * The environment of one exchange.
 *
 * ```ts
 * import { PROTOCOL_MARKER, type ServerContext, serve } from 'simplenet/http';
 *
 * serve({
 *   [PROTOCOL_MARKER]: 1,
 *   fetch: (ctx: ServerContext) => new Response(`hello ${ctx.remoteAddress.address}\n`),
 * });
 * ```
 */
export class ServerContext {
  /** Called when the client changes the priority: never, because HTTP/1.1 has no such frame. */
  onpriority: ((priority: RequestPriority) => void) | null = null;
  /** Kept and not used: a connection of HTTP/1.1 sends its responses one after the other. */
  serverPriority: RequestPriority | null = null;
  readonly #exchange: ContextExchange;
  #priority: RequestPriority | null = null;
  #hasFallenThrough = false;

  /** The server makes one for each request. */
  constructor(exchange: ContextExchange) {
    this.#exchange = exchange;
  }

  /** A `Request` of the platform, made when it is first read. */
  get request(): Request {
    return this.#exchange.request;
  }

  /** The address from which the client has connected. */
  get remoteAddress(): ContextAddress {
    const { httpRequest } = this.#exchange;
    return addressOf(httpRequest.remoteAddress, httpRequest.remotePort);
  }

  /** The address at which the client has connected. Read it before any `await`: it is not known after a disconnect. */
  get localAddress(): ContextAddress {
    return localAddressOf(this.#exchange.httpRequest);
  }

  /** The protocol of the connection: always `http/1.1`. */
  get alpnProtocol(): string {
    return 'http/1.1';
  }

  /** Whether the connection uses TLS. */
  get encrypted(): boolean {
    return this.#exchange.httpRequest.scheme === 'https';
  }

  /** The name that the client has given in TLS; null if it gave none. Read it before any `await`: after a disconnect it is null. */
  get serverName(): string | null {
    return this.#exchange.httpRequest.tls?.serverName ?? null;
  }

  /** What the Priority field says (RFC 9218). */
  get clientPriority(): RequestPriority {
    this.#priority ??= parsePriority(this.#exchange.httpRequest.headers.get('priority'));
    return this.#priority;
  }

  /** Whether `100 Continue` is sent when the body is first read; otherwise `sendInformational(100)` must do so. */
  get autoContinue(): boolean {
    return this.#exchange.host.autoContinue;
  }

  /** Sends a response such as 103 before the final one. */
  sendInformational(status: number, headers?: FieldsInit): void {
    this.#exchange.sendInformational(status, headers);
  }

  /**
   * Declines the request: it was not processed, and the client may try again. The client gets 503, or only the end of the connection, if
   * `error.code` says that something may have been done. Return undefined afterwards.
   */
  deny(error?: unknown): void {
    const exchange = this.#exchange;
    this.mustNotHaveFallenThrough();
    if (error === FALL_THROUGH) {
      if (!exchange.check('fall through')) return;
      if (exchange.upgrade === null) throw invalidState('only a request with Upgrade can go on to fetch()');
      this.#hasFallenThrough = true;
      return;
    }
    if (!exchange.take('deny')) return;
    const code = deniedCodeOf(error);
    if (code === 'ERR_HTTP_REQUEST_REJECTED' || code === 'ERR_HTTP_GOAWAY') refuse(exchange, true);
    else exchange.response.breakOff();
  }

  /** Resolves when the response has been given to the kernel; rejects if the client left before, or something took too long. */
  get completed(): Promise<void> {
    return this.#exchange.completed;
  }

  /** Work that goes on after the response. `close` of the server waits for it. */
  waitUntil(promise: PromiseLike<unknown>): void {
    this.#exchange.host.waitUntil(Promise.resolve(promise), this.#exchange.httpRequest);
  }

  /** @internal */
  get hasFallenThrough(): boolean {
    return this.#hasFallenThrough;
  }

  /** @internal */
  mustNotHaveFallenThrough(): void {
    if (this.#hasFallenThrough) throw invalidState('the request goes on to fetch()');
  }
}

/** Answers with 503, as `deny` does in HTTP/1.1. */
export function refuse({ response }: Pick<ContextExchange, 'response'>, isLast: boolean): void {
  response.status(SERVICE_UNAVAILABLE).header('Retry-After', '1');
  if (isLast) response.header('Connection', 'close');
  response.text('Service Unavailable\n');
}

function localAddressOf(request: HttpRequest): ContextAddress {
  try {
    return addressOf(request.localAddress, request.localPort);
  } catch {
    return NO_ADDRESS; // the connection is closed
  }
}

function addressOf(address: string, port: number | null): ContextAddress {
  return port === null ? NO_ADDRESS : { address, port, family: address.includes(':') ? 'IPv6' : 'IPv4' };
}
