/**
 * inject: asks a handler, a router or a Fetch app for an answer, without a socket and without a port. For tests.
 *
 * The request passes through the parser and the response through the writer, so what a test sees is what a client would see, without
 * Date and without what a connection adds.
 *
 * Next: open-files.ts
 */

import type { HttpRequest } from '../handler.ts';
import { HeaderList } from '../request/header-list.ts';
import type { ContextApp } from './context-handler.ts';
import { LOOPBACK, schemeOf } from './fetch-from.ts';
import type { HandlerSource } from './handler-source.ts';
import { MemoryExchange } from './memory-exchange.ts';
import type { MemoryClient } from './memory-output.ts';

/**
 * What `inject` asks.
 *
 * ```ts
 * import { type InjectOptions, inject, Router } from 'simplenet/http';
 *
 * const asAda: InjectOptions = { url: '/me', headers: { Authorization: 'Bearer ada' } };
 * await inject(new Router(), asAda);
 * ```
 */
export interface InjectOptions {
  /** The default is GET, and POST with a body. */
  readonly method?: string;
  /** A path with its query, sent as it is, or an absolute URL, whose host becomes Host. The default is `/`. */
  readonly url?: string;
  readonly headers?: Readonly<Record<string, string>> | Iterable<readonly [name: string, value: string]>;
  /** Text, bytes, a form or a stream, as `fetch` takes them; any other object and an array are sent as JSON. */
  readonly body?: unknown;
  /** The address that the handler sees; the default is 127.0.0.1. */
  readonly remoteAddress?: string;
  /** Called with each error that is a 500 for the client, or broke its response off. The default writes it to standard error. */
  readonly onError?: (error: unknown, request: HttpRequest) => void;
}

interface Informational {
  readonly status: number;
  readonly headers: HeaderList;
}

type InjectedHead = Pick<InjectedAnswer, 'informational' | 'status' | 'statusText' | 'headers' | 'trailers'>;

/**
 * A whole answer: what `inject` resolves with.
 *
 * ```ts
 * import { type InjectedAnswer, inject, Router } from 'simplenet/http';
 *
 * const answer: InjectedAnswer = await inject(new Router(), '/nowhere');
 * console.log(answer.status, answer.headers.get('content-type'), answer.text());
 * ```
 */
export class InjectedAnswer {
  /** Informational responses that came before, such as 103. */
  readonly informational: readonly Informational[];
  /** The status of the final response. */
  readonly status: number;
  /** The reason phrase. */
  readonly statusText: string;
  /** The fields of the head. */
  readonly headers: HeaderList;
  /** Fields after a body in pieces. */
  readonly trailers: HeaderList;
  readonly #body: Buffer;

  /** @internal */
  constructor(head: InjectedHead, body: Buffer) {
    this.informational = head.informational;
    this.status = head.status;
    this.statusText = head.statusText;
    this.headers = head.headers;
    this.trailers = head.trailers;
    this.#body = body;
  }

  /** The whole body. */
  bytes(): Buffer {
    return this.#body;
  }

  /** The body as UTF-8 text. */
  text(): string {
    return this.#body.toString();
  }

  /** Throws a SyntaxError that shows the body, if it is not JSON. */
  json(): unknown {
    try {
      return JSON.parse(this.text());
    } catch (cause) {
      throw new SyntaxError(`the body is not JSON: ${this.text().slice(0, MAX_SHOWN_LENGTH)}`, { cause });
    }
  }
}

const MAX_SHOWN_LENGTH = 200;

/**
 * A path that a client can send as it is: `new URL` would resolve `/../a`, drop a `?` at the end, and take `//a` for a host. Other paths are
 * encoded as a browser does it.
 */
const TARGET = /^\/[\x21\x22\x24-\x7e]*$/;

class Gatherer implements MemoryClient {
  readonly #resolve: (answer: InjectedAnswer) => void;
  readonly broken: (error: Error) => void;
  readonly report: (error: unknown, request: HttpRequest) => void;
  #status = 0;
  #reason = '';
  #headers = HeaderList.empty;
  readonly #informational: Informational[] = [];
  readonly #pieces: Buffer[] = [];
  /** All is taken at once. */
  readonly waitingBytes = 0;

  constructor(
    resolve: (answer: InjectedAnswer) => void,
    reject: (error: Error) => void,
    report: (error: unknown, request: HttpRequest) => void,
  ) {
    this.#resolve = resolve;
    this.broken = reject;
    this.report = report;
  }

  informational(status: number, headers: HeaderList): void {
    this.#informational.push({ status, headers });
  }

  head(status: number, reason: string, headers: HeaderList): void {
    this.#status = status;
    this.#reason = reason;
    this.#headers = headers;
  }

  piece(bytes: Uint8Array): boolean {
    this.#pieces.push(Buffer.from(bytes)); // a copy: a handler may use its buffer again after it has awaited `write`
    return true;
  }

  end(trailers: HeaderList): void {
    const informational = this.#informational;
    const head = { informational, status: this.#status, statusText: this.#reason, headers: this.#headers, trailers };
    this.#resolve(new InjectedAnswer(head, Buffer.concat(this.#pieces)));
  }
}

/**
 * Resolves with the answer. Rejects if the response is broken off, and for a request that cannot be sent.
 *
 * ```ts
 * import { inject, Router } from 'simplenet/http';
 *
 * const router = new Router();
 * router.post('/users', async (request, response) => response.status(201).json(await request.json()));
 * const answer = await inject(router, { method: 'POST', url: '/users', body: { name: 'Ada' } });
 * console.log(answer.status, answer.json());
 * ```
 */
export async function inject(
  site: HandlerSource | ContextApp,
  options: InjectOptions | string = {},
): Promise<InjectedAnswer> {
  const given = typeof options === 'string' ? { url: options } : options;
  const { body, type, length } = await encode(given.body);
  const url = given.url ?? '/';
  const isTarget = TARGET.test(url);
  const { protocol, host, pathname, search } = new URL(isTarget ? '/' : url, 'http://localhost');
  const fields: [string, string][] = [];
  for (const [name, value] of entriesOf(given.headers ?? {})) fields.push([name, String(value)]);
  const isMissing = (name: string) => !fields.some(([each]) => each.toLowerCase() === name);
  if (isMissing('host')) fields.unshift(['Host', host]);
  if (type !== null && isMissing('content-type')) fields.push(['Content-Type', type]);
  if (body !== null && isMissing('content-length')) {
    fields.push(length === null ? ['Transfer-Encoding', 'chunked'] : ['Content-Length', String(length)]);
  }
  const address = given.remoteAddress ?? LOOPBACK.address;
  const asked = {
    method: given.method ?? (body === null ? 'GET' : 'POST'),
    target: isTarget ? url : pathname + search,
    fields,
    body,
    remoteAddress: { address, port: LOOPBACK.port },
    scheme: schemeOf(protocol),
  };
  return new Promise((resolve, reject) => {
    const client = new Gatherer(resolve, reject, given.onError ?? ((error) => console.error(error)));
    new MemoryExchange(asked, client).run(asked, site);
  });
}

interface EncodedBody {
  readonly body: AsyncIterable<Uint8Array> | null;
  readonly type: string | null;
  /** Null if it is not known. */
  readonly length: number | null;
}

/** A Response of the platform knows how each kind of body is written, and its Content-Type. */
async function encode(body: unknown): Promise<EncodedBody> {
  if (body === undefined || body === null) return { body: null, type: null, length: null };
  if (isAsyncIterable(body)) return { body, type: null, length: null };
  const isJson = !isFetchBody(body);
  const encoded = new Response(isJson ? JSON.stringify(body) : (body as string));
  const bytes = new Uint8Array(await encoded.arrayBuffer());
  const type = isJson ? 'application/json' : encoded.headers.get('content-type');
  return { body: onePiece(bytes), type, length: bytes.byteLength };
}

async function* onePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
  /* c8 ignore next -- nobody asks it for more, because its length is declared. */
}

function isAsyncIterable(value: unknown): value is AsyncIterable<Uint8Array> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

function isFetchBody(value: unknown): boolean {
  const isKnown = [URLSearchParams, FormData, Blob, ArrayBuffer].some((kind) => value instanceof kind);
  return typeof value === 'string' || isKnown || ArrayBuffer.isView(value);
}

function entriesOf(headers: NonNullable<InjectOptions['headers']>): Iterable<readonly [string, string]> {
  return Symbol.iterator in headers ? headers : Object.entries(headers);
}
