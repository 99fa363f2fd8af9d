/**
 * MultipartParser: the parts of a multipart/form-data body (RFC 7578, RFC 2046 section 5.1), from bytes that come in any pieces.
 *
 * The caller feeds bytes and takes events. The parser keeps only the bytes that could be the beginning of a delimiter or of a field line,
 * so a part of any size takes no memory here. The events do not depend on where the pieces end, except that data comes in other pieces.
 *
 *     START --> PREAMBLE
 *       |          |
 *       delimiter  delimiter
 *       v          v
 *     DELIMITER ------> PADDING --CRLF--> FIELDS --empty line--> EMPTY_LINE --> DATA
 *       |    ^                                                        |           |
 *       "--" +------------------------delimiter-----------------------+-----------+
 *       v
 *     CLOSING --CRLF--> EPILOGUE
 *
 * The parser is strict where two programs could see different parts: a line that begins with the delimiter and goes on, a bare LF, a folded
 * line, a field of a part that comes twice, a transfer encoding. A filter in front that reads such a body differently would let through
 * what it has not seen. Errors are HttpErrors: 413 above a limit, 400 for all else, with the offset in the body.
 *
 * Next: form-data.ts
 */

import { COLON, CR, HTAB, isTokenByte, isValueByte, LF, SP, trimBlanks } from '../grammar.ts';
import { HttpError } from '../http-error.ts';
import type { MultipartLimits } from '../limits.ts';
import { type Disposition, parseDisposition } from './content-disposition.ts';
import type { MediaType } from './content-types.ts';
import { decodeUtf8 } from './utf8.ts';

/** What the fields of a part say. */
export interface PartHead extends Disposition {
  /** Content-Type as it was sent; null if the part has none. Then it is text (RFC 7578 section 4.4). */
  readonly contentType: string | null;
  /** All field lines, each ending in CRLF. */
  readonly fields: string;
}

export type MultipartEvent =
  | { readonly kind: 'part'; readonly head: PartHead }
  /** Content of the part: a view of what was fed, never empty, with its offset in the body. */
  | { readonly kind: 'data'; readonly bytes: Buffer; readonly offset: number }
  | { readonly kind: 'end of part' };

type State = number;
/** No byte of the body is read yet. RFC 2046: the first delimiter needs no CRLF here. */
const START: State = 0;
/** Before the first delimiter. What stands here is dropped (RFC 2046 section 5.1.1). */
const PREAMBLE: State = 1;
/** After a delimiter. */
const DELIMITER: State = 2;
/** In the blanks after a delimiter. */
const PADDING: State = 3;
/** In the field lines of a part. */
const FIELDS: State = 4;
/** At the CRLF of the empty line. In a part without content it is also the CRLF of the next delimiter. */
const EMPTY_LINE: State = 5;
const DATA: State = 6;
/** In the blanks after the last delimiter. */
const CLOSING: State = 7;
/** After the line of the last delimiter. What stands here is dropped. */
const EPILOGUE: State = 8;

const DASH = 0x2d;
const CRLF = Buffer.from('\r\n');
const BOUNDARY = /^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$/;
/** RFC 2045 section 6: those that change no byte. */
const PLAIN_ENCODINGS = ['7bit', '8bit', 'binary'];

const END_OF_PART: MultipartEvent = { kind: 'end of part' };
const GO_ON = Symbol('no event yet');
/** An event, null if more bytes are needed, or GO_ON. */
type Step = MultipartEvent | null | typeof GO_ON;

/** Returns the boundary of multipart/form-data: 1 to 70 characters (RFC 2046 section 5.1.1). Throws a 400 for any other. */
export function boundaryOf(type: MediaType): string {
  const boundary = type.parameters.get('boundary');
  if (boundary === undefined) throw new HttpError(400, 'multipart/form-data without a boundary');
  if (!BOUNDARY.test(boundary)) throw new HttpError(400, 'the boundary is not 1 to 70 of the characters of RFC 2046');
  return boundary;
}

export class MultipartParser {
  readonly #limits: MultipartLimits;
  readonly #delimiter: Buffer;
  #state: State = START;
  #input: Buffer = Buffer.alloc(0);
  /** The next byte of #input. */
  #at = 0;
  /** The offset of #input in the body. */
  #base = 0;
  #partCount = 0;
  /** Content bytes of the part so far. */
  #partBytes = 0;
  // Of the part whose fields are being read:
  #partAt = 0;
  #fields = '';
  #fieldBytes = 0;
  #disposition: string | null = null;
  #contentType: string | null = null;
  #encoding: string | null = null;

  constructor(boundary: string, limits: MultipartLimits) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
    this.#limits = limits;
  }

  /** Takes the next bytes of the body. They must not change until all events of them are taken. */
  feed(bytes: Buffer): void {
    const rest = this.#input.subarray(this.#at);
    this.#base += this.#at;
    this.#at = 0;
    this.#input = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
  }

  /** Returns the next event, or null if more bytes are needed. Throws HttpError. */
  next(): MultipartEvent | null {
    for (;;) {
      const step = this.#step();
      if (step !== GO_ON) return step;
    }
  }

  /** No more bytes will come. Throws a 400 if the last delimiter is missing. */
  finish(): void {
    if (this.#state >= CLOSING) return;
    const where = this.#state <= PREAMBLE ? 'before its first part' : 'before its last boundary';
    throw new HttpError(400, `the multipart body ends ${where}, at byte ${this.#base + this.#input.length}`);
  }

  #step(): Step {
    switch (this.#state) {
      case START:
        return this.#start();
      case PREAMBLE:
        return this.#skipPreamble();
      case DELIMITER:
        return this.#readDelimiter();
      case PADDING:
        return this.#skipPadding() ? this.#beginPart() : null;
      case FIELDS:
        return this.#readField();
      case EMPTY_LINE:
        return this.#readEmptyLine();
      case DATA:
        return this.#readData();
      case CLOSING:
        return this.#skipPadding() ? this.#enter(EPILOGUE) : null;
      default:
        this.#at = this.#input.length;
        return null;
    }
  }

  #enter(state: State): typeof GO_ON {
    this.#state = state;
    return GO_ON;
  }

  #start(): Step {
    const dashBoundary = this.#delimiter.subarray(CRLF.length);
    if (!this.#mayBe(dashBoundary)) return this.#enter(PREAMBLE);
    if (this.#input.length < dashBoundary.length) return null;
    this.#at = dashBoundary.length;
    return this.#enter(DELIMITER);
  }

  #skipPreamble(): Step {
    const found = this.#input.indexOf(this.#delimiter, this.#at);
    if (found === -1) {
      this.#at = this.#endOfData();
      return null;
    }
    this.#at = found + this.#delimiter.length;
    return this.#enter(DELIMITER);
  }

  #readDelimiter(): Step {
    const first = this.#input[this.#at];
    if (first === undefined) return null;
    if (first !== DASH) return this.#enter(PADDING);
    const second = this.#input[this.#at + 1];
    if (second === undefined) return null;
    if (second !== DASH) throw this.#error('a line that begins with the boundary and goes on');
    this.#at += 2;
    return this.#enter(CLOSING);
  }

  /** RFC 2046: blanks may stand between a delimiter and its CRLF. Returns true after the CRLF, false if more bytes are needed. */
  #skipPadding(): boolean {
    const input = this.#input;
    while (input[this.#at] === SP || input[this.#at] === HTAB) this.#at++;
    const [first, second] = [input[this.#at], input[this.#at + 1]];
    if (first === undefined || (first === CR && second === undefined)) return false;
    if (first !== CR || second !== LF) throw this.#error('a line that begins with the boundary and goes on');
    this.#at += CRLF.length;
    return true;
  }

  #beginPart(): Step {
    const { partCount } = this.#limits;
    if (++this.#partCount > partCount) throw new HttpError(413, `a form of more than ${partCount} parts`);
    this.#partAt = this.#base + this.#at;
    this.#partBytes = 0;
    this.#fields = '';
    this.#fieldBytes = 0;
    this.#disposition = null;
    this.#contentType = null;
    this.#encoding = null;
    return this.#enter(FIELDS);
  }

  #readField(): Step {
    const input = this.#input;
    const start = this.#at;
    const end = input.indexOf(CRLF, start);
    if (end === start) {
      this.#state = EMPTY_LINE;
      return { kind: 'part', head: this.#head() };
    }
    const pending = input.length - start;
    if (end === -1 && (pending === 0 || (pending === 1 && input[start] === CR))) return null;
    // The least that the line can be, so that it is refused at the same length in whatever pieces it comes.
    const unended = input[input.length - 1] === CR ? pending + 1 : pending + CRLF.length;
    const lineBytes = end === -1 ? unended : end + CRLF.length - start;
    const { partHeaderBytes } = this.#limits;
    if (this.#fieldBytes + lineBytes > partHeaderBytes) {
      throw this.#partError(413, `fields of more than ${partHeaderBytes} bytes`);
    }
    if (end === -1) return null;
    this.#takeField(input.subarray(start, end));
    this.#fieldBytes += lineBytes;
    this.#at = end + CRLF.length;
    return GO_ON;
  }

  #takeField(line: Buffer): void {
    let colon = 0;
    while (isTokenByte[line[colon] as number] === 1) colon++;
    if (colon === 0 || line[colon] !== COLON) throw this.#error('a field line without a name and a colon');
    for (let i = colon; i < line.length; i++) {
      if (isValueByte[line[i] as number] === 0) throw this.#error('a control character in a field line');
    }
    const text = decodeUtf8(line, 'a field of a part', this.#base + this.#at);
    const value = trimBlanks(text.slice(colon + 1));
    this.#fields += `${text}\r\n`;
    switch (text.slice(0, colon).toLowerCase()) {
      case 'content-disposition':
        this.#disposition = this.#once(this.#disposition, value);
        break;
      case 'content-type':
        this.#contentType = this.#once(this.#contentType, value);
        break;
      case 'content-transfer-encoding':
        this.#encoding = this.#once(this.#encoding, value);
    }
  }

  #once(before: string | null, value: string): string {
    if (before !== null) throw this.#error('a field of a part that comes twice');
    return value;
  }

  #head(): PartHead {
    const disposition = this.#disposition;
    if (disposition === null) throw this.#partError(400, 'no Content-Disposition');
    // RFC 7578 section 4.7: senders should not use it. Where it is ignored, what the part says is not what is checked.
    const encoding = this.#encoding?.toLowerCase() ?? 'binary';
    if (!PLAIN_ENCODINGS.includes(encoding)) throw this.#partError(400, 'a Content-Transfer-Encoding');
    const { name, filename } = parseDisposition(disposition, `of the part at byte ${this.#partAt}`);
    const { partNameBytes } = this.#limits;
    if (Buffer.byteLength(name) > partNameBytes || Buffer.byteLength(filename ?? '') > partNameBytes) {
      throw this.#partError(413, `a name of more than ${partNameBytes} bytes`);
    }
    return { name, filename, contentType: this.#contentType, fields: this.#fields };
  }

  #readEmptyLine(): Step {
    if (!this.#mayBe(this.#delimiter)) {
      this.#at += CRLF.length;
      return this.#enter(DATA);
    }
    if (this.#input.length - this.#at < this.#delimiter.length) return null;
    return this.#endPart();
  }

  #readData(): Step {
    const found = this.#input.indexOf(this.#delimiter, this.#at);
    if (found === this.#at) return this.#endPart();
    const end = found === -1 ? this.#endOfData() : found;
    if (end === this.#at) return null;
    const bytes = this.#input.subarray(this.#at, end);
    const offset = this.#base + this.#at;
    this.#at = end;
    this.#partBytes += bytes.length;
    const { partBytes } = this.#limits;
    if (this.#partBytes > partBytes) throw this.#partError(413, `more than ${partBytes} bytes`);
    return { kind: 'data', bytes, offset };
  }

  #endPart(): Step {
    this.#at += this.#delimiter.length;
    this.#state = DELIMITER;
    return END_OF_PART;
  }

  /** Whether the input begins with these bytes, as far as it goes. */
  #mayBe(wanted: Buffer): boolean {
    const length = Math.min(wanted.length, this.#input.length - this.#at);
    return wanted.compare(this.#input, this.#at, this.#at + length, 0, length) === 0;
  }

  /** Returns the end of the bytes that belong to no delimiter, if the input has no whole one. */
  #endOfData(): number {
    const input = this.#input;
    const from = Math.max(this.#at, input.length - this.#delimiter.length + 1);
    // A delimiter has one CR, at its beginning. So only the last CR of the input can begin one.
    const last = input.subarray(from).lastIndexOf(CR);
    if (last === -1) return input.length;
    const isPrefix = input.compare(this.#delimiter, 0, input.length - from - last, from + last) === 0;
    return isPrefix ? from + last : input.length;
  }

  #error(what: string): HttpError {
    return new HttpError(400, `${what}, at byte ${this.#base + this.#at} of the multipart body`);
  }

  #partError(status: number, what: string): HttpError {
    return new HttpError(status, `${what} in the part at byte ${this.#partAt}`);
  }
}
