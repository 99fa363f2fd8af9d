/**
 * Burst: the short writes of one stream that leave together. A burst is code that runs without a pause: a turn, or a callback of the program between two
 * turns. It ends when the loop settles.
 *
 *     publish x 8, for each stream:     1st write -> send(2), or the batch of the turn        2nd to 8th -> held -> one send(2) when the burst ends
 *
 * The first write of a stream does not wait, because most bursts have no second one. So eight messages to one stream cost two calls instead of eight, or one if
 * the turn has a batch (send-batch.ts): then the first write joins those that are held.
 *
 * This file knows which burst it is, and has the memory that its streams share. A stream keeps the list of its own pieces (epoll-stream.ts). As in the
 * batch, the program counts held bytes as sent.
 *
 * Next: epoll-member.ts
 */

import { plainView } from '../kernel/intrinsic-bytes.ts';

/** A stream holds at most so many bytes. More than that is sent before the burst ends. */
export const MAX_HELD_BYTES = 16_384;

const NOTHING = new Uint8Array(0);

export class Burst {
  readonly #settleSoon: () => void;
  readonly #joined = Buffer.allocUnsafeSlow(MAX_HELD_BYTES);
  #number = 1;
  #isOpen = false;
  #isLast = false;
  /** Owned bytes that were copied last, and the copy. A broadcast writes the same bytes to one stream after the other. */
  #source: Uint8Array = NOTHING;
  #copy: Uint8Array = NOTHING;

  /** `settleSoon` asks the loop to settle when the code that runs has returned, also between two turns. */
  constructor(settleSoon: () => void) {
    this.#settleSoon = settleSoon;
  }

  /** Begins a burst unless one runs, and returns its number. */
  join(): number {
    if (this.#isLast) return ++this.#number;
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#settleSoon();
    }
    return this.#number;
  }

  /** The loop has settled. */
  end(): void {
    this.#isOpen = false;
    this.#number++;
    this.#source = NOTHING;
    this.#copy = NOTHING;
  }

  /** The process ends, and the loop does not settle any more: from now on each write is a burst of its own. */
  endForGood(): void {
    this.end();
    this.#isLast = true;
  }

  /** Copies bytes[0..length). Owned bytes do not change, so all streams that hold them share one copy. */
  copyOf(bytes: Uint8Array, length: number, isOwned: boolean): Uint8Array {
    if (isOwned && bytes === this.#source && length === this.#copy.length) return this.#copy;
    const copy = Buffer.from(plainView(bytes, 0, length));
    if (isOwned) {
      this.#source = bytes;
      this.#copy = copy;
    }
    return copy;
  }

  /** Puts pieces together. Returns memory that the next call uses again. */
  joined(pieces: readonly Uint8Array[]): Uint8Array {
    const [first] = pieces;
    if (pieces.length === 1) return first as Uint8Array;
    let at = 0;
    for (const piece of pieces) {
      this.#joined.set(piece, at);
      at += piece.length;
    }
    return this.#joined;
  }
}
