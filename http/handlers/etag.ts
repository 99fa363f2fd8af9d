/**
 * etag: a middleware that names the version of a dynamic answer, so that a client which has it gets 304 without a body (RFC 9110 section 8.8.3).
 *
 *     GET /prices                                  200, ETag: "Zm9v...", and the body
 *     GET /prices, If-None-Match: "Zm9v..."        304, and no body
 *
 * The tag is a hash of the body. So the handler does all of its work each time; what is saved is the way to the client. A handler that knows the version of its data
 * sets ETag itself, and the body is not hashed. Bodies in pieces, errors and methods other than GET and HEAD pass unchanged: If-Match must be judged before a
 * handler changes something, which a middleware behind the handler cannot.
 *
 * Next: ../content/signed-cookie.ts
 */

import { createHash } from 'node:crypto';
import { hasTag, isSameWeak } from '../content/validators.ts';
import type { Middleware, ResponseWriter } from '../handler.ts';
import { checkOptionNames } from '../nearest-name.ts';

/**
 * How `etag` names versions.
 *
 * ```ts
 * import { type EtagOptions, etag, Router } from 'simplenet/http';
 *
 * const options: EtagOptions = { weak: true };
 * new Router().use('/pages', etag(options));
 * ```
 */
export interface EtagOptions {
  /** A weak tag: the answers mean the same, and their bytes may differ. False unless given. */
  readonly weak?: boolean;
  /** A longer body gets no tag, because hashing holds the thread: 1 MiB unless given, which takes about a millisecond. */
  readonly maxBytes?: number;
}

const optionNames: { readonly [Name in keyof Required<EtagOptions>]: true } = { weak: true, maxBytes: true };

const DEFAULT_MAX_BYTES = 1_048_576;

/** 132 bits of the hash: enough that two versions never share a tag. */
const TAG_LENGTH = 22;

const OK = 200;
const NOT_MODIFIED = 304;

/** RFC 9110 section 15.4.5: a 304 has no fields that describe the body, for the client keeps those of its copy. */
const ofBody = ['Content-Type', 'Content-Length', 'Content-Encoding', 'Content-Language'];

/**
 * Returns a middleware that adds an ETag to whole answers, and answers 304 to a client that has this version.
 *
 * ```ts
 * import { etag, Router } from 'simplenet/http';
 *
 * new Router().use(etag()).get('/prices', (_request, response) => response.json({ euro: 42 }));
 * ```
 */
export function etag(options: EtagOptions = {}): Middleware<unknown> {
  checkOptionNames('etag', options, optionNames);
  const { weak = false, maxBytes = DEFAULT_MAX_BYTES } = options;
  if (typeof maxBytes !== 'number' || !(maxBytes > 0))
    throw new RangeError(`maxBytes of etag must be a number above 0, not ${String(maxBytes)}`);
  return (request, response, next) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return next();
    response.beforeHead((body) => {
      if (response.statusCode !== OK) return;
      const tag = response.getHeader('ETag') ?? tagOf(body, weak, maxBytes);
      if (tag === null) return;
      response.header('ETag', tag);
      const known = request.headers.get('if-none-match');
      // RFC 9110 section 13.1.2: the comparison is the weak one.
      if (body !== null && known !== null && hasTag(known, tag, isSameWeak)) becomeNotModified(response);
    });
    return next();
  };
}

function tagOf(body: Uint8Array | null, weak: boolean, maxBytes: number): string | null {
  if (body === null || body.byteLength > maxBytes) return null;
  const hash = createHash('sha256').update(body).digest('base64url').slice(0, TAG_LENGTH);
  return weak ? `W/"${hash}"` : `"${hash}"`;
}

function becomeNotModified(response: ResponseWriter): void {
  response.status(NOT_MODIFIED);
  for (const name of ofBody) response.removeHeader(name);
}
