/**
 * SocketListener: what every listener has in common, whatever loop it is on: what becomes of a connection, of an error instead of
 * one, and of the clients when descriptors run out (descriptor-shortage.ts).
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

/** A sockaddr buffer for accept4(2); what was written is copied out before the next call. */
const peer = new Uint8Array(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

/** There is nothing left to accept with. */
const starving: readonly number[] = [EMFILE, ENFILE, ENOBUFS, ENOMEM];

/**
 * The socket itself accepts no more. EINVAL: it does not listen any more, because somebody who shares it has shut it down. All other
 * errors are about the connection that was to be taken, or about the moment (accept(2): "treat them like EAGAIN by retrying").
 */
const endOfListener: readonly number[] = [EBADF, EFAULT, EINVAL, ENOTSOCK];

/**
 * Calls of accept4(2) in a row that bring no connection, before the listener rests. Some errors never end: EPERM of a firewall,
 * EPROTO. Each connection that a firewall forbids costs one call, so a few of them must not delay the others.
 */
const MAX_VAIN_ACCEPTS = 1_000;

/** The same, right after a rest that did not help: a listener that keeps failing then costs less than 1 % of a core. */
const MAX_VAIN_ACCEPTS_AFTER_REST = 10;

export abstract class SocketListener<C extends LoopContext> implements Listener, Member {
  readonly address: SocketAddress;
  needsSettle = false;
  protected readonly context: C;
  protected readonly socket: NetSocket;
  protected isClosing = false;
  protected readonly setup: ListenerSetup;
  readonly #slowStart: SlowStart;
  readonly #shortage: DescriptorShortage;
  /** Since the last connection. */
  #vainAccepts = 0;
  /** Nobody new is let in: when to look at the queue for the last time. */
  #lastLook: Alarm | null = null;
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

  /** What `onFailure` throws: the listener is closed already. */
  onThrow(): void {}

  close(): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.#lastLook?.cancel();
    this.#shortage.cancel();
    this.context.turn.settleLater(this);
  }

  closeWhenEmpty(waitMs: number, onClosed: () => void): void {
    this.#onClosed = onClosed;
    if (this.isClosing) this.context.turn.settleLater(this);
    else this.#lookAgainIn(this.#refuseNewcomers() ? waitMs : 0);
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

  /** The last thing that happens to a listener. */
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

  /** Connections wait: takes some of them in. */
  protected accept(turn: number): void {
    this.#slowStart.run(turn, () => this.#acceptOne());
  }

  /** Whether it is worth calling again. */
  #acceptOne(): boolean {
    if (this.isClosing || this.isResting) return false;
    peerLength[0] = peer.length;
    const fd = this.socket.tryAccept(peer, peerLength);
    if (fd < 0) return this.#refused(fd);
    return this.#accepted(new NetSocket(fd, this.socket.libc), peer.slice(0, peerLength[0]));
  }

  #accepted(socket: NetSocket, address: Uint8Array): boolean {
    let stream: Stream;
    try {
      stream = this.context.addStream(socket, address);
    } catch {
      // epoll_ctl(2) has no memory or no watches left: as bad as no descriptor.
      this.#starve();
      return false;
    }
    this.#shortage.ended();
    this.#vainAccepts = 0;
    try {
      stream.handler = this.setup.onConnection(stream);
    } catch (error) {
      stream.abort();
      this.context.host.raise(error);
    }
    return true;
  }

  /**
   * Answers whether handshakes may still be under way. The kernel completes those of a Unix socket within connect(2), and refuses
   * newcomers after shutdown(2), with its queue left to us. TCP would throw its queue away: there a filter drops what would begin a
   * connection. Its sender tries again after a second, and finds the next server, or none.
   */
  #refuseNewcomers(): boolean {
    const { libc, fd } = this.socket;
    if (this.setup.isShared) return false;
    if (!('path' in this.address)) return !this.socket.hasFilter && this.socket.tryAttachFilter(noSyn);
    this.setup.file?.remove(); // now: the next server may be started as soon as this one is stopped
    libc.shutdown(fd, SHUT_RD);
    return false;
  }

  #lookAgainIn(delayMs: number): void {
    this.#lastLook = this.context.host.alarm(delayMs, () => this.context.turn.guard(this, () => this.#takeLast()));
  }

  /** Closes behind the last one that waits. */
  #takeLast(): void {
    for (let i = 0; i < this.context.acceptsPerTurn; i++) {
      if (this.#acceptOne()) continue;
      if (this.isResting) break;
      this.close();
      return;
    }
    // There are more than a turn may take, or no descriptors for them. A shared queue may never be empty.
    if (this.setup.isShared) this.close();
    else this.#lookAgainIn(this.isResting ? this.context.acceptRestMs : 0);
  }

  #refused(result: number): boolean {
    if (starving.includes(-result)) {
      this.#starve();
      return false;
    }
    if (endOfListener.includes(-result)) {
      this.lose(new SystemError('accept4', result, this.address));
      return false;
    }
    // EAGAIN counts as well: where processes share the socket another one was faster, but a kernel that never means it must not spin.
    if (++this.#vainAccepts >= MAX_VAIN_ACCEPTS) {
      this.#vainAccepts = MAX_VAIN_ACCEPTS - MAX_VAIN_ACCEPTS_AFTER_REST;
      this.stopAccepting();
      this.#shortage.rest();
      return false;
    }
    return result !== -EAGAIN;
  }

  #starve(): void {
    this.stopAccepting();
    this.#shortage.begin();
  }
}
