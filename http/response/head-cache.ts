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
 * A client that asks to keep the connection alive (`Connection: keep-alive`) is told so, and for how long, in two more lines before the
 * length.
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
  /** The same with the lines about keep-alive. */
  #keepAliveHeads: Map<string, Uint8Array>[] = [];

  /** `dateLine` returns the line `Date: ...` of this moment. */
  constructor(dateLine: () => string) {
    this.#currentDateLine = dateLine;
  }

  /** Returns the head up to and including `Content-Length: `. `keepAliveLine` is '', or the one `Keep-Alive` line of the server. */
  get(status: number, contentType: string, keepAliveLine = ''): Uint8Array {
    const dateLine = this.#currentDateLine();
    if (dateLine !== this.#dateLine) {
      this.#dateLine = dateLine;
      this.#heads = [];
      this.#keepAliveHeads = [];
    }
    const heads = keepAliveLine === '' ? this.#heads : this.#keepAliveHeads;
    return heads[status]?.get(contentType) ?? this.#make(heads, status, contentType, keepAliveLine);
  }

  #make(heads: Map<string, Uint8Array>[], status: number, contentType: string, keepAliveLine: string): Uint8Array {
    const connection = keepAliveLine === '' ? '' : `Connection: keep-alive\r\n${keepAliveLine}`;
    const text = `${statusLine(status)}${this.#dateLine}Content-Type: ${contentType}\r\n${connection}Content-Length: `;
    const head = Buffer.from(text, 'latin1');
    const ofStatus = heads[status];
    // A Fetch app chooses its content types, and may make one for each response.
    if (ofStatus === undefined || ofStatus.size >= MAX_CONTENT_TYPES) heads[status] = new Map([[contentType, head]]);
    else ofStatus.set(contentType, head);
    return head;
  }
}
