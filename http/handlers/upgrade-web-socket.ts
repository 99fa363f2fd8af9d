/**
 * upgradeWebSocket: a WebSocket for a Fetch app, by the names of Deno: a socket with the interface of browsers, and a Response to return.
 *
 * The 101 is sent when it is called, so the Response that it returns is a mark: send-response.ts finds the request answered, and lets it pass.
 *
 * Next: fetch-server-draft.ts
 */

import { described } from '../nearest-name.ts';
import { type ContextWebSocket, openContextSocket } from '../websocket/context-web-socket.ts';
import { FetchRequest } from './fetch-request.ts';
import { UpgradedResponse } from './send-response.ts';

/**
 * Makes a WebSocket of a request that a Fetch app has got: return the response, and set the listeners of the socket before anything is awaited. A handshake with a fault
 * gets 400 or 426, and the socket fails. Origin is not looked at: an app with cookies must do so before.
 *
 * ```ts
 * import { serve, upgradeWebSocket } from 'simplenet/http';
 *
 * serve({
 *   fetch(request) {
 *     const { socket, response } = upgradeWebSocket(request);
 *     socket.onmessage = ({ data }) => socket.send(data);
 *     return response;
 *   },
 * });
 * ```
 */
export function upgradeWebSocket(
  request: Request,
  options: { readonly protocol?: string | readonly string[] } = {},
): { readonly socket: ContextWebSocket; readonly response: Response } {
  const exchange = FetchRequest.exchangeOf(request);
  if (exchange === null) {
    throw new TypeError(`upgradeWebSocket takes the request that the app was called with, not ${described(request)}`);
  }
  const { protocol = [] } = options;
  const spoken = typeof protocol === 'string' ? [protocol] : protocol;
  const socket = openContextSocket(exchange.request, exchange.response, spoken);
  return { socket, response: new UpgradedResponse() };
}
