/**
 * NetSocket: a stream socket, TCP or Unix. Most methods are one system call each; the others say which calls they make.
 *
 * Its calls wait as the kernel's calls wait, so a server of twenty lines can be read from top to bottom: listenOn, accept, read,
 * write, close. A waiting call stops the whole thread, timers included. For many connections at once there are the event loops
 * (event-loop.ts). They use the same class with `nonBlocking` and with the `try` methods, which return -errno and do not throw.
 *
 * Next: udp-socket.ts
 */

import {
  AF_UNIX,
  EINPROGRESS,
  EINTR,
  ETIMEDOUT,
  F_GETFL,
  F_SETFL,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  O_NONBLOCK,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SK_MEMINFO_VARS,
  SK_MEMINFO_WMEM_ALLOC,
  SK_MEMINFO_WMEM_QUEUED,
  SO_ERROR,
  SO_LINGER,
  SO_MEMINFO,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SOMAXCONN,
  TCP_INFO,
  TCP_INFO_BYTES_ACKED,
  TCP_INFO_BYTES_ACKED_END,
  UCRED_SIZE,
} from '../kernel/abi.ts';
import { retryOnEintr } from '../kernel/interruption.ts';
import { type Libc, libc as processLibc } from '../kernel/libc.ts';
import { familyOf, type SocketAddress } from '../kernel/socket-address.ts';
import { check } from '../kernel/system-error.ts';
import { adoptSocket, makeSocket, Socket, type SocketSetup } from './socket.ts';
import { encodeLinger, type ListenOptions } from './socket-options.ts';

/**
 * The process at the other end of a Unix socket. The kernel records it when that process calls connect(2) or listen(2).
 *
 * ```ts
 * import { NetSocket, type PeerCredentials } from 'simplenet';
 *
 * const listener = NetSocket.listenOn({ path: '/run/my-service.sock' });
 * const client = listener.accept();
 * const peer: PeerCredentials | null = client.peerCredentials;
 * if (peer?.uid !== process.getuid?.()) client.close(); // only the same user may ask
 * ```
 */
export interface PeerCredentials {
  /** 0 if the process is in another PID namespace. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * How `NetSocket.connectTo` connects, beside the options of the socket.
 *
 * ```ts
 * import { type ConnectSetup, NetSocket } from 'simplenet';
 *
 * const setup: ConnectSetup = { connectTimeoutMs: 2_000 };
 * const socket = NetSocket.connectTo({ address: '127.0.0.1', port: 8080 }, setup); // ETIMEDOUT after two seconds
 * ```
 */
export interface ConnectSetup {
  /** How long to wait for the connection. By default, and with -1, as long as the kernel does. */
  readonly connectTimeoutMs?: number;
}

/** `tryPeek` receives a byte here, and ignores it. */
const peeked = new Uint8Array(1);

const U32_SIZE = 4;

/** Scratch space: getsockopt(2) writes here for `takenBytes` and `holdsOutput`. */
const kernelInfo = Buffer.alloc(TCP_INFO_BYTES_ACKED_END);
const infoLength = new Int32Array(1);

/**
 * A TCP or Unix socket, whose calls wait.
 *
 * ```ts
 * import { NetSocket } from 'simplenet';
 *
 * const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 8080 });
 * const buffer = Buffer.alloc(65_536);
 * for (;;) {
 *   const client = listener.accept();
 *   for (let size = client.read(buffer); size > 0; size = client.read(buffer)) client.writeAll(buffer.subarray(0, size));
 *   client.close();
 * }
 * ```
 */
export class NetSocket extends Socket {
  /** socket(2), options, bind(2) and listen(2). */
  static listenOn(address: SocketAddress, setup: SocketSetup & ListenOptions = {}): NetSocket {
    // Without SO_REUSEADDR a server could not be started again for a minute after it stopped, see socket(7).
    const reuseAddress = setup.reuseAddress ?? familyOf(address) !== AF_UNIX;
    const options = { ...setup, reuseAddress };
    return makeSocket(create, SOCK_STREAM, address, options, (socket) => {
      socket.bind(address);
      // The kernel may find only at listen(2) that another socket has the port, so this error gets the address, too.
      check('listen', socket.libc.listen(socket.fd, setup.backlog ?? SOMAXCONN), address);
    });
  }

  /** socket(2), options and connect(2). With `nonBlocking` and no time limit it returns before the connection is established. */
  static connectTo(address: SocketAddress, setup: SocketSetup & ConnectSetup = {}): NetSocket {
    return makeSocket(create, SOCK_STREAM, address, setup, (socket) => socket.connect(address, setup.connectTimeoutMs));
  }

  /** socket(2) and options: an unbound socket of the address's family. */
  static openFor(address: SocketAddress, setup: SocketSetup = {}): NetSocket {
    return makeSocket(create, SOCK_STREAM, address, setup, () => {});
  }

  /** Takes ownership of an open descriptor, such as one that systemd passes to a service. */
  static adopt(fd: number, libc: Libc = processLibc): NetSocket {
    return adoptSocket(create, SOCK_STREAM, fd, libc);
  }

  /** listen(2). */
  listen(backlog: number = SOMAXCONN): void {
    check('listen', this.libc.listen(this.fd, backlog));
  }

  /**
   * connect(2). The kernel gives up after about two minutes if the peer does not respond. With a time limit, blocking and non-blocking
   * sockets wait no longer than that, and then fail with ETIMEDOUT. The kernel goes on trying until the socket is closed.
   */
  connect(address: SocketAddress, timeoutMs = -1): void {
    if ((timeoutMs | 0) !== timeoutMs)
      throw new TypeError(`a time limit is a 32-bit integer, not ${String(timeoutMs)}`);
    const bytes = this.encode(address);
    if (timeoutMs >= 0) {
      check('connect', this.#connectWithin(timeoutMs, bytes), address);
      return;
    }
    let result = this.libc.connect(this.fd, bytes, bytes.length);
    if (result === -EINTR) result = this.#connectInterrupted(bytes);
    if (result !== -EINPROGRESS) check('connect', result, address);
  }

  /** accept4(2): waits for a connection. The new socket is close-on-exec, and blocking. */
  accept(): NetSocket {
    const fd = retryOnEintr(() => this.libc.accept4(this.fd, null, null, SOCK_CLOEXEC));
    return new NetSocket(check('accept4', fd), this.libc);
  }

  /** recv(2): fills part of `buffer` and returns how much; 0 when the peer has ended its side. */
  read(buffer: Uint8Array, offset = 0, length = buffer.byteLength - offset): number {
    return check(
      'recv',
      retryOnEintr(() => this.tryRead(buffer, offset, length)),
    );
  }

  /** send(2): returns how many bytes the kernel took, which may be fewer than offered. */
  write(bytes: Uint8Array, offset = 0, length = bytes.byteLength - offset): number {
    return check(
      'send',
      retryOnEintr(() => this.tryWrite(bytes, offset, length)),
    );
  }

  /** Calls send(2) until the kernel has taken all bytes. For blocking sockets. */
  writeAll(bytes: Uint8Array): void {
    for (let sent = 0; sent < bytes.byteLength; ) sent += this.write(bytes, sent);
  }

  /** shutdown(2). 'write' sends FIN, which ends our side, and leaves reading open. */
  shutdown(direction: 'read' | 'write' | 'both'): void {
    const how = { read: SHUT_RD, write: SHUT_WR, both: SHUT_RDWR }[direction];
    check('shutdown', this.libc.shutdown(this.fd, how));
  }

  /** recv(2), for callers that treat EAGAIN as a normal result: returns -errno and does not throw. */
  tryRead(buffer: Uint8Array, offset = 0, length = buffer.byteLength - offset): number {
    return this.libc.recv(this.fd, buffer, offset, length, 0);
  }

  /** recv(2) that leaves the bytes in the kernel. Returns -EAGAIN if the peer has sent nothing, 0 if it has ended its side. */
  tryPeek(): number {
    return this.libc.recv(this.fd, peeked, 0, peeked.length, MSG_PEEK | MSG_DONTWAIT);
  }

  /**
   * send(2) that returns -errno. With MSG_NOSIGNAL a closed connection is EPIPE and never the signal SIGPIPE. Pass MSG_MORE in
   * `flags` if the next write follows at once.
   */
  tryWrite(bytes: Uint8Array, offset = 0, length = bytes.byteLength - offset, flags = 0): number {
    return this.libc.send(this.fd, bytes, offset, length, MSG_NOSIGNAL | flags);
  }

  /** accept4(2) of a non-blocking connection. Writes the peer's address into the buffer; returns the descriptor, or -errno. */
  tryAccept(address: Uint8Array, addressLength: Int32Array): number {
    return this.libc.accept4(this.fd, address, addressLength, SOCK_CLOEXEC | SOCK_NONBLOCK);
  }

  /** SO_ERROR: why the connection failed, as a positive errno, or 0. Reading it clears it. */
  takeError(): number {
    return this.getOption(SOL_SOCKET, SO_ERROR);
  }

  /** SO_PEERCRED, unix(7): the process at the other end. The kernel fills it in, so the peer cannot forge it. Null unless the socket is AF_UNIX. */
  get peerCredentials(): PeerCredentials | null {
    if (this.family !== AF_UNIX) return null;
    const bytes = this.getOptionBytes(SOL_SOCKET, SO_PEERCRED, UCRED_SIZE);
    return { pid: bytes.readInt32LE(0), uid: bytes.readUInt32LE(4), gid: bytes.readUInt32LE(8) };
  }

  /**
   * How many bytes the peer has taken so far. TCP counts the bytes that the peer has acknowledged. A Unix socket reports what the
   * kernel still holds, with overhead: that is subtracted from `sentBytes`, so only the growth of the result has a meaning. If the
   * kernel reports neither, all sent bytes count as taken.
   */
  takenBytes(sentBytes: number): number {
    infoLength[0] = TCP_INFO_BYTES_ACKED_END;
    if (this.libc.getsockopt(this.fd, IPPROTO_TCP, TCP_INFO, kernelInfo, infoLength) === 0) {
      return infoLength[0] < TCP_INFO_BYTES_ACKED_END
        ? sentBytes
        : Number(kernelInfo.readBigUInt64LE(TCP_INFO_BYTES_ACKED));
    }
    infoLength[0] = SK_MEMINFO_VARS * U32_SIZE;
    if (this.libc.getsockopt(this.fd, SOL_SOCKET, SO_MEMINFO, kernelInfo, infoLength) < 0) return sentBytes;
    return sentBytes - kernelInfo.readUInt32LE(SK_MEMINFO_WMEM_ALLOC * U32_SIZE);
  }

  /**
   * Whether the kernel still holds sent bytes: those that a TCP peer has not acknowledged, or a Unix peer has not read. False if the kernel
   * does not report it.
   */
  get holdsOutput(): boolean {
    infoLength[0] = SK_MEMINFO_VARS * U32_SIZE;
    if (this.libc.getsockopt(this.fd, SOL_SOCKET, SO_MEMINFO, kernelInfo, infoLength) < 0) return false;
    const field = this.family === AF_UNIX ? SK_MEMINFO_WMEM_ALLOC : SK_MEMINFO_WMEM_QUEUED;
    return kernelInfo.readUInt32LE(field * U32_SIZE) > 0;
  }

  /** Closes with RST instead of FIN: SO_LINGER with no time to linger, socket(7). */
  reset(): void {
    if (this.isClosed) return;
    // It fails only if the connection has already ended, and then no RST is needed.
    const linger = encodeLinger(0);
    this.libc.setsockopt(this.fd, SOL_SOCKET, SO_LINGER, linger, linger.length);
    this.close();
  }

  /** After EINTR, connect(2). TCP goes on connecting, and a second call would return EALREADY. A Unix socket has done nothing yet. */
  #connectInterrupted(address: Uint8Array): number {
    if (this.family === AF_UNIX) {
      return retryOnEintr(() => this.libc.connect(this.fd, address, address.byteLength));
    }
    this.wait('writable', -1);
    return -this.takeError();
  }

  /**
   * A non-blocking connect(2), then poll(2) with the time limit. If the queue of a Unix listener is full, this fails with EAGAIN at
   * once, because poll(2) cannot wait for room in that queue.
   */
  #connectWithin(timeoutMs: number, address: Uint8Array): number {
    const flags = check('fcntl', this.libc.fcntl(this.fd, F_GETFL, 0));
    check('fcntl', this.libc.fcntl(this.fd, F_SETFL, flags | O_NONBLOCK));
    try {
      const result = this.libc.connect(this.fd, address, address.byteLength);
      if (result !== -EINPROGRESS) return result;
      return this.wait('writable', timeoutMs) ? -this.takeError() : -ETIMEDOUT;
    } finally {
      check('fcntl', this.libc.fcntl(this.fd, F_SETFL, flags));
    }
  }
}

function create(fd: number, libc: Libc): NetSocket {
  return new NetSocket(fd, libc);
}
