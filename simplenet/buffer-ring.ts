/**
 * BufferRing: receive buffers that belong to nobody until something arrives, io_uring_register_buf_ring(3).
 *
 * A receive that may wait for an hour must not own a buffer for an hour. So the kernel is given a stock of them; when bytes come for
 * any connection it takes one, and its completion says which. From then on it is ours, until `give` puts it back into the stock.
 * Where the stock is empty, receives end with ENOBUFS and are asked for again: nothing is lost, the bytes wait in their socket.
 *
 * The stock is a ring as well, of addresses: we add at its tail, the kernel takes at a head that only it knows.
 *
 * Next: send-memory.ts
 */

import { markAsUntransferable } from 'node:worker_threads';
import {
  IO_URING_BUF_REG_SIZE,
  IO_URING_BUF_SIZE,
  IORING_CQE_BUFFER_SHIFT,
  IORING_OFF_PBUF_RING,
  IORING_REGISTER_PBUF_RING,
  IORING_UNREGISTER_PBUF_RING,
  IOU_PBUF_RING_MMAP,
} from './abi.ts';
import type { IoUring } from './io-uring.ts';
import type { Mapping } from './libc.ts';
import { check } from './system-error.ts';

const HALF_SIZE = 2;
const ENTRY_HALVES = IO_URING_BUF_SIZE / HALF_SIZE;

/** struct io_uring_buf { u64 addr @0; u32 len @8; u16 bid @12; }, counted in halves of a word. */
const ENTRY = { address: 0, length: 4, id: 6 };

/** The ring's tail lies where the first entry would have one more field. */
const TAIL_AT = 7;

const HALF_BITS = 16;
const HALF = 1 << HALF_BITS;

export class BufferRing {
  readonly group: number;
  readonly count: number;
  readonly bufferBytes: number;
  readonly #ring: IoUring;
  readonly #mapping: Mapping = { memory: null };
  readonly #memory: Buffer;
  readonly #address: number;
  /** For each buffer the view that was handed out last: requests of one kind are often equally long, and it serves again. */
  readonly #views: Buffer[] = [];
  #entries = new Uint16Array(0);
  #tail = 0;

  /** `count` is a power of two. */
  constructor(ring: IoUring, group: number, count: number, bufferBytes: number) {
    this.#ring = ring;
    this.group = group;
    this.count = count;
    this.bufferBytes = bufferBytes;
    // Memory of its own: in Node's pool of small buffers its neighbours would be other people's bytes.
    this.#memory = Buffer.allocUnsafeSlow(count * bufferBytes);
    // Given away by a program, postMessage with a transfer list, it would be freed while the kernel writes into it.
    markAsUntransferable(this.#memory.buffer);
    this.#address = ring.libc.addressOf(this.#memory);
    ring.register(IORING_REGISTER_PBUF_RING, this.#registration(IOU_PBUF_RING_MMAP), 1);
    const offset = IORING_OFF_PBUF_RING + group * HALF;
    check('mmap', ring.libc.mmap(this.#mapping, count * IO_URING_BUF_SIZE, ring.fd, offset));
    this.#entries = new Uint16Array(this.#mapping.memory as ArrayBuffer);
    for (let id = 0; id < count; id++) {
      this.#views.push(this.#viewOf(id, bufferBytes));
      this.give(id);
    }
    this.publish();
  }

  /** Which buffer a completion with the flag BUFFER speaks of. */
  static idIn(flags: number): number {
    return flags >>> IORING_CQE_BUFFER_SHIFT;
  }

  /** The first `length` bytes of that buffer. */
  received(id: number, length: number): Buffer {
    let view = this.#views[id] as Buffer;
    if (view.length !== length) view = this.#views[id] = this.#viewOf(id, length);
    return view;
  }

  /** Puts it back; the kernel sees that after `publish`. */
  give(id: number): void {
    const entries = this.#entries;
    const at = (this.#tail & (this.count - 1)) * ENTRY_HALVES;
    this.#tail = (this.#tail + 1) % HALF;
    let address = this.#address + id * this.bufferBytes;
    for (let i = 0; i < ENTRY.length; i++) {
      entries[at + ENTRY.address + i] = address % HALF;
      address = Math.floor(address / HALF);
    }
    entries[at + ENTRY.length] = this.bufferBytes;
    entries[at + ENTRY.length + 1] = this.bufferBytes >>> HALF_BITS;
    entries[at + ENTRY.id] = id;
  }

  publish(): void {
    if (this.#entries.length > 0) Atomics.store(this.#entries, TAIL_AT, this.#tail);
  }

  /** The kernel takes no more of them. Nobody may be receiving. */
  close(): void {
    this.#entries = new Uint16Array(0);
    this.#ring.libc.munmap(this.#mapping);
    this.#ring.register(IORING_UNREGISTER_PBUF_RING, this.#registration(0), 1);
  }

  #viewOf(id: number, length: number): Buffer {
    return this.#memory.subarray(id * this.bufferBytes, id * this.bufferBytes + length);
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
