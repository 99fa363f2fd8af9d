/**
 * DescriptorShortage: what a listener does when no descriptor is left for the next connection.
 *
 * When accept4(2) returns -EMFILE, the connection stays in the kernel's queue and the
 * listener stays readable, so a loop that just tries again burns a whole core and helps nobody. Here the listener rests for
 * a moment, in which a descriptor may come free. If none does, the waiting clients are turned away: a spare descriptor,
 * kept open for such times, is given up so that each of them can be accepted and closed. They learn at once what else they
 * would wait for in vain.
 *
 * Next: socket-loop.ts
 */

import { Descriptor } from '../kernel/descriptor.ts';
import { SOCKADDR_MAX_SIZE } from '../kernel/socket-address.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import type { Alarm } from './host.ts';
import type { Resting, ShortageContext } from './member.ts';

/** A sockaddr buffer for accept4(2), which those who are turned away leave unread. */
const peer = new Uint8Array(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

export class DescriptorShortage implements Resting {
  readonly #context: ShortageContext;
  readonly #socket: NetSocket;
  readonly #onEnd: () => void;
  #rest: Alarm | null = null;
  /** When the last rest ended without a descriptor having come free. */
  #restedInVainAt = Number.NEGATIVE_INFINITY;

  /** `onEnd` takes up accepting again. */
  constructor(context: ShortageContext, socket: NetSocket, onEnd: () => void) {
    this.#context = context;
    this.#socket = socket;
    this.#onEnd = onEnd;
  }

  get isResting(): boolean {
    return this.#rest !== null;
  }

  /** No descriptor was left. The listener accepts no more until `onEnd`. */
  begin(): void {
    const { host, spare, resting, acceptRestMs } = this.#context;
    if (host.now() - this.#restedInVainAt < acceptRestMs) spare.lend(() => this.#turnAway());
    resting.add(this);
    this.#rest = host.alarm(acceptRestMs, () => {
      this.#restedInVainAt = host.now();
      this.wake();
    });
  }

  /** Accepting is of no use for another reason: only time can help, and no descriptor that comes free. */
  rest(): void {
    const { host, acceptRestMs } = this.#context;
    this.#rest = host.alarm(acceptRestMs, () => this.wake());
  }

  /** A connection was accepted: the next rest will be the first one. */
  ended(): void {
    this.#restedInVainAt = Number.NEGATIVE_INFINITY;
  }

  /** Ends the rest: it is over, or a descriptor came free. */
  wake(): void {
    this.cancel();
    this.#onEnd();
  }

  cancel(): void {
    this.#rest?.cancel();
    this.#rest = null;
    this.#context.resting.delete(this);
  }

  #turnAway(): void {
    for (let i = 0; i < this.#context.acceptsPerTurn; i++) {
      peerLength[0] = peer.length;
      const fd = this.#socket.tryAccept(peer, peerLength);
      if (fd < 0) return;
      new Descriptor(fd, this.#socket.libc).close();
    }
  }
}
