/**
 * trueRequestOf: the `Request` of the platform for a request of this server. Nothing of it is ours but what the draft asks for.
 *
 * It costs more than a whole answer, so a context makes it when the program first reads `ctx.request`. The platform cannot make a Request
 * with the methods CONNECT and TRACE, nor one with trailers: both are own properties of the object then.
 *
 * Next: context-exchange.ts
 */

import { tokensOf } from '../grammar.ts';
import type { HttpRequest } from '../handler.ts';
import { markHandled } from '../promises.ts';
import { RequestBody } from '../request/request-body.ts';
import { fetchUrlOf } from './fetch-url.ts';

/** What reads the body, for a Request. */
export interface BodyPuller {
  /** Returns the next piece, or null at the end. */
  pull(): Promise<Uint8Array | null>;
  cancel(): void;
}

/** RFC 9110 section 7.6.1. Upgrade stays, because the draft says that a handler sees it. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'transfer-encoding'],
]);

/** Methods that the constructor of Request refuses. */
const FORBIDDEN_METHODS = /^(?:CONNECT|TRACE|TRACK)$/i;

export function trueRequestOf(request: HttpRequest, signal: AbortSignal, puller: BodyPuller): Request {
  const { method } = request;
  const isForbidden = FORBIDDEN_METHODS.test(method);
  const url = method === 'CONNECT' ? `${request.scheme}://${request.authority}/` : fetchUrlOf(request);
  const init = { method: isForbidden ? 'POST' : method, headers: headersOf(request), signal };
  // GET and HEAD have no body in Fetch, whatever the client sends.
  const isBodiless = method === 'GET' || method === 'HEAD' || request.body === RequestBody.none;
  let finished: (() => void) | null = null;
  let failed: ((error: unknown) => void) | null = null;
  const onEnd = (error: unknown) => (error === null ? finished?.() : failed?.(error));
  const body = isBodiless ? null : streamOf(puller, onEnd);
  const made = new Request(url, body === null ? init : { ...init, body, duplex: 'half' });
  if (isForbidden) Object.defineProperty(made, 'method', { value: method, enumerable: true });
  /* c8 ignore next -- a platform that has them. */
  if ('trailers' in made) return made;
  const trailers = new Promise<void>((resolve, reject) => {
    finished = resolve;
    failed = reject;
    if (body === null) resolve();
  }).then(() => headersFrom(request.trailers));
  return Object.defineProperty(made, 'trailers', { value: markHandled(trailers), enumerable: true });
}

function headersFrom(list: Iterable<readonly [string, string]>): Headers {
  const headers = new Headers();
  for (const [name, value] of list) headers.append(name, value);
  return headers;
}

function headersOf(request: HttpRequest): Headers {
  const named = new Set(tokensOf(request.headers.get('connection') ?? ''));
  named.delete('upgrade');
  const headers = new Headers();
  for (const [name, value] of request.headers) {
    const lower = name.toLowerCase();
    if (!HOP_BY_HOP.has(lower) && !named.has(lower)) headers.append(name, value);
  }
  return headers;
}

/** Each piece is read when the program asks for it, so a client sends no faster than the program reads. */
function streamOf(puller: BodyPuller, onEnd: (error: unknown) => void): ReadableStream<Uint8Array> {
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    try {
      const piece = await puller.pull();
      if (piece !== null) {
        controller.enqueue(piece);
        return;
      }
      onEnd(null);
      controller.close();
    } catch (error) {
      onEnd(error);
      throw error;
    }
  };
  const cancel = (reason: unknown) => {
    onEnd(reason ?? new TypeError('the body was cancelled'));
    puller.cancel();
  };
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}
