/**
 * LoopUdpSocket: a UDP socket on an event loop. The loop hands over each datagram as it comes; here they wait until the client asks for
 * them.
 *
 * Datagrams that find no room are lost, as on any socket. An error that the loop reports later than its cause is kept, and the next call
 * reports it: so sendto(2) may return the error of an earlier datagram, as on a connected socket of Linux.
 */

import {
  abi,
  formatSocketAddress,
  type SocketAddress,
  type SystemError,
  type UdpHandler,
  type UdpPort,
} from '../../simplenet/index.ts';
import { isOfTcp, LoopOptions } from './loop-options.ts';
import { LoopSocket, type LoopSocketContext, resultOf } from './loop-socket.ts';

const { EAGAIN, EDESTADDRREQ, EINVAL, EMSGSIZE, ENOTCONN, EOPNOTSUPP } = abi;

/** 65,535 without the headers of IPv4 and UDP. */
const MAX_DATAGRAM_BYTES = 65_507;

/** How much may wait for the client. Each datagram counts with what it costs besides its bytes, or empty ones would be free. */
export const MAX_WAITING_BYTES = 262_144;
export const DATAGRAM_COST = 256;

interface WaitingDatagram {
  readonly bytes: Buffer;
  readonly from: SocketAddress;
}

export class LoopUdpSocket extends LoopSocket implements UdpHandler {
  protected readonly type = abi.SOCK_DGRAM;
  protected readonly isListening = false;
  #port: UdpPort | null = null;
  #peer: SocketAddress | null = null;
  readonly #datagrams: WaitingDatagram[] = [];
  #waitingBytes = 0;

  constructor(context: LoopSocketContext, family: number) {
    super(context, family, new LoopOptions(context.optionNames.filter((name) => !isOfTcp(name))));
  }

  protected get isOpen(): boolean {
    return this.#port !== null;
  }

  // The calls of the client.

  bind(address: SocketAddress): number {
    if (this.#port !== null) return -EINVAL;
    return resultOf(() => {
      this.#port = this.context.loop.bindUdp(address, this, this.socketOptions);
    });
  }

  listen(): number {
    return -EOPNOTSUPP;
  }

  accept(): number {
    return -EOPNOTSUPP;
  }

  /** It sends nothing. From now on only datagrams of this peer come. */
  connect(address: SocketAddress): number {
    const result = this.#bindIfNeeded();
    if (result === 0) this.#peer = address;
    return result;
  }

  shutdown(): number {
    return this.#peer === null ? -ENOTCONN : -EOPNOTSUPP;
  }

  receive(into: Uint8Array, flags: number): number | { size: number; from: SocketAddress } {
    const error = this.takeError();
    if (error !== 0) return -error;
    const first = this.#datagrams[0];
    if (first === undefined) return -EAGAIN;
    const { bytes, from } = first;
    const copied = bytes.copy(into);
    if ((flags & abi.MSG_PEEK) === 0) {
      this.#datagrams.shift();
      this.#waitingBytes -= bytes.length + DATAGRAM_COST;
    }
    return { size: (flags & abi.MSG_TRUNC) !== 0 ? bytes.length : copied, from };
  }

  /** A datagram for which there is no room in the loop is lost, as one that a router drops. */
  send(bytes: Uint8Array, _flags: number, address: SocketAddress | null): number {
    const to = address ?? this.#peer;
    if (to === null) return -EDESTADDRREQ;
    if (bytes.length > MAX_DATAGRAM_BYTES) return -EMSGSIZE;
    const result = -this.takeError() || this.#bindIfNeeded();
    if (result < 0) return result;
    this.#port?.send(bytes, to);
    return bytes.length;
  }

  localAddress(): SocketAddress {
    return this.#port?.address ?? this.anyAddress;
  }

  remoteAddress(): SocketAddress | null {
    return this.#peer;
  }

  close(): void {
    this.forget();
    this.#port?.close();
  }

  protected readyEvents(): number {
    return abi.POLLOUT | (this.#datagrams.length > 0 ? abi.POLLIN : 0);
  }

  // The callbacks of the loop.

  onMessage(_port: UdpPort, bytes: Buffer, from: SocketAddress): void {
    const isFromAnother = this.#peer !== null && formatSocketAddress(this.#peer) !== formatSocketAddress(from);
    if (isFromAnother || this.#waitingBytes + bytes.length + DATAGRAM_COST > MAX_WAITING_BYTES) return;
    this.#datagrams.push({ bytes: Buffer.from(bytes), from });
    this.#waitingBytes += bytes.length + DATAGRAM_COST;
    this.wake();
  }

  onError(_port: UdpPort, error: SystemError): void {
    this.keepError(-error.errno);
    this.wake();
  }

  #bindIfNeeded(): number {
    return this.#port === null ? this.bind(this.anyAddress) : 0;
  }
}
