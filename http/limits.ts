/**
 * How much, how many and how long: every limit of the server, with its default and its reason.
 *
 * Without limits one client could take all memory or hold connections without end. `serve` can set each limit here. A request that
 * exceeds a limit gets a response with the status named below, or its connection ends: no part of it is dropped silently.
 *
 * Next: route-limits.ts
 */

import { adviceFor } from './nearest-name.ts';

/**
 * How much and how many. A server gets those that differ from the defaults.
 *
 * ```ts
 * import { type Limits, Router, serve } from 'simplenet/http';
 *
 * const limits: Partial<Limits> = { bodyBytes: 5 * 1024 ** 3, connections: 10_000 };
 * serve(new Router(), { limits });
 * ```
 */
export interface Limits {
  /** Method, target and version together; 414 above. Many other programs do not accept longer URLs either. */
  readonly requestLineBytes: number;
  /** The request line and all fields; 431 above. The default is twice what large cookies take. */
  readonly headBytes: number;
  /** Fields of a head; 431 above. Browsers send about twenty. */
  readonly fieldCount: number;
  /** A request body; 413 above. A body with a larger declared length is refused before it is read. */
  readonly bodyBytes: number;
  /**
   * A body that `json()` reads; 413 above. JSON.parse blocks the thread: about 10 ms for a megabyte, and 300 ms for one that an attacker
   * has made to be slow.
   */
  readonly jsonBytes: number;
  /** Levels of nesting in JSON; 400 above. Code that walks a value usually recurses once for each level. */
  readonly jsonDepth: number;
  /** A body that `form()` reads; 413 above. */
  readonly formBytes: number;
  /** Fields of a form; 413 above. */
  readonly formFields: number;
  /** A multipart body that `formData()` reads; 413 above. `multipart()` reads bodies of any size in pieces. */
  readonly formDataBytes: number;
  /** Parts of a multipart body; 413 above. Each takes several objects, however few bytes it has. */
  readonly partCount: number;
  /** The content of one part; 413 above. `multipart({ partBytes })` sets it for one body. */
  readonly partBytes: number;
  /** The name of a part, and its file name; 413 above. Linux allows 255 bytes for a file name. */
  readonly partNameBytes: number;
  /** The field lines of one part; 413 above. Clients send two or three lines. */
  readonly partHeaderBytes: number;
  /**
   * All bodies, and parts of bodies, that are read whole, of all connections together. Each counts until it is complete and its response
   * has begun.
   * Above it bodies wait for at most `bodyWaitMs`: see body-memory.ts.
   */
  readonly bodyMemoryBytes: number;
  /** All chunk extensions of a message together; 413 above. Hardly any client sends them, except attackers. */
  readonly chunkExtensionBytes: number;
  /** All trailer fields of a message together; 431 above. */
  readonly trailerBytes: number;
  /** How much of a body that the handler did not read is read and dropped, so that the connection can be used again. */
  readonly discardBytes: number;
  /**
   * How much of a body (while its handler reads slowly) or of later requests may wait in memory; above it the connection is not read.
   * It is checked after each receive, so a connection holds at most this and one receive (64 KiB) more.
   */
  readonly bodyBufferBytes: number;
  /** How much of a response may be queued. If a handler writes more without waiting for the client, the connection is cut. */
  readonly answerBufferBytes: number;
  /**
   * How much of a tunnel (CONNECT or Upgrade, through `accept()` of the Fetch Server API) may wait for the program, and how much it may write
   * before it has to wait. Capsules and datagrams that wait are bounded by it as well, each kind by itself. Above it the client is stopped;
   * datagrams are dropped, as RFC 9297 allows.
   */
  readonly tunnelBufferBytes: number;
  /**
   * One capsule of a tunnel, its head included; above it the tunnel ends. A program gets a capsule whole, and the client chooses its length.
   * A UDP packet has at most 64 KiB, and the messages of other protocols are smaller.
   */
  readonly capsuleBytes: number;
  /** Requests on one connection; then it closes, so that load balancers can rebalance. */
  readonly requestsPerConnection: number;
  /**
   * Requests of one pipeline that begin in one turn; the others wait until other connections have had their turn. Clients rarely pipeline
   * more than sixteen. A higher limit would save little, and one client could delay all others.
   */
  readonly requestsPerTurn: number;
  /** The longest header of the PROXY protocol, with its TLVs; the connection closes above it. Only with `proxyProtocol`. */
  readonly proxyHeaderBytes: number;
  /** Open connections. A further one takes the place of the longest idle one, or of the slowest client; if there is none, it is closed at once. */
  readonly connections: number;
  /** Open connections of one client: of one address, or of one /64 of IPv6. A further one is closed at once. Behind a proxy all clients are one, also with `proxyProtocol`: the count comes before the header. */
  readonly connectionsPerAddress: number;
  /**
   * Requests at work: from the head of a request to the end of its response. Further ones wait in line for at most `queueMs`. A stream of events
   * has a place until it ends; what a tunnel, a WebSocket or `upgrade` takes over has none.
   */
  readonly requestsInFlight: number;
  /** Requests that wait in line; 503 above, unless a slow client makes room. */
  readonly requestsQueued: number;
}

/** The limits of a multipart body. */
export type MultipartLimits = Pick<Limits, 'partCount' | 'partBytes' | 'partNameBytes' | 'partHeaderBytes'>;

/** The limits of a tunnel. */
export type TunnelLimits = Pick<Limits, 'tunnelBufferBytes' | 'capsuleBytes'>;

/** A count that is not limited. */
export const UNLIMITED: number = Number.MAX_SAFE_INTEGER;

/**
 * The limits of a server that is not told others.
 *
 * ```ts
 * import { defaultLimits, Router, serve } from 'simplenet/http';
 *
 * serve(new Router(), { limits: { headBytes: 2 * defaultLimits.headBytes } });
 * ```
 */
export const defaultLimits: Limits = {
  requestLineBytes: 8_192,
  headBytes: 32_768,
  fieldCount: 100,
  bodyBytes: 16 * 1024 * 1024,
  jsonBytes: 1024 * 1024,
  jsonDepth: 128,
  formBytes: 1024 * 1024,
  formFields: 1_000,
  formDataBytes: 16 * 1024 * 1024,
  partCount: 1_000,
  partBytes: 16 * 1024 * 1024,
  partNameBytes: 1_024,
  partHeaderBytes: 8_192,
  bodyMemoryBytes: 256 * 1024 * 1024,
  chunkExtensionBytes: 16_384,
  trailerBytes: 8_192,
  discardBytes: 262_144,
  bodyBufferBytes: 65_536,
  answerBufferBytes: 16 * 1024 * 1024,
  tunnelBufferBytes: 65_536,
  capsuleBytes: 1024 * 1024,
  requestsPerConnection: UNLIMITED,
  requestsPerTurn: 16,
  proxyHeaderBytes: 4_096,
  connections: UNLIMITED,
  connectionsPerAddress: UNLIMITED,
  requestsInFlight: UNLIMITED,
  requestsQueued: 128,
};

/**
 * How long. RFC 9110 section 15.5.9 defines 408. Single bytes of a request do not extend the time of its head or its body.
 *
 * ```ts
 * import { Router, serve, type Timeouts } from 'simplenet/http';
 *
 * const timeouts: Partial<Timeouts> = { answerMs: 600_000, idleMs: 5_000 };
 * serve(new Router(), { timeouts });
 * ```
 */
export interface Timeouts {
  /**
   * From the accept of a connection to the end of its TLS handshake, with `tls`; and before it as much to the end of its PROXY header, with `proxyProtocol`. Then the
   * connection closes.
   */
  readonly handshakeMs: number;
  /** From the first byte of a head to its last; 408 after. The first byte of a new connection must come in the same time, or it closes. */
  readonly headerMs: number;
  /**
   * Between two requests; then the connection closes without a response, as clients expect. Longer than load balancers and proxies keep
   * an idle connection (most of them 60 s), so that they close first. If the server closed first, it could meet their next request.
   */
  readonly idleMs: number;
  /** How long a body may take before its rate is checked. */
  readonly bodyGraceMs: number;
  /** The lowest average rate of a body after `bodyGraceMs`; 408 below. Time in which the connection is not read does not count. */
  readonly bodyMinBytesPerSecond: number;
  /** A whole body; 408 after. Time in which the connection is not read does not count. */
  readonly bodyMs: number;
  /** How long a body may wait for memory (`bodyMemoryBytes`); 503 after. */
  readonly bodyWaitMs: number;
  /** How long a request may wait in line (`requestsInFlight`); 503 after. */
  readonly queueMs: number;
  /** How long requests may keep waiting for the event loop, as loop-delay.ts measures it. While they wait for longer, further ones get 503. */
  readonly loopDelayMs: number;
  /** From the request to the beginning of its response; 503 after. A response that has begun has no time limit. */
  readonly answerMs: number;
  /** How long a client may take too little of what is queued for it; then the connection is reset, in every phase. */
  readonly writeMs: number;
  /**
   * A client that takes less than this on average over `writeMs` takes too little. On TCP the acknowledged bytes count. Without this limit
   * a client that takes a byte now and then could keep megabytes of a response queued without end.
   */
  readonly writeMinBytesPerSecond: number;
  /** How long input is read and dropped: the rest of a body, or what comes after the last response. */
  readonly lingerMs: number;
}

/**
 * The timeouts of a server that is not told others.
 *
 * ```ts
 * import { defaultTimeouts, Router, serve } from 'simplenet/http';
 *
 * serve(new Router(), { timeouts: { bodyMs: 2 * defaultTimeouts.bodyMs } });
 * ```
 */
export const defaultTimeouts: Timeouts = {
  handshakeMs: 10_000,
  headerMs: 10_000,
  idleMs: 75_000,
  bodyGraceMs: 5_000,
  bodyMinBytesPerSecond: 240,
  bodyMs: 300_000,
  bodyWaitMs: 5_000,
  queueMs: 1_000,
  loopDelayMs: Number.POSITIVE_INFINITY,
  answerMs: 120_000,
  writeMs: 30_000,
  writeMinBytesPerSecond: 240,
  lingerMs: 2_000,
};

const isCount = (value: number) => Number.isInteger(value) || value === Number.POSITIVE_INFINITY;

/** The defaults, replaced by what is given: whole numbers, or Infinity for no limit. `fieldCount` is at most MAX_FIELDS. */
export function limitsFrom(given: Partial<Limits> = {}): Limits {
  const limits = withDefaults('limit', defaultLimits, given, isCount, 'a whole number');
  if (limits.fieldCount > MAX_FIELDS) {
    throw new RangeError(`fieldCount must be at most ${MAX_FIELDS}, not ${limits.fieldCount}`);
  }
  return limits;
}

/** The limits of the server, replaced by what is given for one body. */
export function multipartLimitsFrom(limits: Limits, given: Partial<MultipartLimits>): MultipartLimits {
  const { partCount, partBytes, partNameBytes, partHeaderBytes } = limits;
  return withDefaults(
    'limit',
    { partCount, partBytes, partNameBytes, partHeaderBytes },
    given,
    isCount,
    'a whole number',
  );
}

/** The defaults, replaced by what is given: numbers, or Infinity for no limit. */
export function timeoutsFrom(given: Partial<Timeouts> = {}): Timeouts {
  return withDefaults('timeout', defaultTimeouts, given, () => true, 'a number');
}

/** A parser allocates the offsets of all fields in advance. */
const MAX_FIELDS = 100_000;

function withDefaults<T extends Limits | MultipartLimits | Timeouts>(
  what: string,
  defaults: T,
  given: Partial<T>,
  isAllowed: (value: number) => boolean,
  kind: string,
): T {
  const merged: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (!Object.hasOwn(defaults, name)) {
      throw new RangeError(`unknown ${what} '${name}': ${adviceFor(name, Object.keys(defaults))}`);
    }
    if (value === undefined) continue;
    if (typeof value !== 'number' || !(value > 0) || !isAllowed(value)) {
      throw new RangeError(`${name} must be ${kind} > 0, not ${String(value)}`);
    }
    merged[name] = value;
  }
  return merged as unknown as T;
}
