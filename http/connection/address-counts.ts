/**
 * AddressCounts: how many connections each client has (`limits.connectionsPerAddress`), so that one of them cannot take all of `limits.connections`.
 *
 * The addresses of one network count together (client-network.ts). The clients of a Unix socket have no address, so they are not counted.
 *
 * Next: door.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import { clientNetwork } from '../content/client-network.ts';

export class AddressCounts {
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Counts the stream until it is closed. Returns false, and does not count it, if its client has as many as it may have. */
  admits(stream: Stream): boolean {
    const { remoteAddress } = stream;
    if ('path' in remoteAddress) return true;
    const network = clientNetwork(remoteAddress.address);
    const count = this.#counts.get(network) ?? 0;
    if (count >= this.#most) return false;
    this.#counts.set(network, count + 1);
    stream.whenClosed(() => this.#remove(network));
    return true;
  }

  #remove(network: string): void {
    const count = this.#counts.get(network) as number;
    if (count === 1) this.#counts.delete(network);
    else this.#counts.set(network, count - 1);
  }
}
