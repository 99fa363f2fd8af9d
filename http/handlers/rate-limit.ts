/**
 * rateLimit: a middleware that lets each client make so many requests in a time, by a token bucket, and answers the others with 429.
 *
 *     rateLimit({ limit: 100, windowMs: 60_000 })     100 at once, and then one each 600 ms
 *
 * A bucket is one number, the time at which it will be full again (the generic cell rate algorithm): a request moves it on by the time of one
 * token, and there are as many tokens as fit between it and the end of the window. Time is counted in ticks, of which a token has `windowMs` and a millisecond has `limit`,
 * because whole numbers do not round.
 *
 * The table of buckets has at most `maxKeys`. A new client above that takes the place of the fullest of SAMPLE buckets, which go round the table: a full bucket
 * says nothing that a new one would not, and an emptier one stays. An attacker with many addresses cannot make the table grow. To push out a
 * client that has used k tokens, it must use more than k tokens with each of nearly `maxKeys` addresses. But each new address does get a new
 * bucket: against very many addresses only a limit for all helps.
 *
 * The fields are those of draft-ietf-httpapi-ratelimit-headers-10. The clock is that of the loop; under `inject` there is none, so time stands still.
 *
 * Next: request-id.ts
 */

import { createHash } from 'node:crypto';
import { clientNetwork } from '../content/client-network.ts';
import type { HttpRequest, Middleware } from '../handler.ts';
import { HttpError } from '../http-error.ts';
import { checkOptionNames, described } from '../nearest-name.ts';

/**
 * How many requests a client may make.
 *
 * ```ts
 * import { type RateLimitOptions, Router, rateLimit } from 'simplenet/http';
 *
 * const options: RateLimitOptions = { limit: 5, windowMs: 60_000, name: 'login', key: (request) => request.headers.get('x-user') };
 * new Router().use('/login', rateLimit(options));
 * ```
 */
export interface RateLimitOptions {
  /** How many requests a client may make at once, and again in each window: from 1 to 1,000,000. */
  readonly limit: number;
  /** How long an empty bucket takes to be full: from 1 ms to a day. */
  readonly windowMs: number;
  /** Who shares a bucket: `clientAddress` unless given, of IPv6 its /64. Null does not limit the request. */
  readonly key?: (request: HttpRequest<unknown>) => string | null;
  /** How many buckets there are at most: 10,000 unless given. A full bucket takes about 100 bytes, and its key. */
  readonly maxKeys?: number;
  /** The name of the policy in the fields: `default` unless given. Two limits on one route need two names. */
  readonly name?: string;
  /** Answers have RateLimit and RateLimit-Policy: true unless given. */
  readonly fields?: boolean;
}

const optionNames: { readonly [Name in keyof Required<RateLimitOptions>]: true } = {
  limit: true,
  windowMs: true,
  key: true,
  maxKeys: true,
  name: true,
  fields: true,
};

const MAX_LIMIT = 1_000_000;
const MAX_WINDOW_MS = 86_400_000;
const MAX_KEYS = 10_000_000;
const DEFAULT_MAX_KEYS = 10_000;

/** How many buckets are compared to make room for one. */
const SAMPLE = 16;

/** A longer key is kept as its hash: otherwise a client could choose how much memory a bucket takes. */
const MAX_KEY_LENGTH = 256;

/** What fits a string of structured fields, RFC 9651 section 3.3.3, without escapes. */
const NAME = /^[\x20\x21\x23-\x5b\x5d-\x7e]{1,64}$/;

const SECOND_MS = 1_000;
const TOO_MANY_REQUESTS = 429;

/**
 * Returns a middleware that answers 429 to a client that asks too often.
 *
 * ```ts
 * import { Router, rateLimit } from 'simplenet/http';
 *
 * new Router().use('/api', rateLimit({ limit: 100, windowMs: 60_000 }));
 * ```
 */
export function rateLimit(options: RateLimitOptions): Middleware<unknown> {
  checkOptionNames('rateLimit', options, optionNames);
  const { key = networkOf, maxKeys = DEFAULT_MAX_KEYS, name = 'default', fields = true } = options;
  const limit = wholeNumber('limit', options.limit, MAX_LIMIT);
  const windowMs = wholeNumber('windowMs', options.windowMs, MAX_WINDOW_MS);
  if (typeof key !== 'function') throw new TypeError(`key of rateLimit must be a function, not ${described(key)}`);
  if (typeof name !== 'string' || !NAME.test(name)) throw new TypeError(`${described(name)} cannot name a rateLimit`);
  const buckets = new Buckets(limit, windowMs, wholeNumber('maxKeys', maxKeys, MAX_KEYS));
  const policy = `"${name}";q=${limit};w=${Math.ceil(windowMs / SECOND_MS)}`;
  return (request, response, next) => {
    const owner: unknown = key(request);
    if (owner === null) return next();
    if (typeof owner !== 'string')
      throw new TypeError(`key of rateLimit must return a string or null, not ${described(owner)}`);
    const waitMs = buckets.take(bounded(owner), request.nowMs);
    const seconds = Math.ceil((waitMs > 0 ? waitMs : buckets.fullInMs) / SECOND_MS);
    if (fields) {
      response.append('RateLimit-Policy', policy);
      response.append('RateLimit', `"${name}";r=${waitMs > 0 ? 0 : buckets.left};t=${seconds}`);
    }
    if (waitMs === 0) return next();
    response.header('Retry-After', seconds);
    throw new HttpError(TOO_MANY_REQUESTS, `too many requests: wait ${seconds} s`);
  };
}

function networkOf(request: HttpRequest<unknown>): string {
  return clientNetwork(request.clientAddress);
}

function bounded(key: string): string {
  return key.length <= MAX_KEY_LENGTH ? key : createHash('sha256').update(key).digest('base64url');
}

/** A copy. V8 keeps the value of a field as a part of the text that it was cut from, and with a key the table would hold a whole head. */
function copyOf(key: string): string {
  return Buffer.from(key).toString();
}

export class Buckets {
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #maxKeys: number;
  /** By key: the tick at which the bucket is full. */
  readonly #fullAt = new Map<string, number>();
  #hand: MapIterator<[string, number]>;
  /** Ticks count from the first request, so that their number stays exact. */
  #startMs: number | null = null;
  /** After `take`: the tokens that are left. */
  left = 0;
  /** After `take`: how long until the bucket is full. */
  fullInMs = 0;

  constructor(limit: number, windowMs: number, maxKeys: number) {
    this.#limit = limit;
    this.#windowMs = windowMs;
    this.#maxKeys = maxKeys;
    this.#hand = this.#fullAt.entries();
  }

  get size(): number {
    return this.#fullAt.size;
  }

  /** Takes a token, and returns 0; or returns how many milliseconds to wait for one. */
  take(key: string, nowMs: number): number {
    this.#startMs ??= nowMs;
    const now = Math.floor(nowMs - this.#startMs) * this.#limit;
    const before = this.#fullAt.get(key);
    const after = Math.max(before ?? 0, now) + this.#windowMs;
    const tooMuch = after - now - this.#windowMs * this.#limit;
    if (tooMuch > 0) return tooMuch / this.#limit;
    if (before === undefined && this.#fullAt.size >= this.#maxKeys) this.#makeRoom(now);
    this.#fullAt.set(before === undefined ? copyOf(key) : key, after);
    this.left = Math.floor(-tooMuch / this.#windowMs);
    this.fullInMs = (after - now) / this.#limit;
    return 0;
  }

  /** Removes the full buckets of a sample, and if there are none, the one that is full first. */
  #makeRoom(now: number): void {
    let fullest: string | null = null;
    let earliest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < SAMPLE; i++) {
      const [key, fullAt] = this.#next();
      if (fullAt < earliest) {
        fullest = key;
        earliest = fullAt;
      }
      if (fullAt <= now && this.#fullAt.size > 1) this.#fullAt.delete(key);
    }
    if (this.#fullAt.size >= this.#maxKeys) this.#fullAt.delete(fullest as string);
  }

  /** The table is not empty. An iterator of a Map goes on when members come and go. */
  #next(): [string, number] {
    const next = this.#hand.next();
    if (next.done !== true) return next.value;
    this.#hand = this.#fullAt.entries();
    return this.#hand.next().value as [string, number];
  }
}

function wholeNumber(option: string, value: unknown, max: number): number {
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= max) return value as number;
  throw new RangeError(`${option} of rateLimit must be a whole number from 1 to ${max}, not ${described(value)}`);
}
