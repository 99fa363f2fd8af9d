/**
 * ServeOptions: what a program can tell `serve` and `close` of a server, and the check of it. Pure: it opens nothing and looks up no name.
 *
 * Options come from people, from the environment and from JSON, so each name and each value is checked before a socket exists. An unknown
 * name would leave a default in force without a word, and a server would listen where nobody expects it. The error names the option
 * that is nearest (nearest-name.ts), also if it belongs into `limits`, `timeouts` or `socket`.
 *
 * An empty text is as if absent in `host` and `port`, because a shell passes an unset variable like that. Text that is almost a number
 * (`' 80'`, `'0x50'`, `'80/tcp'`) is refused.
 *
 * Next: passed-sockets.ts
 */

import type {
  Backend,
  EventLoop,
  ListenOptions,
  ProxyProtocolOptions,
  SocketAddress,
  TlsCertificate,
  TlsOptions,
} from '../simplenet/index.ts';
import { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from './limits.ts';
import { checkMetricsOptions, type MetricsOptions } from './metrics/metrics-options.ts';
import { adviceFor, checkOptionNames, described } from './nearest-name.ts';
import type { Patience } from './notice.ts';
import type { PassedSocket } from './passed-sockets.ts';
import type { HttpRequest, Outcome } from './request/http-request.ts';
import type { ForwardedField } from './request/trusted-proxies.ts';
import type { ResponseWriter } from './response/response-writer.ts';

/**
 * What a client means that ends its side while it waits for a response. `abort`: it has left, as most have, so the signal of the request
 * is aborted. `serve`: it waits for its response, so nothing happens.
 *
 * ```ts
 * import { type HalfClose, Router, serve } from 'simplenet/http';
 *
 * const halfClose: HalfClose = 'serve';
 * serve(new Router(), { halfClose });
 * ```
 */
export type HalfClose = 'abort' | 'serve';

/**
 * Is told of errors, and may answer. What it returns is not looked at, but for a promise.
 *
 * ```ts
 * import { type OnError, serve } from 'simplenet/http';
 *
 * const onError: OnError = (error, request, response) => {
 *   console.error(request?.path, error);
 *   response?.json({ error: 'see the log' });
 * };
 * serve((_request, response) => response.text('hello\n'), { onError });
 * ```
 */
export type OnError = (error: unknown, request: HttpRequest | null, response: ResponseWriter | null) => unknown;

/**
 * The options of `serve`. Each may be undefined, which is as if absent.
 *
 * ```ts
 * import { type ServeOptions, serve } from 'simplenet/http';
 *
 * const options: ServeOptions = {
 *   host: '::', // IPv6 and IPv4
 *   port: process.env.PORT ?? 8080,
 *   limits: { bodyBytes: 64 * 1024 ** 2 },
 *   timeouts: { answerMs: 30_000 },
 *   onError: (error, request) => console.error(request?.path, error),
 * };
 * serve((_request, response) => response.text('hello\n'), options);
 * ```
 */
export interface ServeOptions {
  /**
   * An IP address; the default is 127.0.0.1. `::` takes IPv4 as well. `localhost` is 127.0.0.1; no other name is accepted. An IPv6 address
   * may stand in brackets, as in a URL: `[::1]`.
   */
  readonly host?: string | undefined;
  /** Another name for `host`. */
  readonly hostname?: string | undefined;
  /** A number, or its digits as text. 0, the default, is any free port: `url`, `port` and `address` of the server say which. */
  readonly port?: number | string | undefined;
  /**
   * A Unix socket instead of host and port. The server removes the file when it stops. When it starts, it also removes the file of an
   * earlier server that does not listen any more. A path that begins with NUL is in the abstract namespace, and has no file.
   */
  readonly path?: string | undefined;
  /** A listening socket that is open already, or several, for example those of a predecessor. The server closes them at its end. */
  readonly fd?: number | readonly number[] | undefined;
  /**
   * The name of sockets that systemd has opened (FileDescriptorName=): the server listens on all that have it. Without it, and without another place to listen on, it
   * takes all sockets of systemd that no server has taken.
   */
  readonly systemdSocket?: string | undefined;
  /**
   * HTTPS instead of HTTP: certificates, keys and settings of TLS. `setTls` of the server replaces them, for example when a certificate is
   * renewed. A client that speaks plain HTTP gets 400.
   */
  readonly tls?: TlsOptions | undefined;
  /**
   * Beside HTTPS, listens on this port too, by plain HTTP, and sends each client to https: 301, or 308 for methods other than GET and HEAD. It has
   * limits and timeouts as the server has. 0 is any free port: `redirectUrl` of the server says which.
   */
  readonly redirectFrom?: number | string | undefined;
  readonly limits?: Partial<Limits> | undefined;
  readonly timeouts?: Partial<Timeouts> | undefined;
  /**
   * Called with each error of a handler, except an HttpError below 500 and a disconnect of the client. It may answer: `response` is null only if
   * it is too late for that. Its status is set, headers of middleware are kept. Without an answer of its own the client gets the default one, after the promise
   * if there is one. Called without a request for an error of a WebSocket, and for one that ends this server, which then closes itself with grace. The default writes the
   * request, the place and the error to standard error.
   */
  readonly onError?: OnError | undefined;
  /**
   * What a client means that ends its side (FIN) while it waits for a response. `abort`, the default: it has left, so `request.signal` is
   * aborted. The response can still be sent. `serve`: it waits for its response, as `printf ... | nc` does, so nothing happens.
   */
  readonly halfClose?: HalfClose | undefined;
  /** Stops the server, with grace, when it is aborted. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called when an answer is over, also one that no handler gave: the kernel has all of it, or its client has gone. Without it, and without a
   * subscriber of the channels `simplenet:http:start` and `simplenet:http:done` (node:diagnostics_channel), nothing is counted.
   */
  readonly onDone?: ((outcome: Outcome) => void) | undefined;
  /** Tells Prometheus, and whoever starts the server and sends it clients, how it is: /metrics, /healthz, /readyz. */
  readonly metrics?: MetricsOptions | undefined;
  /**
   * Whom of those that connect to believe what they say of their clients: addresses, CIDR ranges, `loopback` (with Unix sockets), `private`, as an array or as one text with commas. Without it,
   * nobody. From these, X-Forwarded-For and X-Forwarded-Proto set `clientAddress`, `scheme` and `url` of a request. `{ from, fields }` chooses the fields.
   */
  readonly trustProxy?: string | readonly string[] | TrustProxyOptions | undefined;
  /**
   * Connections begin with a header of the PROXY protocol, version 1 or 2, if they come from these addresses (as in `trustProxy`). `remoteAddress` and `localAddress` are then those of the client.
   * `mode: 'required'`, the default, closes all other connections; `optional` takes them as they are. Balancers that do not speak HTTP, or pass TLS on, name the client so.
   */
  readonly proxyProtocol?: Pick<ProxyProtocolOptions, 'from' | 'mode'> | undefined;
  /** Which event loop the server uses: `epoll`, `io_uring` or `auto`. */
  readonly backend?: Backend | undefined;
  /**
   * The event loop to serve on, for example a TCP/IP stack (`createStack`), instead of a loop for this server alone. The server closes its
   * listener and its connections at its end, and never this loop.
   */
  readonly loop?: EventLoop | undefined;
  /** Socket options, and the `control` hook that gets the socket before it is bound. */
  readonly socket?: ListenOptions | undefined;
}

/**
 * Which proxies are believed, and in which fields.
 *
 * ```ts
 * import { Router, serve, type TrustProxyOptions } from 'simplenet/http';
 *
 * const trustProxy: TrustProxyOptions = { from: ['10.1.0.0/16', '2001:db8::7'], fields: ['forwarded'] };
 * serve(new Router(), { trustProxy });
 * ```
 */
export interface TrustProxyOptions {
  /** Addresses, CIDR ranges, `loopback` and `private`. */
  readonly from: string | readonly string[];
  /**
   * The fields that these proxies set or remove in every request; X-Forwarded-For and X-Forwarded-Proto unless given. A proxy passes on the other ones as its client has sent them.
   * X-Forwarded-Host must be named, because few proxies set it, and a cache in front may not look at it. Forwarded says all of that, so it stands alone.
   */
  readonly fields?: readonly ForwardedField[];
}

/**
 * How long `close` of a server waits.
 *
 * ```ts
 * import { type CloseOptions, Router, serve } from 'simplenet/http';
 *
 * const patience: CloseOptions = { graceMs: 30_000 };
 * const server = serve(new Router());
 * process.once('SIGTERM', () => void server.close(patience));
 * ```
 */
export interface CloseOptions {
  /**
   * How long the server goes on as before, and only says that it will stop: /readyz is 503, and `isStopping` is true. The default is 0. For a balancer that asks /readyz: what it has not
   * noticed when the server stops, it sends to a socket that refuses it.
   */
  readonly noticeMs?: number;
  /** How long responses under way may take; the default is 10 s. */
  readonly graceMs?: number;
  /**
   * How long idle connections may still begin a request, and TCP handshakes under way may complete; the default is 100 ms. So a request
   * that was on its way when the server stopped gets a response.
   */
  readonly idleGraceMs?: number;
}

/** What to listen on: sockets that are open, one at least; a Unix path; or an IP address and a port. */
export type ListenPlace =
  | { readonly fds: readonly number[] }
  | { readonly path: string }
  | { readonly address: string; readonly port: number };

type Check = (value: unknown, name: string) => void;

/** By option: throws if its value has the wrong type. What a value means is checked where it is used. */
const checks: { readonly [Name in keyof Required<ServeOptions>]: Check } = {
  host: mustBeText,
  hostname: mustBeText,
  port: (value) => void portFrom(value),
  path: mustBeText,
  fd: (value) => {
    const all = Array.isArray(value) ? value : [value];
    for (const fd of all) {
      if (typeof fd !== 'number') throw new TypeError(`fd must be a number, not ${described(fd)}`);
      if (!Number.isInteger(fd) || fd < 0) throw new RangeError(`fd must be an integer >= 0, not ${fd}`);
    }
    if (all.length === 0 || all.length > MAX_SOCKETS || new Set(all).size < all.length) {
      throw new RangeError(`fd must be one descriptor, or 1 to ${MAX_SOCKETS} different ones`);
    }
  },
  systemdSocket: mustBeText,
  tls: checkTlsOptions,
  redirectFrom: (value) => void portFrom(value),
  limits: mustBeObject,
  timeouts: mustBeObject,
  onError: mustBeFunction,
  halfClose: (value) => void halfCloseFrom(value),
  onDone: mustBeFunction,
  metrics: checkMetricsOptions,
  signal: (value) => {
    const signal = value as Partial<AbortSignal> | null;
    if (typeof signal?.aborted !== 'boolean' || typeof signal.addEventListener !== 'function') {
      throw new TypeError(`signal must be an AbortSignal, not ${described(value)}`);
    }
  },
  trustProxy: (value) => void trustFrom(value),
  proxyProtocol: checkProxyProtocol,
  backend: mustBeText,
  loop: (value) => {
    if (typeof (value as Partial<EventLoop> | null)?.listen !== 'function') {
      throw new TypeError(`loop must be an event loop, not ${described(value)}`);
    }
  },
  socket: (value, name) => {
    mustBeObject(value, name);
    for (const given of Object.keys(value as object)) {
      if (!Object.hasOwn(socketNames, given)) {
        throw new RangeError(`unknown socket option '${given}': ${adviceFor(given, Object.keys(socketNames))}`);
      }
    }
  },
};

/** The compiler compares it with the interface. */
const socketNames: { readonly [Name in keyof Required<ListenOptions>]: true } = {
  reuseAddress: true,
  reusePort: true,
  ipv6Only: true,
  noDelay: true,
  keepAlive: true,
  deferAcceptSeconds: true,
  fastOpenQueue: true,
  sendBufferBytes: true,
  receiveBufferBytes: true,
  lingerSeconds: true,
  userTimeoutMs: true,
  broadcast: true,
  control: true,
  backlog: true,
};

/** The compiler compares them with the interfaces. */
const certificateNames: { readonly [Name in keyof Required<TlsCertificate>]: true } = {
  cert: true,
  key: true,
  passphrase: true,
};
const tlsNames: { readonly [Name in keyof Required<TlsOptions>]: true } = {
  ...certificateNames,
  serverNames: true,
  minVersion: true,
  ciphers: true,
  groups: true,
  requestClientCertificate: true,
  ca: true,
  ticketKeys: true,
  ticketKeyMs: true,
  onKeyLog: true,
};

/** Options that are objects themselves, with the names in them. */
const sections: Readonly<Record<string, object>> = {
  tls: tlsNames,
  limits: defaultLimits,
  timeouts: defaultTimeouts,
  socket: socketNames,
};

/** Throws RangeError for an unknown name and TypeError for a value of the wrong type, before anything is opened. */
export function checkServeOptions(options: ServeOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`the options of serve must be an object such as { port: 8080 }, not ${described(options)}`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (name === 'workers') throw new RangeError(NO_MODULE);
    if (!Object.hasOwn(checks, name)) throw new RangeError(`unknown option '${name}' of serve: ${adviceOn(name)}`);
    if (value !== undefined) checks[name as keyof ServeOptions](value, name);
  }
  if (options.loop !== undefined && options.backend !== undefined) {
    throw new RangeError('backend chooses a loop for the server alone, so it makes no sense with loop');
  }
  if (portFrom(options.redirectFrom) === null) return;
  if (options.tls === undefined) throw new RangeError('redirectFrom is for a server of HTTPS, so it needs tls');
  if (options.path !== undefined || options.fd !== undefined || options.systemdSocket !== undefined) {
    throw new RangeError(NO_HOST);
  }
}

/** Throws RangeError for an unknown name in `tls`, also of a certificate, and for one that is missing. What is in a certificate OpenSSL judges. */
export function checkTlsOptions(value: unknown, name = 'tls'): void {
  checkCertificate(value, name, tlsNames);
  const { serverNames } = value as TlsOptions;
  if (serverNames === undefined || typeof serverNames === 'function') return;
  mustBeObject(serverNames, `${name}.serverNames`);
  for (const [host, certificate] of Object.entries(serverNames)) {
    checkCertificate(certificate, `${name}.serverNames['${host}']`, certificateNames);
  }
}

function checkCertificate(value: unknown, name: string, names: object): void {
  mustBeObject(value, name);
  checkOptionNames(name, value as object, names);
  for (const needed of ['cert', 'key'] as const) {
    if ((value as Partial<TlsCertificate>)[needed] === undefined) {
      throw new RangeError(`${name} needs ${needed}: the text or the bytes of a PEM file`);
    }
  }
}

/** Names the section if the option is in one of them. */
function adviceOn(name: string): string {
  for (const [section, names] of Object.entries(sections)) {
    if (Object.hasOwn(names, name)) return `it belongs into ${section}: { ${section}: { ${name}: ... } }`;
  }
  return adviceFor(name, Object.keys(checks));
}

const NO_MODULE = 'workers need a module and not a handler: serve(new URL("./site.js", import.meta.url), { workers })';

const NO_HOST =
  'redirectFrom is a port on the host of the server, so it needs host and port, not path, fd or systemdSocket';

/** As many as one message can hand over to a successor (SCM_MAX_FD is 253), with one more for the metrics. */
export const MAX_SOCKETS = 252;

const DEFAULT_HOST = '127.0.0.1';

const MAX_PORT = 65_535;

/** What these options, which have been checked, say to listen on. `passed`: the sockets of systemd that are free. */
export function listenPlaceOf(options: ServeOptions, passed: readonly PassedSocket[] = []): ListenPlace {
  const { fd, path, systemdSocket, redirectFrom } = options;
  const hasAddress = hostFrom(options) !== null || portFrom(options.port) !== null;
  if ([fd !== undefined, path !== undefined, systemdSocket !== undefined, hasAddress].filter(Boolean).length > 1) {
    throw new RangeError('only one of fd, path, systemdSocket, or host and port says where to listen');
  }
  if (fd !== undefined) return { fds: typeof fd === 'number' ? [fd] : fd };
  if (path !== undefined) return { path };
  if (systemdSocket !== undefined) return { fds: socketsNamed(systemdSocket, passed) };
  if (!hasAddress && passed.length > 0) {
    if (portFrom(redirectFrom) !== null) throw new RangeError(NO_HOST);
    return { fds: passed.map((each) => each.fd) };
  }
  return addressFrom(options);
}

/** Any free port of this machine alone, unless the options say more. */
export function addressFrom(options: Pick<ServeOptions, 'host' | 'hostname' | 'port'>): {
  readonly address: string;
  readonly port: number;
} {
  return { address: hostFrom(options) ?? DEFAULT_HOST, port: portFrom(options.port) ?? 0 };
}

function socketsNamed(name: string, passed: readonly PassedSocket[]): readonly number[] {
  const found = passed.filter((each) => each.name === name);
  if (found.length > 0) return found.map(({ fd }) => fd);
  if (passed.length === 0)
    throw new RangeError(`systemd has passed no socket '${name}' that is free, and no other one`);
  const advice = adviceFor(name, [...new Set(passed.map((each) => each.name))]);
  throw new RangeError(`systemd has passed no socket '${name}' that is free: ${advice}`);
}

/** The address to listen on, or null if none is given. */
function hostFrom({ host = '', hostname = '' }: Pick<ServeOptions, 'host' | 'hostname'>): string | null {
  if (host !== '' && hostname !== '' && host !== hostname) {
    throw new RangeError(`host and hostname are one option, but they are '${host}' and '${hostname}'`);
  }
  const given = host === '' ? hostname : host;
  if (given === '') return null;
  if (given.toLowerCase() === 'localhost') return DEFAULT_HOST; // RFC 6761 section 6.3: it is always loopback
  return /^\[(.*:.*)\]$/.exec(given)?.[1] ?? given;
}

/** The port, or null if none is given. */
export function portFrom(value: unknown): number | null {
  if (value === undefined || value === '') return null;
  if (typeof value !== 'number' && typeof value !== 'string') {
    throw new TypeError(`port must be a number, or its digits as text, not ${described(value)}`);
  }
  const port = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
  if (typeof port === 'string' || !Number.isInteger(port) || port < 0 || port > MAX_PORT) {
    throw new RangeError(`a port is an integer from 0 to ${MAX_PORT}, not ${described(value)}`);
  }
  return port;
}

function mustBeText(value: unknown, name: string): void {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string, not ${described(value)}`);
}

function mustBeObject(value: unknown, name: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${name} must be an object, not ${described(value)}`);
  }
}

const DEFAULT_GRACE_MS = 10_000;
const DEFAULT_IDLE_GRACE_MS = 100;

const CLOSE_OPTIONS: readonly string[] = ['noticeMs', 'graceMs', 'idleGraceMs'];

/** The options of `close`, which have been checked, with their defaults. */
export function patienceOf(options: CloseOptions): Patience {
  const { noticeMs = 0, graceMs = DEFAULT_GRACE_MS, idleGraceMs = DEFAULT_IDLE_GRACE_MS } = options;
  return { noticeMs, graceMs, idleGraceMs };
}

/** Throws for an option of `close` that has a wrong name or value: before anything stops, because a server cannot start again. */
export function checkCloseOptions(options: object): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`the options of close must be an object such as { graceMs: 5_000 }, not ${described(options)}`);
  }
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    if (!CLOSE_OPTIONS.includes(name)) {
      throw new RangeError(`unknown option '${name}' of close: ${adviceFor(name, CLOSE_OPTIONS)}`);
    }
    if (value !== undefined && !(typeof value === 'number' && value >= 0)) {
      throw new RangeError(`${name} must be a number of milliseconds, 0 or more, not ${described(value)}`);
    }
  }
}

function mustBeFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw new TypeError(`${name} must be a function, not ${described(value)}`);
}

/** Returns what an end of the client means. Throws if it is not one of the two. */
export function halfCloseFrom(given: unknown): HalfClose {
  if (given === undefined || given === 'abort' || given === 'serve') return given ?? 'abort';
  throw new TypeError(`halfClose must be 'abort' or 'serve', not ${String(given)}`);
}

const forwardedFields: readonly string[] = ['forwarded', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'];
const defaultFields: readonly ForwardedField[] = ['x-forwarded-for', 'x-forwarded-proto'];
const trustNames: { readonly [Name in keyof Required<TrustProxyOptions>]: true } = { from: true, fields: true };

/** Returns whom to believe and in which fields, or null for nobody. What is in `from`, AddressRanges judges. */
export function trustFrom(given: unknown): Required<TrustProxyOptions> | null {
  if (given === undefined) return null;
  if (typeof given === 'string' || Array.isArray(given)) return { from: rangesFrom(given), fields: defaultFields };
  mustBeObject(given, 'trustProxy');
  checkOptionNames('trustProxy', given as object, trustNames);
  const { from, fields = defaultFields } = given as Partial<TrustProxyOptions>;
  if (!Array.isArray(fields)) throw new TypeError(`fields of trustProxy must be an array, not ${described(fields)}`);
  for (const field of fields) {
    if (forwardedFields.includes(field)) continue;
    throw new RangeError(
      `unknown field ${described(field)} of trustProxy: ${adviceFor(String(field), forwardedFields)}`,
    );
  }
  if (fields.includes('forwarded') && fields.length > 1) {
    throw new RangeError('forwarded says what the X-Forwarded fields say, so it stands alone in fields of trustProxy');
  }
  return { from: rangesFrom(from), fields };
}

function rangesFrom(given: unknown, name = 'trustProxy'): string | readonly string[] {
  const isList = Array.isArray(given) && given.every((each) => typeof each === 'string');
  if (typeof given === 'string' || isList) return given as string | readonly string[];
  throw new TypeError(`${name} must be addresses such as ['10.0.0.0/8'], not ${described(given)}`);
}

const proxyNames = { from: true, mode: true };

function checkProxyProtocol(value: unknown, name: string): void {
  mustBeObject(value, name);
  checkOptionNames(name, value as object, proxyNames);
  const { from, mode = 'required' } = value as { readonly from?: unknown; readonly mode?: unknown };
  rangesFrom(from, name);
  if (mode !== 'required' && mode !== 'optional') {
    throw new RangeError(`mode of ${name} must be 'required' or 'optional', not ${described(mode)}`);
  }
}

/** The address for a client. */
export function urlOf(address: SocketAddress, scheme: string): string {
  if ('path' in address) return `unix:${address.path.replace(/^\0/, '@')}`;
  // A client cannot portably connect to a wildcard address, so the URL has the loopback address.
  const host = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[address.address] ?? address.address;
  return `${scheme}://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${address.port}`;
}
