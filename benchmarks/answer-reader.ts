/**
 * AnswerReader: finds where HTTP answers end, for clients that count them and for the check that reads them.
 *
 * It trusts the server: answers have a Content-Length or are chunked, and head lines end in CRLF. It keeps what is
 * unfinished and nothing else, and it makes strings only of heads.
 *
 * Next: same-work.ts
 */

export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly isChunked: boolean;
}

const HEAD_END = '\r\n\r\n';

/** The value of a field, or null. */
export function fieldOf(head: string, name: string): string | null {
  return new RegExp(`\\r\\n${name}:[ \\t]*([^\\r\\n]*)`, 'i').exec(head)?.[1]?.trimEnd() ?? null;
}

export class AnswerReader {
  readonly #onBody: ((bytes: Buffer) => void) | null;
  readonly #onAnswer: (answer: Answer) => void;
  #answer: Answer | null = null;
  /** Of the body, or of the chunk with its CRLF. */
  #missing = 0;
  #isInChunk = false;
  #unfinished: Buffer | null = null;

  constructor(onAnswer: (answer: Answer) => void, onBody: ((bytes: Buffer) => void) | null = null) {
    this.#onAnswer = onAnswer;
    this.#onBody = onBody;
  }

  /** Whether it waits for the rest of an answer. */
  get isInside(): boolean {
    return this.#answer !== null || this.#unfinished !== null;
  }

  /** Throws for what is no answer. */
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

  /** Reads one thing: a head, a piece of a body, the line before a chunk. Answers where it ends; -1: not here. */
  #step(bytes: Buffer, at: number): number {
    if (this.#answer === null) return this.#readHead(bytes, at);
    if (this.#missing > 0) {
      const end = Math.min(bytes.length, at + this.#missing);
      this.#readBody(bytes, at, end);
      return end;
    }
    return this.#readChunkLine(bytes, at);
  }

  #readHead(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(HEAD_END, at, 'latin1');
    if (end === -1) return -1;
    const head = bytes.toString('latin1', at, end);
    const status = /^HTTP\/1\.[01] (\d{3}) /.exec(head)?.[1];
    if (status === undefined) throw new Error(`this is no answer: ${JSON.stringify(head.slice(0, 80))}`);
    const length = fieldOf(head, 'content-length');
    const answer = { status: Number(status), head, isChunked: length === null };
    if (answer.isChunked && fieldOf(head, 'transfer-encoding')?.toLowerCase() !== 'chunked') {
      throw new Error('the answer is neither chunked nor has it a Content-Length');
    }
    this.#answer = answer;
    this.#missing = Number(length ?? 0);
    if (this.#missing === 0 && !answer.isChunked) this.#complete();
    return end + HEAD_END.length;
  }

  #readBody(bytes: Buffer, at: number, end: number): void {
    const missing = this.#missing;
    this.#missing -= end - at;
    // What stands behind a chunk is its CRLF.
    const content = this.#isInChunk ? Math.min(end, at + Math.max(0, missing - 2)) : end;
    if (content > at) this.#onBody?.(bytes.subarray(at, content));
    if (this.#missing > 0) return;
    if (this.#isInChunk) this.#isInChunk = false;
    else this.#complete();
  }

  #readChunkLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf('\r\n', at, 'latin1');
    if (end === -1) return -1;
    const length = Number.parseInt(bytes.toString('latin1', at, end), 16);
    if (Number.isNaN(length)) throw new Error('a chunk begins without its length');
    if (length > 0) {
      this.#missing = length + 2;
      this.#isInChunk = true;
      return end + 2;
    }
    if (bytes.length < end + 4) return -1; // trailers are not expected: an empty line ends it
    this.#complete();
    return end + 4;
  }

  #complete(): void {
    const answer = this.#answer as Answer;
    this.#answer = null;
    this.#onAnswer(answer);
  }
}
