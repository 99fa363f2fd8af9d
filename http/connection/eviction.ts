/**
 * Eviction: ends whoever keeps a place with least use of it, to make room for a newcomer that would be turned away otherwise. Pure.
 *
 * Clients keep idle connections open for a minute or more. At `limits.connections`, or without descriptors, a new client with a request
 * is worth more than one that may never ask again (`longestIdle`). A new connection on which nothing has come yet is idle as well, since it was accepted:
 * otherwise silent clients could fill the server and keep all others out. A connection with a request under way, or with a response that
 * may not have arrived yet, is never closed as idle.
 *
 * Clients that send a request slowly could fill it, too, far above the rates that the timeouts demand. So where none is idle, and where no place of
 * `requestsInFlight` comes free, the client goes that is furthest behind what even a slow line brings (`slowest`). A handler that works keeps its client from
 * going: only the time counts in which the server waits for the client.
 *
 * A list in that order would cost changes for each request. So requests cost nothing here, and a search does the work:
 * it looks at all members and keeps those that go first, in order. Those that have been idle for longest stay the longest idle ones: whatever
 * becomes idle after the search has been idle for less time. A candidate that may stay meanwhile is skipped. So one search is enough
 * for many evictions, and a flood of clients cannot make each new one cost a search: each call pays for SEARCHED_PER_CALL
 * members, and a search waits until it is paid for. Until then there may be a member that is not found.
 *
 * Next: address-counts.ts
 */

/** So many candidates are kept from one search. It bounds the memory of those that end meanwhile. */
export const MAX_CANDIDATES = 1_024;

/** The price of a search: one call for so many members. */
export const SEARCHED_PER_CALL = 64;

/** A client that is behind by less is not slow: a lost packet delays any client for as long. */
export const MAX_BEHIND_MS = 1_000;

/** Who goes first, and how. */
export interface EvictionRule<T> {
  /** The member with the lowest rank goes first. One with Infinity stays. */
  rank(member: T): number;
  /** Ends a member that had this rank at the last search, unless it may stay now. Returns whether it did. */
  end(member: T, rank: number): boolean;
}

/** A client whose connection may be idle. */
export interface IdleClient {
  /** Since when no byte of a request has come, in active time. Infinity while a request or its response is under way. */
  readonly idleSince: number;
  /** Closes an idle connection, unless a request lies unread in the kernel or a response may still be on its way. Returns whether it did. */
  closeIfSilent(): boolean;
}

export const longestIdle: EvictionRule<IdleClient> = {
  rank: (connection) => connection.idleSince,
  end: (connection, idleSince) => connection.idleSince === idleSince && connection.closeIfSilent(),
};

/** A client that the server may be waiting for. */
export interface AwaitedClient {
  /**
   * How many milliseconds the client is behind one that sends SLOW_BYTES_PER_SECOND, if the server waits for the rest of its request; else 0. It is called
   * when there is no room: a client that is to take a response must take it faster from now on.
   */
  press(): number;
  /** Refuses the request of a client that is MAX_BEHIND_MS behind, unless more of it lies unread in the kernel. Returns whether it did. */
  refuseIfSlow(): boolean;
}

export const slowest: EvictionRule<AwaitedClient> = {
  rank: (client) => {
    const behindMs = client.press();
    return behindMs < MAX_BEHIND_MS ? Number.POSITIVE_INFINITY : -behindMs;
  },
  end: (client) => client.refuseIfSlow(),
};

interface Candidate<T> {
  readonly member: T;
  readonly rank: number;
}

export class Eviction<T> {
  readonly #members: ReadonlySet<T>;
  readonly #rule: EvictionRule<T>;
  /** The one that goes first is the last. */
  #candidates: Candidate<T>[] = [];
  #callsSinceSearch = Number.POSITIVE_INFINITY;

  constructor(members: ReadonlySet<T>, rule: EvictionRule<T>) {
    this.#members = members;
    this.#rule = rule;
  }

  /** Ends the member that goes first and returns it, or returns null if none is found. */
  evict(): T | null {
    this.#callsSinceSearch++;
    const ended = this.#endCandidate();
    if (ended !== null || this.#callsSinceSearch * SEARCHED_PER_CALL < this.#members.size) return ended;
    this.#search();
    return this.#endCandidate();
  }

  #endCandidate(): T | null {
    for (;;) {
      const candidate = this.#candidates.pop();
      if (candidate === undefined) return null;
      if (this.#rule.end(candidate.member, candidate.rank)) return candidate.member;
    }
  }

  /** One pass. The list is cut to its better half whenever it is full, and then only what goes before all of it is added. */
  #search(): void {
    this.#callsSinceSearch = 0;
    const found: Candidate<T>[] = [];
    let limit = Number.POSITIVE_INFINITY;
    for (const member of this.#members) {
      const rank = this.#rule.rank(member);
      if (rank >= limit) continue;
      found.push({ member, rank });
      if (found.length < 2 * MAX_CANDIDATES) continue;
      keepFirst(found);
      limit = (found.at(-1) as Candidate<T>).rank;
    }
    keepFirst(found);
    this.#candidates = found.reverse();
  }
}

/** Sorts the list, who goes first at its beginning, and cuts it to MAX_CANDIDATES. */
function keepFirst(found: Candidate<unknown>[]): void {
  found.sort((a, b) => a.rank - b.rank);
  if (found.length > MAX_CANDIDATES) found.length = MAX_CANDIDATES;
}
