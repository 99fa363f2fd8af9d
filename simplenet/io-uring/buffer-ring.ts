/**
 * BufferRing: a stock of receive buffers that all connections share, io_uring_register_buf_ring(3).
 *
 * A receive that may wait for an hour must not own a buffer for an hour. So we give the kernel a stock of buffers. When bytes arrive
 * for a connection, the kernel takes a buffer, and the completion says which. The bytes are ours from then on, until `done`.
 * If the stock is empty, receives end with ENOBUFS and are requested again. Nothing is lost: the bytes wait in their socket.
 *
 * The kernel fills a buffer piece by piece: it puts the next bytes, of any connection, behind the ones before, and we get the
 * buffer back when it is full. So small requests lie side by side, and a large body finds much room. Linux before 6.12 cannot do
 * that; there each buffer is used once and then given back.
 *
 * The stock is itself a ring, of addresses. We add at its tail. The kernel takes at its head, which only the kernel knows.
 *
 * Next: send-memory.ts
 */

import {
  IO_URING_BUF_REG_SIZE,
  IO_URING_BUF_SIZE,
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUF_MORE,
  IORING_OFF_PBUF_RING,
  IORING_REGISTER_PBUF_RING,
  IOU_PBUF_RING_INC,
  IOU_PBUF_RING_MMAP,
} from '../kernel/abi.ts';
import { preventTransfer } from '../kernel/intrinsic-bytes.ts';
import { LastView } from '../kernel/last-view.ts';
import type { IoUring } from './io-uring.ts';

const SHORT_SIZE = 2;
const ENTRY_SHORTS = IO_URING_BUF_SIZE / SHORT_SIZE;

/** struct io_uring_buf { u64 addr @0; u32 len @8; u16 bid @12; }: offsets in units of two bytes. */
const ENTRY = { address: 0, length: 4, id: 6 };

/** The ring's tail lies behind the fields of the first entry, in units of two bytes. */
const TAIL_AT = 7;

/**
 * Received bytes up to this length are copied behind the buffers, always to the same place. Requests often have equal lengths, and then
 * the last view is reused. That saves 220 bytes of garbage for each request.
 */
const MAX_COPIED_BYTES = 1_024;

const SHORT_BITS = 16;
const SHORT_RANGE = 1 << SHORT_BITS;

export class BufferRing {
  readonly group: number;
  readonly count: number;
  readonly bufferBytes: number;
  readonly #ring: IoUring;
  readonly #memory: Buffer;
  readonly #address: number;
  /** For each buffer, the offset at which the kernel will put the next bytes. */
  readonly #ends: number[] = [];
  /** Where short bytes are copied to. */
  readonly #copy: Buffer;
  readonly #lastView: LastView<Buffer>;
  readonly #entries: Uint16Array<ArrayBuffer>;
  #tail = 0;

  /** `count` must be a power of two. */
  constructor(ring: IoUring, group: number, count: number, bufferBytes: number) {
    this.#ring = ring;
    this.group = group;
    this.count = count;
    this.bufferBytes = bufferBytes;
    // Memory of its own: in Node's pool of small buffers it would lie beside bytes of other code.
    this.#memory = Buffer.allocUnsafeSlow(count * bufferBytes + MAX_COPIED_BYTES);
    this.#copy = this.#memory.subarray(count * bufferBytes);
    this.#lastView = new LastView(this.#copy);
    // A program could transfer it with postMessage, and its memory could be freed while the kernel writes into it.
    preventTransfer(this.#memory.buffer);
    this.#address = ring.libc.addressOf(this.#memory, 0, count * bufferBytes);
    this.#register();
    const offset = IORING_OFF_PBUF_RING + group * SHORT_RANGE;
    this.#entries = new Uint16Array(ring.map(count * IO_URING_BUF_SIZE, offset));
    for (let id = 0; id < count; id++) {
      this.#ends.push(0);
      this.#give(id);
    }
    this.publish();
  }

  /** The bytes of the completion with these flags. They are ours until `done`. */
  received(flags: number, length: number): Buffer {
    const id = flags >>> IORING_CQE_BUFFER_SHIFT;
    const start = id * this.bufferBytes + (this.#ends[id] as number);
    if (length > MAX_COPIED_BYTES) return this.#memory.subarray(start, start + length);
    this.#memory.copyWithin(this.count * this.bufferBytes, start, start + length);
    return this.#lastView.of(this.#copy, length);
  }

  /** These bytes are not needed any more. If the kernel will put nothing more into their buffer, the buffer goes back into the stock. */
  done(flags: number, length: number): void {
    const id = flags >>> IORING_CQE_BUFFER_SHIFT;
    if ((flags & IORING_CQE_F_BUF_MORE) !== 0) {
      (this.#ends[id] as number) += length;
      return;
    }
    this.#ends[id] = 0;
    this.#give(id);
  }

  /** Puts a buffer back into the stock. The kernel sees that after `publish`. */
  #give(id: number): void {
    const entries = this.#entries;
    const at = (this.#tail & (this.count - 1)) * ENTRY_SHORTS;
    this.#tail = (this.#tail + 1) % SHORT_RANGE;
    let address = this.#address + id * this.bufferBytes;
    for (let i = 0; i < ENTRY.length; i++) {
      entries[at + ENTRY.address + i] = address % SHORT_RANGE;
      address = Math.floor(address / SHORT_RANGE);
    }
    entries[at + ENTRY.length] = this.bufferBytes;
    entries[at + ENTRY.length + 1] = this.bufferBytes >>> SHORT_BITS;
    entries[at + ENTRY.id] = id;
  }

  publish(): void {
    if (!this.#ring.isClosed) Atomics.store(this.#entries, TAIL_AT, this.#tail);
  }

  #register(): void {
    const { libc, fd } = this.#ring;
    const incremental = this.#registration(IOU_PBUF_RING_MMAP | IOU_PBUF_RING_INC);
    if (libc.io_uring_register(fd, IORING_REGISTER_PBUF_RING, incremental, 1) === 0) return;
    this.#ring.register(IORING_REGISTER_PBUF_RING, this.#registration(IOU_PBUF_RING_MMAP), 1);
  }

  /** struct io_uring_buf_reg { u64 ring_addr @0; u32 ring_entries @8; u16 bgid @12; u16 flags @14; } */
  #registration(flags: number): Buffer {
    const struct = Buffer.alloc(IO_URING_BUF_REG_SIZE);
    struct.writeUInt32LE(this.count, 8);
    struct.writeUInt16LE(this.group, 12);
    struct.writeUInt16LE(flags, 14);
    return struct;
  }
}
