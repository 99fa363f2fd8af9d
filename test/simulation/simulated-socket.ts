/**
 * SimulatedSocket: what all sockets have, whatever their family and type: addresses, options, a pending error.
 *
 * Options that mean something here are the buffer sizes, SO_REUSEADDR, SO_REUSEPORT, SO_LINGER and IPV6_V6ONLY. All others
 * are remembered and change nothing. A call that would have to wait returns -EAGAIN, and the caller decides whether
 * to wait.
 *
 * Next: simulated-stream-socket.ts
 */

import {
  AF_UNIX,
  EINVAL,
  EOPNOTSUPP,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_ERROR,
  SO_LINGER,
  SO_RCVBUF,
  SO_SNDBUF,
  SO_TYPE,
  SOL_SOCKET,
} from '../../simplenet/kernel/abi.ts';
import {
  formatSocketAddress,
  type InternetAddress,
  type SocketAddress,
} from '../../simplenet/kernel/socket-address.ts';
import { SimulatedFile } from './simulated-file.ts';
import type { SimulatedNetwork } from './simulated-network.ts';

/** socket(7): the kernel doubles what it is asked for, for its own book-keeping, and insists on these. */
const LEAST_SNDBUF = 4608;
const LEAST_RCVBUF = 2304;

/** struct linger { int on @0; int seconds @4; } */
const LINGER_SIZE = 8;

export interface Received {
  /** The number recv answers, or -errno. */
  readonly result: number;
  /** Where a datagram came from. */
  readonly from?: SocketAddress;
}

export abstract class SimulatedSocket extends SimulatedFile {
  readonly network: SimulatedNetwork;
  readonly family: number;
  abstract readonly type: number;
  local: SocketAddress | null = null;
  remote: SocketAddress | null = null;
  /** An errno that the next call will answer, SO_ERROR in socket(7). */
  error = 0;
  /** RCV_SHUTDOWN and SEND_SHUTDOWN of the Linux sources. */
  isReadShut = false;
  isWriteShut = false;
  readonly #options = new Map<string, Buffer>();
  /** SO_SNDBUF and SO_RCVBUF, which every byte is measured by; 0 where nobody has set them. */
  #sendBufferBytes = 0;
  #receiveBufferBytes = 0;

  constructor(network: SimulatedNetwork, family: number) {
    super();
    this.network = network;
    this.family = family;
  }

  get isListening(): boolean {
    return false;
  }

  get isIpv6Only(): boolean {
    return this.#number(IPPROTO_IPV6, IPV6_V6ONLY) !== 0;
  }

  get sendBufferBytes(): number {
    return this.#sendBufferBytes || this.network.defaultSendBufferBytes;
  }

  get receiveBufferBytes(): number {
    return this.#receiveBufferBytes || this.network.defaultReceiveBufferBytes;
  }

  /** SO_LINGER with 0 seconds: close sends RST. */
  get closesWithReset(): boolean {
    const linger = this.#options.get(`${SOL_SOCKET}:${SO_LINGER}`);
    return linger !== undefined && linger.readInt32LE(0) !== 0 && linger.readInt32LE(4) === 0;
  }

  /** Whether an option of SOL_SOCKET is switched on. */
  isOn(option: number): boolean {
    return this.#number(SOL_SOCKET, option) !== 0;
  }

  /** Reading the error clears it. */
  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  /** Or -errno. */
  getOption(level: number, option: number): Buffer | number {
    if (level === SOL_SOCKET) {
      if (option === SO_ERROR) return int(this.takeError());
      if (option === SO_TYPE) return int(this.type);
      if (option === SO_DOMAIN) return int(this.family);
      if (option === SO_ACCEPTCONN) return int(this.isListening ? 1 : 0);
      if (option === SO_SNDBUF) return int(2 * this.sendBufferBytes);
      if (option === SO_RCVBUF) return int(2 * this.receiveBufferBytes);
      if (option === SO_LINGER) return this.#options.get(`${level}:${option}`) ?? Buffer.alloc(LINGER_SIZE);
    }
    return this.#options.get(`${level}:${option}`) ?? int(0);
  }

  setOption(level: number, option: number, value: Buffer): number {
    if (value.length < (level === SOL_SOCKET && option === SO_LINGER ? LINGER_SIZE : 4)) return -EINVAL;
    let stored: Buffer = Buffer.from(value);
    if (level === SOL_SOCKET && option === SO_SNDBUF) stored = int(Math.max(2 * value.readInt32LE(0), LEAST_SNDBUF));
    if (level === SOL_SOCKET && option === SO_RCVBUF) stored = int(Math.max(2 * value.readInt32LE(0), LEAST_RCVBUF));
    this.#options.set(`${level}:${option}`, stored);
    this.#measure();
    return 0;
  }

  /** What an accepted connection has from its listener. */
  inheritOptions(parent: SimulatedSocket): void {
    for (const [key, value] of parent.#options) this.#options.set(key, value);
    this.#measure();
  }

  bind(address: SocketAddress): number {
    if (this.local !== null || this.isListening) return -EINVAL;
    if ('path' in address) return address.path === '' ? -EINVAL : this.network.bindUnix(this, address.path);
    return this.network.bind(this, address);
  }

  listen(_backlog: number): number {
    return -EOPNOTSUPP;
  }

  /** The peer as getpeername(2) gives it, or null for ENOTCONN. */
  get peerName(): SocketAddress | null {
    return this.remote;
  }

  /** `address` null undoes a connect, as AF_UNSPEC does. */
  abstract connect(address: SocketAddress | null): number;
  abstract shutdown(how: number): number;
  abstract receive(target: Uint8Array, isPeek: boolean, wantsTrueLength: boolean): Received;
  /** `to` null: to the peer. */
  abstract send(bytes: Uint8Array, to: SocketAddress | null): number;

  override describe(): string {
    const kind = this.family === AF_UNIX ? `unix ${this.typeName}` : this.typeName;
    const local = this.local === null ? '' : ` ${formatSocketAddress(this.local)}`;
    const remote = this.remote === null ? '' : ` <-> ${formatSocketAddress(this.remote)}`;
    return `${kind} socket, ${this.stage}${local}${remote}`;
  }

  protected abstract readonly typeName: string;
  protected abstract readonly stage: string;

  #measure(): void {
    this.#sendBufferBytes = this.#number(SOL_SOCKET, SO_SNDBUF) / 2;
    this.#receiveBufferBytes = this.#number(SOL_SOCKET, SO_RCVBUF) / 2;
  }

  #number(level: number, option: number): number {
    return this.#options.get(`${level}:${option}`)?.readInt32LE(0) ?? 0;
  }
}

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value, 0);
  return bytes;
}

/** The address of another family that connect or sendto was given is nothing for this socket. */
export function isInternet(address: SocketAddress): address is InternetAddress {
  return 'port' in address;
}
