/**
 * ResponseReader: finds where each HTTP response ends, for the load generator, the check of its peers and the tests.
 *
 * It frames, and it trusts the server in everything else: it makes a string of each head and looks for the three fields that
 * say how long the body is (RFC 9112 section 6.3). It keeps unfinished lines and no body. A user who does not trust the
 * server adds `ResponseRules`, as test/support/strict-responses.ts does: the load generator must not pay for them.
 *
 * Next: same-work.ts
 */

/** What ends the body: the head itself, a length, the last chunk, or the end of the connection. */
export type Framing = 'none' | 'length' | 'chunked' | 'close';

export interface ResponseHead {
  readonly status: number;
  /** The status line and the fields, without the empty line. */
  readonly head: string;
  readonly framing: Framing;
}

/** What a user adds to the framing. Each `check` sees a part before the reader relies on it, and refuses the part by throwing. */
export interface ResponseRules {
  /** Whether the next response belongs to HEAD: then it has no body, whatever its fields say. */
  isToHead(): boolean;
  checkHead(head: ResponseHead): void;
  checkChunkLine(line: string): void;
  /** The lines behind the last chunk, '' for none. */
  checkTrailers(lines: string): void;
}

/** What the reader is reading; `switched`: 101 has handed the connection to another protocol. */
type Phase = 'head' | 'body' | 'chunk line' | 'chunk' | 'end of chunk' | 'trailers' | 'switched';

const HEAD_END = '\r\n\r\n';
const STATUS = /^HTTP\/1\.[01] (\d{3}) /;
const CONTENT_LENGTH = fieldPattern('content-length');
const TRANSFER_ENCODING = fieldPattern('transfer-encoding');
const CONNECTION = fieldPattern('connection');
const NO_BYTES = Buffer.alloc(0);
const CR = 0x0d;
const LF = 0x0a;

function fieldPattern(name: string): RegExp {
  return new RegExp(`\\r\\n${name}:[ \\t]*([^\\r\\n]*)`, 'i');
}

function valueIn(head: string, pattern: RegExp): string | null {
  return pattern.exec(head)?.[1]?.trimEnd() ?? null;
}

/** The value of a field, or null. */
export function fieldOf(head: string, name: string): string | null {
  return valueIn(head, fieldPattern(name));
}

export class ResponseReader {
  readonly #onResponse: (head: ResponseHead) => void;
  readonly #onBody: ((bytes: Buffer) => void) | null;
  readonly #rules: ResponseRules | null;
  #phase: Phase = 'head';
  #head: ResponseHead | null = null;
  /** Bytes of the body or of the chunk that have not arrived. */
  #missing = 0;
  #unfinished: Buffer | null = null;

  /** `onResponse` is called when a response is complete, after `onBody` for each piece of its body. */
  constructor(
    onResponse: (head: ResponseHead) => void,
    onBody: ((bytes: Buffer) => void) | null = null,
    rules: ResponseRules | null = null,
  ) {
    this.#onResponse = onResponse;
    this.#onBody = onBody;
    this.#rules = rules;
  }

  /** Whether a response has begun and is not complete. */
  get isInside(): boolean {
    if (this.#phase === 'head') return this.#unfinished !== null;
    return this.#phase !== 'switched';
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** The bytes of an unfinished head or line. Behind 101: all bytes that have come since. */
  get rest(): Buffer {
    return this.#unfinished ?? NO_BYTES;
  }

  /** Throws for bytes that are not a response. */
  push(received: Buffer): void {
    let bytes = received;
    if (this.#unfinished !== null) {
      bytes = Buffer.concat([this.#unfinished, received]);
      this.#unfinished = null;
    }
    let at = 0;
    while (at < bytes.length) {
      const next = this.#step(bytes, at);
      if (next === -1) {
        this.#unfinished = Buffer.from(bytes.subarray(at)); // the loop reuses its buffer
        return;
      }
      at = next;
    }
  }

  /** The connection has ended: this completes a response that ends with it, and no other. */
  end(): void {
    if (this.#phase === 'body' && this.#head?.framing === 'close') this.#complete();
  }

  /** Reads one thing. Returns where it ends, or -1 if its end has not arrived. */
  #step(bytes: Buffer, at: number): number {
    switch (this.#phase) {
      case 'head':
        return this.#readHead(bytes, at);
      case 'body':
      case 'chunk':
        return this.#readBody(bytes, at);
      case 'chunk line':
        return this.#readChunkLine(bytes, at);
      case 'end of chunk':
        return this.#readEndOfChunk(bytes, at);
      case 'trailers':
        return this.#readTrailers(bytes, at);
      case 'switched':
        return -1;
    }
  }

  #readHead(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(HEAD_END, at, 'latin1');
    if (end === -1) return -1;
    const text = bytes.toString('latin1', at, end);
    const digits = STATUS.exec(text)?.[1];
    if (digits === undefined) throw new Error(`not a response: ${JSON.stringify(text.slice(0, 80))}`);
    const status = Number(digits);
    const framing = this.#frame(status, text);
    const head = { status, head: text, framing };
    this.#rules?.checkHead(head);
    this.#head = head;
    if (framing === 'chunked') this.#phase = 'chunk line';
    else if (this.#missing > 0) this.#phase = 'body';
    else this.#complete();
    return end + HEAD_END.length;
  }

  /** Also sets how many bytes are missing. If two fields frame the body, the length decides: to refuse such a head is a rule. */
  #frame(status: number, head: string): Framing {
    this.#missing = 0;
    if (status < 200 || status === 204 || status === 304 || this.#rules?.isToHead()) return 'none';
    const length = valueIn(head, CONTENT_LENGTH);
    if (length !== null) {
      this.#missing = Number(length);
      if (!(this.#missing >= 0)) throw new Error(`not a Content-Length: ${length}`);
      return 'length';
    }
    if (valueIn(head, TRANSFER_ENCODING)?.toLowerCase() === 'chunked') return 'chunked';
    // Such a body ends with its connection, so the connection has to end.
    if (valueIn(head, CONNECTION)?.toLowerCase() !== 'close') {
      throw new Error('the response is neither chunked nor has it a Content-Length, and the connection goes on');
    }
    this.#missing = Number.POSITIVE_INFINITY;
    return 'close';
  }

  #readBody(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#missing);
    this.#missing -= end - at;
    this.#onBody?.(bytes.subarray(at, end));
    if (this.#missing > 0) return end;
    if (this.#phase === 'chunk') this.#phase = 'end of chunk';
    else this.#complete();
    return end;
  }

  #readChunkLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf('\r\n', at, 'latin1');
    if (end === -1) return -1;
    const line = bytes.toString('latin1', at, end);
    this.#rules?.checkChunkLine(line);
    const size = Number.parseInt(line, 16);
    if (!(size >= 0)) throw new Error(`a chunk begins without its size: ${JSON.stringify(line.slice(0, 80))}`);
    this.#missing = size;
    this.#phase = size > 0 ? 'chunk' : 'trailers';
    return end + 2;
  }

  #readEndOfChunk(bytes: Buffer, at: number): number {
    if (bytes.length < at + 2) return -1;
    if (bytes[at] !== CR || bytes[at + 1] !== LF) throw new Error('a chunk does not end in CRLF');
    this.#phase = 'chunk line';
    return at + 2;
  }

  #readTrailers(bytes: Buffer, at: number): number {
    if (bytes.length < at + 2) return -1;
    const isEmpty = bytes[at] === CR && bytes[at + 1] === LF;
    const end = isEmpty ? at : bytes.indexOf(HEAD_END, at, 'latin1');
    if (end === -1) return -1;
    this.#rules?.checkTrailers(isEmpty ? '' : bytes.toString('latin1', at, end));
    this.#complete();
    return end + (isEmpty ? 2 : HEAD_END.length);
  }

  #complete(): void {
    const head = this.#head as ResponseHead;
    this.#head = null;
    this.#phase = head.status === 101 ? 'switched' : 'head';
    this.#onResponse(head);
  }
}
