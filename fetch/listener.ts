/**
 * Listener: one address that a server listens on, and the end of its connections.
 *
 * Behind it is a server of simplenet/http. Where that one is kinder than the draft, the draft is followed: while a listener closes, a
 * request on a connection that is kept alive is refused with 503.
 *
 * Next: server.ts
 */

import {
  type ContextApp,
  type ContextHost,
  contextHandler,
  type HttpRequest,
  type Server as HttpServer,
  serve as serveHttp,
} from '../http/index.ts';
import type { Binding } from './listen-options.ts';

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
  readonly family: 'IPv4' | 'IPv6';
}

/** What a listener asks of its server. */
export interface ListenerOwner {
  readonly busy: boolean;
  readonly autoContinue: boolean;
  waitUntil(promise: Promise<unknown>, request: HttpRequest, limitMs: number): void;
  /** The listener is closed. */
  forget(listener: Listener): void;
}

/**
 * One binding of a server. `server.listen` makes it.
 *
 * ```ts
 * import { type Listener, type ServerContext, serve } from 'simplenet/fetch';
 *
 * const server = serve({ fetch: (ctx: ServerContext) => new Response(ctx.request.url) });
 * const listener: Listener = await server.listen({ hostname: '127.0.0.1' });
 * console.log(listener.address.port);
 * await listener.close();
 * ```
 */
export class Listener {
  /** While true, requests get 503 and no handler is called. Their connections stay open. */
  busy = false;
  /** Where it listens, with the port that the kernel has chosen. */
  readonly address: SocketAddress;
  /** Resolves when all connections have ended; rejects if they were destroyed. */
  readonly closed: Promise<void>;
  readonly #http: HttpServer;
  readonly #owner: ListenerOwner;
  #isClosing = false;
  #isOver = false;
  #resolveClosed!: () => void;
  #rejectClosed!: (reason: unknown) => void;

  /** @internal Throws if it cannot listen. */
  constructor(app: ContextApp, binding: Binding, owner: ListenerOwner) {
    this.#owner = owner;
    this.#http = serveHttp(contextHandler(app, this.#hostOf(binding)), binding.http);
    this.address = addressOf(this.#http);
    this.closed = new Promise<void>((resolve, reject) => {
      this.#resolveClosed = resolve;
      this.#rejectClosed = reject;
    });
    this.closed.then(undefined, () => {}); // a program need not look at it
  }

  /** Stops with grace: responses under way are completed, for as long as they take. */
  close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      void this.#end(Number.POSITIVE_INFINITY);
    }
    return this.closed;
  }

  /** Ends all connections now. `closed` rejects with the error, or with an AbortError. */
  destroy(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#isClosing = true;
    this.#rejectClosed(error ?? new DOMException('the listener was destroyed', 'AbortError'));
    void this.#end(0);
  }

  /** As `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #end(graceMs: number): Promise<void> {
    await this.#http.close(graceMs === 0 ? { graceMs, idleGraceMs: 0 } : { graceMs });
    this.#owner.forget(this);
    if (this.#isOver) return;
    this.#isOver = true;
    this.#resolveClosed();
  }

  #hostOf({ maxBodyBytes, tunnelIdleMs, receiveMs, waitUntilMs }: Binding): ContextHost {
    const refusal = () => (this.#isClosing ? 'closing' : this.busy || this.#owner.busy ? 'busy' : null);
    const limitReceive = receiveMs === null || receiveMs === Number.POSITIVE_INFINITY ? null : alarmAfter(receiveMs);
    return {
      autoContinue: this.#owner.autoContinue,
      maxBodyBytes,
      tunnelIdleMs,
      get refusal() {
        return refusal();
      },
      limitReceive,
      waitUntil: (promise, request) => this.#owner.waitUntil(promise, request, waitUntilMs),
    };
  }
}

function alarmAfter(delayMs: number): (onLate: () => void) => () => void {
  return (onLate) => {
    const timer = setTimeout(onLate, delayMs);
    return () => clearTimeout(timer);
  };
}

function addressOf({ address }: HttpServer): SocketAddress {
  const { address: host, port } = address as Exclude<HttpServer['address'], { path: string }>;
  return { address: host, port, family: host.includes(':') ? 'IPv6' : 'IPv4' };
}
