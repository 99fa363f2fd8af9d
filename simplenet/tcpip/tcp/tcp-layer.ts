/**
 * TcpLayer: the face that stack.ts, stack-stream.ts and stack-listener.ts are written against; the body follows.
 */

import type { IcmpError, InternetLayer } from '../ip/internet-layer.ts';
import type { Ipv4Packet } from '../ip/ipv4-packet.ts';
import type { TcpConnection } from './tcp-connection.ts';
import { defaultTcpLimits, type TcpLimits } from './tcp-limits.ts';

export interface TcpLayerLimits extends TcpLimits {
  /** How many handshakes of one listener may be under way. Beyond that SYN cookies are sent. */
  readonly backlog: number;
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
}

export const defaultTcpLayerLimits: TcpLayerLimits = {
  ...defaultTcpLimits,
  backlog: 512,
  sendBufferBytes: 262_144,
  receiveBufferBytes: 262_144,
};

/** What a program is told about a connection. */
export interface TcpOwner {
  /** A segment, a timer or an ICMP error has changed something: the owner looks at the connection. */
  onProgress(): void;
}

export interface TcpEntry {
  readonly connection: TcpConnection;
  readonly localAddress: number;
  readonly localPort: number;
  readonly remoteAddress: number;
  readonly remotePort: number;
  /** Null before `onAccept` has set it, and once the connection is an orphan. */
  owner: TcpOwner | null;
}

export interface BufferSizes {
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
}

export interface TcpListenOptions extends BufferSizes {
  readonly backlog: number;
  /** A handshake is complete. Sets `entry.owner`, whose `onProgress` is called next if the segment has brought more. */
  onAccept(entry: TcpEntry): void;
}

export interface TcpListener {
  readonly port: number;
  /** Answers no SYN any more, not even with RST; handshakes under way go on. */
  ignoreSyn(): void;
  /** Frees the port. Handshakes under way end with RST. */
  close(): void;
}

export interface TcpLayerSetup {
  readonly internet: InternetLayer;
  readonly secret: Uint8Array;
  readonly random: () => number;
  readonly limits: TcpLayerLimits;
}

export class TcpLayer {
  readonly counters: Record<string, number> = {};

  constructor(_setup: TcpLayerSetup) {}

  /** Takes the port, or any free one for 0. Returns -errno if it cannot: EADDRINUSE. */
  listen(_port: number, _options: TcpListenOptions): TcpListener | number {
    return -1;
  }

  /** Sends a SYN with the next `flush`. Returns -errno if it cannot: EADDRNOTAVAIL without a free port, ENETUNREACH. */
  connect(_address: number, _port: number, _sizes: BufferSizes, _now: number): TcpEntry | number {
    return -1;
  }

  /** The program has written or consumed: the next `flush` looks at the connection. */
  touch(_entry: TcpEntry): void {}

  /** FIN after all that is written. */
  close(_entry: TcpEntry, _now: number): void {}

  /** RST now. Does nothing to a connection that has ended. */
  abort(_entry: TcpEntry, _now: number): void {}

  /** Its program has closed it: FIN after what is written, and the layer keeps it, for a bounded time, until that has arrived. */
  orphan(_entry: TcpEntry, _now: number): void {}

  /** Whether some connection has sent something that is not acknowledged, FIN included. */
  get hasUnacknowledged(): boolean {
    return false;
  }

  receive(_packet: Ipv4Packet, _now: number): void {}

  onIcmpError(_error: IcmpError, _now: number): void {}

  /** Lets every connection that was touched, or that a segment or a timer has changed, send what it may. */
  flush(_now: number): void {}

  get deadlineAt(): number {
    return Number.POSITIVE_INFINITY;
  }

  onDeadline(_now: number): void {}
}
