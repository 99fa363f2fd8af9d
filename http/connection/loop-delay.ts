/**
 * LoopDelay: how long a request waits in the kernel until the event loop reads it.
 *
 * A timer would not tell: the loop gives timers their turn between two turns of its own, however many sockets are still waiting. So a datagram to
 * ourselves stands in the same line as the requests, and takes as long as they do. It is sent when a request comes and the last one is
 * INTERVAL_MS old, so a server without requests sends none. While one is on its way, its age counts, too.
 *
 * The server turns requests away while the delay is longer than `loopDelayMs`. To turn one away costs little, so the line is soon short again,
 * and the next requests are served at once: all that is served waits no longer than about `loopDelayMs`.
 *
 * Next: graceful-stop.ts
 */

import { randomUUID } from 'node:crypto';
import type { EventLoop, UdpPort } from '../../simplenet/index.ts';

/** A datagram for each of these intervals costs a thousandth of a core. */
const INTERVAL_MS = 20;

/** The kernel drops a datagram if it has no memory. After this time another one is sent. */
const LOST_MS = 1_000;

export class LoopDelay {
  readonly #loop: Pick<EventLoop, 'exactNow' | 'bindUdp'>;
  readonly #maxMs: number;
  readonly #port: UdpPort;
  /** When it was sent, by the clock of the loop: 8 bytes. */
  readonly #datagram = Buffer.alloc(8);
  #sentAt = Number.NEGATIVE_INFINITY;
  #isOnItsWay = false;
  /** What the last one has measured, and when it arrived. */
  #lastMs = 0;
  #arrivedAt = 0;

  constructor(loop: Pick<EventLoop, 'exactNow' | 'bindUdp'>, maxMs: number) {
    this.#loop = loop;
    this.#maxMs = maxMs;
    // An abstract name (unix(7)): a socket without a file, which needs no network.
    const address = { path: `\0simplenet-loop-delay-${randomUUID()}` };
    this.#port = loop.bindUdp(address, { onMessage: (_port, bytes) => this.#arrived(bytes) });
  }

  /** Called for each request. */
  isTooLong(): boolean {
    const now = this.#loop.exactNow();
    if (now - this.#sentAt >= (this.#isOnItsWay ? LOST_MS : INTERVAL_MS)) this.#send(now);
    const ageMs = this.#isOnItsWay ? now - this.#sentAt : 0;
    return Math.max(this.#lastMs, ageMs) > this.#maxMs;
  }

  close(): void {
    this.#port.close();
  }

  #send(now: number): void {
    if (now - this.#arrivedAt >= INTERVAL_MS) this.#lastMs = 0; // there was no request meanwhile, so the line is empty
    this.#sentAt = now;
    this.#datagram.writeDoubleLE(now);
    this.#isOnItsWay = this.#port.send(this.#datagram, this.#port.address);
  }

  /** Other programs of this machine can send to it, too. What is not the datagram on its way is ignored. */
  #arrived(bytes: Buffer): void {
    if (!this.#isOnItsWay || !bytes.equals(this.#datagram)) return;
    this.#isOnItsWay = false;
    this.#arrivedAt = this.#loop.exactNow();
    this.#lastMs = this.#arrivedAt - this.#sentAt;
  }
}
