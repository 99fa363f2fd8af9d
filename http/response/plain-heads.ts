/**
 * PlainHeads: the heads of most answers, ready to be copied.
 *
 * An answer to which the handler has added no field of its own begins like the last one of its status and content type,
 * until the second is over:
 *
 *     HTTP/1.1 200 OK
 *     Date: Sun, 06 Nov 1994 08:49:37 GMT
 *     Content-Type: text/plain; charset=utf-8
 *     Content-Length:
 *
 * Only the length and the empty line are still to come. As bytes that are kept, these lines cost one copy; as text they
 * are glued together, flattened and encoded for each answer, which costs eight times as much.
 *
 * Next: latin1.ts
 */

import { statusLine } from '../status.ts';

export class PlainHeads {
  readonly #now: () => string;
  /** The `Date` that is in all those which are kept. */
  #dateLine = '';
  /** By status, then by content type, of which the response writer has four. */
  #kept: Map<string, Uint8Array>[] = [];

  /** `dateLine` answers the line `Date: ...` of this moment. */
  constructor(dateLine: () => string) {
    this.#now = dateLine;
  }

  /** Up to and with `Content-Length: `. */
  of(status: number, contentType: string): Uint8Array {
    const dateLine = this.#now();
    if (dateLine !== this.#dateLine) {
      this.#dateLine = dateLine;
      this.#kept = [];
    }
    return this.#kept[status]?.get(contentType) ?? this.#make(status, contentType);
  }

  #make(status: number, contentType: string): Uint8Array {
    const text = `${statusLine(status)}${this.#dateLine}Content-Type: ${contentType}\r\nContent-Length: `;
    const head = Buffer.from(text, 'latin1');
    this.#kept[status] ??= new Map();
    this.#kept[status].set(contentType, head);
    return head;
  }
}
