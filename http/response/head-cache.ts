/**
 * HeadCache: the heads of most responses, kept as bytes.
 *
 * Within one second, all responses of one status and content type to which the handler adds no field begin with the same bytes:
 *
 *     HTTP/1.1 200 OK
 *     Date: Sun, 06 Nov 1994 08:49:37 GMT
 *     Content-Type: text/plain; charset=utf-8
 *     Content-Length:
 *
 * Only the length and the empty line are missing. Kept as bytes, these lines cost one copy. As text they would be concatenated, flattened
 * and encoded for each response, which costs eight times as much.
 *
 * Next: latin1.ts
 */

import { statusLine } from '../status.ts';

/** Content types of one status that are kept. The response writer itself has four. */
const MAX_CONTENT_TYPES = 16;

export class HeadCache {
  readonly #currentDateLine: () => string;
  /** The `Date` line of all heads in the cache. */
  #dateLine = '';
  /** By status, then by content type. */
  #heads: Map<string, Uint8Array>[] = [];

  /** `dateLine` returns the line `Date: ...` of this moment. */
  constructor(dateLine: () => string) {
    this.#currentDateLine = dateLine;
  }

  /** Returns the head up to and including `Content-Length: `. */
  get(status: number, contentType: string): Uint8Array {
    const dateLine = this.#currentDateLine();
    if (dateLine !== this.#dateLine) {
      this.#dateLine = dateLine;
      this.#heads = [];
    }
    return this.#heads[status]?.get(contentType) ?? this.#make(status, contentType);
  }

  #make(status: number, contentType: string): Uint8Array {
    const text = `${statusLine(status)}${this.#dateLine}Content-Type: ${contentType}\r\nContent-Length: `;
    const head = Buffer.from(text, 'latin1');
    const ofStatus = this.#heads[status];
    // A Fetch app chooses its content types, and may make one for each response.
    if (ofStatus === undefined || ofStatus.size >= MAX_CONTENT_TYPES)
      this.#heads[status] = new Map([[contentType, head]]);
    else ofStatus.set(contentType, head);
    return head;
  }
}
