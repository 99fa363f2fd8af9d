/**
 * HttpRequest: a request, for the handler.
 *
 * The query, the headers, the cookies and the signal are made when they are first read. They stay valid as long as the program holds the request,
 * also after the response.
 *
 * Next: meter.ts
 */

import type { PeerCredentials, SocketAddress, TlsInfo } from '../../simplenet/index.ts';
import { addressText, urlHost } from '../address-text.ts';
import { type MediaType, parseMediaType } from '../content/content-types.ts';
import { parseCookies } from '../content/cookies.ts';
import { HttpError } from '../http-error.ts';
import type { Limits, MultipartLimits } from '../limits.ts';
import { markHandled } from '../promises.ts';
import type { RouteLimits } from '../route-limits.ts';
import type { FormPart } from './form-part.ts';
import { HeaderList } from './header-list.ts';
import { MULTIPART, type RequestBody, URLENCODED } from './request-body.ts';
import type { RequestHead } from './request-head.ts';
import { RequestState } from './request-state.ts';
import type { ProxiedClient, TrustedProxies } from './trusted-proxies.ts';

/** What a request asks of the exchange that it belongs to. */
export interface RequestOrigin {
  readonly remoteAddress: SocketAddress;
  readonly localAddress: SocketAddress;
  /** Null if what proxies say of a client does not count. */
  readonly trustedProxies: TrustedProxies | null;
  /** 'https' if the connection uses TLS. */
  readonly scheme: string;
  /** What client and server have agreed on; null without TLS, and after the connection has closed if it was not read before. */
  readonly tls: TlsInfo | null;
  readonly peerCredentials: PeerCredentials | null;
  createSignal(): AbortSignal;
  createClosingSignal(): AbortSignal;
  outcome(request: HttpRequest): Promise<Outcome>;
  readonly limits: Limits;
  applyLimits(limits: RouteLimits): void;
  waitUntil(promise: PromiseLike<unknown>, request: HttpRequest): void;
  /** The clock of the loop, in milliseconds, which never goes back. */
  exactNow(): number;
}

/**
 * The limits of `request.multipart(options)`; without them those of the server count.
 *
 * ```ts
 * import { type MultipartOptions, Router } from 'simplenet/http';
 *
 * const few: MultipartOptions = { partCount: 2, partBytes: 1_000_000 };
 * new Router().post('/photo', async (request, response) => {
 *   for await (const part of request.multipart(few)) console.log(part.name, (await part.bytes()).length);
 *   response.empty();
 * });
 * ```
 */
export type MultipartOptions = Partial<MultipartLimits>;

/** What most requests never need. One field of the request holds it all, because each field is set for each request. */
interface Extras {
  query: URLSearchParams | null;
  cookies: ReadonlyMap<string, string> | null;
  state: RequestState | null;
  client: ProxiedClient | null;
}

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({});

/**
 * What a client asks: the first argument of a handler. It stays valid after the response.
 *
 * ```ts
 * import { Router } from 'simplenet/http';
 *
 * new Router().post('/orders/:id', async (request, response) => {
 *   const order = await request.json();
 *   const isDraft = request.query.get('draft') === '1';
 *   response.json({ id: request.params.id, order, isDraft, from: request.remoteAddress });
 * });
 * ```
 */
export class HttpRequest<Params = Readonly<Record<string, string>>> {
  /** The method, as the client has sent it: `GET`, `POST` ... */
  readonly method: string;
  /** The path of the target as it was received, still percent-encoded: it begins with `/`, or is the `*` of `OPTIONS *`. */
  readonly path: string;
  /** The parts of the path that match the parameters of the route, decoded. Set by the router. */
  params: Params = NO_PARAMS as Params;
  /** The pattern of the route that matched, such as `/users/:id`; null if none did. Set by the router, before any middleware runs. */
  route: string | null = null;
  /** The body as an async iterable of buffers; empty for a request without one. */
  readonly body: RequestBody;

  readonly #head: RequestHead;
  readonly #origin: RequestOrigin;
  #headers: HeaderList | null = null;
  #signal: AbortSignal | null = null;
  #closing: AbortSignal | null = null;
  #extras: Extras | null = null;

  /** @internal */
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

  /** The host of the request, with its port (`example.org:8080`): from a proxy in `trustProxy`, an absolute target, or Host. */
  get authority(): string {
    return this.#proxied?.host ?? this.#head.authority;
  }

  /** 'https' if the client has come by TLS, as the connection or a proxy in `trustProxy` says, else 'http'. What an absolute target says does not count. */
  get scheme(): string {
    return this.#proxied?.scheme ?? this.#origin.scheme;
  }

  /**
   * What client and server have agreed on: version, cipher, server name, whether a session is resumed, the certificate of the client. Null without
   * TLS. Read it before any `await`: after a disconnect it is null.
   */
  get tls(): TlsInfo | null {
    return this.#origin.tls;
  }

  /**
   * The absolute URL of the request, as a string that `new URL` accepts: `http://example.org:8080/a?b=c`. It is not normalised: the path is
   * as it was received. For `OPTIONS *` it ends after the host (RFC 9112 section 3.3). A client of HTTP/1.0 may send no Host. Then the
   * host is the local address, and must be read before any `await`, as `localAddress`.
   */
  get url(): string {
    const { target, isAbsolute, path, search } = this.#head;
    const origin = `${this.scheme}://${this.authority || urlHost(this.#origin.localAddress)}`;
    if (path === '*') return origin;
    if (!isAbsolute) return origin + target;
    return search === '' ? origin + path : `${origin}${path}?${search}`;
  }

  /** The query with its `?`, as it was received; '' without one. */
  get search(): string {
    const { search } = this.#head;
    return search === '' ? '' : `?${search}`;
  }

  /** The parameters behind the `?`. */
  get query(): URLSearchParams {
    const extras = this.#demandExtras();
    extras.query ??= new URLSearchParams(`?${this.#head.search}`);
    return extras.query;
  }

  /** The fields of the head. */
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
    return addressText(this.#origin.remoteAddress);
  }

  /** The client's port; null for a Unix socket. */
  get remotePort(): number | null {
    const address = this.#origin.remoteAddress;
    return 'path' in address ? null : address.port;
  }

  /** The address of the server at which the client has connected, or the path of its Unix socket. Read it before any `await`. */
  get localAddress(): string {
    return addressText(this.#origin.localAddress);
  }

  /** The port at which the client has connected; null for a Unix socket. Read it before any `await`. */
  get localPort(): number | null {
    const address = this.#origin.localAddress;
    return 'path' in address ? null : address.port;
  }

  /** The address of the client: the remote address, unless a proxy in `trustProxy` names another one. */
  get clientAddress(): string {
    return this.#proxied?.address ?? addressText(this.#origin.remoteAddress);
  }

  get #proxied(): ProxiedClient | null {
    const { trustedProxies, remoteAddress } = this.#origin;
    if (trustedProxies === null) return null;
    const extras = this.#demandExtras();
    extras.client ??= trustedProxies.clientOf(this.headers, remoteAddress);
    return extras.client;
  }

  /**
   * The cookies of the request, by name. If a name comes twice, the first one counts. Values are percent-decoded, as `response.cookie`
   * encodes them. A client can send any cookie, so do not trust them more than other input.
   *
   *     const session = request.cookies.get('session');
   */
  get cookies(): ReadonlyMap<string, string> {
    const extras = this.#demandExtras();
    extras.cookies ??= parseCookies(this.headers.getAll('cookie').join('; '));
    return extras.cookies;
  }

  /** What middleware leaves for the handlers behind it, under keys that carry the type: see request-state.ts. */
  get state(): RequestState {
    const extras = this.#demandExtras();
    extras.state ??= new RequestState();
    return extras.state;
  }

  #demandExtras(): Extras {
    this.#extras ??= { query: null, cookies: null, state: null, client: null };
    return this.#extras;
  }

  /** The client's process, if it is connected over a Unix socket. Read it before any `await`: reading it after a disconnect throws. */
  get peerCredentials(): PeerCredentials | null {
    return this.#origin.peerCredentials;
  }

  /**
   * Aborted if the client leaves before the response is complete: the connection breaks, or the client ends its side (FIN). Its reason is
   * a DOMException named AbortError, whose `cause` is a ClientGoneError. After a FIN the response can still be sent: a client that
   * has ended only its own side gets it (`halfClose` of `serve`). It may be aborted already when it is first read. After the response the signal is never aborted. The listeners run in the async context in
   * which the signal was first read.
   *
   *     const answer = await fetch(model, { body: await request.text(), method: 'POST', signal: request.signal });
   */
  get signal(): AbortSignal {
    this.#signal ??= this.#origin.createSignal();
    return this.#signal;
  }

  /**
   * Aborted when the server begins to stop, if this response is not complete by then. A response without an end, such as a stream of events, ends
   * itself then; a stream that has been upgraded says goodbye in its protocol. Otherwise both end with the grace of `close`. The
   * listeners run in the async context in which this was first read.
   *
   *     while (!request.closing.aborted) await response.write(await nextEvent(request.closing));
   *     response.end();
   */
  get closing(): AbortSignal {
    this.#closing ??= this.#origin.createClosingSignal();
    return this.#closing;
  }

  /**
   * Resolves with the outcome when the answer is over; it never rejects. Read it before the response begins: without an `onDone` of the server, bytes and times count
   * from that moment.
   *
   *     void request.done.then(({ status, durationMs }) => console.log(request.path, status, durationMs));
   */
  get done(): Promise<Outcome> {
    return this.#origin.outcome(this as HttpRequest);
  }

  /**
   * Work that goes on after the response: `close` of the server waits for it until its grace ends, and `onError` gets its error.
   *
   *     response.empty(202);
   *     request.waitUntil(sendMail(order));
   */
  waitUntil(promise: PromiseLike<unknown>): void {
    this.#origin.waitUntil(promise, this as HttpRequest);
  }

  /** @internal */
  get head(): RequestHead {
    return this.#head;
  }

  /**
   * The clock of the loop, read at this moment, in milliseconds. It never goes back. For http/handlers/.
   * @internal
   */
  get nowMs(): number {
    return this.#origin.exactNow();
  }

  /**
   * The limits in force for this request.
   * @internal
   */
  get limits(): Limits {
    return this.#origin.limits;
  }

  /**
   * Puts limits in force for this request. For `limit()` and the router. Throws HttpError 413 if the declared length of the body is above them.
   * @internal
   */
  applyLimits(limits: RouteLimits): void {
    this.#origin.applyLimits(limits);
  }

  /**
   * Puts a body in the place of the one that was received. For compress(), which decodes it.
   * @internal
   */
  replaceBody(body: RequestBody): void {
    (this as { body: RequestBody }).body = body;
  }

  /** The whole body as UTF-8 text. */
  text(): Promise<string> {
    return this.body.text();
  }

  /** The whole body, parsed as JSON. What is not JSON is 400. */
  json(): Promise<unknown> {
    return this.body.json();
  }

  /** The whole body. */
  bytes(): Promise<Buffer> {
    return this.body.bytes();
  }

  /** The body as an ArrayBuffer. */
  arrayBuffer(): Promise<ArrayBuffer> {
    return markHandled(this.body.bytes().then(arrayBufferOf));
  }

  /** The body as a Blob, whose type is the Content-Type. */
  blob(): Promise<Blob> {
    const type = this.headers.get('content-type') ?? '';
    return markHandled(this.body.bytes().then((bytes) => new Blob([bytes], { type })));
  }

  /**
   * Parses a form that comes as application/x-www-form-urlencoded. For multipart/form-data use `formData` or `multipart`. No other type is
   * refused: `fetch` names a body that is a string text/plain, unless it is told another type.
   */
  form(): Promise<URLSearchParams> {
    if (this.#mediaType?.essence !== MULTIPART) return this.body.form();
    const message = `form() reads ${URLENCODED}: for ${MULTIPART} use formData() or multipart()`;
    return markHandled(Promise.reject(new HttpError(415, message)));
  }

  /**
   * Reads a form whole, urlencoded or multipart: fields are strings, and files are `File` objects in memory. 415 for other types.
   *
   *     const form = await request.formData();
   *     const photo = form.get('photo'); // a File
   */
  formData(): Promise<FormData> {
    return this.body.formData(this.#mediaType);
  }

  /**
   * The parts of a multipart/form-data body, while they arrive. A part can be read until the next one is asked for; what is not read is
   * skipped. Leaving the loop cancels the body. It throws 415 for other types.
   *
   *     for await (const part of request.multipart({ partCount: 10 })) {
   *       console.log(part.name, part.filename, (await part.bytes()).length);
   *     }
   */
  multipart(options: MultipartOptions = {}): AsyncGenerator<FormPart, void, undefined> {
    return this.body.multipart(this.#mediaType, options);
  }

  get #mediaType(): MediaType | null {
    return parseMediaType(this.headers.get('content-type') ?? '');
  }

  /** The pieces of the body as they come, at the pace of the reader. */
  [Symbol.asyncIterator](): AsyncIterator<Buffer, void, undefined> {
    return this.body[Symbol.asyncIterator]();
  }
}

/**
 * What became of an answer, also of one that no handler gave (400, 408, 414, 431).
 *
 * ```ts
 * import { type Outcome, Router, serve } from 'simplenet/http';
 *
 * const log = ({ method, path, status, durationMs }: Outcome) => console.log(method, path, status, durationMs);
 * serve(new Router(), { onDone: log });
 * ```
 */
export interface Outcome {
  /** '' if the head of the request could not be read. */
  readonly method: string;
  readonly path: string;
  /** The pattern of the route that matched, such as `/users/:id`, or null. */
  readonly route: string | null;
  /** The status that was sent; 0 if no response began. */
  readonly status: number;
  /** The head of the request, and as much of its content as was received. 0 if the head could not be read. */
  readonly bytesIn: number;
  /** All bytes of the answer: its heads, its content and the frames of its chunks. */
  readonly bytesOut: number;
  /** When the event loop found the last bytes of the head, in milliseconds since 1970. A request that waits for others of that turn has begun. */
  readonly startedAt: number;
  /** From then to the head of the response; null if no response began. */
  readonly firstByteMs: number | null;
  /** From then to the end: the kernel has all bytes of the response, or the client has gone. */
  readonly durationMs: number;
  /** The client left before it had the whole response. */
  readonly clientGone: boolean;
  /** What the handler threw, or why the request was refused; null if all went well, or if `onError` of a router has answered. */
  readonly error: unknown;
  /** null if the head of the request could not be read. */
  readonly request: HttpRequest | null;
}

/** The memory of a body belongs to its one reader, so it is not copied if it is filled. */
function arrayBufferOf(bytes: Buffer): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = bytes;
  const isWhole = byteOffset === 0 && buffer.byteLength === byteLength;
  return (isWhole ? buffer : buffer.slice(byteOffset, byteOffset + byteLength)) as ArrayBuffer;
}
