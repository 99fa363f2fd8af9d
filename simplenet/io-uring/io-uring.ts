/**
 * IoUring: two rings that this program and the kernel share, io_uring(7). We put requests into one and take completions from the
 * other. One system call, io_uring_enter(2), hands over any number of requests.
 *
 *      we write here                                            the kernel writes here
 *      submissions, 64 bytes each                               completions, 16 bytes each
 *      +------+------+------+------+                            +------+------+------+------+
 *      | recv | send |      |      |   -- io_uring_enter -->    | 150  |  166 |      |      |
 *      +------+------+------+------+                            +------+------+------+------+
 *      head ^ (kernel's)    ^ tail (ours)                  head ^ (ours)      ^ tail (kernel's)
 *
 * A ring is an array whose length is a power of two, and two counters that only grow. `head` counts what the reader has taken, `tail`
 * what the writer has added; the low bits of a counter are the index. Each counter has one writer, so no lock is needed, but the
 * order matters: the writer fills in an entry first and moves `tail` afterwards, and the reader reads `tail` before the entry. The
 * Atomics below ensure that order. With a plain store, the other side might see the new `tail` before the entry.
 *
 * While the kernel works on a request it uses our memory, so a caller of `send` must not change its bytes until the completion has
 * come. Each request has two numbers, a descriptor and a tag, and its completions carry the same two.
 *
 * Next: buffer-ring.ts
 */

import { isMainThread } from 'node:worker_threads';
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EINTR,
  EINVAL,
  ETIME,
  IO_URING_OP_SUPPORTED,
  IO_URING_PARAMS_SIZE,
  IO_URING_PROBE_HEAD_SIZE,
  IO_URING_PROBE_OP_SIZE,
  IO_URING_SQE_SIZE,
  IORING_CQ_EVENTFD_DISABLED,
  IORING_ENTER_GETEVENTS,
  IORING_FEAT_NODROP,
  IORING_FEAT_SINGLE_MMAP,
  IORING_OFF_SQ_RING,
  IORING_OFF_SQES,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CONNECT,
  IORING_OP_POLL_ADD,
  IORING_OP_READ,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_WRITE,
  IORING_POLL_ADD_MULTI,
  IORING_RECV_MULTISHOT,
  IORING_REGISTER_EVENTFD,
  IORING_REGISTER_PROBE,
  IORING_SETUP_CLAMP,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_TASKRUN_FLAG,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_TASKRUN,
  IOSQE_BUFFER_SELECT,
  MSG_NOSIGNAL,
} from '../kernel/abi.ts';
import { Descriptor } from '../kernel/descriptor.ts';
import { type Libc, type Mapping, libc as processLibc } from '../kernel/libc.ts';
import { check, SystemError } from '../kernel/system-error.ts';
import { isPassing } from '../loop/setbacks.ts';
import { Completion, CQE, CQE_WORDS, FLAGS_BYTE, IOPRIO, PARAMS, SQE, SQE_WORDS, WORD_SIZE } from './ring-layout.ts';

/**
 * The options of a ring.
 *
 * ```ts
 * import { IoUring, type IoUringOptions } from 'simplenet';
 *
 * const options: IoUringOptions = { entries: 64, completions: 256 };
 * const ring = new IoUring(options);
 * ```
 */
export interface IoUringOptions {
  /** How many submissions fit. If there are more, they are handed over before the next `submit`. */
  readonly entries?: number;
  /** How many completions fit. If there are more, the kernel keeps them aside. */
  readonly completions?: number;
  readonly libc?: Libc;
}

/** Powers of two: the kernel rounds other numbers up. */
const DEFAULT_ENTRIES = 1024;
const DEFAULT_COMPLETIONS = 4096;

/**
 * DEFER_TASKRUN: the kernel finishes completions when we call io_uring_enter(2), and does not interrupt us for it. It requires
 * SINGLE_ISSUER: only one thread submits. TASKRUN_FLAG sets a flag in the ring while the kernel has put off such work.
 */
const FLAGS =
  IORING_SETUP_SINGLE_ISSUER |
  IORING_SETUP_DEFER_TASKRUN |
  IORING_SETUP_TASKRUN_FLAG |
  IORING_SETUP_CLAMP |
  IORING_SETUP_CQSIZE;

const NEEDED_FEATURES = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP;

const NEEDED_OPERATIONS = [
  IORING_OP_POLL_ADD,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CONNECT,
  IORING_OP_READ,
  IORING_OP_WRITE,
  IORING_OP_SEND,
  IORING_OP_RECV,
];

const MAX_OPERATIONS = 256;
const TWO_POW_32 = 0x1_0000_0000;
const EVENT_COUNT_SIZE = 8;

/** The two numbers of cancellations. These complete as well, and no member has this descriptor. */
const NO_FD = -1;
const NO_TAG = 0;

const nothing = new Int32Array(0);

/** The open rings of this thread. A worker's memory is freed when it ends, so its rings must be closed before that. */
const openRings = new Set<IoUring>();
process.once('exit', () => {
  for (const ring of openRings) {
    ring.onExit?.();
    if (isMainThread) continue;
    /* c8 ignore next 2 -- tap measures no coverage in workers; socket-loop.test.ts ends them. */
    ring.onThreadEnd?.();
    ring.close();
  }
});

/**
 * A ring of requests and a ring of their completions. `submit` hands over any number of requests with one system call.
 *
 * ```ts
 * import { abi, IoUring } from 'simplenet';
 *
 * const ring = new IoUring({ entries: 8, completions: 16 });
 * const file = ring.libc.open('/etc/os-release', abi.O_RDONLY);
 * const buffer = Buffer.allocUnsafeSlow(4_096); // keep it until the completion has come: the kernel writes into it
 * ring.read(file, 1, ring.libc.addressOf(buffer, 0, buffer.length), buffer.length, 0);
 * while (!ring.take()) ring.submit(1); // a signal may end a wait early
 * const { result } = ring.completion; // a number of bytes, or -errno
 * console.log(buffer.toString('utf8', 0, result));
 * ```
 */
export class IoUring extends Descriptor {
  /**
   * An eventfd(2) that is readable when there are completions, so that Node's loop can watch it. It cannot watch the ring itself: with
   * DEFER_TASKRUN a ring becomes readable only after io_uring_enter(2), and would not wake that loop (measured on Linux 6.18).
   */
  readonly bell: Descriptor;
  /** The completion that `take` has found. The next `take` overwrites it. */
  readonly completion = new Completion();

  /** Called when the process or the worker is about to end, if the ring is still open. */
  onExit: (() => void) | null = null;
  /** Called before the ring is closed because its worker ends. */
  onThreadEnd: (() => void) | null = null;

  readonly #mappings: Mapping[] = [];
  readonly #bellCount = Buffer.alloc(EVENT_COUNT_SIZE);
  /** The counters of both rings, and the completions, lie in one mapping. */
  #ring = nothing;
  #submissions = nothing;
  /** The array to which the next submission is written: `#submissions` or `#spillway`. */
  #writable = nothing;
  /** Submissions for which the ring had no room, and how many. They are handed over after those in the ring. */
  #spillway = nothing;
  #spilled = 0;
  #submissionMask = 0;
  #completionMask = 0;
  /** Indexes into `#ring`. */
  #submissionHeadAt = 0;
  #submissionTailAt = 0;
  #submissionFlagsAt = 0;
  #completionHeadAt = 0;
  #completionTailAt = 0;
  #completionFlagsAt = 0;
  #completionsAt = 0;
  /** Our copies of the counters. The kernel sees them after `submit` and `freeTaken`. They wrap at 32 bits, as the kernel's do. */
  #tail = 0;
  #submitted = 0;
  #head = 0;

  /** Throws SystemError if the kernel has no io_uring, if it is too old, or if this process may not use it. */
  constructor(options: IoUringOptions = {}) {
    const { entries = DEFAULT_ENTRIES, completions = DEFAULT_COMPLETIONS, libc = processLibc } = options;
    const params = new Uint32Array(IO_URING_PARAMS_SIZE / WORD_SIZE);
    params[PARAMS.flags] = FLAGS;
    params[PARAMS.completions] = completions;
    super(check('io_uring_setup', libc.io_uring_setup(entries, bytesOf(params))), libc);
    this.bell = new Descriptor(libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), libc);
    try {
      check('eventfd', this.bell.fd);
      this.#checkSupport(params[PARAMS.features] as number);
      this.#map(params);
      this.register(IORING_REGISTER_EVENTFD, bytesOf(new Int32Array([this.bell.fd])), 1);
      openRings.add(this);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Close the ring only after the last completion of every request: until then the kernel may use the memory of a request. */
  override close(): void {
    if (this.isClosed) return;
    openRings.delete(this);
    this.#ring = this.#submissions = this.#writable = nothing; // first, because an access after munmap(2) would crash the process
    for (const mapping of this.#mappings) this.libc.munmap(mapping);
    this.bell.close();
    super.close();
  }

  // The requests. `fd` and `tag` come back with the completion.

  /**
   * recv(2) into a buffer of a BufferRing: once, or (`isMultishot`) each time that bytes come, until a completion without `hasMore`.
   */
  receive(fd: number, tag: number, bufferGroup: number, isMultishot: boolean): void {
    const priority = isMultishot ? IORING_RECV_MULTISHOT << IOPRIO : 0;
    const at = this.#add(IORING_OP_RECV | (IOSQE_BUFFER_SELECT << FLAGS_BYTE) | priority, fd, tag);
    this.#writable[at + SQE.bufferGroup] = bufferGroup;
  }

  /** send(2): waits for room, and then sends as much as fits. `flags` are those of send(2). */
  send(fd: number, tag: number, address: number, length: number, flags = 0): void {
    const at = this.#add(IORING_OP_SEND, fd, tag);
    this.#point(at, address, length);
    this.#writable[at + SQE.operationFlags] = MSG_NOSIGNAL | flags;
  }

  /** connect(2). */
  connect(fd: number, tag: number, address: number, addressLength: number): void {
    const at = this.#add(IORING_OP_CONNECT, fd, tag);
    this.#point(at, address, 0);
    this.#writable[at + SQE.offset] = addressLength;
  }

  /** poll(2) for `events`, and always for POLLERR and POLLHUP: once, or (`isMultishot`) each time that they come. */
  poll(fd: number, tag: number, events: number, isMultishot = false): void {
    const at = this.#add(IORING_OP_POLL_ADD, fd, tag);
    this.#writable[at + SQE.length] = isMultishot ? IORING_POLL_ADD_MULTI : 0;
    this.#writable[at + SQE.operationFlags] = events;
  }

  /** pread(2); with an offset of -1, read(2) at the file's position. It waits even if the descriptor has O_NONBLOCK. */
  read(fd: number, tag: number, address: number, length: number, offset: number): void {
    const at = this.#add(IORING_OP_READ, fd, tag);
    this.#point(at, address, length);
    this.#seek(at, offset);
  }

  /** pwrite(2); `offset` is as for `read`. The kernel may write fewer bytes than `length`. */
  write(fd: number, tag: number, address: number, length: number, offset: number): void {
    const at = this.#add(IORING_OP_WRITE, fd, tag);
    this.#point(at, address, length);
    this.#seek(at, offset);
  }

  /** Cancels the request with this `fd` and `tag`. Its last completion still comes: with ECANCELED, or with what it had done before. */
  cancel(fd: number, tag: number): void {
    const at = this.#add(IORING_OP_ASYNC_CANCEL, NO_FD, NO_TAG);
    this.#writable[at + SQE.address] = fd;
    this.#writable[at + SQE.address + 1] = tag;
  }

  // Handing requests over, and taking completions.

  /** How many requests have not been handed over. */
  get unsubmitted(): number {
    return ((this.#tail - this.#submitted) | 0) + this.#spilled;
  }

  /** Whether `take` would find a completion, or `submit` would bring one that the kernel has put off. Costs no system call. */
  get hasNews(): boolean {
    if (this.isClosed) return false;
    if (Atomics.load(this.#ring, this.#completionTailAt) !== this.#head) return true;
    return (Atomics.load(this.#ring, this.#submissionFlagsAt) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) !== 0;
  }

  /** Completions did not fit into their ring. The kernel keeps them aside, and the next `submit` brings them. */
  get hasOverflow(): boolean {
    return !this.isClosed && (Atomics.load(this.#ring, this.#submissionFlagsAt) & IORING_SQ_CQ_OVERFLOW) !== 0;
  }

  /**
   * io_uring_enter(2): hands all requests over, and lets the kernel complete what it can. Waits until there are `minComplete`
   * completions to take. Frees the entries of the completions taken so far.
   */
  submit(minComplete = 0): void {
    const result = this.trySubmit(minComplete);
    if (!isPassing(result)) check('io_uring_enter', result);
  }

  /**
   * As `submit`, but returns 0 or -errno, and waits for `maxWaitMs` at most; -1 is without limit. A signal ends the wait. Requests that the
   * kernel has not taken stay, and the next call hands them over.
   */
  trySubmit(minComplete = 0, maxWaitMs = -1): number {
    if (this.isClosed) return 0;
    for (;;) {
      const before = this.unsubmitted;
      this.freeTaken();
      Atomics.store(this.#ring, this.#submissionTailAt, this.#tail);
      const count = before - this.#spilled;
      const result = this.libc.io_uring_enter(this.fd, count, minComplete, IORING_ENTER_GETEVENTS, maxWaitMs);
      this.#submitted = Atomics.load(this.#ring, this.#submissionHeadAt);
      this.#refill();
      if (minComplete > 0 && (result === -ETIME || result === -EINTR)) return 0;
      if (result < 0) return result;
      // Submissions that did not fit are in the ring now. Goes on for as long as the kernel takes some.
      if (this.unsubmitted === 0 || this.unsubmitted === before || before <= this.#submissionMask + 1) return 0;
    }
  }

  /** Puts the next completion into `completion`. Returns false if there is none. */
  take(): boolean {
    const ring = this.#ring;
    if (this.isClosed || this.#head === Atomics.load(ring, this.#completionTailAt)) return false;
    const at = this.#completionsAt + (this.#head & this.#completionMask) * CQE_WORDS;
    const { completion } = this;
    completion.fd = ring[at + CQE.userData] as number;
    completion.tag = ring[at + CQE.userData + 1] as number;
    completion.result = ring[at + CQE.result] as number;
    completion.flags = ring[at + CQE.flags] as number;
    this.#head = (this.#head + 1) | 0;
    return true;
  }

  /** Whether a completion of this request with a result above 0 waits to be taken. */
  hasSuccessOf(fd: number, tag: number): boolean {
    const ring = this.#ring;
    if (this.isClosed) return false;
    const tail = Atomics.load(ring, this.#completionTailAt);
    for (let head = this.#head; head !== tail; head = (head + 1) | 0) {
      const at = this.#completionsAt + (head & this.#completionMask) * CQE_WORDS;
      const isOf = ring[at + CQE.userData] === fd && ring[at + CQE.userData + 1] === tag;
      if (isOf && (ring[at + CQE.result] as number) > 0) return true;
    }
    return false;
  }

  /** Frees the entries of the completions taken so far. `submit` does so, too; call this if no `submit` follows soon. */
  freeTaken(): void {
    if (!this.isClosed) Atomics.store(this.#ring, this.#completionHeadAt, this.#head);
  }

  /** Completions do not ring the bell from now on. For a loop that is awake, and takes completions anyway. */
  silenceBell(): void {
    Atomics.store(this.#ring, this.#completionFlagsAt, IORING_CQ_EVENTFD_DISABLED);
  }

  /** Completions ring the bell from now on. It does not ring for earlier ones, so check `hasNews` after this call and before sleeping. */
  setBell(): void {
    this.libc.read(this.bell.fd, this.#bellCount, 0, EVENT_COUNT_SIZE);
    Atomics.store(this.#ring, this.#completionFlagsAt, 0);
  }

  /** mmap(2) of memory that the ring shares with us. `close` unmaps it; an access after that would crash the process. */
  map(byteLength: number, offset: number): ArrayBuffer {
    const mapping: Mapping = { memory: null };
    check('mmap', this.libc.mmap(mapping, byteLength, this.fd, offset));
    this.#mappings.push(mapping);
    return mapping.memory as unknown as ArrayBuffer;
  }

  /** io_uring_register(2). */
  register(operation: number, argument: Uint8Array, count: number): void {
    check('io_uring_register', this.libc.io_uring_register(this.fd, operation, argument, count));
  }

  /** Adds a submission, and fills in the fields that all requests have. Returns its index in `#writable`. */
  #add(operation: number, fd: number, tag: number): number {
    if (this.unsubmitted > this.#submissionMask) this.trySubmit();
    const at = this.unsubmitted > this.#submissionMask ? this.#spill() : this.#next();
    const submissions = this.#writable;
    submissions[at + SQE.operation] = operation;
    submissions[at + SQE.fd] = fd;
    // Entries are reused, so all fields of an earlier request must be cleared.
    submissions[at + SQE.offset] = submissions[at + SQE.offset + 1] = 0;
    submissions[at + SQE.address] = submissions[at + SQE.address + 1] = 0;
    submissions[at + SQE.length] = 0;
    submissions[at + SQE.operationFlags] = 0;
    submissions[at + SQE.userData] = fd;
    submissions[at + SQE.userData + 1] = tag;
    submissions[at + SQE.bufferGroup] = 0;
    return at;
  }

  /** Takes the next entry of the ring. Returns its index in `#submissions`. */
  #next(): number {
    const at = (this.#tail & this.#submissionMask) * SQE_WORDS;
    this.#tail = (this.#tail + 1) | 0;
    return at;
  }

  /** The ring is full, and the kernel takes nothing. The request must not be lost, so it waits in our own memory. */
  #spill(): number {
    const at = this.#spilled * SQE_WORDS;
    if (at === this.#spillway.length) {
      const larger = new Int32Array(Math.max(at * 2, SQE_WORDS * 64));
      larger.set(this.#spillway);
      this.#spillway = larger;
    }
    this.#writable = this.#spillway;
    this.#spilled++;
    return at;
  }

  /** Moves spilled submissions into the ring, in order, as far as there is room. */
  #refill(): void {
    if (this.#spilled === 0) return;
    let moved = 0;
    while (moved < this.#spilled && ((this.#tail - this.#submitted) | 0) <= this.#submissionMask) {
      const from = moved++ * SQE_WORDS;
      this.#submissions.set(this.#spillway.subarray(from, from + SQE_WORDS), this.#next());
    }
    this.#spillway.copyWithin(0, moved * SQE_WORDS);
    this.#spilled -= moved;
    if (this.#spilled > 0) return;
    this.#writable = this.#submissions;
    this.#spillway = nothing;
  }

  #point(at: number, address: number, length: number): void {
    this.#writable[at + SQE.address] = address % TWO_POW_32; // stored as its low 32 bits
    this.#writable[at + SQE.address + 1] = Math.floor(address / TWO_POW_32);
    this.#writable[at + SQE.length] = length;
  }

  #seek(at: number, offset: number): void {
    this.#writable[at + SQE.offset] = offset % TWO_POW_32;
    this.#writable[at + SQE.offset + 1] = Math.floor(offset / TWO_POW_32);
  }

  #checkSupport(features: number): void {
    if ((features & NEEDED_FEATURES) !== NEEDED_FEATURES) throw new SystemError('io_uring_setup', -EINVAL);
    const probe = Buffer.alloc(IO_URING_PROBE_HEAD_SIZE + MAX_OPERATIONS * IO_URING_PROBE_OP_SIZE);
    this.register(IORING_REGISTER_PROBE, probe, MAX_OPERATIONS);
    for (const operation of NEEDED_OPERATIONS) {
      const flags = probe.readUInt16LE(IO_URING_PROBE_HEAD_SIZE + operation * IO_URING_PROBE_OP_SIZE + 2);
      if ((flags & IO_URING_OP_SUPPORTED) === 0) throw new SystemError('io_uring_register', -EINVAL);
    }
  }

  #map(params: Uint32Array): void {
    const [entries, completions] = [params[PARAMS.submissions] as number, params[PARAMS.completions] as number];
    const indexOf = (name: keyof typeof PARAMS) => (params[PARAMS[name]] as number) / WORD_SIZE;
    this.#submissionMask = entries - 1;
    this.#completionMask = completions - 1;
    this.#submissionHeadAt = indexOf('submissionHead');
    this.#submissionTailAt = indexOf('submissionTail');
    this.#submissionFlagsAt = indexOf('submissionFlags');
    this.#completionHeadAt = indexOf('completionHead');
    this.#completionTailAt = indexOf('completionTail');
    this.#completionFlagsAt = indexOf('completionFlags');
    this.#completionsAt = indexOf('completionEntries');
    const indexesAt = indexOf('submissionIndexes');
    const words = Math.max(this.#completionsAt + completions * CQE_WORDS, indexesAt + entries);
    this.#ring = new Int32Array(this.map(words * WORD_SIZE, IORING_OFF_SQ_RING));
    this.#submissions = new Int32Array(this.map(entries * IO_URING_SQE_SIZE, IORING_OFF_SQES));
    this.#writable = this.#submissions;
    // The ring of submissions holds indexes into their array, which would allow another order. We hand them over in order.
    for (let i = 0; i < entries; i++) this.#ring[indexesAt + i] = i;
  }
}

function bytesOf(words: Int32Array | Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer);
}
