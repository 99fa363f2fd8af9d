/**
 * SendBatch: the short writes of a turn, sent together when its news are delivered.
 *
 * A send(2) after each request and sends in a row cost the same number of calls. In a row they cost less: the kernel's code and ours
 * do not push each other out of the caches. benchmarks/README.md has the figures.
 *
 * A stream puts in its first write of the turn. Before anything else leaves it, it takes that write out, so the order of its bytes does not change: further
 * short writes join it (burst.ts), and before all else it is sent. The program counts the bytes as sent. If the kernel then has no room for them, the stream queues them, and keeps
 * its descriptor until they are sent, even if the program has closed it.
 *
 * The batch is open only while a turn delivers several news. A slow callback delays the responses before it, as it delays those behind it;
 * `turnMs` bounds how many. A program that blocks its thread until a peer has received something waits without end.
 *
 * Next: burst.ts
 */

import { LastView } from '../kernel/last-view.ts';
import type { TurnMember } from '../loop/turn.ts';

const BATCH_BYTES = 65_536;

/** Copying more would cost as much as the batch saves. */
export const MAX_SHORT_BYTES = 2_048;

/** A stream that has a write in the batch. It knows where its write lies, and how long it is. */
export interface BatchedSender extends TurnMember {
  /** Sends the write, which lies in `bytes`, unless the stream has done so already. */
  sendGathered(bytes: Uint8Array): void;
}

export class SendBatch {
  /** The writes of the turn, one behind the other. */
  readonly bytes = Buffer.allocUnsafeSlow(BATCH_BYTES);
  readonly #senders: BatchedSender[] = [];
  readonly #lastView = new LastView<Uint8Array>(this.bytes);
  readonly #onThrow: (sender: BatchedSender, error: unknown) => void;
  #length = 0;
  #isOpen = false;

  /** `onThrow`: memory ran out, or the program's own table of system calls threw. The other streams go on. */
  constructor(onThrow: (sender: BatchedSender, error: unknown) => void) {
    this.#onThrow = onThrow;
  }

  open(): void {
    this.#isOpen = true;
  }

  /** Copies a write into the batch, and returns its offset there. Returns -1 if the stream must send it now. */
  add(sender: BatchedSender, bytes: Uint8Array, length: number): number {
    if (!this.#isOpen || length > MAX_SHORT_BYTES) return -1;
    if (this.#length + length > BATCH_BYTES) this.send();
    const start = this.#length;
    this.bytes.set(length === bytes.length ? bytes : this.#lastView.of(bytes, length), start);
    this.#length += length;
    this.#senders.push(sender);
    return start;
  }

  /** Sends all, and takes nothing until it is opened again. */
  close(): void {
    this.#isOpen = false;
    this.send();
  }

  /** Sends all. */
  send(): void {
    for (const sender of this.#senders) {
      try {
        sender.sendGathered(this.bytes);
      } catch (error) {
        this.#onThrow(sender, error);
      }
    }
    this.#senders.length = 0;
    this.#length = 0;
  }
}
