/**
 * Door: the open connections of a server, and for whom there is room. It opens no socket.
 *
 * Next: admission.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import { type Limits, UNLIMITED } from '../limits.ts';
import { AddressCounts } from './address-counts.ts';
import type { OpenConnection } from './connection-context.ts';
import { Eviction, longestIdle, slowest } from './eviction.ts';

/** What is counted whether anyone reads it or not: an addition for each connection. */
export interface DoorCounts {
  accepted: number;
  /** Turned away: above `limits.connections`, with nobody idle or slow. */
  full: number;
  /** Turned away: above `limits.connectionsPerAddress`. */
  address: number;
  /** Turned away: without the header of the PROXY protocol that they must begin with. */
  proxyHeader: number;
  /** Ended to make room for another, while they were idle or sent their request slowly. */
  evicted: number;
  /** Times without a descriptor for a new connection. */
  shortages: number;
}

export class Door {
  readonly connections = new Set<OpenConnection>();
  readonly counts: DoorCounts = { accepted: 0, full: 0, address: 0, proxyHeader: 0, evicted: 0, shortages: 0 };
  readonly #maxConnections: number;
  readonly #idle = new Eviction<OpenConnection>(this.connections, longestIdle);
  readonly #slow = new Eviction<OpenConnection>(this.connections, slowest);
  /** Null without `connectionsPerAddress`. */
  readonly #addresses: AddressCounts | null;
  /** The address of a new connection is that of its client: there is no header to come that names another one. */
  readonly #knowsClients: boolean;
  readonly #isStopping: () => boolean;

  constructor({ connections, connectionsPerAddress }: Limits, knowsClients: boolean, isStopping: () => boolean) {
    this.#maxConnections = connections;
    this.#addresses = connectionsPerAddress < UNLIMITED ? new AddressCounts(connectionsPerAddress) : null;
    this.#knowsClients = knowsClients;
    this.#isStopping = isStopping;
  }

  /** Connections with a request or its response under way, and upgraded ones. It looks at all connections. */
  get busyCount(): number {
    let count = 0;
    for (const { idleSince } of this.connections) if (idleSince === Number.POSITIVE_INFINITY) count++;
    return count;
  }

  /** Lets a new connection in, or closes its stream. */
  admit(connection: OpenConnection, stream: Stream): void {
    this.counts.accepted++;
    if (this.#hasRoomFor(stream)) this.connections.add(connection);
    else stream.close();
  }

  /** Counts a connection whose client is known now. Returns false if that client has too many; then the caller closes its stream. */
  admitsClient(stream: Stream): boolean {
    if (this.#addresses === null || this.#addresses.admits(stream)) return true;
    this.counts.address++;
    return false;
  }

  /** Ends the longest idle connection, or the slowest. Returns false if there is none. While the server stops, idle ones have their grace. */
  makeRoom(): boolean {
    const ended = this.#isStopping() ? null : (this.#idle.evict() ?? this.#endSlowest());
    if (ended === null) return false;
    this.counts.evicted++;
    this.connections.delete(ended);
    return true;
  }

  /** Its 408 is written. It does not linger: a descriptor is needed now. */
  #endSlowest(): OpenConnection | null {
    const refused = this.#slow.evict();
    refused?.endNow();
    return refused;
  }

  /** There is no descriptor for a new connection. Returns whether one comes free. */
  onShortage(): boolean {
    this.counts.shortages++;
    return this.makeRoom();
  }

  /** The count of its client comes first: a client that has too many must not push out those of others. */
  #hasRoomFor(stream: Stream): boolean {
    if (this.#knowsClients && !this.admitsClient(stream)) return false;
    if (this.connections.size < this.#maxConnections || this.makeRoom()) return true;
    this.counts.full++;
    return false;
  }
}
