/**
 * IoUring: two rings that this program and the kernel share, io_uring(7). It puts requests into one and finds the answers in the
 * other; one system call, io_uring_enter(2), hands any number of them over.
 *
 *      we write here                                            the kernel writes here
 *      submissions, 64 bytes each                               completions, 16 bytes each
 *      +------+------+------+------+                            +------+------+------+------+
 *      | recv | send |      |      |   -- io_uring_enter -->    | 150  |  166 |      |      |
 *      +------+------+------+------+                            +------+------+------+------+
 *      head ^ (kernel's)    ^ tail (ours)                  head ^ (ours)      ^ tail (kernel's)
 *
 * A ring is an array whose length is a power of two, and two counters that only grow: `head` is what the reader has taken, `tail`
 * what the writer has added, and a counter's low bits are the index. Each counter has one writer, so no lock is needed; what is
 * needed is order. Whoever adds an entry fills it in first and moves `tail` afterwards, and whoever reads looks at `tail` first. That
 * is what the Atomics below are for: a plain store might be seen by the other side before the entry it speaks of.
 *
 * A request is about memory of ours while the kernel works on it: whoever calls `send` or `receive` here must leave its bytes alone
 * until the completion has come. A completion is found by the two numbers that its request was given: a descriptor and a tag.
 *
 * Next: buffer-ring.ts
 */

import { isMainThread } from 'node:worker_threads';
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EINVAL,
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

export interface IoUringOptions {
  /** Submissions that fit between two calls of `submit`; any more and it is called for them. */
  readonly entries?: number;
  /** Completions that fit before the kernel has to keep some aside. */
  readonly completions?: number;
  readonly libc?: Libc;
}

/** A power of two each, as the kernel makes them of other numbers. */
const DEFAULT_ENTRIES = 1024;
const DEFAULT_COMPLETIONS = 4096;

/**
 * DEFER_TASKRUN: the kernel's part of a completion is done when we ask for it, and not in the middle of whatever we do; it
 * wants to know that one thread alone submits. TASKRUN_FLAG lets us see that there is something to ask for.
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

/** What cancellations are given: they complete, too, and nobody waits for that. */
const NO_FD = -1;
const NO_TAG = 0;

const nothing = new Int32Array(0);

/** A worker's memory goes when it ends, and what the kernel was asked for must have ended by then. */
const openRings = new Set<IoUring>();
process.once('exit', () => {
  for (const ring of openRings) {
    ring.onExit?.();
    /* c8 ignore next -- tap takes no coverage in workers; uring-loop.test.ts ends them. */
    if (!isMainThread) ring.close();
  }
});

export class IoUring extends Descriptor {
  /**
   * An eventfd(2), readable when there is news: to be watched in somebody else's event loop. The ring itself cannot be: with
   * DEFER_TASKRUN nothing of it becomes readable before we ask, so it would not wake that loop (measured on Linux 6.18).
   */
  readonly bell: Descriptor;
  /** What `take` has found: good until it is called again. */
  readonly completion = new Completion();

  /** Called when the process, or the worker, is about to end, while the ring is open. */
  onExit: (() => void) | null = null;

  readonly #mappings: Mapping[] = [];
  readonly #rung = Buffer.alloc(EVENT_COUNT_SIZE);
  /** Both rings lie in one piece of memory: the counters of both, and the completions. */
  #ring = nothing;
  #submissions = nothing;
  /** Where the next submission is written: the one above, or the one below. */
  #writable = nothing;
  /** Submissions for which the ring had no room, and how many. They come behind those in the ring. */
  #spillway = nothing;
  #spilled = 0;
  #submissionMask = 0;
  #completionMask = 0;
  /** Where in `#ring` things are. */
  #submissionHeadAt = 0;
  #submissionTailAt = 0;
  #submissionFlagsAt = 0;
  #completionHeadAt = 0;
  #completionTailAt = 0;
  #completionFlagsAt = 0;
  #completionsAt = 0;
  /** Our counters, ahead of those that the kernel sees until `submit` and `freeTaken`. They wrap at 32 bits, as the kernel's do. */
  #tail = 0;
  #submitted = 0;
  #head = 0;

  /** Throws SystemError where the kernel has no io_uring, has too old a one, or must not give it to this process. */
  constructor(options: IoUringOptions = {}) {
    const { entries = DEFAULT_ENTRIES, completions = DEFAULT_COMPLETIONS, libc = processLibc } = options;
    const params = new Uint32Array(IO_URING_PARAMS_SIZE / WORD_SIZE);
    params[PARAMS.flags] = FLAGS;
    params[PARAMS.completions] = completions;
    super(check('io_uring_setup', libc.io_uring_setup(entries, bytesOf(params))), libc);
    this.bell = new Descriptor(libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), libc);
    try {
      check('eventfd', this.bell.fd);
      this.#mustBeAble(params[PARAMS.features] as number);
      this.#map(params);
      this.register(IORING_REGISTER_EVENTFD, bytesOf(new Int32Array([this.bell.fd])), 1);
      openRings.add(this);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Not before the last completion of every request has been taken: until then its memory is the kernel's. */
  override close(): void {
    if (this.isClosed) return;
    openRings.delete(this);
    this.#ring = this.#submissions = this.#writable = nothing; // before the memory goes, which nobody must look at any more
    for (const mapping of this.#mappings) this.libc.munmap(mapping);
    this.bell.close();
    super.close();
  }

  // What can be asked for. `fd` and `tag` come back with the completion.

  /**
   * recv(2) into a buffer of a BufferRing: once, or (`isMultishot`) of whatever comes, until a completion has no more to follow.
   */
  receive(fd: number, tag: number, bufferGroup: number, isMultishot: boolean): void {
    const priority = isMultishot ? IORING_RECV_MULTISHOT << IOPRIO : 0;
    const at = this.#add(IORING_OP_RECV | (IOSQE_BUFFER_SELECT << FLAGS_BYTE) | priority, fd, tag);
    this.#writable[at + SQE.bufferGroup] = bufferGroup;
  }

  /** send(2), which waits for room and takes what fits. `flags` are those of send(2). */
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

  /** poll(2) of those events, to which POLLERR and POLLHUP always belong: once, or (`isMultishot`) each time that they come. */
  poll(fd: number, tag: number, events: number, isMultishot = false): void {
    const at = this.#add(IORING_OP_POLL_ADD, fd, tag);
    this.#writable[at + SQE.length] = isMultishot ? IORING_POLL_ADD_MULTI : 0;
    this.#writable[at + SQE.operationFlags] = events;
  }

  /** pread(2); an offset of -1 is wherever the file stands, as for read(2). Waits on a descriptor with O_NONBLOCK as well. */
  read(fd: number, tag: number, address: number, length: number, offset: number): void {
    const at = this.#add(IORING_OP_READ, fd, tag);
    this.#point(at, address, length);
    this.#seek(at, offset);
  }

  /** pwrite(2), as `read`. The kernel may write less than all of it. */
  write(fd: number, tag: number, address: number, length: number, offset: number): void {
    const at = this.#add(IORING_OP_WRITE, fd, tag);
    this.#point(at, address, length);
    this.#seek(at, offset);
  }

  /** Ends the request that was given `fd` and `tag`. Its last completion comes as ever: ECANCELED, or what it had done by then. */
  cancel(fd: number, tag: number): void {
    const at = this.#add(IORING_OP_ASYNC_CANCEL, NO_FD, NO_TAG);
    this.#writable[at + SQE.address] = fd;
    this.#writable[at + SQE.address + 1] = tag;
  }

  // How it is handed over, and how the answers come.

  /** Requests that have not been handed over. */
  get unsubmitted(): number {
    return ((this.#tail - this.#submitted) | 0) + this.#spilled;
  }

  /** Whether `take` would find something, or `submit` would bring something that the kernel has put off. Costs no system call. */
  get hasNews(): boolean {
    if (this.isClosed) return false;
    if (Atomics.load(this.#ring, this.#completionTailAt) !== this.#head) return true;
    return (Atomics.load(this.#ring, this.#submissionFlagsAt) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) !== 0;
  }

  /**
   * io_uring_enter(2): hands all requests over, and lets the kernel complete what it can; waits until there are `least`
   * completions to take. The places of those taken so far are free from now on.
   */
  submit(least = 0): void {
    const result = this.trySubmit(least);
    if (!isPassing(result)) check('io_uring_enter', result);
  }

  /** As `submit`, and answers 0 or -errno. What was not taken stays where it is, and the next call hands it over. */
  trySubmit(least = 0): number {
    if (this.isClosed) return 0;
    for (;;) {
      const before = this.unsubmitted;
      this.freeTaken();
      Atomics.store(this.#ring, this.#submissionTailAt, this.#tail);
      const result = this.libc.io_uring_enter(this.fd, before - this.#spilled, least, IORING_ENTER_GETEVENTS);
      this.#submitted = Atomics.load(this.#ring, this.#submissionHeadAt);
      this.#refill();
      if (result < 0) return result;
      // Where more were waiting than fit, they go now, as far as the kernel takes them.
      if (this.unsubmitted === 0 || this.unsubmitted === before || before <= this.#submissionMask + 1) return 0;
    }
  }

  /** Goes on to the next completion; false where there is none. */
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

  /** Whether a completion of that request waits to be taken that has done something: its result is above 0. */
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

  /** Lets the kernel have the places of all completions taken so far, where no `submit` is to follow soon. */
  freeTaken(): void {
    if (!this.isClosed) Atomics.store(this.#ring, this.#completionHeadAt, this.#head);
  }

  /** We are awake: the bell would tell nothing new. */
  silenceBell(): void {
    Atomics.store(this.#ring, this.#completionFlagsAt, IORING_CQ_EVENTFD_DISABLED);
  }

  /** From now on it rings. What came before that it does not tell: ask `hasNews` after this, or sleep for ever. */
  setBell(): void {
    this.libc.read(this.bell.fd, this.#rung, 0, EVENT_COUNT_SIZE);
    Atomics.store(this.#ring, this.#completionFlagsAt, 0);
  }

  /** mmap(2) of memory that this ring shares with us. It goes with the ring, and nobody must look at it then. */
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

  /** A new submission, filled in with what all have. Answers where it lies. */
  #add(operation: number, fd: number, tag: number): number {
    if (this.unsubmitted > this.#submissionMask) this.trySubmit();
    const at = this.unsubmitted > this.#submissionMask ? this.#spill() : this.#next();
    const submissions = this.#writable;
    submissions[at + SQE.operation] = operation;
    submissions[at + SQE.fd] = fd;
    // An entry is used again and again: nothing of an earlier request must be left in it.
    submissions[at + SQE.offset] = submissions[at + SQE.offset + 1] = 0;
    submissions[at + SQE.address] = submissions[at + SQE.address + 1] = 0;
    submissions[at + SQE.length] = 0;
    submissions[at + SQE.operationFlags] = 0;
    submissions[at + SQE.userData] = fd;
    submissions[at + SQE.userData + 1] = tag;
    submissions[at + SQE.bufferGroup] = 0;
    return at;
  }

  /** The place of the next submission in the ring. */
  #next(): number {
    const at = (this.#tail & this.#submissionMask) * SQE_WORDS;
    this.#tail = (this.#tail + 1) | 0;
    return at;
  }

  /** The kernel takes nothing, and the ring is full. Nobody could do without the request, so it waits in memory of our own. */
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

  /** Moves what was spilled into the ring, in its order, as far as there is room. */
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

  #mustBeAble(features: number): void {
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
    const place = (name: keyof typeof PARAMS) => (params[PARAMS[name]] as number) / WORD_SIZE;
    this.#submissionMask = entries - 1;
    this.#completionMask = completions - 1;
    this.#submissionHeadAt = place('submissionHead');
    this.#submissionTailAt = place('submissionTail');
    this.#submissionFlagsAt = place('submissionFlags');
    this.#completionHeadAt = place('completionHead');
    this.#completionTailAt = place('completionTail');
    this.#completionFlagsAt = place('completionFlags');
    this.#completionsAt = place('completionEntries');
    const indexesAt = place('submissionIndexes');
    const words = Math.max(this.#completionsAt + completions * CQE_WORDS, indexesAt + entries);
    this.#ring = new Int32Array(this.map(words * WORD_SIZE, IORING_OFF_SQ_RING));
    this.#submissions = new Int32Array(this.map(entries * IO_URING_SQE_SIZE, IORING_OFF_SQES));
    this.#writable = this.#submissions;
    // The ring of submissions holds indexes into their array, so that they could be handed over in another order. Ours never are.
    for (let i = 0; i < entries; i++) this.#ring[indexesAt + i] = i;
  }
}

function bytesOf(words: Int32Array | Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer);
}
