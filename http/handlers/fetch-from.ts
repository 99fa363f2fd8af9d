/**
 * fetchFrom: answers a `Request` of Fetch with a Handler, without a socket. `router.fetch` is made of it.
 *
 * The body of the request is read when the handler reads it. A response in pieces is a stream, which the caller reads at its own pace: a
 * handler that awaits its writes writes no faster. If the caller cancels the stream, or aborts the signal of its request, the handler
 * learns that its client has left.
 *
 * Next: inject.ts
 */

import type { HttpRequest } from '../handler.ts';
import type { HeaderList } from '../request/header-list.ts';
import { hasNoBody } from '../status.ts';
import type { HandlerSource } from './handler-source.ts';
import { MemoryExchange, type MemoryRequest } from './memory-exchange.ts';
import type { MemoryClient } from './memory-output.ts';

/** Fields that frame a message on a connection. The caller has none. */
const FRAMING_FIELDS: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding']);

/** Pieces that wait for the caller, in bytes: above it the handler waits. */
const MAX_WAITING_BYTES = 65_536;

const RESET_CONTENT = 205;

class FetchClient implements MemoryClient {
  readonly #resolve: (answer: Response) => void;
  readonly #reject: (error: Error) => void;
  readonly #onPull: () => void;
  readonly #onCancel: () => void;
  #answer!: (body: Uint8Array | ReadableStream | null) => Response;
  #whole: Uint8Array[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;

  constructor(
    resolve: (answer: Response) => void,
    reject: (error: Error) => void,
    onPull: () => void,
    onCancel: () => void,
  ) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#onPull = onPull;
    this.#onCancel = onCancel;
  }

  /** A `Response` cannot say it. */
  informational(): void {}

  head(status: number, reason: string, headers: HeaderList, isStream: boolean): void {
    const fields: [string, string][] = [];
    for (const [name, value] of headers) if (!FRAMING_FIELDS.has(name.toLowerCase())) fields.push([name, value]);
    const init = { status, statusText: reason, headers: fields };
    const isBodiless = hasNoBody(status) || status === RESET_CONTENT;
    this.#answer = (body) => new Response(isBodiless ? null : body, init);
    if (isStream && !isBodiless) this.#beginStream();
  }

  get waitingBytes(): number {
    return this.#controller === null ? 0 : MAX_WAITING_BYTES - (this.#controller.desiredSize as number);
  }

  piece(bytes: Uint8Array): boolean {
    if (this.#controller === null) {
      this.#whole.push(bytes);
      return true;
    }
    this.#controller.enqueue(bytes);
    return (this.#controller.desiredSize as number) > 0; // null only for a stream that has failed
  }

  end(): void {
    if (this.#controller !== null) this.#controller.close();
    else this.#resolve(this.#answer(this.#whole.length === 0 ? null : Buffer.concat(this.#whole)));
  }

  broken(error: Error): void {
    if (this.#controller === null) this.#reject(error);
    else this.#controller.error(error);
  }

  report(error: unknown, _request: HttpRequest): void {
    console.error(error);
  }

  #beginStream(): void {
    const strategy = { highWaterMark: MAX_WAITING_BYTES, size: (bytes: Uint8Array) => bytes.byteLength };
    const start = (controller: ReadableStreamDefaultController<Uint8Array>) => {
      this.#controller = controller;
    };
    const body = new ReadableStream({ start, pull: this.#onPull, cancel: this.#onCancel }, strategy);
    this.#resolve(this.#answer(body));
  }
}

/** Rejects only for a Request that cannot be sent. An error of the handler is a 500, as on a connection. */
export function fetchFrom(site: HandlerSource, request: Request): Promise<Response> {
  return new Promise((resolve, reject) => {
    const client = new FetchClient(
      resolve,
      reject,
      () => exchange.resumeWriters(),
      () => exchange.leave(),
    );
    const asked = memoryRequestOf(request);
    const exchange = new MemoryExchange(asked, client);
    request.signal.addEventListener('abort', () => exchange.leave(), { once: true });
    exchange.run(asked, site);
  });
}

function memoryRequestOf(request: Request): MemoryRequest {
  const { protocol, host, pathname, search } = new URL(request.url);
  const fields: [string, string][] = [['Host', host]];
  for (const [name, value] of request.headers) {
    if (name !== 'host' && !FRAMING_FIELDS.has(name)) fields.push([name, value]);
  }
  const body = request.body as AsyncIterable<Uint8Array> | null;
  if (body !== null && !request.headers.has('content-length')) fields.push(['Transfer-Encoding', 'chunked']);
  return {
    method: request.method,
    target: pathname + search,
    fields,
    body,
    remoteAddress: LOOPBACK,
    scheme: schemeOf(protocol),
  };
}

export const LOOPBACK = { address: '127.0.0.1', port: 0 };

/** The scheme of a URL of the caller, `https:` or another one. */
export function schemeOf(protocol: string): string {
  return protocol === 'https:' ? 'https' : 'http';
}
