/**
 * FetchRequest: a request as the `Request` of Fetch, of which only that is made which the app reads.
 *
 * A `Request` of the platform costs more than a whole answer of this server. So method and URL are fields, headers and signal are made when
 * they are first read, and `text`, `json`, `bytes`, `arrayBuffer` and `blob` read the body without a stream. A true `Request` is made
 * for `clone` and wherever one is asked for. `instanceof Request` holds, because the prototype is that of `Request`.
 *
 * The constructor of `Request`, and `fetch`, look into their argument, where nothing can be overridden. So `prepareFetch`
 * puts a proxy before both (globalThis.Request and globalThis.fetch). The proxies hand over a true `Request` for a FetchRequest, and pass
 * on everything else as it is. Code that has kept the original `Request` or `fetch` cannot take a FetchRequest;
 * `fetchHandler(fetch, { lazy: false })` gives it a true one and leaves the globals alone.
 *
 * Next: fast-response.ts
 */

import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import type { HttpRequest, ResponseWriter } from '../handler.ts';
import { HttpError } from '../http-error.ts';
import { markHandled } from '../promises.ts';
import { RequestBody } from '../request/request-body.ts';
import { FetchHeaders } from './fetch-headers.ts';
import { fetchUrlOf } from './fetch-url.ts';

const NOTHING = new Uint8Array(0);
const decoder = new TextDecoder();

export class FetchRequest {
  readonly method: string;
  readonly url: string;
  readonly #request: HttpRequest;
  readonly #response: ResponseWriter;
  #headers: FetchHeaders | null = null;
  #stream: ReadableStream<Uint8Array> | null = null;
  #isTaken = false;
  #native: Request | null = null;

  /** Throws HttpError for a request that Fetch cannot represent. */
  constructor(request: HttpRequest, response: ResponseWriter) {
    this.method = fetchMethodOf(request.method);
    this.url = fetchUrlOf(request);
    this.#request = request;
    this.#response = response;
  }

  /** What stands behind a request of an app; null for a Request that is not ours. */
  static exchangeOf(value: unknown): { readonly request: HttpRequest; readonly response: ResponseWriter } | null {
    return FetchRequest.is(value) ? { request: value.#request, response: value.#response } : null;
  }

  static is(value: unknown): value is FetchRequest {
    return typeof value === 'object' && value !== null && #native in value;
  }

  get headers(): FetchHeaders {
    this.#headers ??= new FetchHeaders(this.#request.headers);
    return this.#headers;
  }

  get signal(): AbortSignal {
    return this.#request.signal;
  }

  /** The address of the client: what h3 and srvx call it. */
  get ip(): string {
    return this.#request.remoteAddress;
  }

  /** As h3 and srvx call it: see HttpRequest.waitUntil. */
  waitUntil(promise: PromiseLike<unknown>): void {
    this.#request.waitUntil(promise);
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (!this.#hasBody) return null;
    if (this.#native !== null) return this.#native.body as ReadableStream<Uint8Array> | null; // `clone` gives it another stream
    this.#stream ??= this.#isTaken ? closedStream() : streamOf(this.#request.body);
    return this.#stream;
  }

  get bodyUsed(): boolean {
    if (this.#native !== null) return this.#native.bodyUsed;
    return this.#isTaken || (this.#stream !== null && Readable.isDisturbed(this.#stream as unknown as Readable));
  }

  text(): Promise<string> {
    return this.#read((bytes) => decoder.decode(bytes));
  }

  json(): Promise<unknown> {
    return this.#read((bytes) => JSON.parse(decoder.decode(bytes)) as unknown);
  }

  bytes(): Promise<Uint8Array> {
    return this.#read(ownBytes);
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#read((bytes) => ownBytes(bytes).buffer);
  }

  blob(): Promise<Blob> {
    return this.#read((bytes) => new Blob([ownBytes(bytes)], { type: this.headers.get('content-type') ?? '' }));
  }

  formData(): Promise<FormData> {
    return markHandled(this.#takeForm());
  }

  clone(): Request {
    return this.toRequest().clone();
  }

  /** Returns a true Request with the same body. Throws a TypeError if the body has been used and the Request needs it. */
  toRequest(withBody = true): Request {
    if (this.#native !== null) return this.#native;
    const init = { method: this.method, headers: this.headers.native, signal: this.signal };
    if (!withBody || !this.#hasBody) return new Request(this.url, init);
    this.#mustBeUsable();
    this.#native = new Request(this.url, { ...init, body: this.body, duplex: 'half' });
    return this.#native;
  }

  [inspect.custom](depth: number, options: object): string {
    const { method, url, headers, bodyUsed } = this;
    return `Request ${inspect({ method, url, headers, bodyUsed }, { ...options, depth })}`;
  }

  /** GET and HEAD have no body in Fetch, whatever the client sends. */
  get #hasBody(): boolean {
    return this.method !== 'GET' && this.method !== 'HEAD' && this.#request.body !== RequestBody.none;
  }

  #mustBeUsable(): void {
    const isLocked = this.#stream?.locked === true;
    if (this.bodyUsed || isLocked)
      throw new TypeError(`Body is unusable: it ${isLocked ? 'is locked' : 'has been read'}`);
  }

  #read<T>(convert: (bytes: Uint8Array) => T | Promise<T>): Promise<T> {
    return markHandled(this.#takeBytes().then(convert));
  }

  async #takeForm(): Promise<FormData> {
    if (this.#native !== null) return (await this.#native.formData()) as FormData;
    this.#mustBeUsable();
    if (this.#stream !== null) {
      const headers = { 'Content-Type': this.headers.get('content-type') ?? '' };
      return (await new Response(this.#stream, { headers }).formData()) as FormData;
    }
    this.#isTaken = this.#hasBody;
    return this.#request.formData();
  }

  async #takeBytes(): Promise<Uint8Array> {
    if (!this.#hasBody) return NOTHING;
    if (this.#native !== null) return new Uint8Array(await this.#native.arrayBuffer());
    this.#mustBeUsable();
    if (this.#stream !== null) return new Uint8Array(await new Response(this.#stream).arrayBuffer());
    this.#isTaken = true;
    return this.#request.bytes();
  }
}

/** What a Request that a server gets says about all that only a client decides. */
const constants = {
  cache: 'default',
  credentials: 'same-origin',
  destination: '',
  duplex: 'half',
  integrity: '',
  isHistoryNavigation: false,
  isReloadNavigation: false,
  keepalive: false,
  mode: 'cors',
  redirect: 'follow',
  referrer: 'about:client',
  referrerPolicy: '',
};

let isPrepared = false;

/** Loads Fetch, which the platform loads when it is first used. So it is called when a Fetch app comes, and not before. */
export function prepareFetch(): void {
  if (isPrepared) return;
  isPrepared = true;
  for (const [name, value] of Object.entries(constants)) Object.defineProperty(FetchRequest.prototype, name, { value });
  Object.setPrototypeOf(FetchRequest.prototype, Request.prototype);
  Object.setPrototypeOf(FetchHeaders.prototype, Headers.prototype);
  globalThis.Request = new Proxy(Request, {
    construct: (target, [input, init, ...rest], newTarget) =>
      Reflect.construct(target, [trueRequest(input, init), init, ...rest], newTarget) as Request,
  });
  globalThis.fetch = new Proxy(fetch, {
    apply: (target, self, [input, init, ...rest]) =>
      Reflect.apply(target, self, [trueRequest(input, init), init, ...rest]),
  });
}

/** An `init` with a body replaces that of the request, which may have been used then. */
function trueRequest(input: unknown, init: unknown): unknown {
  if (!FetchRequest.is(input)) return input;
  const replacesBody = typeof init === 'object' && init !== null && 'body' in init && (init.body ?? null) !== null;
  return input.toRequest(!replacesBody);
}

/** RFC 9110 section 9.1: methods are case-sensitive. The Fetch standard knows these in any case, and no others. */
const KNOWN_METHODS = /^(?:DELETE|GET|HEAD|OPTIONS|POST|PUT)$/i;

/** Methods that a Request cannot have. */
const FORBIDDEN_METHODS = /^(?:CONNECT|TRACE|TRACK)$/i;

function fetchMethodOf(method: string): string {
  if (method === 'GET' || method === 'POST') return method;
  if (FORBIDDEN_METHODS.test(method)) throw new HttpError(501, 'Not Implemented');
  return KNOWN_METHODS.test(method) ? method.toUpperCase() : method;
}

/** Each piece is read when the app asks for it, so a client sends no faster than the app reads. */
function streamOf(body: RequestBody): ReadableStream<Uint8Array> {
  const pieces = body[Symbol.asyncIterator]();
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    const { done, value } = await pieces.next();
    if (done === true) controller.close();
    else controller.enqueue(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  };
  const cancel = (reason: unknown) => body.cancel(reason instanceof Error ? reason : undefined);
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}

function closedStream(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.close() });
}

/** The bytes in memory of their own: an app may change or transfer it. */
function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}
