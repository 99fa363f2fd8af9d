/**
 * StackStream: one connection of our own TCP as a stream. tcp-connection.ts decides everything; this file tells the program about it.
 *
 * After each segment and each timer of the connection, the TCP layer calls `onProgress`, and the stream compares what the connection has
 * with what the program has been told. So the state machine knows no callbacks, and a callback may call any method of the stream.
 *
 * The connection keeps all written bytes until the peer acknowledges them. The first `sendBufferBytes` of them are what a kernel would have
 * taken; those beyond are queued, and `queuedBytes` counts them.
 *
 * Next: stack-listener.ts
 */

import { EFAULT, ENOBUFS } from '../kernel/abi.ts';
import { preventTransfer } from '../kernel/intrinsic-bytes.ts';
import { formatSocketAddress, type SocketAddress } from '../kernel/socket-address.ts';
import { quote } from '../kernel/trace-formatters.ts';
import type { StreamHandler } from '../loop/event-loop.ts';
import { LoopStream } from '../loop/loop-stream.ts';
import { FileQueue } from './file-queue.ts';
import { formatIpv4Number } from './ip/ipv4-address.ts';
import type { StackContext } from './stack-context.ts';
import type { TcpEntry, TcpOwner } from './tcp/tcp-layer.ts';

export class StackStream extends LoopStream<StackContext> implements TcpOwner {
  readonly #entry: TcpEntry;
  #writtenBytes = 0;
  /** Null until the program sends a file. */
  #files: FileQueue | null = null;
  /** Something was queued, and `onDrain` has not been called since. */
  #owesDrain = false;
  /** The connection belongs to the TCP layer alone. */
  #isReleased = false;

  constructor(context: StackContext, entry: TcpEntry, handler: StreamHandler, isConnecting: boolean) {
    super(context, handler, isConnecting);
    this.#entry = entry;
  }

  get remoteAddress(): SocketAddress {
    return { address: formatIpv4Number(this.#entry.remoteAddress), port: this.#entry.remotePort };
  }

  get localAddress(): SocketAddress {
    if (this.#isReleased) throw new Error('the stream is closed, and has no address of its own any more');
    return { address: formatIpv4Number(this.#entry.localAddress), port: this.#entry.localPort };
  }

  get peerCredentials(): null {
    return null;
  }

  get queuedBytes(): number {
    if (this.#isReleased) return 0;
    const { connection } = this.#entry;
    const inConnection = this.isConnecting ? connection.unacknowledgedBytes : connection.queuedBytes;
    return this.#files === null ? inConnection : inConnection + this.#files.byteLength;
  }

  protected get isSending(): boolean {
    return this.queuedBytes > 0;
  }

  write(bytes: Uint8Array, length = bytes.length): boolean {
    return this.#write(bytes, length, false);
  }

  writeOwned(bytes: Uint8Array): boolean {
    return this.#write(bytes, bytes.length, true);
  }

  sendFile(fd: number, offset: number, length: number): boolean {
    if (!this.checkSendFile(fd, offset, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    if (this.context.trace !== null) this.#trace(`sendFile(${fd}, ${offset}, ${length})`);
    const wasQueued = this.queuedBytes;
    this.#files ??= new FileQueue();
    this.#files.pushFile(fd, offset, length);
    this.#feedFiles();
    return !this.isClosing && this.#isAllTaken(wasQueued);
  }

  hasInput(): boolean {
    return !this.isConnecting && !this.isClosing && !this.isPeerEnded && this.#entry.connection.readable !== null;
  }

  hasOutput(): boolean {
    return !this.isClosing && (this.#entry.connection.unacknowledgedBytes > 0 || this.isSending);
  }

  takenBytes(): number {
    return this.#writtenBytes - this.#entry.connection.unacknowledgedBytes;
  }

  /** After `close` it stops what the TCP layer is still sending. */
  abort(): void {
    this.isAborted = true;
    this.finish(null);
    if (!this.#isReleased) return;
    this.context.tcp.abort(this.#entry, this.context.turn.now());
    this.context.turn.settleSoon();
  }

  /** The process ends. */
  endAtExit(): void {
    this.context.tcp.abort(this.#entry, this.context.turn.now());
  }

  /** The connection has changed: because of a segment, a timer, or an error that ICMP has reported. */
  onProgress(): void {
    this.context.turn.guard(this, () => this.#report());
  }

  override onTurn(): void {
    this.#report();
    super.onTurn();
  }

  settle(): void {
    if (this.isClosing) this.dispose();
    else if (!this.isPaused && this.#hasNews()) this.context.turn.awaitTurn(this); // after `resume`
  }

  /** The time limit of a connection attempt. */
  connecting(timeoutMs: number): void {
    this.connectWithin(timeoutMs);
  }

  #write(bytes: Uint8Array, length: number, isOwned: boolean): boolean {
    if (!this.checkWrite(bytes, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    if (this.context.trace !== null) this.#trace(`write(${quote(bytes, 0, length)}, ${length})`);
    const { connection } = this.#entry;
    // A paused stream keeps its last bytes for `resume`, and does not know of the error yet.
    if (connection.error !== 0) {
      this.fail('send', -connection.error);
      return false;
    }
    const wasQueued = this.queuedBytes;
    const files = this.#files === null || this.#files.isEmpty ? null : this.#files;
    if ((files === null ? wasQueued : files.writtenBytes) > this.context.maxQueuedBytes) {
      this.fail('send', -ENOBUFS);
      return false;
    }
    if (isOwned) preventTransfer(bytes.buffer); // a program could transfer them with postMessage before they are sent
    if (files === null) this.#pass(bytes, length, isOwned);
    else files.pushBytes(isOwned ? bytes : Uint8Array.prototype.slice.call(bytes, 0, length));
    return this.#isAllTaken(wasQueued);
  }

  /** Gives bytes to the connection, which sends them when the turn ends. */
  #pass(bytes: Uint8Array, length: number, isOwned: boolean): void {
    this.#entry.connection.write(bytes, 0, length, isOwned);
    this.#writtenBytes += length;
    this.context.tcp.touch(this.#entry);
    this.context.turn.settleSoon();
  }

  /** What a write returns: whether nothing is queued. If something is, `onDrain` is owed, and the peer is watched from now on. */
  #isAllTaken(wasQueued: number): boolean {
    if (this.queuedBytes === 0) return true;
    this.#owesDrain = true;
    if (wasQueued === 0) this.outputQueued();
    return false;
  }

  /** Whether the connection has something for the program that waits for `resume`. */
  #hasNews(): boolean {
    const { connection } = this.#entry;
    return connection.readable !== null || connection.isPeerEnded !== this.isPeerEnded || connection.error !== 0;
  }

  /** Tells the program what is new, in the order in which it happened. Each callback may end the stream. */
  #report(): void {
    if (this.isClosing) return;
    const { connection } = this.#entry;
    if (this.isConnecting) {
      if (connection.error !== 0) this.fail('connect', -connection.error);
      if (!connection.isEstablished || this.isClosing) return;
      this.#open();
    }
    this.#reportDrain();
    this.#deliver();
    this.#reportEnd();
  }

  /** Reads as much of the files as the connection has room for. */
  #feedFiles(): void {
    const { connection } = this.#entry;
    if (this.#files === null || this.isConnecting || this.isClosing || connection.error !== 0) return;
    if (connection.queuedBytes > 0) return;
    const result = this.#files.feed((bytes) => {
      this.#pass(bytes, bytes.length, true);
      return connection.queuedBytes === 0;
    });
    if (result === 0) return;
    this.isAborted = true; // with RST the peer knows that bytes are missing
    this.fail('sendfile', result);
  }

  #trace(call: string): void {
    this.context.trace?.(`${formatSocketAddress(this.remoteAddress)} ${call}`);
  }

  #open(): void {
    this.opened();
    if (this.isClosing) return;
    if (this.hasEnded && !this.isFinSent && !this.isSending) this.sendFin();
  }

  /** A connection that has ended has nothing queued either, but nothing was sent. */
  #reportDrain(): void {
    this.#feedFiles();
    if (!this.#owesDrain || this.isClosing || this.queuedBytes > 0 || this.#entry.connection.error !== 0) return;
    this.#owesDrain = false;
    this.outputSent(0);
    if (!this.hasEnded) this.handler.onDrain?.(this);
    else if (!this.isFinSent) this.sendFin();
  }

  #deliver(): void {
    const { connection } = this.#entry;
    for (;;) {
      if (this.isPaused || this.isClosing || this.isPeerEnded) return;
      const bytes = connection.readable;
      if (bytes === null) return;
      connection.consume(bytes.length);
      this.context.tcp.touch(this.#entry); // the window has grown
      if (this.context.trace !== null) this.#trace(`onData(${quote(bytes, 0, bytes.length)}, ${bytes.length})`);
      this.handler.onData(this, bytes);
    }
  }

  #reportEnd(): void {
    if (this.isClosing) return;
    const { connection } = this.#entry;
    if (connection.error === EFAULT) {
      this.fail('send', -EFAULT); // the program has shrunk bytes that it gave away
    } else if (connection.error !== 0) {
      const isHeld = this.isPaused && connection.readable !== null && !this.#owesDrain;
      if (!isHeld || this.handler.endsAtBreak === true) this.fail('recv', -connection.error);
    } else if (connection.isPeerEnded && !this.isPeerEnded && !this.isPaused) this.peerEnded();
  }

  /** FIN follows the bytes that the connection has. If the peer has ended its side, the stream is done. */
  protected sendFin(): void {
    if (this.isPeerEnded) {
      this.finish(null);
      return;
    }
    this.isFinSent = true;
    this.#trace('end()');
    this.context.tcp.close(this.#entry, this.context.turn.now());
    this.context.turn.settleSoon();
  }

  /**
   * Leaves the connection to the TCP layer, which sends what the program counts as sent, and FIN. If the program has not read all that has
   * come, the peer gets RST (RFC 2525 section 2.17): it must not take its bytes for received.
   */
  protected release(): void {
    const { tcp, turn } = this.context;
    const { connection } = this.#entry;
    connection.truncateQueue();
    this.#files?.clear();
    this.#isReleased = true;
    this.#trace(this.isAborted ? 'abort()' : 'close()');
    if (this.isAborted || this.isConnecting || connection.readable !== null) tcp.abort(this.#entry, turn.now());
    else tcp.orphan(this.#entry, turn.now());
    this.context.forget(this);
  }
}
