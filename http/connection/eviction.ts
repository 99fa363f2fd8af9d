/**
 * Eviction: closes the connection that has been idle for longest, to make room for a new one. Pure.
 *
 * Clients keep idle connections open for a minute or more. At `limits.connections`, or without descriptors, a new client with a request
 * is worth more than one that may never ask again. A new connection on which nothing has come yet is idle as well, since it was accepted:
 * otherwise silent clients could fill the server and keep all others out. A connection with a request under way, or with a response that
 * may not have arrived yet, is never closed here.
 *
 * A list in the order of idleness would cost two changes for each request. So requests cost nothing here, and a search does the work:
 * it looks at all connections and keeps those that have been idle for longest, in order. They stay the longest idle ones: whatever
 * becomes idle after the search has been idle for less time. A candidate that has had a request since is skipped. So one search is enough
 * for many evictions, and a flood of clients cannot make each new connection cost a search: each call pays for SEARCHED_PER_CALL
 * connections, and a search waits until it is paid for. Until then there may be an idle connection that is not found.
 *
 * Next: address-counts.ts
 */

import type { OpenConnection } from './connection-context.ts';

/** So many of the longest idle connections are kept from one search. It bounds the memory of those that close meanwhile. */
export const MAX_CANDIDATES = 1_024;

/** The price of a search: one call for so many connections. */
export const SEARCHED_PER_CALL = 64;

interface Candidate {
  readonly connection: OpenConnection;
  readonly idleSince: number;
}

export class Eviction {
  readonly #connections: ReadonlySet<OpenConnection>;
  /** The longest idle one is the last. */
  #candidates: Candidate[] = [];
  #callsSinceSearch = Number.POSITIVE_INFINITY;

  /** `connections` are those that may be closed. */
  constructor(connections: ReadonlySet<OpenConnection>) {
    this.#connections = connections;
  }

  /** Closes the longest idle connection and returns it, or returns null if no idle one is found. */
  closeLongestIdle(): OpenConnection | null {
    this.#callsSinceSearch++;
    const closed = this.#closeCandidate();
    if (closed !== null || this.#callsSinceSearch * SEARCHED_PER_CALL < this.#connections.size) return closed;
    this.#search();
    return this.#closeCandidate();
  }

  #closeCandidate(): OpenConnection | null {
    for (;;) {
      const candidate = this.#candidates.pop();
      if (candidate === undefined) return null;
      const { connection, idleSince } = candidate;
      if (connection.idleSince === idleSince && connection.closeIfSilent()) return connection;
    }
  }

  /** One pass. The list is cut to its longest idle half whenever it is full, and then only what has been idle for longer is added. */
  #search(): void {
    this.#callsSinceSearch = 0;
    const found: Candidate[] = [];
    let limit = Number.POSITIVE_INFINITY;
    for (const connection of this.#connections) {
      const { idleSince } = connection;
      if (idleSince >= limit) continue;
      found.push({ connection, idleSince });
      if (found.length < 2 * MAX_CANDIDATES) continue;
      keepLongestIdle(found);
      limit = (found.at(-1) as Candidate).idleSince;
    }
    keepLongestIdle(found);
    this.#candidates = found.reverse();
  }
}

/** Sorts the list, the longest idle one first, and cuts it to MAX_CANDIDATES. */
function keepLongestIdle(found: Candidate[]): void {
  found.sort((a, b) => a.idleSince - b.idleSince);
  if (found.length > MAX_CANDIDATES) found.length = MAX_CANDIDATES;
}
