/**
 * Notice: the time between the word that a server is going to stop and its stop.
 *
 *     serving --close({ noticeMs })--> serving, and /readyz says 503 --the notice is over--> stopping
 *
 * A server that stops refuses new connections at once. A balancer asks now and then whether a server is ready, so it can only know in time if the server says so before it stops. Nothing
 * else changes until the notice is over. Each call of `close` can shorten it, and the grace after it, and none can make them longer.
 *
 * Next: peers.ts
 */

/** The options of `close`, with their defaults. */
export interface Patience {
  readonly noticeMs: number;
  readonly graceMs: number;
  readonly idleGraceMs: number;
}

export type Stop = (patience: Patience) => void;

export class Notice {
  readonly #now: () => number;
  readonly #after: (delayMs: number, callback: () => void) => { cancel(): void };
  #endsAt = Number.POSITIVE_INFINITY;
  #graceMs = Number.POSITIVE_INFINITY;
  #alarm: { cancel(): void } | null = null;

  constructor(now: () => number, after: (delayMs: number, callback: () => void) => { cancel(): void }) {
    this.#now = now;
    this.#after = after;
  }

  /** Calls `stop` when the notice is over: at once if it is 0. Of several calls the first that is over stops, with the shortest grace of all. */
  give(patience: Patience, stop: Stop): void {
    const { noticeMs, graceMs } = patience;
    this.#graceMs = Math.min(this.#graceMs, graceMs);
    const endsAt = this.#now() + noticeMs;
    if (noticeMs > 0 && endsAt >= this.#endsAt) return;
    this.#endsAt = endsAt;
    this.#alarm?.cancel();
    const end = () => stop({ ...patience, graceMs: this.#graceMs });
    if (noticeMs === 0) end();
    else this.#alarm = this.#after(noticeMs, end);
  }
}
