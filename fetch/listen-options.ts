/**
 * ListenOptions: the options of the draft, checked, and as options of simplenet/http.
 *
 * Two rules of the draft shape the defaults. A timeout measures silence and never how long something takes, so the limits of simplenet/http
 * on a whole body (`bodyMs`) and on a slow handler (`answerMs`) are off. And 0 switches a timeout or a limit off. As in all dictionaries of
 * Web IDL, unknown names are ignored, and so a program for a later draft runs.
 *
 * What needs QUIC throws NotSupportedError: this server has none.
 *
 * Next: pending-work.ts
 */

import type { ServeOptions } from '../http/index.ts';
import { defaultLimits } from '../http/index.ts';

/**
 * The timeouts of a listener, in milliseconds. 0 switches one off.
 *
 * ```ts
 * import { type ServerContext, serve, type TimeoutOptions } from 'simplenet/fetch';
 *
 * const timeouts: TimeoutOptions = { idle: 5_000, tunnelIdle: 60_000 };
 * serve({ fetch: (ctx: ServerContext) => new Response(ctx.request.url) }, { port: 8080, timeouts });
 * ```
 */
export interface TimeoutOptions {
  /** Until the handshake of TLS is complete; then the connection closes. */
  readonly handshake?: number;
  /** Between two requests; then the connection closes. */
  readonly idle?: number;
  /** Until the head of a request is complete; 408 after. */
  readonly headers?: number;
  /** While the handler reads the body and nothing of it comes; the exchange is aborted after. */
  readonly receive?: number;
  /** While the client takes nothing of a response; the exchange is aborted after. */
  readonly send?: number;
  /** While a tunnel carries no byte; it is destroyed after. Off without it. */
  readonly tunnelIdle?: number;
  /** How long work of `waitUntil` may go on after the response before `close` stops waiting for it; 30 s without it. */
  readonly waitUntil?: number;
}

/**
 * The limits of a listener. 0 switches one off.
 *
 * ```ts
 * import { type LimitOptions, type ServerContext, serve } from 'simplenet/fetch';
 *
 * const limits: LimitOptions = { maxRequestBodySize: 1_000_000 };
 * serve({ fetch: (ctx: ServerContext) => new Response(ctx.request.body) }, { port: 8080, limits });
 * ```
 */
export interface LimitOptions {
  /** Bytes of a head; 431 above. */
  readonly maxHeaderSize?: number;
  /** Bytes of a body; 413 above, or a failing read if the length was not declared. 16 MiB without it. */
  readonly maxRequestBodySize?: number;
  /** Then the connection closes. */
  readonly maxRequestsPerConnection?: number;
  /** HTTP/1.1 has no streams, so it has no effect. */
  readonly maxConcurrentStreams?: number;
  /** Open connections of a listener; a further one is closed. */
  readonly maxConnections?: number;
}

/** A PEM file, as text or as its bytes. */
type PemSource = string | ArrayBuffer | ArrayBufferView;

interface CertificateSource {
  readonly cert: PemSource;
  readonly key: PemSource;
}

/**
 * The certificates of a listener, by the names of the draft.
 *
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { type ServerContext, serve, type TlsOptions } from 'simplenet/fetch';
 *
 * const tls: TlsOptions = { cert: readFileSync('cert.pem'), key: readFileSync('key.pem') };
 * serve({ fetch: (ctx: ServerContext) => new Response(`${ctx.serverName}`) }, { port: 8443, tls });
 * ```
 */
export interface TlsOptions extends CertificateSource {
  /** Must have `http/1.1`, which is all that this server speaks. */
  readonly alpn?: readonly string[];
  /** By host name, or by a pattern such as `*.example.com`: the certificates for clients that ask for it. Or a function that chooses one by the name, at once or later. */
  readonly sni?: Readonly<Record<string, CertificateSource>> | ChooseSource;
}

/** Null or undefined: the certificate of the listener. */
type ChooseSource = (
  serverName: string,
) => CertificateSource | null | undefined | PromiseLike<CertificateSource | null | undefined>;

/**
 * What a server listens on, and how: the options of `listen`.
 *
 * ```ts
 * import { type ListenOptions, type ServerContext, serve } from 'simplenet/fetch';
 *
 * const local: ListenOptions = { port: 8080, hostname: '127.0.0.1' };
 * const server = serve({ fetch: (ctx: ServerContext) => new Response(ctx.request.url) });
 * await server.listen(local);
 * ```
 */
export interface ListenOptions {
  /** A number, or its digits as text. 0, the default, is any free port, and so is `''`. */
  readonly port?: number | string;
  /** An IP address, or `localhost`; the default is 0.0.0.0. */
  readonly hostname?: string;
  /** SO_REUSEPORT: several processes or listeners on one port. */
  readonly reusePort?: boolean;
  /** IPV6_V6ONLY: `::` does not take IPv4. */
  readonly ipv6Only?: boolean;
  readonly backlog?: number;
  /** HTTPS instead of HTTP. */
  readonly tls?: TlsOptions;
  /** Throws NotSupportedError, unless it is false. */
  readonly quic?: boolean | object;
  /** Kept and not used: there is no QUIC to advertise. */
  readonly altSvc?: boolean | string;
  readonly timeouts?: TimeoutOptions;
  readonly limits?: LimitOptions;
}

/**
 * The options of `serve`: those of its listeners, and its own.
 *
 * ```ts
 * import { type ServerContext, type ServerOptions, serve } from 'simplenet/fetch';
 *
 * const stop = new AbortController();
 * const options: ServerOptions = { port: 8080, signal: stop.signal };
 * serve({ fetch: (ctx: ServerContext) => new Response(ctx.request.url) }, options);
 * ```
 */
export interface ServerOptions extends ListenOptions {
  /** Whether `100 Continue` is sent when the handler begins to read the body; the default is true. */
  readonly autoContinue?: boolean;
  /** When it is aborted, the server is destroyed with its reason. */
  readonly signal?: AbortSignal;
}

/** What simplenet/http does not do itself, and its options. */
export interface Binding {
  readonly http: ServeOptions;
  readonly maxBodyBytes: number;
  readonly tunnelIdleMs: number;
  /** null: a slow body is left to the minimal rate of simplenet/http. */
  readonly receiveMs: number | null;
  readonly waitUntilMs: number;
}

type HttpTls = NonNullable<ServeOptions['tls']>;
type TlsCertificate = Pick<HttpTls, 'cert' | 'key'>;
type ChooseCertificate = Extract<HttpTls['serverNames'], (serverName: string) => unknown>;

const DEFAULT_HOSTNAME = '0.0.0.0';
const DEFAULT_WAIT_UNTIL_MS = 30_000;
const MAX_PORT = 65_535;

/** A rate that is never too slow, but not 0: one byte must move. */
const ANY_RATE = Number.MIN_VALUE;

/** Options of a binding, and those of its server for what it leaves open. Throws before anything is opened. */
export function bindingOf(options: ListenOptions, ofServer: ServerOptions): Binding {
  const tls = options.tls ?? ofServer.tls;
  mustBePossible(tls, options.quic ?? ofServer.quic);
  const timeouts = amountsOf({ ...ofServer.timeouts, ...options.timeouts });
  const limits = amountsOf({ ...ofServer.limits, ...options.limits });
  const { tunnelIdle = Number.POSITIVE_INFINITY, waitUntil = DEFAULT_WAIT_UNTIL_MS } = timeouts;
  const hostname = options.hostname ?? DEFAULT_HOSTNAME;
  const isIPv6 = hostname.includes(':');
  return {
    http: {
      host: hostname,
      port: portOf(options.port),
      ...(tls === undefined ? {} : { tls: tlsOf(tls) }),
      socket: {
        ...(options.reusePort ? { reusePort: true } : {}),
        ...(isIPv6 ? { ipv6Only: options.ipv6Only ?? false } : {}),
        ...(options.backlog === undefined ? {} : { backlog: amountOf('backlog', options.backlog) }),
      },
      limits: {
        bodyBytes: Number.POSITIVE_INFINITY,
        ...given('headBytes', limits.maxHeaderSize),
        ...given('requestsPerConnection', limits.maxRequestsPerConnection),
        ...given('connections', limits.maxConnections),
      },
      timeouts: {
        bodyMs: Number.POSITIVE_INFINITY,
        answerMs: Number.POSITIVE_INFINITY,
        ...given('handshakeMs', timeouts.handshake),
        ...given('headerMs', timeouts.headers),
        ...given('idleMs', timeouts.idle),
        ...(timeouts.receive === undefined ? {} : { bodyGraceMs: Number.POSITIVE_INFINITY }),
        ...(timeouts.send === undefined ? {} : { writeMs: timeouts.send, writeMinBytesPerSecond: ANY_RATE }),
      },
    },
    maxBodyBytes: limits.maxRequestBodySize ?? defaultLimits.bodyBytes,
    tunnelIdleMs: tunnelIdle,
    receiveMs: timeouts.receive ?? null,
    waitUntilMs: waitUntil,
  };
}

function mustBePossible(tls: TlsOptions | undefined, quic: boolean | object | undefined): void {
  const wantsQuic = quic !== undefined && quic !== false;
  if (wantsQuic && tls === undefined) throw new TypeError('quic needs tls');
  if (wantsQuic) throw new DOMException('this server has no QUIC', 'NotSupportedError');
  if (tls?.alpn?.includes('http/1.1') === false)
    throw new DOMException('this server speaks http/1.1 alone', 'NotSupportedError');
}

/** The options of simplenet/http. Members that are unknown here are left out, as in all dictionaries. */
function tlsOf({ sni = {}, ...certificate }: TlsOptions): HttpTls {
  if (typeof sni === 'function') return { ...certificateOf(certificate), serverNames: chooserOf(sni) };
  const named = Object.entries(sni).map(([name, each]) => [name, certificateOf(each)] as const);
  return { ...certificateOf(certificate), serverNames: Object.fromEntries(named) };
}

/** The same object of the program becomes the same object here: what OpenSSL needs is made once for each. */
function chooserOf(sni: ChooseSource): ChooseCertificate {
  const known = new WeakMap<CertificateSource, TlsCertificate>();
  const converted = (source: CertificateSource | null | undefined): TlsCertificate | null => {
    if (source === null || source === undefined) return null;
    const certificate = known.get(source) ?? certificateOf(source);
    known.set(source, certificate);
    return certificate;
  };
  return (serverName) => {
    const source = sni(serverName);
    return source !== null && source !== undefined && 'then' in source ? source.then(converted) : converted(source);
  };
}

function certificateOf({ cert, key }: CertificateSource): TlsCertificate {
  return { cert: pemOf(cert), key: pemOf(key) };
}

function pemOf(source: PemSource): string | Uint8Array {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  return ArrayBuffer.isView(source) ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength) : source;
}

function given<Name extends string>(name: Name, value: number | undefined): { [key in Name]?: number } {
  return value === undefined ? {} : ({ [name]: value } as { [key in Name]: number });
}

/** 0 becomes Infinity, and a member that is undefined counts as absent. */
function amountsOf<T extends TimeoutOptions | LimitOptions>(options: T): { readonly [key in keyof T]?: number } {
  const amounts: { [key in keyof T]?: number } = {};
  for (const [name, value] of Object.entries(options) as [keyof T & string, unknown][]) {
    if (value === undefined) continue;
    const amount = amountOf(name, value);
    amounts[name] = amount === 0 ? Number.POSITIVE_INFINITY : amount;
  }
  return amounts;
}

function amountOf(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`${name} must be a whole number, not ${String(value)}`);
}

/** Text becomes a number, as Web IDL converts an unsigned short. Web IDL would also take 65536 for 0 and -1 for 65535, which is never meant. */
function portOf(port: unknown = 0): number {
  const isText = typeof port === 'string' && /^\d{0,5}$/.test(port);
  const amount = amountOf('port', isText ? Number(port) : port);
  if (amount > MAX_PORT) throw new RangeError(`port must be at most ${MAX_PORT}, not ${amount}`);
  return amount;
}
