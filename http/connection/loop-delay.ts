/**
 * LoopDelay: whether requests keep waiting too long for the event loop.
 *
 * A timer would not tell: the loop gives timers their turn between two turns of its own, however many sockets are still waiting. So a datagram to
 * ourselves stands in the same line as the requests that come at that moment, and takes as long as they do. It is sent after the turn in which a request
 * came: sent before, it would wait for the handler of that request, which is what nobody waits for if its client is alone. One is sent when the last one
 * is INTERVAL_MS old, and a server without requests sends none. While one is on its way, its age counts, too.
 *
 * One long delay is a stall, such as a handler that computes: those who came meanwhile have waited, and to turn them away would help nobody. A delay that
 * stays long is a line that does not get shorter (CoDel, RFC 8289 section 3). So the server turns requests away when each of them has met a delay
 * above `loopDelayMs` for STAYS_MS. To turn one away costs little, so the line is soon short, the next datagram is fast, and requests are served again.
 *
 *     a datagram is fast ----> requests begin <------------------------------.
 *     a datagram is slow ----> requests begin --- STAYS_MS --> 503 ---> a datagram is fast
 *
 * An overload lasts, and the line grows again as soon as requests begin. So for SAME_OVERLOAD_MS after the last request that was turned away, a delay above the limit need
 * not stay, as CoDel goes on where it has stopped.
 *
 * So of a line that grows, what is served waits no longer than about `loopDelayMs` and STAYS_MS together, and the time of one handler.
 *
 * Next: graceful-stop.ts
 */

import { randomUUID } from 'node:crypto';
import type { Alarm, EventLoop, UdpPort } from '../../simplenet/index.ts';

/** A datagram for each of these intervals costs a thousandth of a core. */
const INTERVAL_MS = 20;

/** The interval of CoDel. Several datagrams have the time to say that it was only a stall. */
export const STAYS_MS = 100;

/** So long after a request was turned away, the next long delay belongs to the same overload. */
export const SAME_OVERLOAD_MS = 1_000;

/** A datagram that has not come after `loopDelayMs` and this time is lost, and another one is sent. */
const LOST_MS = 1_000;

/** What a LoopDelay needs of the event loop. */
export type DelayedLoop = Pick<EventLoop, 'exactNow' | 'after' | 'bindUdp'>;

export class LoopDelay {
  readonly #loop: DelayedLoop;
  readonly #maxMs: number;
  readonly #port: UdpPort;
  /** When it was sent, by the clock of the loop: 8 bytes. */
  readonly #datagram = Buffer.alloc(8);
  /** Set while a datagram is to be sent. */
  #alarm: Alarm | null = null;
  #sentAt = Number.NEGATIVE_INFINITY;
  #isOnItsWay = false;
  /** What the last one has measured. */
  #lastMs = 0;
  /** Since when each request has met a delay above the limit. */
  #aboveSince = Number.POSITIVE_INFINITY;

  /** When the last request was turned away. */
  #tooLongAt = Number.NEGATIVE_INFINITY;

  constructor(loop: DelayedLoop, maxMs: number) {
    this.#loop = loop;
    this.#maxMs = maxMs;
    // An abstract name (unix(7)): a socket without a file, which needs no network.
    const address = { path: `\0simplenet-loop-delay-${randomUUID()}` };
    this.#port = loop.bindUdp(address, { onMessage: (_port, bytes) => this.#arrived(bytes) });
  }

  /** Called for each request. */
  isTooLong(): boolean {
    const now = this.#loop.exactNow();
    this.#measure(now);
    const ageMs = this.#isOnItsWay ? now - this.#sentAt : 0;
    if (Math.max(this.#lastMs, ageMs) <= this.#maxMs) {
      this.#aboveSince = Number.POSITIVE_INFINITY;
      return false;
    }
    this.#aboveSince = Math.min(this.#aboveSince, now);
    const isTooLong = now - this.#aboveSince >= STAYS_MS || now - this.#tooLongAt < SAME_OVERLOAD_MS;
    if (isTooLong) this.#tooLongAt = now;
    return isTooLong;
  }

  close(): void {
    this.#alarm?.cancel();
    this.#port.close();
  }

  #measure(now: number): void {
    const silentMs = now - this.#sentAt;
    if (this.#isOnItsWay && silentMs >= this.#maxMs + LOST_MS) {
      this.#isOnItsWay = false;
      this.#lastMs = 0;
    }
    if (!this.#isOnItsWay && silentMs >= INTERVAL_MS) this.#sendIn(0);
  }

  /** An alarm rings between two turns. */
  #sendIn(delayMs: number): void {
    this.#alarm ??= this.#loop.after(delayMs, () => this.#send());
  }

  #send(): void {
    this.#alarm = null;
    this.#sentAt = this.#loop.exactNow();
    this.#datagram.writeDoubleLE(this.#sentAt);
    this.#isOnItsWay = this.#port.send(this.#datagram, this.#port.address);
    if (!this.#isOnItsWay) this.#lastMs = 0; // nothing is known any more
  }

  /**
   * Other programs of this machine can send to it, too. What is not the datagram on its way is ignored. A slow one is followed by another, whether requests
   * come or not: so the next request does not meet what an old one has measured.
   */
  #arrived(bytes: Buffer): void {
    if (!this.#isOnItsWay || !bytes.equals(this.#datagram)) return;
    this.#isOnItsWay = false;
    this.#lastMs = this.#loop.exactNow() - this.#sentAt;
    if (this.#lastMs > this.#maxMs) this.#sendIn(Math.max(0, INTERVAL_MS - this.#lastMs));
  }
}
