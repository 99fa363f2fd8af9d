/**
 * HttpRequest: a request, for the handler.
 *
 * The query, the headers and the signal are made when they are first read. They stay valid as long as the program holds the request,
 * also after the response.
 *
 * Next: ../response/date-field.ts
 */

import type { PeerCredentials, SocketAddress } from '../../simplenet/index.ts';
import { HeaderList } from './header-list.ts';
import type { RequestBody } from './request-body.ts';
import type { RequestHead } from './request-head.ts';

/** What a request asks of the exchange that it belongs to. */
export interface RequestOrigin {
  readonly remoteAddress: SocketAddress;
  readonly peerCredentials: PeerCredentials | null;
  createSignal(): AbortSignal;
  waitUntil(promise: PromiseLike<unknown>): void;
}

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({});

export class HttpRequest<Params = Readonly<Record<string, string>>> {
  readonly method: string;
  /** The path of the target as it was received, still percent-encoded: it begins with `/`, or is the `*` of `OPTIONS *`. */
  readonly path: string;
  /** The parts of the path that match the parameters of the route, decoded. Set by the router. */
  params: Params = NO_PARAMS as Params;
  /** The body as an async iterable of buffers; empty for a request without one. */
  readonly body: RequestBody;

  readonly #head: RequestHead;
  readonly #origin: RequestOrigin;
  #headers: HeaderList | null = null;
  #query: URLSearchParams | null = null;
  #signal: AbortSignal | null = null;

  constructor(head: RequestHead, body: RequestBody, origin: RequestOrigin) {
    this.method = head.method;
    this.path = head.path;
    this.body = body;
    this.#head = head;
    this.#origin = origin;
  }

  /** The target as it was received. */
  get target(): string {
    return this.#head.target;
  }

  /** '1.1' or '1.0'. */
  get httpVersion(): string {
    return this.#head.minorVersion === 0 ? '1.0' : '1.1';
  }

  /** The host of the request, with its port (`example.org:8080`): from an absolute target, else from Host. */
  get authority(): string {
    return this.#head.authority;
  }

  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(`?${this.#head.search}`);
    return this.#query;
  }

  get headers(): HeaderList {
    const { text, fieldsAt, isAbsolute, authority } = this.#head;
    this.#headers ??= new HeaderList(text, fieldsAt, isAbsolute ? authority : null);
    return this.#headers;
  }

  /** Fields after a chunked body. Empty until the body has been read. They are never merged into `headers`. */
  get trailers(): HeaderList {
    return this.body.trailers ?? HeaderList.empty;
  }

  /** The client's address, or the path of its Unix socket. */
  get remoteAddress(): string {
    const address = this.#origin.remoteAddress;
    return 'path' in address ? address.path : address.address;
  }

  /** The client's port; null for a Unix socket. */
  get remotePort(): number | null {
    const address = this.#origin.remoteAddress;
    return 'path' in address ? null : address.port;
  }

  /** The client's process, if it is connected over a Unix socket. Read it before any `await`: reading it after a disconnect throws. */
  get peerCredentials(): PeerCredentials | null {
    return this.#origin.peerCredentials;
  }

  /**
   * Aborted if the connection closes before the response is complete, and never otherwise: a client that only ends its own side still
   * reads. The listeners run in the async context in which the signal was first read.
   */
  get signal(): AbortSignal {
    this.#signal ??= this.#origin.createSignal();
    return this.#signal;
  }

  /** Work that goes on after the response: `close` of the server waits for it until its grace ends, and `onError` gets its error. */
  waitUntil(promise: PromiseLike<unknown>): void {
    this.#origin.waitUntil(promise);
  }

  text(): Promise<string> {
    return this.body.text();
  }

  json(): Promise<unknown> {
    return this.body.json();
  }

  bytes(): Promise<Buffer> {
    return this.body.bytes();
  }

  form(): Promise<URLSearchParams> {
    return this.body.form();
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer, void, undefined> {
    return this.body[Symbol.asyncIterator]();
  }
}
