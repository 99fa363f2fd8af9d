/**
 * HttpRequest: what the client asked for, as the handler sees it.
 *
 * Only the method and the path are there from the start. The query, the headers and the signal are made when they are asked
 * for, and stay valid for as long as somebody holds the request, also when it has long been answered.
 *
 * Next: ../response/date-field.ts
 */

import type { PeerCredentials, SocketAddress } from '../../simplenet/index.ts';
import { HeaderList } from './header-list.ts';
import type { RequestBody } from './request-body.ts';
import type { RequestHead } from './request-head.ts';

/** The connection, as far as a request may ask it. */
export interface RequestOrigin {
  readonly remoteAddress: SocketAddress;
  readonly peerCredentials: PeerCredentials | null;
  createSignal(): AbortSignal;
}

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({});

export class HttpRequest<Params = Readonly<Record<string, string>>> {
  readonly method: string;
  /** The path of the target as it was received, still percent-encoded: it begins with `/`, or is the `*` of `OPTIONS *`. */
  readonly path: string;
  /** What the route's pattern found in the path, decoded. Set by the router. */
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

  /** Whom the request is for, `example.org:8080`: from an absolute target, else from Host. */
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

  /** Fields that came behind a chunked body. Known once the body has been read. They are no headers and never become any. */
  get trailers(): HeaderList {
    return this.body.trailers ?? HeaderList.empty;
  }

  /** The client's address, or the path of its Unix socket. */
  get remoteAddress(): string {
    const address = this.#origin.remoteAddress;
    return 'path' in address ? address.path : address.address;
  }

  /** The process that asks, where it came over a Unix socket. Ask before waiting for anything: a client that is gone has none. */
  get peerCredentials(): PeerCredentials | null {
    return this.#origin.peerCredentials;
  }

  /**
   * Aborted when the client is really gone before the answer is complete, and never otherwise. Its listeners run in the async
   * context in which it was first asked for.
   */
  get signal(): AbortSignal {
    this.#signal ??= this.#origin.createSignal();
    return this.#signal;
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
