/**
 * LastView: the view of the beginning of a buffer that was made last. Making one costs more than copying 150 bytes, and the same buffer is often used again for a
 * request or a response of the same length.
 *
 * Next: libc-functions.ts
 */

export class LastView<Bytes extends Uint8Array> {
  #bytes: Bytes;
  #view: Bytes;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
    this.#view = bytes;
  }

  /** bytes[0..length). */
  of(bytes: Bytes, length: number): Bytes {
    if (bytes !== this.#bytes || length !== this.#view.length) {
      this.#bytes = bytes;
      this.#view = bytes.subarray(0, length) as Bytes;
    }
    return this.#view;
  }
}
