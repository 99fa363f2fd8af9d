/**
 * cors: a middleware that lets pages of other origins call this server, and read its answers and its errors (the CORS protocol of the Fetch standard).
 *
 *     OPTIONS with Origin and Access-Control-Request-Method     a preflight: 204, and what is allowed. No handler runs
 *     any other request with an allowed Origin                  the answer has Access-Control-Allow-Origin
 *     an Origin that is not allowed, or none                    the answer has no such field, and the browser keeps it from the page
 *
 * It protects the users of browsers, and not the server: any other program reads what it likes. The fields are set before the handler runs, so
 * they are on error answers too. Without them the page would see a "network error" and not the status. Each answer that depends on Origin says so in Vary,
 * or a cache would give the answer for one origin to the page of another.
 *
 * There is no option for Access-Control-Allow-Private-Network: browsers have given up that preflight, and ask their user instead.
 *
 * Next: ../content/security-policy.ts
 */

import { isToken, tokensOf } from '../grammar.ts';
import type { HttpRequest, Middleware, ResponseWriter } from '../handler.ts';
import { checkOptionNames, described } from '../nearest-name.ts';
import { decided } from '../promises.ts';

/**
 * Which origins: any (`*`), one, several, those that a pattern matches as a whole, or those for which a function returns true.
 *
 * ```ts
 * import { type AllowedOrigin, cors, Router } from 'simplenet/http';
 *
 * const previews: AllowedOrigin = /https:\/\/pr-\d+\.shop\.example/;
 * new Router().use(cors({ origin: previews }));
 * ```
 */
export type AllowedOrigin =
  | string
  | readonly string[]
  | RegExp
  | ((origin: string, request: HttpRequest<unknown>) => boolean);

/**
 * What pages of other origins may do.
 *
 * ```ts
 * import { type CorsOptions, cors, Router } from 'simplenet/http';
 *
 * const options: CorsOptions = { origin: ['https://shop.example'], credentials: true, exposedHeaders: ['X-Request-Id'] };
 * new Router().use('/api', cors(options));
 * ```
 */
export interface CorsOptions {
  /** Whose pages: there is no default, because each one would be wrong for somebody. */
  readonly origin: AllowedOrigin;
  /** The methods that a preflight allows: GET, HEAD, POST, PUT, PATCH and DELETE unless given. */
  readonly methods?: readonly string[];
  /** The fields that a request may have beside those that are always allowed. Unless given, those that the browser asks for. */
  readonly allowedHeaders?: readonly string[];
  /** The fields of an answer that the page may read beside those that it always may. */
  readonly exposedHeaders?: readonly string[];
  /** Requests carry cookies. Not with `origin: '*'`: any site could then act for a user who is logged in. */
  readonly credentials?: boolean;
  /** How many seconds a browser remembers the answer to a preflight: 600 unless given. */
  readonly maxAge?: number;
}

const optionNames: { readonly [Name in keyof Required<CorsOptions>]: true } = {
  origin: true,
  methods: true,
  allowedHeaders: true,
  exposedHeaders: true,
  credentials: true,
  maxAge: true,
};

const DEFAULT_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const DEFAULT_MAX_AGE_S = 600;

type IsAllowed = (origin: string, request: HttpRequest<unknown>) => boolean;

/**
 * Returns a middleware for CORS.
 *
 * ```ts
 * import { cors, Router } from 'simplenet/http';
 *
 * new Router().use(cors({ origin: 'https://shop.example' })).get('/price', (_request, response) => response.json({ euro: 42 }));
 * ```
 */
export function cors(options: CorsOptions): Middleware<unknown> {
  checkOptionNames('cors', options, optionNames);
  const { origin, methods = DEFAULT_METHODS, allowedHeaders, exposedHeaders = [], credentials = false } = options;
  const isAny = origin === '*';
  if (isAny && credentials) throw new RangeError("cors with credentials needs origins by name: not '*'");
  const isAllowed = isAny ? null : matcherOf(origin);
  const allowed = allowedHeaders === undefined ? null : listOf('allowedHeaders', allowedHeaders);
  const exposed = listOf('exposedHeaders', exposedHeaders);
  const methodList = listOf('methods', methods);
  const maxAge = secondsFrom(options.maxAge ?? DEFAULT_MAX_AGE_S);

  const answerPreflight = (request: HttpRequest<unknown>, response: ResponseWriter): void => {
    response.header('Access-Control-Allow-Methods', methodList).header('Access-Control-Max-Age', maxAge);
    const asked = allowed ?? askedHeaders(request);
    if (asked !== '') response.header('Access-Control-Allow-Headers', asked);
  };

  return (request, response, next) => {
    if (!isAny) response.append('Vary', 'Origin');
    const given = request.headers.get('origin');
    const isPreflight =
      request.method === 'OPTIONS' && given !== null && request.headers.has('access-control-request-method');
    if (isPreflight && allowed === null) response.append('Vary', 'Access-Control-Request-Headers');
    if (given !== null && (isAllowed === null || isAllowed(given, request))) {
      response.header('Access-Control-Allow-Origin', isAny ? '*' : given);
      if (credentials) response.header('Access-Control-Allow-Credentials', 'true');
      if (isPreflight) answerPreflight(request, response);
      else if (exposed !== '') response.header('Access-Control-Expose-Headers', exposed);
    }
    if (isPreflight) response.empty();
    else return next();
  };
}

function matcherOf(origin: AllowedOrigin): IsAllowed {
  if (typeof origin === 'function') {
    return (given, request) => decided(origin(given, request), 'the function origin of cors');
  }
  if (origin instanceof RegExp) {
    // A pattern without ^ and $ would allow https://shop.example.evil.example. Without g and y it keeps no place between two calls.
    const whole = new RegExp(`^(?:${origin.source})$`, origin.flags.replace(/[gym]/g, ''));
    return (given) => whole.test(given);
  }
  const names = new Set((Array.isArray(origin) ? origin : [origin]).map(checkedOrigin));
  return (given) => names.has(given);
}

/** An origin that no browser ever sends would allow nobody, in silence. */
function checkedOrigin(origin: unknown): string {
  if (typeof origin !== 'string') throw new TypeError(`an origin of cors must be a string, not ${described(origin)}`);
  if (origin === 'null') throw new RangeError("cors must not allow the origin 'null': any site can send it");
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/\s?#]+$/.test(origin) || !isSerialized(origin)) {
    throw new RangeError(`'${origin}' is not an origin: write it as https://shop.example, without a path or a '/'`);
  }
  return origin;
}

/** A browser sends the host in lower case and leaves the usual port out. */
function isSerialized(origin: string): boolean {
  return !/^https?:/.test(origin) || (URL.canParse(origin) && new URL(origin).origin === origin);
}

/** The fields that a preflight asks for, if they are tokens: they are sent back. */
function askedHeaders(request: HttpRequest<unknown>): string {
  const names = tokensOf(request.headers.get('access-control-request-headers') ?? '');
  return names.every(isToken) ? names.join(', ') : '';
}

function listOf(option: string, names: readonly string[]): string {
  if (!Array.isArray(names)) throw new TypeError(`${option} of cors must be an array, not ${described(names)}`);
  for (const name of names as readonly unknown[]) {
    if (typeof name === 'string' && isToken(name)) continue;
    throw new TypeError(`${described(name)} cannot be in ${option} of cors`);
  }
  return names.join(', ');
}

function secondsFrom(maxAge: number): number {
  if (Number.isSafeInteger(maxAge) && maxAge >= 0) return maxAge;
  throw new RangeError(`maxAge of cors must be a whole number of seconds, not ${String(maxAge)}`);
}
