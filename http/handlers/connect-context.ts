/**
 * ConnectContext: what `connect(ctx)` of a marked handler gets: a CONNECT, or a request of HTTP/1.1 with Upgrade.
 *
 * Next: context-handler.ts
 */

import { type ContextWebSocket, openContextSocket } from '../websocket/context-web-socket.ts';
import { type ContextExchange, type FieldsInit, fieldsOf } from './context-exchange.ts';
import { invalidState, notSupported } from './exchange-state.ts';
import { ServerContext } from './server-context.ts';
import { Tunnel } from './tunnel.ts';

/** The server writes them, or the answer has none: RFC 9110 section 9.3.6. */
const RESERVED: ReadonlySet<string> = new Set([
  ...['connection', 'content-length', 'keep-alive', 'trailer', 'transfer-encoding', 'upgrade'],
]);

/**
 * What `connect(ctx)` of a marked handler gets, for CONNECT and for a request with Upgrade.
 *
 * ```ts
 * import { type ConnectContext, PROTOCOL_MARKER, serve } from 'simplenet/http';
 *
 * serve({
 *   [PROTOCOL_MARKER]: 1,
 *   fetch: () => new Response('ask for the protocol echo\n'),
 *   async connect(ctx: ConnectContext) {
 *     if (ctx.connectProtocol !== 'echo') return new Response(null, { status: 501 });
 *     const tunnel = await ctx.accept();
 *     await tunnel.readable.pipeTo(tunnel.writable);
 *     return undefined;
 *   },
 * });
 * ```
 */
export class ConnectContext extends ServerContext {
  /** The first protocol that the Upgrade field names; null for CONNECT. */
  readonly connectProtocol: string | null;
  readonly #exchange: ContextExchange;

  /** The server makes one for each CONNECT. */
  constructor(exchange: ContextExchange) {
    super(exchange);
    this.#exchange = exchange;
    this.connectProtocol = exchange.upgrade;
  }

  /** Answers with 200, or 101 for an upgrade, and these fields. The connection belongs to the program then. */
  async accept(init: { readonly headers?: FieldsInit } = {}): Promise<Tunnel> {
    const exchange = this.#exchange;
    const { httpRequest, response, host, upgrade } = exchange;
    this.mustNotHaveFallenThrough();
    if (!exchange.check('accept')) throw exchange.abortReason;
    const fields = fieldsOf(init.headers);
    for (const name of Object.keys(fields)) {
      if (RESERVED.has(name)) throw new TypeError(`accept() writes ${name} itself`);
    }
    // RFC 9110 section 7.8: the whole request must be read before the protocol changes.
    if (!response.isRequestRead) throw invalidState('the body of the request must be read before accept()');
    for (const [name, values] of Object.entries(fields)) {
      for (const value of values as readonly string[]) response.append(name, value);
    }
    let opened: Tunnel | null = null as Tunnel | null;
    const open = (stream: Parameters<typeof Tunnel.over>[0]) => {
      const { tunnel, handler } = Tunnel.over(stream, host.tunnelIdleMs, httpRequest.limits);
      exchange.tunnel = tunnel;
      opened = tunnel;
      return handler;
    };
    exchange.take('accept');
    if (upgrade === null) response.tunnel(open);
    else response.upgrade(upgrade, open);
    /* c8 ignore next -- the connection ends for a reason of the server, such as a limit, and the client is still there. */
    if (opened === null) throw exchange.abortReason;
    return opened;
  }

  /**
   * Answers with 101, and returns the socket: CONNECTING until this code has returned, then `open` follows. `protocol` has the subprotocols that the program speaks,
   * the best first. A handshake with a fault gets 400 or 426, and the socket fails. Origin is not looked at: a program with cookies must do so before.
   */
  upgradeWebSocket(options: { readonly protocol?: string | readonly string[] } = {}): ContextWebSocket {
    const exchange = this.#exchange;
    this.mustNotHaveFallenThrough();
    if (!exchange.check('accept')) throw exchange.abortReason;
    if (exchange.upgrade?.toLowerCase() !== 'websocket') throw invalidState('the client has not asked for a WebSocket');
    const { protocol = [] } = options;
    exchange.take('accept');
    const spoken = typeof protocol === 'string' ? [protocol] : protocol;
    const socket = openContextSocket(exchange.httpRequest, exchange.response, spoken);
    exchange.tunnel = socket;
    return socket;
  }

  /** Rejects with NotSupportedError: HTTP/1.1 has no WebTransport. */
  async upgradeWebTransport(): Promise<never> {
    throw notSupported('HTTP/1.1 has no WebTransport');
  }
}
