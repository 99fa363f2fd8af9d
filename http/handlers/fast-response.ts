/**
 * FastResponse: a `Response` that keeps a text or bytes as they were given, until somebody reads them.
 *
 * A `Response` of the platform makes a stream of each body (18 us on Node 20, twice the cost of a whole answer here), and
 * nothing outside it can see what the stream was made of. A FastResponse is a true `Response` without a body, with status and headers as the
 * platform has them; the text stands beside it. So it is sent in one piece with a Content-Length. An app that reads `body`, `text()`
 * and so on gets those of a `Response` of the platform, which is made then. Every other kind of body goes to the platform at once.
 *
 * `useFastResponse` puts it in the place of `globalThis.Response`, for apps that make their answers with that one. That is a decision
 * of the program, because it concerns all code of the process: no other function here does it.
 *
 * Next: send-response.ts
 */

type ResponseConstructor = typeof Response;
type Body = ConstructorParameters<ResponseConstructor>[0];
type Init = ConstructorParameters<ResponseConstructor>[1];

/** What a FastResponse keeps. */
export interface KeptBody {
  readonly body: string | Uint8Array;
  /** The only field of the response; null if there are others, or none. */
  readonly onlyContentType: string | null;
}

/** The Content-Type that the Fetch standard gives to a text without one. */
const TEXT = 'text/plain;charset=UTF-8';

/** The standard forbids a body for these. The platform throws. */
const NULL_BODY_STATUSES: readonly (number | undefined)[] = [101, 204, 205, 304];

/** A Response with the accessors and methods that it has: the type declarations of the platform have properties for them. */
declare class NativeResponse {
  constructor(body?: Body, init?: Init);
  static json(value: unknown, init?: Init): Response;
  get status(): number;
  get headers(): Headers;
  get body(): Response['body'];
  get bodyUsed(): boolean;
  text(): Promise<string>;
  json(): Promise<unknown>;
  arrayBuffer(): Promise<ArrayBuffer>;
  blob(): ReturnType<Response['blob']>;
  formData(): ReturnType<Response['formData']>;
  clone(): Response;
}

interface FastClass {
  readonly FastResponse: ResponseConstructor;
  /** Returns what a FastResponse keeps, and marks it as used. Null for any other Response, and if its body has been read. */
  take(response: Response): KeptBody | null;
}

let made: FastClass | null = null;

/** Returns what the response keeps, and marks its body as used; null if the platform has its body. */
export function takeKeptBody(response: Response): KeptBody | null {
  /* c8 ignore next -- in one process with the tests of FastResponse, the class is made already. */
  return made === null ? null : made.take(response);
}

/**
 * Returns the class FastResponse, the same one each time. Use it as `Response` is used:
 *
 * ```ts
 * import { fastResponse, serve } from 'simplenet/http';
 *
 * const Response = fastResponse();
 * serve({ fetch: () => new Response('hello\n') });
 * ```
 */
export function fastResponse(): ResponseConstructor {
  made ??= makeFastClass(globalThis.Response as unknown as typeof NativeResponse);
  return made.FastResponse;
}

/**
 * Makes FastResponse the global `Response`, for apps and frameworks that use that one. Returns a function that undoes it.
 *
 * ```ts
 * import { serve, useFastResponse } from 'simplenet/http';
 *
 * useFastResponse();
 * serve({ fetch: () => Response.json({ hello: 'world' }) });
 * ```
 */
export function useFastResponse(): () => void {
  const before = globalThis.Response;
  globalThis.Response = fastResponse();
  return () => {
    globalThis.Response = before;
  };
}

/** The class is made when it is first asked for: to extend `Response` loads all of Fetch. */
function makeFastClass(Native: typeof NativeResponse): FastClass {
  class FastResponse extends Native {
    #kept: string | Uint8Array | null = null;
    /** The Content-Type of the standard is to be added to the headers. */
    #isTypeDue = false;
    #isUsed = false;
    /** A Response of the platform with the kept body. */
    #native: NativeResponse | null = null;

    constructor(body?: Body, init?: Init) {
      const kept = typeof body === 'string' ? body : copyOf(body);
      if (kept === null || NULL_BODY_STATUSES.includes(init?.status)) {
        super(body, init);
        return;
      }
      super(null, init);
      this.#kept = kept;
      this.#isTypeDue = typeof kept === 'string' && init?.headers === undefined;
      if (typeof kept === 'string' && !this.#isTypeDue) this.#addType();
    }

    static override [Symbol.hasInstance](value: unknown): boolean {
      // biome-ignore lint/complexity/noThisInStatic: it is the subclass for which this is called.
      return this === FastResponse ? value instanceof Native : Function.prototype[Symbol.hasInstance].call(this, value);
    }

    static override json(value: unknown, init?: Init): Response {
      const text = JSON.stringify(value);
      if (text === undefined)
        throw new TypeError(`Response.json() takes a value that JSON can represent, not ${typeof value}`);
      if (init?.headers === undefined) return asResponse(new FastResponse(text, { ...init, headers: JSON_HEADERS }));
      const headers = new Headers(init.headers);
      if (!headers.has('content-type')) headers.set('content-type', 'application/json');
      return asResponse(new FastResponse(text, { ...init, headers }));
    }

    static take(response: object): KeptBody | null {
      if (!(#kept in response) || response.#kept === null || response.#native !== null) return null;
      if (response.#isUsed) throw new TypeError('the body of this Response has been used already');
      response.#isUsed = true;
      return { body: response.#kept, onlyContentType: response.#isTypeDue ? TEXT : null };
    }

    override get headers(): Headers {
      if (this.#isTypeDue) this.#addType();
      return super.headers;
    }

    override get body() {
      return this.#kept === null ? super.body : this.#toNative().body;
    }

    override get bodyUsed(): boolean {
      if (this.#kept === null) return super.bodyUsed;
      return this.#isUsed || (this.#native?.bodyUsed ?? false);
    }

    override text(): Promise<string> {
      return this.#kept === null ? super.text() : this.#toNative().text();
    }

    override json(): Promise<unknown> {
      return this.#kept === null ? super.json() : this.#toNative().json();
    }

    override arrayBuffer(): Promise<ArrayBuffer> {
      return this.#kept === null ? super.arrayBuffer() : this.#toNative().arrayBuffer();
    }

    bytes(): Promise<Uint8Array> {
      return this.arrayBuffer().then((buffer) => new Uint8Array(buffer));
    }

    override blob() {
      return this.#kept === null ? super.blob() : this.#toNative().blob();
    }

    override formData() {
      return this.#kept === null ? super.formData() : this.#toNative().formData();
    }

    override clone(): Response {
      if (this.#kept === null) return super.clone();
      if (this.bodyUsed || this.#native?.body?.locked === true)
        throw new TypeError('a Response whose body has been used cannot be cloned');
      return asResponse(new FastResponse(this.#kept, this as unknown as Init));
    }

    #addType(): void {
      this.#isTypeDue = false;
      const { headers } = this;
      if (!headers.has('content-type')) headers.set('content-type', TEXT);
    }

    #toNative(): NativeResponse {
      if (this.#native === null) {
        this.#native = new Native(this.#kept, { status: this.status, headers: this.headers });
        // A Response that has been sent has no body left.
        if (this.#isUsed) void this.#native.body?.cancel();
      }
      return this.#native;
    }
  }
  Object.defineProperty(FastResponse, 'name', { value: 'Response' });
  return { FastResponse: FastResponse as unknown as ResponseConstructor, take: FastResponse.take };
}

function asResponse(made: object): Response {
  return made as Response;
}

const JSON_HEADERS = { 'content-type': 'application/json' };

/** A copy, as the Fetch standard has it: an app may use its buffer again at once. Null if the value is no bytes. */
function copyOf(body: unknown): Uint8Array | null {
  if (body instanceof ArrayBuffer) return new Uint8Array(body.slice(0));
  if (!ArrayBuffer.isView(body)) return null;
  return new Uint8Array(body.buffer as ArrayBuffer, body.byteOffset, body.byteLength).slice();
}
