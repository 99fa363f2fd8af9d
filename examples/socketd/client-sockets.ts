/**
 * ClientSockets: the sockets of one client, by numbers that are valid for this client only.
 *
 * The daemon never sends its own descriptor numbers. So a client cannot name a socket of another client or a file of the daemon, and
 * the daemon can close all sockets of a client that has disconnected.
 */

import type { SocketTable } from './socket-table.ts';

export interface OwnedSocket {
  /** The daemon's descriptor. It is always non-blocking. */
  readonly fd: number;
  /** The calls of the client wait: for the client it is a blocking socket. */
  waits: boolean;
}

/** As in most processes, 0, 1 and 2 are taken by the standard streams. */
const FIRST_NUMBER = 3;

export const MAX_SOCKETS = 256;

export class ClientSockets {
  /** Where they are. */
  readonly table: SocketTable;
  /** The index is the number - FIRST_NUMBER. */
  readonly #sockets: (OwnedSocket | undefined)[] = [];

  constructor(table: SocketTable) {
    this.table = table;
  }

  get isFull(): boolean {
    return this.#freePlace() === MAX_SOCKETS;
  }

  get(number: number): OwnedSocket | undefined {
    return this.#sockets[number - FIRST_NUMBER];
  }

  /** Returns the number: the lowest that is free, as from open(2). The caller must check `isFull` first. */
  add(socket: OwnedSocket): number {
    const place = this.#freePlace();
    this.#sockets[place] = socket;
    return place + FIRST_NUMBER;
  }

  close(number: number): void {
    const socket = this.get(number);
    this.#sockets[number - FIRST_NUMBER] = undefined;
    if (socket !== undefined) this.table.calls.close(socket.fd);
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
