/**
 * UpgradedConnection: what HTTP keeps of a connection whose stream belongs to a protocol of ours (WebSocket): enough to count it, to stop it and to end it.
 *
 * In its server it takes the place of the Connection, which becomes garbage then, with all that served its requests: half a kilobyte for each of many silent clients.
 * The stream needs no `whenClosed` either, which costs another quarter: a protocol of ours calls `closed` itself.
 *
 * Next: eviction.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import { isOwnProtocol, type UpgradeHost } from '../own-protocol.ts';
import type { ConnectionContext, OpenConnection } from './connection-context.ts';
import type { StoppableExchange } from './exchange-connection.ts';

export class UpgradedConnection implements OpenConnection, UpgradeHost {
  /** Set if the program waits for a signal of the request. */
  exchange: StoppableExchange | null = null;
  readonly #context: ConnectionContext;
  readonly #stream: Stream;

  constructor(context: ConnectionContext, stream: Stream) {
    this.#context = context;
    this.#stream = stream;
  }

  // For the server.

  /** The other protocol has timeouts of its own, so it is never idle here. */
  get idleSince(): number {
    return Number.POSITIVE_INFINITY;
  }

  closeIfSilent(): boolean {
    return false;
  }

  /** Nor does the server wait for its client. */
  press(): number {
    return 0;
  }

  refuseIfSlow(): boolean {
    return false;
  }

  stop(): void {
    this.exchange?.serverStops();
    const { handler } = this.#stream;
    if (isOwnProtocol(handler)) handler.serverStops();
  }

  endHandshake(): void {}

  endNow(): void {
    if (this.#stream.queuedBytes === 0) this.#stream.close();
    else this.#stream.abort();
  }

  flush(): void {}

  // For the protocol.

  report(error: unknown): unknown {
    return this.#context.report(error, null, null);
  }

  closed(): void {
    this.#context.forget(this);
  }
}
