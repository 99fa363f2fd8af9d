/**
 * LoopTcpSocket: a TCP socket on an event loop. A stream pushes its bytes; here the client pulls them, so they wait in between.
 *
 *              bind           listen
 *     idle ----------> bound --------> listening
 *     |  ^ <------------------------------ | shutdown(2)
 *     |  |  connect(2) has reported the error
 *     |  +------------ failed
 *     | connect          ^ onClose
 *     +-------------> connecting ----> connected ----> over
 *                                onOpen         onClose
 *
 * Both directions have a limit. The stream is paused while more than `MAX_WAITING_BYTES` wait for the client, so the peer is stopped by the
 * window of TCP. And no bytes are taken from the client (EAGAIN) while the stream still has a queue.
 *
 * Three things differ from Linux, because a loop cannot do them. bind(2) listens already, but resets who comes before listen(2). A connection
 * for which the queue of the listener has no room gets RST; Linux would let it wait. And connect(2) of a bound socket is refused
 * (EOPNOTSUPP): the loop chooses the port.
 */

import {
  abi,
  type Listener,
  type SocketAddress,
  type Stream,
  type StreamHandler,
  type SystemError,
} from '../../simplenet/index.ts';
import { ByteQueue } from './byte-queue.ts';
import { type AcceptedSocket, LoopSocket, type LoopSocketContext, resultOf } from './loop-socket.ts';
import type { PartingStreams } from './parting-streams.ts';

const { EAGAIN, EALREADY, ECONNABORTED, EINPROGRESS, EINVAL, EISCONN, ENOTCONN, EOPNOTSUPP, EPIPE } = abi;
const { POLLHUP, POLLIN, POLLOUT } = abi;

/** The stream is paused from here on. One more piece of the stream may have come by then. */
export const MAX_WAITING_BYTES = 65_536;

/** A larger backlog is lowered to this, as Linux does with net.core.somaxconn. */
export const MAX_BACKLOG = 128;

export interface LoopTcpContext extends LoopSocketContext {
  readonly parting: PartingStreams;
}

type State = 'idle' | 'bound' | 'listening' | 'connecting' | 'failed' | 'connected' | 'over';

const nextStates: { readonly [state in State]: readonly State[] } = {
  idle: ['bound', 'connecting', 'connected'], // connected: it was accepted
  bound: ['listening'],
  listening: ['idle'],
  connecting: ['connected', 'failed'],
  failed: ['idle'],
  connected: ['over'],
  over: [],
};

export class LoopTcpSocket extends LoopSocket implements StreamHandler {
  protected readonly type = abi.SOCK_STREAM;
  declare protected readonly context: LoopTcpContext;
  #state: State = 'idle';
  #listener: Listener | null = null;
  #stream: Stream | null = null;
  /** Our own address, for the time after the stream. */
  #local: SocketAddress | null = null;
  /** connect(2) has returned 0. */
  #isConnectReported = false;
  #isPeerEnded = false;
  #isReadShut = false;
  #isWriteShut = false;
  readonly #received = new ByteQueue();
  /** Connections that wait for accept4(2). Their streams are paused, so their bytes wait where the loop has them. */
  readonly #accepted: (AcceptedSocket & { readonly socket: LoopTcpSocket })[] = [];
  #backlog = 0;

  protected get isListening(): boolean {
    return this.#state === 'listening';
  }

  protected get isOpen(): boolean {
    return this.#state !== 'idle' && this.#state !== 'failed';
  }

  // The calls of the client.

  bind(address: SocketAddress): number {
    if (this.#state !== 'idle') return -EINVAL;
    const options = { reuseAddress: false, ...this.socketOptions }; // a loop has SO_REUSEADDR by default, a socket does not
    const result = resultOf(() => {
      this.#listener = this.context.loop.listen(address, (stream) => this.#onConnection(stream), options);
    });
    if (result === 0) this.#enter('bound');
    return result;
  }

  listen(backlog: number): number {
    if (this.#state === 'idle') {
      const result = this.bind(this.anyAddress);
      if (result < 0) return result;
    }
    if (this.#state === 'bound') this.#enter('listening');
    if (this.#state !== 'listening') return -EINVAL;
    this.#backlog = backlog < 0 ? MAX_BACKLOG : Math.min(backlog, MAX_BACKLOG); // Linux reads a negative number as a very large one
    return 0;
  }

  accept(): AcceptedSocket | number {
    if (this.#state !== 'listening') return -EINVAL;
    const accepted = this.#accepted.shift();
    if (accepted === undefined) return -EAGAIN;
    accepted.socket.#resume();
    return accepted;
  }

  connect(address: SocketAddress): number {
    switch (this.#state) {
      case 'idle':
        return this.#startConnecting(address);
      case 'connecting':
        return -EALREADY;
      case 'failed':
        this.#enter('idle');
        return -(this.takeError() || ECONNABORTED);
      case 'connected':
        if (this.#isConnectReported) return -EISCONN;
        this.#isConnectReported = true;
        return 0;
      default:
        return this.#state === 'bound' ? -EOPNOTSUPP : -EISCONN;
    }
  }

  shutdown(how: number): number {
    if (how !== abi.SHUT_RD && how !== abi.SHUT_WR && how !== abi.SHUT_RDWR) return -EINVAL;
    if (this.#state === 'listening') {
      if (how !== abi.SHUT_WR) this.#stopListening();
      return 0;
    }
    if (this.#state !== 'connected') return -ENOTCONN;
    if (how !== abi.SHUT_WR) this.#isReadShut = true;
    if (how !== abi.SHUT_RD) {
      this.#isWriteShut = true;
      this.#stream?.end();
    }
    return 0;
  }

  /** First the bytes, then the error that ended the connection, then the end. */
  receive(into: Uint8Array, flags: number): number {
    if ((flags & abi.MSG_TRUNC) !== 0) return -EOPNOTSUPP;
    if (this.#received.size > 0) {
      const size = this.#received.peek(into);
      if ((flags & abi.MSG_PEEK) === 0) this.#drop(size);
      return size;
    }
    const error = this.takeError();
    if (error !== 0) return -error;
    if (this.#state === 'over' || this.#isPeerEnded || this.#isReadShut) return 0;
    return this.#state === 'connected' || this.#state === 'connecting' ? -EAGAIN : -ENOTCONN;
  }

  send(bytes: Uint8Array, flags: number): number {
    const error = this.takeError();
    if (error !== 0) return -error;
    if (this.#state === 'connecting') return -EAGAIN;
    if (this.#stream === null || this.#state !== 'connected' || this.#isWriteShut) return -EPIPE;
    if (this.#stream.queuedBytes > 0) return -EAGAIN;
    this.#stream.write(bytes, bytes.length, (flags & abi.MSG_MORE) !== 0);
    return bytes.length;
  }

  localAddress(): SocketAddress {
    if (this.#state === 'connecting' && this.#stream !== null) return this.#stream.localAddress;
    return this.#listener?.address ?? this.#local ?? this.anyAddress;
  }

  remoteAddress(): SocketAddress | null {
    return this.#state === 'connected' && this.#stream !== null ? this.#stream.remoteAddress : null;
  }

  /** Bytes that send(2) has taken still reach the peer, unless the client has not read all that came: then Linux sends RST, too. */
  close(): void {
    this.forget();
    this.#stopListening();
    const stream = this.#stream;
    this.#stream = null;
    if (stream === null) return;
    if (this.#state === 'connected' && !this.options.resetsAtClose && this.#received.size === 0) {
      this.context.parting.add(stream);
    } else {
      stream.handler = ignoreAll;
      stream.abort();
    }
  }

  protected readyEvents(): number {
    switch (this.#state) {
      case 'idle':
      case 'bound':
        return POLLOUT | POLLHUP;
      case 'listening':
        return this.#accepted.length > 0 ? POLLIN : 0;
      case 'connecting':
        return 0;
      case 'failed':
      case 'over':
        return POLLIN | POLLOUT | POLLHUP;
      case 'connected':
        return this.#connectedEvents();
    }
  }

  // The callbacks of the stream.

  onOpen(stream: Stream): void {
    this.#enter('connected');
    this.#local = stream.localAddress;
    this.wake();
  }

  onData(stream: Stream, bytes: Buffer): void {
    this.#received.push(bytes);
    if (this.#received.size >= MAX_WAITING_BYTES) stream.pause();
    this.wake();
  }

  onEnd(): void {
    this.#isPeerEnded = true;
    this.wake();
  }

  onDrain(): void {
    this.wake();
  }

  onClose(_stream: Stream, error: SystemError | null): void {
    this.#stream = null;
    this.#enter(this.#state === 'connecting' ? 'failed' : 'over');
    if (error !== null) this.keepError(-error.errno);
    this.wake();
  }

  #startConnecting(address: SocketAddress): number {
    const result = resultOf(() => {
      this.#stream = this.context.loop.connect(address, this, this.socketOptions);
    });
    if (result < 0) return result;
    this.#enter('connecting');
    return -EINPROGRESS;
  }

  /** Chooses the handler of a connection that the loop has accepted. */
  #onConnection(stream: Stream): StreamHandler {
    // As on Linux, one more than the backlog may wait.
    if (this.#state !== 'listening' || this.#accepted.length > this.#backlog) {
      stream.abort();
      return ignoreAll;
    }
    const connection = new LoopTcpSocket(this.context, this.family, this.options.inherited());
    connection.#adopt(stream);
    this.#accepted.push({ socket: connection, from: stream.remoteAddress });
    this.wake();
    return connection;
  }

  #adopt(stream: Stream): void {
    this.#enter('connected');
    this.#stream = stream;
    this.#local = stream.localAddress;
    this.#isConnectReported = true;
    stream.pause();
  }

  /** A listener that is closed resets the connections that nobody has accepted. */
  #stopListening(): void {
    if (this.#state === 'listening') this.#enter('idle');
    this.#listener?.close();
    this.#listener = null;
    for (const { socket } of this.#accepted.splice(0)) {
      socket.options.resetsAtClose = true;
      socket.close();
    }
  }

  #connectedEvents(): number {
    const hasInput = this.#received.size > 0 || this.#isPeerEnded || this.#isReadShut;
    const hasRoom = this.#isWriteShut || this.#stream?.queuedBytes === 0;
    const isHungUp = this.#isWriteShut && (this.#isPeerEnded || this.#isReadShut);
    return (hasInput ? POLLIN : 0) | (hasRoom ? POLLOUT : 0) | (isHungUp ? POLLHUP : 0);
  }

  #drop(size: number): void {
    this.#received.drop(size);
    this.#resume();
  }

  #resume(): void {
    if (this.#received.size < MAX_WAITING_BYTES) this.#stream?.resume();
  }

  #enter(state: State): void {
    if (!nextStates[this.#state].includes(state))
      throw new Error(`a socket cannot get from ${this.#state} to ${state}`);
    this.#state = state;
  }
}

const ignoreAll: StreamHandler = { onData: () => {} };
