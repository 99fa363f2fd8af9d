/**
 * ReceiveMode: whether a stream gets one standing receive (multishot), or asks for one buffer at a time.
 *
 * A standing receive saves 5 % of a small request. But one peer at full speed would fill all buffers of the loop with it, and no other stream
 * would be read. So a stream loses it when much comes within one turn, and gets it back when little comes at once.
 *
 * Next: held-input.ts
 */

/** Half a buffer of the loop (64 KiB): requests are shorter, and a peer at full speed fills whole buffers. */
const MULTISHOT_BELOW_BYTES = 32_768;

/** Two buffers of the loop's sixteen are more than a fair share of one turn. */
const SINGLE_FROM_BYTES = 131_072;

export class ReceiveMode {
  useMultishot = false;
  #lastTurn = 0;
  #bytesInTurn = 0;

  /** Chooses for the next receive, after one that brought `length` bytes in that turn. */
  choose(length: number, turn: number): void {
    this.#bytesInTurn = turn === this.#lastTurn ? this.#bytesInTurn + length : length;
    this.#lastTurn = turn;
    if (this.#bytesInTurn >= SINGLE_FROM_BYTES) this.useMultishot = false;
    else if (length < MULTISHOT_BELOW_BYTES) this.useMultishot = true;
  }
}
