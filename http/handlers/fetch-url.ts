/**
 * The absolute URL of a request, in the form that `new URL(url).href` has: a Fetch app compares and cuts it as text.
 *
 * Nearly all targets are in that form already, so two patterns are tested and no URL object is made. The host that was valid last is
 * kept in its final form. A host that no URL can have never comes here: its request was refused (grammar.ts).
 *
 * Next: fetch-headers.ts
 */

import type { HttpRequest } from '../handler.ts';

/** Characters that the URL standard leaves as they are in a path and in a query. */
const PLAIN_TARGET = /^\/[\w\-.~!$&'()*+,;=:@%/]*(?:\?[\w\-.~!$&()*+,;=:@%/?]*)?$/;

/** A segment that may be a dot segment, which the URL standard resolves: `.`, `..`, and with `%2e` for a dot. */
const MAY_BE_DOT_SEGMENT = /\/(?:\.|%2e)/i;

/** The cache. It nearly always hits, because most requests to a server name the same host. */
let lastAuthority = '';
let lastScheme = '';
let lastOrigin = '';

export function fetchUrlOf(request: HttpRequest): string {
  const { authority, scheme, target } = request;
  const isPlain = PLAIN_TARGET.test(target) && !MAY_BE_DOT_SEGMENT.test(target);
  if (!isPlain || authority === '') return new URL(request.url).href; // '': HTTP/1.0 without a Host
  if (authority !== lastAuthority || scheme !== lastScheme) {
    lastOrigin = new URL(`${scheme}://${authority}`).origin;
    lastAuthority = authority;
    lastScheme = scheme;
  }
  return lastOrigin + target;
}
