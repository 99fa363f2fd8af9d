/**
 * TcpEntry: a connection with its addresses and its owner.
 *
 * Next: time-wait-table.ts
 */

import type { Peer } from './connection-table.ts';
import type { TcpConnection } from './tcp-connection.ts';
import type { Timed } from './timer-list.ts';

/** What a program is told about a connection. */
export interface TcpOwner {
  /** A segment, a timer or an ICMP error has changed something: the owner looks at the connection. */
  onProgress(): void;
}

export interface TcpEntry extends Peer {
  readonly connection: TcpConnection;
  readonly localAddress: number;
  /** Null before `onAccept` has set it, and once the connection is an orphan. */
  owner: TcpOwner | null;
}

/** What the layer keeps beside it. */
export class Entry implements TcpEntry, Timed {
  readonly connection: TcpConnection;
  readonly localAddress: number;
  readonly localPort: number;
  readonly remoteAddress: number;
  readonly remotePort: number;
  owner: TcpOwner | null = null;
  /** Called once: the handshake of a client is complete, or has failed. */
  onHandshakeEnd: ((entry: Entry) => void) | null = null;
  isDirty = false;
  /** Whether the layer has let go of it: closed, or kept as a WaitingPeer. */
  isDropped = false;
  deadlineAt = Number.POSITIVE_INFINITY;
  timerSlot = -1;

  constructor(connection: TcpConnection, localAddress: number, peer: Peer) {
    this.connection = connection;
    this.localAddress = localAddress;
    this.localPort = peer.localPort;
    this.remoteAddress = peer.remoteAddress;
    this.remotePort = peer.remotePort;
  }

  endHandshake(): void {
    const { onHandshakeEnd } = this;
    this.onHandshakeEnd = null;
    onHandshakeEnd?.(this);
  }
}
