/**
 * httpsRedirect: the handler of the port beside HTTPS. It sends each client to the same path over https, and serves nothing itself.
 *
 * The host is the one that the client has asked for: a name that a certificate is for, where an address would not do. A client that names no host
 * (HTTP/1.0) gets 400, because the address that it has connected to is no place to send it to. What a request carries over plain HTTP everybody on the
 * way has read by then; Strict-Transport-Security (secureHeaders) keeps browsers from sending the next one.
 *
 * Next: workers/accept-share.ts
 */

import type { Handler } from './handler.ts';
import { HttpError } from './http-error.ts';

const HTTPS_PORT = 443;

/** GET and HEAD get 301, which every client knows. For other methods it would turn into GET, so they get 308 (RFC 9110 section 15.4.9). */
const MOVED_PERMANENTLY = 301;
const PERMANENT_REDIRECT = 308;

/** `portOf` returns the port of HTTPS. It is called for each request, because the port is known once the server listens. */
export function httpsRedirect(portOf: () => number): Handler {
  return ({ method, authority, path, search }, response) => {
    if (authority === '') throw new HttpError(400, 'the request must name its host');
    const port = portOf();
    const host = authority.replace(/:\d*$/, '') + (port === HTTPS_PORT ? '' : `:${port}`);
    const isSafe = method === 'GET' || method === 'HEAD';
    response.redirect(
      `https://${host}${path === '*' ? '/' : path}${search}`,
      isSafe ? MOVED_PERMANENTLY : PERMANENT_REDIRECT,
    );
  };
}
