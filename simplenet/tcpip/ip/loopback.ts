/**
 * Loopback: the packets that the stack sends to its own address. They never reach the link, and wait here for the next turn: a program that
 * sends to itself is not called within its own call.
 *
 * Next: path-mtu.ts
 */

/** Beyond that a packet finds no room, as in the queue of a device. */
const MAX_WAITING_BYTES = 1_048_576;

export class Loopback {
  readonly #packets: Buffer[] = [];
  #waitingBytes = 0;

  /** Keeps a copy. Returns false if there is no room. */
  put(packet: Uint8Array): boolean {
    if (this.#waitingBytes + packet.length > MAX_WAITING_BYTES) return false;
    this.#packets.push(Buffer.from(packet));
    this.#waitingBytes += packet.length;
    return true;
  }

  /** The next packet, or null. */
  take(): Buffer | null {
    const packet = this.#packets.shift();
    if (packet === undefined) return null;
    this.#waitingBytes -= packet.length;
    return packet;
  }
}
