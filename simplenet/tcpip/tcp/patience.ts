/**
 * Patience: how long a connection waits for its peer before it gives up, and when it asks whether the peer is still there.
 *
 * Five waits, each with a limit of its own (tcp-limits.ts): for the handshake; for any answer to what was sent; for the
 * acknowledgment of the oldest byte, if the program has set a user timeout; for the answers to keep-alive probes; and in FIN_WAIT_2
 * for a FIN that may never come.
 *
 * Next: time-wait.ts
 */

import type { TcpLimits } from './tcp-limits.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** What a deadline asks of the connection. */
export type Demand = 'nothing' | 'probe' | 'give up' | 'forget';

export class Patience {
  readonly #limits: TcpLimits;
  userTimeoutMs: number;
  #keepAliveIdleMs: number;
  #keepAliveIntervalMs: number;
  #maxProbes: number;
  #handshakeUntil = NEVER;
  #unansweredSince = NEVER;
  #unacknowledgedSince = NEVER;
  #finUntil = NEVER;
  /** When the peer was heard last, and the probes since then. NEVER before the handshake is complete. */
  #heardAt = NEVER;
  #probes = 0;

  constructor(limits: TcpLimits) {
    this.#limits = limits;
    this.userTimeoutMs = limits.userTimeoutMs;
    this.#keepAliveIdleMs = limits.keepAliveIdleMs;
    this.#keepAliveIntervalMs = limits.keepAliveIntervalMs;
    this.#maxProbes = limits.keepAliveProbes;
  }

  setKeepAlive(
    idleMs: number,
    intervalMs = this.#limits.keepAliveIntervalMs,
    probes = this.#limits.keepAliveProbes,
  ): void {
    this.#keepAliveIdleMs = idleMs;
    this.#keepAliveIntervalMs = intervalMs;
    this.#maxProbes = probes;
  }

  get deadlineAt(): number {
    return Math.min(
      this.#handshakeUntil,
      this.#unansweredSince + this.#limits.unansweredMs,
      this.#unacknowledgedSince + this.userTimeoutMs,
      this.#keepAliveAt,
      this.#finUntil,
    );
  }

  onOpen(isActive: boolean, now: number): void {
    this.#handshakeUntil = now + (isActive ? this.#limits.connectMs : this.#limits.acceptMs);
  }

  onEstablished(now: number): void {
    this.#handshakeUntil = NEVER;
    this.#heardAt = now;
  }

  /** An acceptable segment of the peer has come. */
  onHeard(now: number): void {
    this.#probes = 0;
    if (this.#heardAt !== NEVER) this.#heardAt = now;
  }

  /** Bytes or a FIN of ours were acknowledged, or the peer has answered that its window is closed. */
  onAnswer(hasProgress: boolean): void {
    this.#unansweredSince = NEVER;
    if (hasProgress) this.#unacknowledgedSince = NEVER;
  }

  /** After each step: starts and ends the waits by what the sender has. */
  observe(awaitsAnswer: boolean, hasUnacknowledged: boolean, now: number): void {
    if (!awaitsAnswer) this.#unansweredSince = NEVER;
    else if (this.#unansweredSince === NEVER) this.#unansweredSince = now;
    if (!hasUnacknowledged) this.#unacknowledgedSince = NEVER;
    else if (this.#unacknowledgedSince === NEVER) this.#unacknowledgedSince = now;
  }

  /** No program waits for the peer's FIN any more, and ours is acknowledged. */
  awaitFin(now: number): void {
    this.#finUntil = now + this.#limits.finWait2Ms;
  }

  onDeadline(now: number): Demand {
    if (this.#handshakeUntil <= now) return 'give up';
    if (this.#unansweredSince + this.#limits.unansweredMs <= now) return 'give up';
    if (this.#unacknowledgedSince + this.userTimeoutMs <= now) return 'give up';
    if (this.#finUntil <= now) return 'forget';
    if (this.#keepAliveAt > now) return 'nothing';
    if (this.#probes === this.#maxProbes) return 'give up';
    this.#probes++;
    return 'probe';
  }

  /** Ends all waits: the connection has ended. */
  stop(): void {
    this.#handshakeUntil = NEVER;
    this.#unansweredSince = NEVER;
    this.#unacknowledgedSince = NEVER;
    this.#finUntil = NEVER;
    this.#heardAt = NEVER;
  }

  /** While something is unanswered, retransmissions ask the same question. */
  get #keepAliveAt(): number {
    if (this.#unansweredSince !== NEVER) return NEVER;
    return this.#heardAt + this.#keepAliveIdleMs + this.#probes * this.#keepAliveIntervalMs;
  }
}
