/**
 * Starvation: what a listener does when no descriptor is left for the next connection.
 *
 * When the answer is EMFILE, be it of accept4(2) or in a completion, the connection stays in the kernel's queue and the
 * listener stays readable, so a loop that just tries again burns a whole core and helps nobody. Here the listener rests for
 * a moment, in which a descriptor may come free. If none does, the waiting clients are turned away: a spare descriptor,
 * kept open for such times, is given up so that each of them can be accepted and closed. They learn at once what else they
 * would wait for in vain.
 *
 * Next: socket-loop.ts
 */

import { O_CLOEXEC, O_RDONLY } from '../kernel/abi.ts';
import { Descriptor } from '../kernel/descriptor.ts';
import type { Libc } from '../kernel/libc.ts';
import { SOCKADDR_MAX_SIZE } from '../kernel/socket-address.ts';
import { check } from '../kernel/system-error.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import type { Alarm, Host } from './host.ts';

/** A descriptor that does nothing but keep its number from others, until it is needed. */
export class SpareDescriptor {
  readonly #libc: Libc;
  #held: Descriptor;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#held = new Descriptor(check('open', this.#open()), libc);
  }

  /** Frees the number while `use` runs. Does nothing where another thread has snatched it earlier. */
  lend(use: () => void): void {
    this.#held.close();
    use();
    const fd = this.#open();
    if (fd >= 0) this.#held = new Descriptor(fd, this.#libc);
  }

  close(): void {
    this.#held.close();
  }

  #open(): number {
    return this.#libc.open('/dev/null', O_RDONLY | O_CLOEXEC);
  }
}

/** A listener that waits for a descriptor: to be woken when one comes free. */
export interface Resting {
  wake(): void;
}

/** What a starving listener needs from the loop it lives on. */
export interface StarvationHome {
  readonly host: Host;
  readonly spare: SpareDescriptor;
  readonly resting: Set<Resting>;
  readonly acceptsPerTurn: number;
  /** How long a listener waits for a descriptor to come free. */
  readonly acceptRestMs: number;
}

/** A sockaddr buffer for accept4(2), which those who are turned away leave unread. */
const peer = new Uint8Array(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

export class Starvation implements Resting {
  readonly #home: StarvationHome;
  readonly #socket: NetSocket;
  readonly #onEnd: () => void;
  #rest: Alarm | null = null;
  /** When the last rest ended without a descriptor having come free. */
  #restedInVainAt = Number.NEGATIVE_INFINITY;

  /** `onEnd` takes up accepting again. */
  constructor(home: StarvationHome, socket: NetSocket, onEnd: () => void) {
    this.#home = home;
    this.#socket = socket;
    this.#onEnd = onEnd;
  }

  get isResting(): boolean {
    return this.#rest !== null;
  }

  /** No descriptor was left. The listener accepts no more until `onEnd`. */
  begin(): void {
    const { host, spare, resting, acceptRestMs } = this.#home;
    if (host.now() - this.#restedInVainAt < acceptRestMs) spare.lend(() => this.#turnAway());
    resting.add(this);
    this.#rest = host.alarm(acceptRestMs, () => {
      this.#restedInVainAt = host.now();
      this.wake();
    });
  }

  /** Accepting is of no use for another reason: only time can help, and no descriptor that comes free. */
  rest(): void {
    const { host, acceptRestMs } = this.#home;
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
    this.#home.resting.delete(this);
  }

  #turnAway(): void {
    for (let i = 0; i < this.#home.acceptsPerTurn; i++) {
      peerLength[0] = peer.length;
      const fd = this.#socket.tryAccept(peer, peerLength);
      if (fd < 0) return;
      new Descriptor(fd, this.#socket.libc).close();
    }
  }
}
