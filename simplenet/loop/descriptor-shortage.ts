/**
 * DescriptorShortage: what a listener does when no descriptor is left for the next connection.
 *
 * When accept4(2) returns -EMFILE, the connection stays in the kernel's queue and the listener stays readable. A loop that tries
 * again at once would use a whole core and accept nothing. Here the listener rests for a moment, in which a descriptor may come
 * free. If none does, the loop turns waiting clients away, up to `acceptsPerTurn` after each rest: the loop closes its spare
 * descriptor, and the listener accepts and closes one client after the other with the number that is free now. Such a client fails at
 * once, and does not wait for its own timeout. Open connections go on as before. Before all that the program is asked (`onShortage`): an
 * HTTP server closes its longest idle connection, and the listener goes on when its descriptor is free.
 *
 * Next: turn-loop.ts
 */

import { Descriptor } from '../kernel/descriptor.ts';
import { SOCKADDR_MAX_SIZE } from '../kernel/socket-address.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import type { Alarm } from './host.ts';
import type { Resting, ShortageContext } from './member.ts';

/** Scratch space: accept4(2) writes the addresses of clients here that are turned away. It is not read. */
const peer = new Uint8Array(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

export class DescriptorShortage implements Resting {
  readonly #context: ShortageContext;
  readonly #socket: NetSocket;
  readonly #onEnd: () => void;
  #rest: Alarm | null = null;
  /** The time at which the last rest ended although no descriptor had come free. */
  #restFailedAt = Number.NEGATIVE_INFINITY;

  /** `onEnd` starts accepting again. */
  constructor(context: ShortageContext, socket: NetSocket, onEnd: () => void) {
    this.#context = context;
    this.#socket = socket;
    this.#onEnd = onEnd;
  }

  get isResting(): boolean {
    return this.#rest !== null;
  }

  /**
   * Begins a rest because no descriptor was left. The listener must not accept until `onEnd`. `isEnding`: the program closes something, so
   * a descriptor comes free soon.
   */
  begin(isEnding: boolean): void {
    const { host, spare, resting, acceptRestMs } = this.#context;
    if (!isEnding && host.now() - this.#restFailedAt < acceptRestMs) spare.lend(() => this.#turnAway());
    resting.add(this);
    this.#rest = host.alarm(acceptRestMs, () => {
      this.#restFailedAt = host.now();
      this.wake();
    });
  }

  /** Begins a rest for another reason. It ends when its time has passed, and not when a descriptor comes free. */
  rest(delayMs = this.#context.acceptRestMs): void {
    this.#rest = this.#context.host.alarm(delayMs, () => this.wake());
  }

  /** A connection was accepted, so the shortage has ended. */
  ended(): void {
    this.#restFailedAt = Number.NEGATIVE_INFINITY;
  }

  /** Ends the rest: its time has passed, or a descriptor came free. */
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
