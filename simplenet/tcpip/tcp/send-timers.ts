/**
 * SendTimers: when a sender acts without an ACK. Two of these RFC 9293 knows:
 * - retransmission (RFC 6298), or before it the tail loss probe (RFC 8985 section 7), which finds the loss of the last segments earlier;
 * - persist: the window is closed, nothing is in flight, and the ACK that opens it may be lost (RFC 9293 section 3.8.6.1).
 *
 * The third is ours: the link had no room for a frame. The reordering timer is in loss-detection.ts.
 *
 * Next: next-length.ts
 */

/** RFC 9293 section 3.8.6.1 wants a longer pause after each probe. An hour of silence would not be noticed without a bound. */
const MAX_PERSIST_MS = 60_000;
const MAX_DOUBLINGS = 10;
/** How long to wait after a frame for which the link had no room. */
const LOCAL_RETRY_MS = 5;
const NEVER = Number.POSITIVE_INFINITY;

export class SendTimers {
  #retransmitAt = NEVER;
  #isTailProbe = false;
  #persistAt = NEVER;
  #windowProbes = 0;
  #resumeAt = NEVER;

  get deadlineAt(): number {
    return Math.min(this.#retransmitAt, this.#persistAt, this.#resumeAt);
  }

  get retransmitAt(): number {
    return this.#retransmitAt;
  }

  /** Whether the retransmission timer is set for a tail loss probe. */
  get isTailProbe(): boolean {
    return this.#isTailProbe;
  }

  get persistAt(): number {
    return this.#persistAt;
  }

  get isRetransmissionSet(): boolean {
    return this.#retransmitAt !== NEVER;
  }

  get isPersisting(): boolean {
    return this.#persistAt !== NEVER;
  }

  /** Sets it for the earlier of the two. */
  setRetransmission(rtoMs: number, probeDelayMs: number, now: number): void {
    this.#isTailProbe = probeDelayMs < rtoMs;
    this.#retransmitAt = now + Math.min(probeDelayMs, rtoMs);
  }

  clearRetransmission(): void {
    this.#isTailProbe = false;
    this.#retransmitAt = NEVER;
  }

  /** Each probe in a row doubles the pause. */
  setPersist(rtoMs: number, now: number): void {
    this.#persistAt = now + Math.min(rtoMs * 2 ** Math.min(this.#windowProbes, MAX_DOUBLINGS), MAX_PERSIST_MS);
  }

  clearPersist(): void {
    this.#persistAt = NEVER;
  }

  onWindowProbe(): void {
    this.#windowProbes++;
  }

  /** The peer has taken something: the pauses between window probes are short again. */
  onProgress(): void {
    this.#windowProbes = 0;
  }

  setResume(now: number): void {
    this.#resumeAt = now + LOCAL_RETRY_MS;
  }

  clearResume(): void {
    this.#resumeAt = NEVER;
  }

  stop(): void {
    this.clearRetransmission();
    this.clearPersist();
    this.clearResume();
  }
}
