/**
 * StrictResponseReader: reads responses without any tolerance. What it accepts, no client can take for something else.
 *
 * The framing is that of benchmarks/response-reader.ts; the rules stand here, and they are stricter than RFC 9112 wherever our
 * server has one way to write what the RFC allows in several. Neither file shares code with the writer that they check.
 */

import {
  type Framing,
  type ResponseHead,
  ResponseReader,
  type ResponseRules,
} from '../../benchmarks/response-reader.ts';

export interface StrictResponse {
  readonly status: number;
  readonly reason: string;
  /** `Name: value`, as they came. */
  readonly fields: readonly string[];
  readonly framing: Framing;
  readonly body: Buffer;
  /** The sizes of the chunks, without that of the last, empty one. */
  readonly chunks: readonly number[];
  readonly trailers: readonly string[];
}

const STATUS_LINE = /^HTTP\/1\.1 ([1-5]\d\d) ([ -~]*)$/;
const FIELD_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t -~\x80-\xff]*$/;
const CHUNK_LINE = /^[0-9a-f]{1,8}$/;
const LENGTH = /^\d+$/;

/** The value of a field line, without the blanks around it. */
export function valueOfLine(line: string): string {
  return line.slice(line.indexOf(':') + 1).replace(/^[\t ]+|[\t ]+$/g, '');
}

function valuesOf(lines: readonly string[], name: string): string[] {
  return lines.filter((line) => line.slice(0, line.indexOf(':')).toLowerCase() === name).map(valueOfLine);
}

/** Whether the response says that it is the last of its connection. */
export function isLastResponse({ fields }: Pick<StrictResponse, 'fields'>): boolean {
  return valuesOf(fields, 'connection').includes('close');
}

function checkFields(lines: readonly string[]): void {
  for (const line of lines) if (!FIELD_LINE.test(line)) throw new Error(`not a field: ${JSON.stringify(line)}`);
}

function checkFraming(fields: readonly string[], framing: Framing): void {
  const lengths = valuesOf(fields, 'content-length');
  const codings = valuesOf(fields, 'transfer-encoding');
  if (lengths.length + codings.length > 1) throw new Error(`framed twice: ${fields.join(', ')}`);
  for (const length of lengths) if (!LENGTH.test(length)) throw new Error(`not a Content-Length: ${length}`);
  for (const coding of codings)
    if (coding !== 'chunked') throw new Error(`a coding without a request for it: ${coding}`);
  if (framing === 'close' && !isLastResponse({ fields })) {
    throw new Error('a body without an end on a connection that goes on');
  }
}

export class StrictResponseReader {
  readonly #reader: ResponseReader;
  #fields: readonly string[] = [];
  #reason = '';
  #parts: Buffer[] = [];
  #chunks: number[] = [];
  #trailers: readonly string[] = [];
  /** A response has said that it is the last. */
  #isLast = false;

  /** `isToHead` is called for each head: whether the next response belongs to HEAD. */
  constructor(isToHead: () => boolean, onResponse: (response: StrictResponse) => void) {
    const rules: ResponseRules = {
      isToHead,
      checkHead: (head) => this.#checkHead(head),
      checkChunkLine: (line) => this.#checkChunkLine(line),
      checkTrailers: (lines) => {
        this.#trailers = lines === '' ? [] : lines.split('\r\n');
        checkFields(this.#trailers);
      },
    };
    const onBody = (bytes: Buffer) => this.#parts.push(Buffer.from(bytes)); // the client reuses its buffer
    this.#reader = new ResponseReader((head) => onResponse(this.#complete(head)), onBody, rules);
  }

  /** Whether a response has begun and is not complete. */
  get isInside(): boolean {
    return this.#reader.isInside;
  }

  /** What the reader waits for, in words. */
  get waitsFor(): string {
    return `${this.#reader.phase} behind ${JSON.stringify(this.#reader.rest.toString('latin1', 0, 200))}`;
  }

  /** Behind 101: what has come of the other protocol. */
  get rest(): Buffer {
    return this.#reader.rest;
  }

  push(bytes: Buffer): void {
    this.#reader.push(bytes);
    if (this.#isLast && this.#reader.isInside) throw new Error('bytes behind the last response');
  }

  /** The connection has ended: this completes a response that ends with it, and no other. */
  end(): void {
    this.#reader.end();
  }

  #checkHead({ status, head, framing }: ResponseHead): void {
    const [line = '', ...fields] = head.split('\r\n');
    const match = STATUS_LINE.exec(line);
    if (match === null) throw new Error(`not a status line: ${JSON.stringify(line)}`);
    checkFields(fields);
    checkFraming(fields, framing);
    if (status >= 200 && valuesOf(fields, 'date').length !== 1) throw new Error('a final response has one Date');
    if (this.#isLast) throw new Error('bytes behind the last response');
    this.#reason = match[2] as string;
    this.#fields = fields;
  }

  #checkChunkLine(line: string): void {
    if (!CHUNK_LINE.test(line)) throw new Error(`not a chunk size: ${JSON.stringify(line.slice(0, 80))}`);
    const size = Number.parseInt(line, 16);
    if (size > 0) this.#chunks.push(size);
  }

  #complete({ status, framing }: ResponseHead): StrictResponse {
    const body = Buffer.concat(this.#parts);
    const [reason, fields, chunks, trailers] = [this.#reason, this.#fields, this.#chunks, this.#trailers];
    const response = { status, reason, fields, framing, body, chunks, trailers };
    this.#isLast = isLastResponse(response);
    this.#parts = [];
    this.#chunks = [];
    this.#trailers = [];
    return response;
  }
}
