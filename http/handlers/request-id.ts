/**
 * requestId: a middleware that gives each request a name, which its answer and its line in the log have too.
 *
 * A proxy in front may have given one already. It is taken only if the program says that the request is to be trusted, and if it is short and harmless: it goes
 * into logs and answers, and a client that chooses it could take that of another request.
 *
 * Next: ../content/trace-parent.ts
 */

import { randomUUID } from 'node:crypto';
import { isToken } from '../grammar.ts';
import type { HttpRequest, Middleware } from '../handler.ts';
import { checkOptionNames, described } from '../nearest-name.ts';
import { StateKey } from '../request/request-state.ts';

/**
 * Where ids come from.
 *
 * ```ts
 * import { type RequestIdOptions, Router, requestId } from 'simplenet/http';
 *
 * const behindProxy: RequestIdOptions = { trust: (request) => request.remoteAddress === '10.0.0.1' };
 * new Router().use(requestId(behindProxy));
 * ```
 */
export interface RequestIdOptions {
  /** The field of the request and of the answer: `X-Request-Id` unless given. */
  readonly header?: string;
  /** Whether to take the id of a request: false unless given. */
  readonly trust?: boolean | ((request: HttpRequest<unknown>) => boolean);
  /** Makes an id: a random UUID unless given. */
  readonly generate?: () => string;
}

const optionNames: { readonly [Name in keyof Required<RequestIdOptions>]: true } = {
  header: true,
  trust: true,
  generate: true,
};

/** Letters, digits and what UUIDs, ULIDs, base64 and trace ids have besides: nothing that a log, HTML or a shell could misread. */
const ID = /^[\w.+/=:@-]{1,128}$/;

/**
 * The id of a request. `requestId()` sets it.
 *
 * ```ts
 * import { REQUEST_ID, Router, requestId } from 'simplenet/http';
 *
 * new Router().use(requestId()).get('/', ({ state }, response) => response.text(`${state.require(REQUEST_ID)}\n`));
 * ```
 */
export const REQUEST_ID: StateKey<string> = new StateKey<string>('requestId');

/**
 * Returns a middleware that names each request.
 *
 * ```ts
 * import { Router, requestId } from 'simplenet/http';
 *
 * new Router().use(requestId({ header: 'X-Correlation-Id', trust: true }));
 * ```
 */
export function requestId(options: RequestIdOptions = {}): Middleware<unknown> {
  checkOptionNames('requestId', options, optionNames);
  const { header = 'X-Request-Id', trust = false, generate = randomUUID } = options;
  if (typeof header !== 'string' || !isToken(header)) throw new TypeError(`${described(header)} is not a header name`);
  const isTrusted = typeof trust === 'function' ? trust : () => trust;
  return (request, response, next) => {
    const given = isTrusted(request) === true ? request.headers.get(header) : null;
    const id = given !== null && ID.test(given) ? given : madeBy(generate);
    request.state.set(REQUEST_ID, id);
    response.header(header, id);
    return next();
  };
}

function madeBy(generate: () => string): string {
  const id: unknown = generate();
  if (typeof id === 'string' && ID.test(id)) return id;
  throw new TypeError(`generate of requestId returned ${described(id)}, which is not an id`);
}
