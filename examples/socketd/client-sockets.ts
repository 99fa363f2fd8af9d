/**
 * ClientSockets: the descriptors of one client, by numbers that mean something to this client only.
 *
 * The daemon's own numbers never leave it. So no client can name a socket of another, or a file of the daemon, and all that a
 * client leaves behind can be closed.
 */

import { libc } from '../../simplenet/index.ts';

export interface OwnedSocket {
  /** The daemon's descriptor. It is always non-blocking. */
  readonly fd: number;
  /** Whether the client's calls are to wait: it believes that its socket is a blocking one. */
  waits: boolean;
}

/** 0, 1 and 2 are taken wherever one looks. */
const FIRST_NUMBER = 3;

export const MAX_SOCKETS = 256;

export class ClientSockets {
  /** By number - FIRST_NUMBER. */
  readonly #sockets: (OwnedSocket | undefined)[] = [];

  get isFull(): boolean {
    return this.#freePlace() === MAX_SOCKETS;
  }

  get(number: number): OwnedSocket | undefined {
    return this.#sockets[number - FIRST_NUMBER];
  }

  /** Its number: the lowest that is free, as open(2) promises. The caller has asked `isFull`. */
  add(socket: OwnedSocket): number {
    const place = this.#freePlace();
    this.#sockets[place] = socket;
    return place + FIRST_NUMBER;
  }

  close(number: number): void {
    const socket = this.get(number);
    this.#sockets[number - FIRST_NUMBER] = undefined;
    if (socket !== undefined) libc.close(socket.fd);
  }

  closeAll(): void {
    for (const place of this.#sockets.keys()) this.close(place + FIRST_NUMBER);
    this.#sockets.length = 0;
  }

  #freePlace(): number {
    const place = this.#sockets.indexOf(undefined);
    return place === -1 ? this.#sockets.length : place;
  }
}
