/**
 * AnswerReader: the answers in what a client has received, read with no tolerance at all, as they arrive.
 *
 * Next: simulated-site.ts
 */

import type { Framing } from './exchange.ts';

export interface Answer {
  readonly status: number;
  /** `Name: value`, as they came. */
  readonly fields: readonly string[];
  readonly framing: Framing;
  readonly body: Buffer;
  readonly chunks: readonly number[];
  readonly trailers: readonly string[];
}

interface Head {
  readonly status: number;
  readonly fields: readonly string[];
  readonly framing: Framing;
  readonly length: number;
}

const FIELD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*$/;
const NO_BYTES = Buffer.alloc(0);

export class AnswerReader {
  /** Only ever appended to, or replaced by a larger one: so what was cut out of it stays as it is. */
  #bytes = Buffer.allocUnsafe(1_024);
  #start = 0;
  #end = 0;
  #head: Head | null = null;
  /** Of a chunked body: how far it has been read. */
  #chunkAt = 0;
  #parts: Buffer[] = [];

  push(bytes: Buffer): void {
    if (this.#end + bytes.length > this.#bytes.length) {
      const target = Buffer.allocUnsafe(2 * (this.#end - this.#start + bytes.length));
      this.#bytes.copy(target, 0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#chunkAt -= this.#start;
      this.#start = 0;
      this.#bytes = target;
    }
    bytes.copy(this.#bytes, this.#end);
    this.#end += bytes.length;
  }

  /** There are bytes of no complete answer. */
  get hasRest(): boolean {
    return this.#end > this.#start || this.#head !== null;
  }

  /** Of no answer, or of another protocol. */
  takeRest(): Buffer {
    const rest = Buffer.from(this.#bytes.subarray(this.#start, this.#end));
    this.#start = this.#end;
    return rest;
  }

  get rest(): string {
    return this.#bytes.toString('latin1', this.#start, Math.min(this.#end, this.#start + 200));
  }

  /** The next answer if all of it is there. Throws for what is none. */
  next(isToHead: boolean, hasEnded: boolean): Answer | null {
    this.#head ??= this.#readHead(isToHead);
    const head = this.#head;
    if (head === null) return null;
    const answer = head.framing === 'chunked' ? this.#readChunked(head) : this.#readPlain(head, hasEnded);
    if (answer !== null) this.#head = null;
    return answer;
  }

  #readHead(isToHead: boolean): Head | null {
    const end = this.#bytes.subarray(this.#start, this.#end).indexOf('\r\n\r\n');
    if (end < 0) return null;
    const [statusLine = '', ...fields] = this.#bytes.toString('latin1', this.#start, this.#start + end).split('\r\n');
    this.#start += end + 4;
    this.#chunkAt = this.#start;
    const status = Number(/^HTTP\/1\.1 ([1-5]\d\d) [\x20-\x7e]*$/.exec(statusLine)?.[1]);
    if (Number.isNaN(status)) throw new Error(`no status line: ${JSON.stringify(statusLine)}`);
    for (const field of fields) if (!FIELD.test(field)) throw new Error(`no field: ${JSON.stringify(field)}`);
    const lengths = fields.filter((field) => /^content-length:/i.test(field));
    const isChunked = fields.some((field) => /^transfer-encoding:/i.test(field));
    if (lengths.length + (isChunked ? 1 : 0) > 1) throw new Error(`framed twice: ${fields.join(', ')}`);
    const hasNone = isToHead || status < 200 || status === 204 || status === 304;
    if (hasNone) return { status, fields, framing: 'none', length: 0 };
    if (isChunked) return { status, fields, framing: 'chunked', length: 0 };
    if (lengths.length === 0) return { status, fields, framing: 'close', length: -1 };
    return { status, fields, framing: 'length', length: Number(lengths[0]?.slice('content-length: '.length)) };
  }

  #readPlain(head: Head, hasEnded: boolean): Answer | null {
    const length = head.length < 0 ? this.#end - this.#start : head.length;
    if (this.#end - this.#start < length || (head.length < 0 && !hasEnded)) return null;
    const body = this.#bytes.subarray(this.#start, this.#start + length);
    this.#start += length;
    return { ...head, body, chunks: [], trailers: [] };
  }

  #readChunked(head: Head): Answer | null {
    for (;;) {
      const lineEnd = this.#bytes.subarray(this.#chunkAt, this.#end).indexOf('\r\n');
      if (lineEnd < 0) return null;
      const line = this.#bytes.toString('latin1', this.#chunkAt, this.#chunkAt + lineEnd);
      if (!/^[0-9a-f]+$/.test(line)) throw new Error(`no chunk size: ${JSON.stringify(line.slice(0, 80))}`);
      const dataAt = this.#chunkAt + lineEnd + 2;
      const size = Number.parseInt(line, 16);
      if (size === 0) return this.#readTrailers(head, dataAt);
      if (this.#end < dataAt + size + 2) return null;
      if (this.#bytes.toString('latin1', dataAt + size, dataAt + size + 2) !== '\r\n')
        throw new Error('a chunk too long');
      this.#parts.push(this.#bytes.subarray(dataAt, dataAt + size));
      this.#chunkAt = dataAt + size + 2;
    }
  }

  #readTrailers(head: Head, at: number): Answer | null {
    const rest = this.#bytes.toString('latin1', at, this.#end);
    const end = rest.startsWith('\r\n') ? 0 : rest.indexOf('\r\n\r\n') + 2;
    if (rest.length < 2 || (end === 1 && !rest.startsWith('\r\n'))) return null;
    const trailers = rest
      .slice(0, Math.max(0, end - 2))
      .split('\r\n')
      .filter(Boolean);
    this.#start = at + end + 2;
    const parts = this.#parts;
    this.#parts = [];
    const body = parts.length === 0 ? NO_BYTES : Buffer.concat(parts);
    return { ...head, body, chunks: parts.map((part) => part.length), trailers };
  }
}
