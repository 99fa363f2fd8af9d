/**
 * SocketListener: what the listeners of both loops share. It accepts connections, decides what an error of accept4(2) means, and
 * rests when descriptors run out (descriptor-shortage.ts).
 *
 * The socket is non-blocking. A connection may end between the report and accept4(2), or another process that shares the socket may
 * accept it. A blocking call would then stop the whole thread until the next client.
 *
 * Next: socket-udp-port.ts
 */

import { EAGAIN, EBADF, EFAULT, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOTSOCK, SHUT_RD } from '../kernel/abi.ts';
import { SOCKADDR_MAX_SIZE, type SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import { NetSocket } from '../sockets/net-socket.ts';
import { noSyn } from '../sockets/socket-filter.ts';
import { DescriptorShortage } from './descriptor-shortage.ts';
import type { Listener, Stream } from './event-loop.ts';
import type { Alarm } from './host.ts';
import type { ListenerSetup, LoopContext, Member } from './member.ts';
import { SlowStart } from './slow-start.ts';

/** Scratch space: accept4(2) writes the address of the client here, and `#acceptOne` copies it out. */
const peer = Buffer.alloc(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

/** Descriptors or memory have run out. */
const shortageErrors: readonly number[] = [EMFILE, ENFILE, ENOBUFS, ENOMEM];

/**
 * The socket itself cannot accept any more. EINVAL: it does not listen any more, because a process that shares it has shut it down.
 * All other errors are about one connection, or pass (accept(2): "treat them like EAGAIN by retrying").
 */
const fatalErrors: readonly number[] = [EBADF, EFAULT, EINVAL, ENOTSOCK];

/**
 * The listener rests after this many calls of accept4(2) in a row without a connection. Some errors do not pass, such as EPERM of a
 * firewall and EPROTO. The limit is high because each connection that a firewall forbids costs one call, and some of them must not
 * delay the others.
 */
const MAX_FAILED_ACCEPTS = 1_000;

/** The same, right after a rest without success. A listener that keeps failing then costs less than 1 % of a core. */
const MAX_FAILED_ACCEPTS_AFTER_REST = 10;

export abstract class SocketListener<C extends LoopContext> implements Listener, Member {
  readonly address: SocketAddress;
  needsSettle = false;
  protected readonly context: C;
  protected readonly socket: NetSocket;
  protected isClosing = false;
  protected readonly setup: ListenerSetup;
  readonly #slowStart: SlowStart;
  readonly #shortage: DescriptorShortage;
  /** Calls of accept4(2) without a connection, since the last connection. */
  #failedAccepts = 0;
  /** `closeWhenEmpty` was called. The alarm rings when the queue is to be emptied. */
  #closingAlarm: Alarm | null = null;
  #onClosed: (() => void) | null = null;

  constructor(context: C, socket: NetSocket, setup: ListenerSetup) {
    this.address = socket.localAddress;
    this.context = context;
    this.socket = socket;
    this.setup = setup;
    this.#slowStart = new SlowStart(context.acceptsPerTurn);
    this.#shortage = new DescriptorShortage(context, socket, () => this.startAccepting());
  }

  abstract settle(): void;
  protected abstract startAccepting(): void;
  protected abstract stopAccepting(): void;

  /** `onFailure` threw. There is nothing to do: the listener is closed already. */
  onThrow(): void {}

  close(): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.#closingAlarm?.cancel();
    this.#shortage.cancel();
    this.context.turn.settleLater(this);
  }

  closeWhenEmpty(waitMs: number, onClosed: () => void): void {
    this.#onClosed = onClosed;
    if (this.isClosing) this.context.turn.settleLater(this);
    else this.#lookAgainIn(this.#refuseNewConnections() ? waitMs : 0);
  }

  lose(error: SystemError): void {
    if (this.isClosing) return;
    this.close();
    const { onFailure } = this.setup;
    if (onFailure === undefined) this.context.host.raise(error);
    else this.context.turn.guard(this, () => onFailure(error));
  }

  protected get isResting(): boolean {
    return this.#shortage.isResting;
  }

  /** Closes the socket, and removes the listener from the loop. Nothing happens to it after that. */
  protected dispose(): void {
    if (!this.socket.isClosed) {
      const { fd } = this.socket;
      this.setup.file?.remove();
      this.socket.close();
      this.context.forget(fd);
    }
    const onClosed = this.#onClosed;
    this.#onClosed = null;
    onClosed?.();
  }

  /** The socket is readable: accepts as many connections as SlowStart allows. */
  protected accept(turn: number): void {
    this.#slowStart.run(turn, () => this.#acceptOne());
  }

  /** Returns whether another call may succeed. */
  #acceptOne(): boolean {
    if (this.isClosing || this.isResting) return false;
    peerLength[0] = peer.length;
    const fd = this.socket.tryAccept(peer, peerLength);
    if (fd < 0) return this.#refused(fd);
    return this.#accepted(new NetSocket(fd, this.socket.libc), peer.toString('latin1', 0, peerLength[0]));
  }

  #accepted(socket: NetSocket, address: string): boolean {
    let stream: Stream;
    try {
      stream = this.context.addStream(socket, address);
    } catch {
      // epoll_ctl(2) has no memory or no watches left. That passes, as a lack of descriptors does.
      this.#beginShortage();
      return false;
    }
    this.#shortage.ended();
    this.#failedAccepts = 0;
    try {
      stream.handler = this.setup.onConnection(stream);
    } catch (error) {
      stream.abort();
      this.context.host.raise(error);
    }
    return true;
  }

  /**
   * Returns whether handshakes may still be under way. After shutdown(2) a Unix socket refuses new connections and keeps its queue, and
   * it has no handshakes: connect(2) completes them. TCP would drop its queue, so there a filter drops each packet that begins a
   * connection. Its sender tries again after a second, and reaches the next server if there is one.
   */
  #refuseNewConnections(): boolean {
    const { libc, fd } = this.socket;
    if (this.setup.isShared) return false;
    if (!('path' in this.address)) return !this.socket.hasFilter && this.socket.tryAttachFilter(noSyn);
    this.setup.file?.remove(); // now, because the next server may start before this one has closed
    libc.shutdown(fd, SHUT_RD);
    return false;
  }

  #lookAgainIn(delayMs: number): void {
    this.#closingAlarm = this.context.host.alarm(delayMs, () => this.context.turn.guard(this, () => this.#takeLast()));
  }

  /** Accepts the connections that wait, and closes after the last one. */
  #takeLast(): void {
    for (let i = 0; i < this.context.acceptsPerTurn; i++) {
      if (this.#acceptOne()) continue;
      if (this.isResting) break;
      this.close();
      return;
    }
    // More connections wait than a turn may accept, or there are no descriptors for them. A shared queue may never be empty.
    if (this.setup.isShared) this.close();
    else this.#lookAgainIn(this.isResting ? this.context.acceptRestMs : 0);
  }

  #refused(result: number): boolean {
    if (shortageErrors.includes(-result)) {
      this.#beginShortage();
      return false;
    }
    if (fatalErrors.includes(-result)) {
      this.lose(new SystemError('accept4', result, this.address));
      return false;
    }
    // EAGAIN counts as well. It is normal if another process has accepted the connection, but it must not repeat without end.
    if (++this.#failedAccepts >= MAX_FAILED_ACCEPTS) {
      this.#failedAccepts = MAX_FAILED_ACCEPTS - MAX_FAILED_ACCEPTS_AFTER_REST;
      this.stopAccepting();
      this.#shortage.rest();
      return false;
    }
    return result !== -EAGAIN;
  }

  #beginShortage(): void {
    this.stopAccepting();
    this.#shortage.begin(this.#askProgram());
  }

  /** Whether the program closes something. If `onShortage` throws, it is as if it were not there. */
  #askProgram(): boolean {
    try {
      return this.setup.onShortage?.() === true;
    } catch (error) {
      this.context.host.raise(error);
      return false;
    }
  }
}
