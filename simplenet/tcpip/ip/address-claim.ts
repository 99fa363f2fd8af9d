/**
 * Address claim: says that an address is ours, at the start and against another host that uses it too (RFC 5227).
 *
 * An announcement is a request for our own address ("gratuitous ARP"). Neighbours that have an old hardware address for it replace it. If
 * another host uses the address, we announce it again, at most once in 10 s: two hosts that both defend would otherwise answer each other
 * without end. We do not give the address up, because a server without its address is no server (section 2.4, case c).
 *
 * We do not probe for other users before the start. It would take up to 9 s, and the address is given by hand.
 *
 * Next: address-resolution.ts
 */

/** RFC 5227 section 1.1. */
const ANNOUNCE_NUM = 2;
const ANNOUNCE_INTERVAL_MS = 2_000;
const DEFEND_INTERVAL_MS = 10_000;

export class AddressClaim {
  readonly #sendAnnouncement: () => void;
  #left = 0;
  #deadlineAt = Number.POSITIVE_INFINITY;
  #defendedAt = Number.NEGATIVE_INFINITY;

  constructor(sendAnnouncement: () => void) {
    this.#sendAnnouncement = sendAnnouncement;
  }

  get deadlineAt(): number {
    return this.#deadlineAt;
  }

  announce(now: number): void {
    this.#left = ANNOUNCE_NUM;
    this.#step(now);
  }

  onDeadline(now: number): void {
    if (this.#deadlineAt <= now) this.#step(now);
  }

  #step(now: number): void {
    this.#sendAnnouncement();
    this.#left--;
    this.#deadlineAt = this.#left > 0 ? now + ANNOUNCE_INTERVAL_MS : Number.POSITIVE_INFINITY;
  }

  /** Another host uses our address. Returns whether we have answered. */
  defend(now: number): boolean {
    if (now - this.#defendedAt < DEFEND_INTERVAL_MS) return false;
    this.#defendedAt = now;
    this.#sendAnnouncement();
    return true;
  }
}
