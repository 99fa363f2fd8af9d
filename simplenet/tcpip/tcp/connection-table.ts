/**
 * ConnectionTable: which connection a segment belongs to, by our port, the peer's address and the peer's port.
 *
 * Next: ephemeral-port.ts
 */

const PORTS = 65_536;

export interface Peer {
  readonly localPort: number;
  readonly remoteAddress: number;
  readonly remotePort: number;
}

export class ConnectionTable<T extends Peer> {
  /** Our port -> the peer's address and port in one number, 48 bits -> the connection. */
  readonly #ports = new Map<number, Map<number, T>>();

  get size(): number {
    let size = 0;
    for (const peers of this.#ports.values()) size += peers.size;
    return size;
  }

  get(localPort: number, remoteAddress: number, remotePort: number): T | undefined {
    return this.#ports.get(localPort)?.get(remoteAddress * PORTS + remotePort);
  }

  /** Puts the connection into the table, in place of another one between the same ports. */
  set(connection: T): void {
    const { localPort, remoteAddress, remotePort } = connection;
    let peers = this.#ports.get(localPort);
    if (peers === undefined) {
      peers = new Map();
      this.#ports.set(localPort, peers);
    }
    peers.set(remoteAddress * PORTS + remotePort, connection);
  }

  /** Does nothing if another connection has taken the place. */
  delete(connection: T): void {
    const { localPort, remoteAddress, remotePort } = connection;
    const peers = this.#ports.get(localPort);
    if (peers?.get(remoteAddress * PORTS + remotePort) !== connection) return;
    peers.delete(remoteAddress * PORTS + remotePort);
    if (peers.size === 0) this.#ports.delete(localPort);
  }

  *[Symbol.iterator](): Generator<T> {
    for (const peers of this.#ports.values()) yield* peers.values();
  }
}
