/**
 * UringLoop: the event loop over io_uring(7). A turn delivers completions, and then hands over all new requests with one system call.
 * The host calls `#runTurn` for each turn.
 *
 * While turns follow each other, the ring's bell is silent. Before the loop sleeps, it sets the bell and then checks once more for
 * completions. In the other order a completion between the two steps would not wake it.
 *
 * Next: ../create-event-loop.ts
 */

import { POLLIN } from '../kernel/abi.ts';
import { preventTransfer } from '../kernel/intrinsic-bytes.ts';
import type { Libc } from '../kernel/libc.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import type { Listener, Stream, StreamHandler, UdpHandler, UdpPort } from '../loop/event-loop.ts';
import type { Alarm, Host } from '../loop/host.ts';
import { defaultLoopLimits, type LoopLimits } from '../loop/loop-limits.ts';
import { handlerToCome } from '../loop/loop-stream.ts';
import type { ListenerSetup } from '../loop/member.ts';
import { NO_GUEST, SocketLoop } from '../loop/socket-loop.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import type { SocketFile } from '../sockets/socket-file.ts';
import type { UdpSocket } from '../sockets/udp-socket.ts';
import { BufferRing } from './buffer-ring.ts';
import { IoUring } from './io-uring.ts';
import { SendMemory } from './send-memory.ts';
import { UringListener } from './uring-listener.ts';
import type { UringContext, UringMember } from './uring-member.ts';
import { UringStream } from './uring-stream.ts';
import { UringUdpPort } from './uring-udp-port.ts';

/** The sizes of the memory that is shared with the kernel. Powers of two. */
export interface RingSizes {
  readonly submissions: number;
  readonly completions: number;
  readonly receiveBuffers: number;
  readonly receiveBufferBytes: number;
}

export const defaultRingSizes: RingSizes = {
  submissions: 1024,
  completions: 4096,
  receiveBuffers: 16,
  receiveBufferBytes: 65_536,
};

/** When to hand over requests again that the kernel has not taken. */
const RETRY_MS = 1;

/** The number of the stock of buffers. Each ring has one stock. */
const BUFFER_GROUP = 0;

/** The tag of the request that waits for the guest. */
const GUEST_TAG = 0;

/** The memory of rings that the kernel refused. The kernel may still use it, so it is kept until the process ends. */
const abandoned: unknown[] = [];

export class UringLoop extends SocketLoop<UringMember> implements UringContext {
  readonly ring: IoUring;
  readonly buffers: BufferRing;
  readonly sendMemory: SendMemory;
  /** One for each buffer: a stream that finds no buffer is delivered in a later turn. */
  protected override readonly membersPerLook: number;
  readonly #maxEventsPerTurn: number;
  readonly #datagramBytes: number;
  #datagram: Buffer | null = null;
  #retry: Alarm | null = null;
  #isGuestAwaited = false;
  /** Streams to flush at the end of the turn. */
  readonly #toFlush: UringStream[] = [];
  /** Streams with a send in flight whose result is still unknown. Each is here once. */
  readonly #unconfirmed: UringStream[] = [];

  constructor(libc: Libc, host: Host, limits: LoopLimits = defaultLoopLimits, sizes: RingSizes = defaultRingSizes) {
    super(libc, host, limits);
    this.membersPerLook = Math.min(sizes.receiveBuffers, limits.maxEventsPerTurn);
    this.#maxEventsPerTurn = limits.maxEventsPerTurn;
    this.#datagramBytes = limits.receiveBufferBytes;
    this.sendMemory = new SendMemory(libc);
    this.ring = new IoUring({ entries: sizes.submissions, completions: sizes.completions, libc });
    try {
      this.buffers = new BufferRing(this.ring, BUFFER_GROUP, sizes.receiveBuffers, sizes.receiveBufferBytes);
      this.watch(this.ring.bell.fd, () => this.#runTurn());
      this.ring.onExit = () => this.#flushLast();
      // libuv aborts the process if it is to start watching a bell that is closed already.
      /* c8 ignore next -- tap measures no coverage in workers; uring-loop.test.ts ends them. */
      this.ring.onThreadEnd = () => this.stopWatching();
    } catch (error) {
      this.ring.close();
      throw error;
    }
  }

  // For the members of the loop.

  get receiveBuffer(): Buffer {
    if (this.#datagram === null) {
      this.#datagram = Buffer.allocUnsafeSlow(this.#datagramBytes);
      preventTransfer(this.#datagram.buffer);
    }
    return this.#datagram;
  }

  received(length: number): Buffer {
    return this.receiveBuffer.subarray(0, length);
  }

  requestFlush(stream: UringStream): void {
    this.#toFlush.push(stream);
    this.turn.settleSoon();
  }

  awaitConfirmation(stream: UringStream): void {
    this.#unconfirmed.push(stream);
  }

  addStream(socket: NetSocket, peer: string): UringStream {
    const stream = this.add(socket, new UringStream(this, socket, peer, handlerToCome, false));
    stream.start();
    return stream;
  }

  protected override openListener(socket: NetSocket, setup: ListenerSetup): Listener {
    const listener = this.add(socket, new UringListener(this, socket, setup));
    listener.startAccepting();
    return listener;
  }

  protected override openStream(socket: NetSocket, peer: SocketAddress, handler: StreamHandler): Stream {
    const stream = this.add(socket, new UringStream(this, socket, peer, handler, false));
    stream.start();
    return stream;
  }

  protected override openConnection(
    socket: NetSocket,
    address: SocketAddress,
    handler: StreamHandler,
    timeoutMs: number,
  ): Stream {
    const stream = new UringStream(this, socket, address, handler, true);
    stream.connect(address, timeoutMs); // may throw, so it comes before `add`
    return this.add(socket, stream);
  }

  protected override openUdpPort(socket: UdpSocket, handler: UdpHandler, file: SocketFile | null): UdpPort {
    const port = this.add(socket, new UringUdpPort(this, socket, handler, file));
    port.start();
    return port;
  }

  override afterSettle(): void {
    const { ring } = this;
    if (ring.isClosed) return;
    for (let i = 0; i < this.#toFlush.length; i++) this.#flush(this.#toFlush[i] as UringStream);
    this.#toFlush.length = 0;
    if (this.guestFd !== NO_GUEST) return; // the call that waits hands them over
    this.#submitAll();
  }

  #submitAll(waitMs = 0): void {
    const { ring } = this;
    // After a refusal the kernel is asked again, also with nothing to hand over: no deadline is judged until it answers.
    const isToAsk = ring.unsubmitted > 0 || waitMs > 0 || this.isBlind;
    if (!isToAsk || this.isPausing) return;
    this.#submit(waitMs);
    // The kernel was short of memory and has not taken all requests. No event will report that it can, so an alarm tries again.
    if (ring.unsubmitted > 0) this.#retry ??= this.host.alarm(RETRY_MS, () => this.#submitAgain());
  }

  /** `turn.guard` would do the same, with a closure for each response. `flush` calls no callback, so only a mistake of ours throws. */
  #flush(stream: UringStream): void {
    try {
      stream.flush();
      /* c8 ignore next 3 -- see above. */
    } catch (error) {
      this.turn.callbackThrew(stream, error);
    }
  }

  /**
   * At the end of the process or the worker: sends what the streams still have, as far as the kernel has room. Calls no callback, and does
   * not wait for room.
   */
  #flushLast(): void {
    const { ring } = this;
    for (const member of this.members) if (member instanceof UringStream) member.flushLast();
    let isMore = true;
    while (isMore) {
      isMore = false;
      ring.trySubmit();
      while (ring.take()) {
        const member = this.members[ring.completion.fd];
        if (member instanceof UringStream && member.onLastCompletion(ring.completion)) isMore = true;
      }
    }
  }

  #submitAgain(): void {
    this.#retry = null;
    this.turn.settleSoon();
  }

  /** io_uring_enter(2). */
  #submit(waitMs = 0): void {
    const result = this.ring.trySubmit(waitMs === 0 ? 0 : 1, waitMs);
    if (result === 0) this.callSucceeded();
    else this.callRefused('io_uring_enter', result);
  }

  protected override dispose(): void {
    this.ring.close();
  }

  /** No completion will come any more, but the kernel may still work on requests. So their memory is kept until the process ends. */
  protected override abandon(): void {
    abandoned.push(this.buffers, this.sendMemory);
    this.ring.close();
  }

  // For the host.

  override admitGuest(fd: number): boolean {
    this.ring.silenceBell();
    this.guestFd = fd;
    return true;
  }

  override dismissGuest(): void {
    if (this.#isGuestAwaited) this.ring.cancel(this.guestFd, GUEST_TAG);
    this.#isGuestAwaited = false;
    this.guestFd = NO_GUEST;
    this.#submitAll();
  }

  protected override waitAndTakeTurn(waitMs: number): number {
    if (!this.#isGuestAwaited) this.ring.poll(this.guestFd, GUEST_TAG, POLLIN);
    this.#isGuestAwaited = true;
    this.#submitAll(waitMs);
    return this.#takeTurn();
  }

  /** Returns whether there is, or may be, more to do. If not, the loop sleeps until the bell rings. */
  #runTurn(): boolean {
    const { ring } = this;
    ring.silenceBell();
    const count = this.#takeTurn();
    if (ring.isClosed || this.isPausing) return false;
    if (count > 0 || this.isMoreToDo) return true;
    ring.setBell();
    return ring.hasNews;
  }

  /** Returns how many completions it has delivered. */
  #takeTurn(): number {
    const { ring } = this;
    this.turn.begin();
    const count = this.#deliver();
    this.turn.continueStreams();
    const isCut = ring.hasNews && count < this.membersPerLook;
    const isStillDue = this.endLook(
      count === 0 && !ring.hasNews && !this.isBlind,
      isCut || this.isBlind ? count : null,
    );
    this.isMoreToDo = ring.hasNews || this.turn.hasContinuing || isStillDue;
    return count;
  }

  #deliver(): number {
    const { ring } = this;
    let isFound = ring.take();
    if (!isFound && ring.hasNews) {
      this.#submit(); // with DEFER_TASKRUN the kernel finishes completions in this call
      isFound = ring.take();
    }
    let count = 0;
    while (isFound) {
      this.#dispatch();
      if (++count === this.#maxEventsPerTurn || this.budget.isSpentByEvent()) break; // the rest waits in the ring
      isFound = ring.take();
    }
    ring.freeTaken();
    this.buffers.publish();
    if (!isFound && !ring.hasOverflow) this.#checkSends();
    return count;
  }

  #dispatch(): void {
    const { completion } = this.ring;
    const member = this.members[completion.fd];
    if (member === undefined) {
      if (completion.fd === this.guestFd) this.#guestCompleted();
      return; // otherwise a cancellation: no member has its descriptor
    }
    try {
      member.onCompletion(completion);
    } catch (error) {
      this.turn.callbackThrew(member, error);
    }
  }

  #guestCompleted(): void {
    this.#isGuestAwaited = false;
    this.isGuestReady = true;
  }

  /** All completions have been delivered. A send that is still in flight found no room in the kernel. */
  #checkSends(): void {
    for (const stream of this.#unconfirmed) stream.checkSends();
    this.#unconfirmed.length = 0;
  }
}
