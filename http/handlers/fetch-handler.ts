/**
 * fetchHandler: mounts a Fetch app, `(request: Request) => Response`, as a Handler. Hono, h3 and others are such apps.
 *
 * The app runs unchanged: its request is a `Request` (made lazily, see fetch-request.ts), and what it returns is sent as it is. Its errors are
 * those of every handler: 500 without details for the client, and a report for the log.
 *
 * Next: upgrade-web-socket.ts
 */

import type { Handler, HttpRequest } from '../handler.ts';
import { ClientGoneError } from '../http-error.ts';
import { markHandled, promiseOf } from '../promises.ts';
import type { Outcome } from '../request/http-request.ts';
import { FetchRequest, prepareFetch } from './fetch-request.ts';
import { isResponse, sendResponse } from './send-response.ts';

/**
 * The address of a client, as Deno gives it.
 *
 * ```ts
 * import { type FetchAddress, serve } from 'simplenet/http';
 *
 * const nameOf = (from: FetchAddress) => (from.transport === 'tcp' ? from.hostname : from.path);
 * serve({ fetch: (_request, info) => new Response(nameOf(info.remoteAddr)) });
 * ```
 */
export type FetchAddress =
  | { readonly transport: 'tcp'; readonly hostname: string; readonly port: number }
  | { readonly transport: 'unix'; readonly path: string };

/**
 * What a Fetch app gets beside the request, as its second argument (as in Deno and Bun) and as its third (as on Workers: Hono calls
 * it `c.executionCtx`).
 *
 * ```ts
 * import { type FetchInfo, serve } from 'simplenet/http';
 *
 * function fetch(_request: Request, info: FetchInfo): Response {
 *   info.waitUntil(info.completed.then(() => console.log('sent')));
 *   return new Response(`hello ${info.remoteAddr.transport}\n`);
 * }
 * serve({ fetch });
 * ```
 */
export class FetchInfo {
  /** The request of this server, for all that a `Request` lacks. */
  readonly request: HttpRequest;

  /** @internal */
  constructor(request: HttpRequest) {
    this.request = request;
  }

  /** As Deno.serve gives it. */
  get remoteAddr(): FetchAddress {
    const { request } = this;
    const port = request.remotePort;
    if (port === null) return { transport: 'unix', path: request.remoteAddress };
    return { transport: 'tcp', hostname: request.remoteAddress, port };
  }

  /** As `server.requestIP(request)` of Bun.serve. Null on a Unix socket. */
  requestIP(): { address: string; family: 'IPv4' | 'IPv6'; port: number } | null {
    const address = this.request.remoteAddress;
    const port = this.request.remotePort;
    return port === null ? null : { address, family: address.includes(':') ? 'IPv6' : 'IPv4', port };
  }

  /**
   * As Deno.serve gives it: resolves when the client has the whole response, and rejects if the client has left or the handler has failed.
   * Read it before the response begins.
   */
  get completed(): Promise<void> {
    const whenDone = ({ clientGone, error }: Outcome) => {
      if (error !== null) throw error;
      if (clientGone) throw new ClientGoneError();
    };
    return markHandled(this.request.done.then(whenDone));
  }

  /** Work that goes on after the response: see HttpRequest.waitUntil. */
  waitUntil(promise: PromiseLike<unknown>): void {
    this.request.waitUntil(promise);
  }
}

/**
 * A Fetch app: it takes a `Request` and returns a `Response`.
 *
 * ```ts
 * import { type FetchFunction, serve } from 'simplenet/http';
 *
 * const echo: FetchFunction = (request) => new Response(request.body);
 * serve({ fetch: echo });
 * ```
 */
export type FetchFunction = (request: Request, info: FetchInfo, context: FetchInfo) => Response | PromiseLike<Response>;

/**
 * What `fetchHandler` may do otherwise.
 *
 * ```ts
 * import { type FetchHandlerOptions, fetchHandler, serve } from 'simplenet/http';
 *
 * const plain: FetchHandlerOptions = { lazy: false };
 * serve(fetchHandler((request) => new Response(request.url), plain));
 * ```
 */
export interface FetchHandlerOptions {
  /**
   * False gives the app a `Request` of the platform, made for each request, and leaves `globalThis.Request` and `globalThis.fetch` alone.
   * The default is true.
   */
  readonly lazy?: boolean;
}

/**
 * Returns a Handler that calls the app.
 *
 * ```ts
 * import { fetchHandler, Router } from 'simplenet/http';
 *
 * const app = { fetch: (request: Request) => Response.json({ url: request.url }) };
 * new Router().all('/api/*', fetchHandler(app.fetch));
 * ```
 */
export function fetchHandler(fetch: FetchFunction, options: FetchHandlerOptions = {}): Handler {
  if (typeof fetch !== 'function') throw new TypeError(`fetchHandler() takes a function, not ${typeof fetch}`);
  const isLazy = options.lazy ?? true;
  if (isLazy) prepareFetch();
  return (request, response) => {
    const lazy = new FetchRequest(request, response);
    const info = new FetchInfo(request);
    const given = isLazy ? (lazy as unknown as Request) : lazy.toRequest();
    const returned: unknown = fetch(given, info, info);
    if (isResponse(returned)) return sendResponse(returned, request, response) ?? undefined;
    const promise = promiseOf<unknown>(returned);
    if (promise === null) throw notAResponse(returned);
    return promise.then((answer) => {
      if (!isResponse(answer)) throw notAResponse(answer);
      return sendResponse(answer, request, response) ?? undefined;
    });
  };
}

function notAResponse(value: unknown): TypeError {
  return new TypeError(`fetch() of the app must return a Response, not ${value === null ? 'null' : typeof value}`);
}
