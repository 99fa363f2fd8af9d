/**
 * How much, how many and how long: every limit of the server, with its default and its reason.
 *
 * A server without limits is at the mercy of its slowest and largest client. Each limit here can be set in `serve`. Nothing of
 * a request is ever dropped in silence: it is answered with the status that says which limit it was, or the connection ends.
 *
 * Next: http-error.ts
 */

export interface Limits {
  /** Method, target and version together; 414 above. URLs of that length break elsewhere, too. */
  readonly requestLineBytes: number;
  /** The request line and all fields; 431 above. Twice what large cookies take. */
  readonly headBytes: number;
  /** Fields of a head; 431 above. Browsers send some twenty. */
  readonly fieldCount: number;
  /** A request body; 413 above, before it is read where its length is declared. */
  readonly bodyBytes: number;
  /** What `json()` takes; 413 above. JSON.parse holds the thread: of a megabyte for some 10 ms, and 300 ms where it is made to. */
  readonly jsonBytes: number;
  /** How deeply JSON may nest; 400 above. Code that walks a value calls itself once for each level. */
  readonly jsonDepth: number;
  /** What `form()` takes; 413 above. */
  readonly formBytes: number;
  /** Fields of a form; 413 above. */
  readonly formFields: number;
  /**
   * All bodies that are read whole (`bytes`, `text`, `json`, `form`), of all connections together, each until its answer begins.
   * Above it bodies wait for as long as `bodyWaitMs`: see body-memory.ts.
   */
  readonly bodyMemoryBytes: number;
  /** All chunk extensions of a message together; 413 above. Nobody uses them but attackers. */
  readonly chunkExtensionBytes: number;
  /** All trailer fields of a message together; 431 above. */
  readonly trailerBytes: number;
  /** How much of a body that the handler did not want is read, so that the connection can be used again. */
  readonly discardBytes: number;
  /**
   * How much of a body waits in memory for a handler that reads slowly, or of a pipeline for its turn, before the peer is stopped.
   * It is asked after each receive, so a connection holds at most this and one receive (64 KiB) more.
   */
  readonly bodyBufferBytes: number;
  /** How much of an answer may be queued; a handler that writes on regardless of the client ends with the connection. */
  readonly answerBufferBytes: number;
  /** Requests on one connection, after which it closes: so load balancers can rebalance. */
  readonly requestsPerConnection: number;
  /**
   * Requests of one pipeline that begin in a row; the rest waits until other connections have had their turn. Sixteen is as deep as
   * clients pipeline. More would save little, and let one client keep all others waiting.
   */
  readonly requestsPerTurn: number;
  /** Connections at a time; more are closed at once. */
  readonly connections: number;
}

export const defaultLimits: Limits = {
  requestLineBytes: 8_192,
  headBytes: 32_768,
  fieldCount: 100,
  bodyBytes: 16 * 1024 * 1024,
  jsonBytes: 1024 * 1024,
  jsonDepth: 128,
  formBytes: 1024 * 1024,
  formFields: 1_000,
  bodyMemoryBytes: 256 * 1024 * 1024,
  chunkExtensionBytes: 16_384,
  trailerBytes: 8_192,
  discardBytes: 262_144,
  bodyBufferBytes: 65_536,
  answerBufferBytes: 16 * 1024 * 1024,
  requestsPerConnection: Number.MAX_SAFE_INTEGER,
  requestsPerTurn: 16,
  connections: Number.MAX_SAFE_INTEGER,
};

/** RFC 9110 section 15.5.9. A byte now and then extends none of those that wait for a request. */
export interface Timeouts {
  /** From the first byte of a head to its last; 408 after. */
  readonly headerMs: number;
  /** Between two requests; then the connection closes without a word, as clients expect. */
  readonly idleMs: number;
  /** How long a body may take before its rate is looked at. */
  readonly bodyGraceMs: number;
  /** The average below which a body is too slow after that; 408. Time in which the client was made to wait does not count. */
  readonly bodyMinBytesPerSecond: number;
  /** A body altogether, not counting the time in which the handler made the client wait; 408 after. */
  readonly bodyMs: number;
  /** How long a body may wait for memory (`bodyMemoryBytes`); 503 after. */
  readonly bodyWaitMs: number;
  /** From the request to the beginning of its answer; 503 after. A stream that has begun may go on for ever. */
  readonly answerMs: number;
  /** How long a client may take too little of what is queued for it before the connection is reset, in every phase. */
  readonly writeMs: number;
  /**
   * The average over `writeMs` below which a client takes too little. TCP counts what the client has acknowledged. Without it a byte
   * now and then would hold megabytes of an answer for ever.
   */
  readonly writeMinBytesPerSecond: number;
  /** How long input that nobody wants is read: the rest of a body, or what comes after our last answer. */
  readonly lingerMs: number;
}

export const defaultTimeouts: Timeouts = {
  headerMs: 10_000,
  idleMs: 5_000,
  bodyGraceMs: 5_000,
  bodyMinBytesPerSecond: 240,
  bodyMs: 300_000,
  bodyWaitMs: 5_000,
  answerMs: 120_000,
  writeMs: 30_000,
  writeMinBytesPerSecond: 240,
  lingerMs: 2_000,
};

/** Counts: whole numbers, or Infinity where somebody wants none. */
export function limitsFrom(given: Partial<Limits> = {}): Limits {
  const isCount = (value: number) => Number.isInteger(value) || value === Number.POSITIVE_INFINITY;
  const limits = withDefaults(defaultLimits, given, isCount, 'a whole number');
  if (limits.fieldCount > MAX_FIELDS) throw new RangeError(`fieldCount must be at most ${MAX_FIELDS}`);
  return limits;
}

/** Times, and two rates. */
export function timeoutsFrom(given: Partial<Timeouts> = {}): Timeouts {
  return withDefaults(defaultTimeouts, given, () => true, 'a number');
}

/** What a parser holds offsets of. */
const MAX_FIELDS = 100_000;

function withDefaults<T extends Limits | Timeouts>(
  defaults: T,
  given: Partial<T>,
  isFit: (value: number) => boolean,
  kind: string,
): T {
  const merged: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (!Object.hasOwn(defaults, name)) throw new RangeError(`there is no limit called '${name}'`);
    if (value === undefined) continue;
    if (typeof value !== 'number' || !(value > 0) || !isFit(value)) {
      throw new RangeError(`${name} must be ${kind} > 0, not ${String(value)}`);
    }
    merged[name] = value;
  }
  return merged as unknown as T;
}
