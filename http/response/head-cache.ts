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
 * Only the length and the empty line are missing. In the place of the Content-Type there may be several lines, such as those of a file. Kept as bytes, these lines cost one copy. As text they would be concatenated, flattened
 * and encoded for each response, which costs eight times as much.
 *
 * Next: latin1.ts
 */

import { statusLine } from '../status.ts';

/** Heads of one status that are kept. The response writer itself has four content types. */
const MAX_HEADS = 16;

const contentTypeLine = (contentType: string): string => `Content-Type: ${contentType}\r\n`;

export class HeadCache {
  readonly #currentDateLine: () => string;
  /** The `Date` line of all heads in the cache. */
  #dateLine = '';
  readonly #linesOf: (key: string) => string;
  /** By status, then by content type, or by the lines. */
  #heads: Map<string, Uint8Array>[] = [];
  /** The same with the lines about keep-alive. */
  #keepAliveHeads: Map<string, Uint8Array>[] = [];

  /** `dateLine` returns the line `Date: ...` of this moment. `linesOf` returns what stands behind it, of the key: a content type, unless it is given. */
  constructor(dateLine: () => string, linesOf = contentTypeLine) {
    this.#currentDateLine = dateLine;
    this.#linesOf = linesOf;
  }

  /** Keeps heads whose key is all their field lines. */
  static ofLines(dateLine: () => string): HeadCache {
    return new HeadCache(dateLine, (lines) => lines);
  }

  /** Returns the head up to and including `Content-Length: `. `keepAliveLine` is '', or the one `Keep-Alive` line of the server. */
  get(status: number, key: string, keepAliveLine = ''): Uint8Array {
    const dateLine = this.#currentDateLine();
    if (dateLine !== this.#dateLine) {
      this.#dateLine = dateLine;
      this.#heads = [];
      this.#keepAliveHeads = [];
    }
    const heads = keepAliveLine === '' ? this.#heads : this.#keepAliveHeads;
    return heads[status]?.get(key) ?? this.#make(heads, status, key, keepAliveLine);
  }

  #make(heads: Map<string, Uint8Array>[], status: number, key: string, keepAliveLine: string): Uint8Array {
    const connection = keepAliveLine === '' ? '' : `Connection: keep-alive\r\n${keepAliveLine}`;
    const text = `${statusLine(status)}${this.#dateLine}${this.#linesOf(key)}${connection}Content-Length: `;
    const head = Buffer.from(text, 'latin1');
    const ofStatus = heads[status];
    // A Fetch app chooses its content types, and may make one for each response.
    if (ofStatus === undefined || ofStatus.size >= MAX_HEADS) heads[status] = new Map([[key, head]]);
    else ofStatus.set(key, head);
    return head;
  }
}
