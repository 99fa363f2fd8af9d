/**
 * Body decoders: they read the bytes of a connection and find which of them are the body, and where it ends.
 *
 * Both stream: they keep no byte of the body. `decode` reads bytes[start..end), passes the range of each run of body bytes to `onBody`,
 * and returns the offset after the bytes that it has used. That is `end` while the body is incomplete; it may be less when the body ends.
 *
 * The chunked decoder (RFC 9112 section 7.1) is strict: line ends are CRLF, sizes are hex digits only, extensions follow their
 * grammar. Lenient decoders read other input in different ways, and such differences allow request smuggling. So it is refused.
 *
 * Next: pending-input.ts
 */

import { CR, HTAB, isTokenByte, isValueByte, LF, SP } from '../grammar.ts';
import { bodyTooLarge, HttpError } from '../http-error.ts';
import type { Limits } from '../limits.ts';
import { CHUNKED, NO_BODY } from './body-framing.ts';
import { FieldParser, INCOMPLETE, TOO_LARGE } from './field-parser.ts';
import { HeaderList } from './header-list.ts';

export type OnBody = (from: number, to: number) => void;

export interface BodyDecoder {
  readonly isDone: boolean;
  /** How many bytes of the body are still to come; 0 if that is unknown. */
  readonly left: number;
  readonly trailers: HeaderList;
  /** Replaces the limits for what is still to come. */
  useLimits(limits: Limits): void;
  /** Throws HttpError for a malformed body. Then the place of the next request is unknown. */
  decode(bytes: Buffer, start: number, end: number, onBody: OnBody): number;
}

/** A body with a Content-Length. */
export class LengthDecoder implements BodyDecoder {
  readonly trailers = HeaderList.empty;
  left: number;

  constructor(length: number) {
    this.left = length;
  }

  get isDone(): boolean {
    return this.left === 0;
  }

  useLimits(): void {} // its length is known, and was judged

  decode(_bytes: Buffer, start: number, end: number, onBody: OnBody): number {
    const to = Math.min(end, start + this.left);
    this.left -= to - start;
    if (to > start) onBody(start, to);
    return to;
  }
}

/** The element that the next byte belongs to. From BEFORE_EXTENSION to AFTER_QUOTED it is a chunk extension. */
type Phase = number;
const SIZE: Phase = 0;
const BEFORE_EXTENSION: Phase = 1;
const BEFORE_NAME: Phase = 2;
const NAME: Phase = 3;
const AFTER_NAME: Phase = 4;
const BEFORE_VALUE: Phase = 5;
const VALUE: Phase = 6;
const QUOTED: Phase = 7;
const QUOTED_PAIR: Phase = 8;
const AFTER_QUOTED: Phase = 9;
const SIZE_LF: Phase = 10;
const DATA: Phase = 11;
const DATA_CR: Phase = 12;
const DATA_LF: Phase = 13;
const TRAILERS: Phase = 14;
const DONE: Phase = 15;

const QUOTE = 0x22;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;

/** Enough for each size below 2^53, with leading zeros. */
const MAX_SIZE_DIGITS = 16;

const malformed = (what: string) => new HttpError(400, `malformed chunked body: ${what}`);

export class ChunkedDecoder implements BodyDecoder {
  readonly left = 0;
  #limits: Limits;
  #phase = SIZE;
  #size = 0;
  #sizeDigits = 0;
  #total = 0;
  #extensionBytes = 0;
  #trailerParser: FieldParser | null = null;
  #trailerBytes = Buffer.alloc(0);
  #trailers = HeaderList.empty;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get isDone(): boolean {
    return this.#phase === DONE;
  }

  useLimits(limits: Limits): void {
    this.#limits = limits;
  }

  get trailers(): HeaderList {
    return this.#trailers;
  }

  decode(bytes: Buffer, start: number, end: number, onBody: OnBody): number {
    let at = start;
    while (at < end && this.#phase !== DONE) {
      if (this.#phase === DATA) {
        const to = Math.min(end, at + this.#size);
        this.#size -= to - at;
        if (this.#size === 0) this.#phase = DATA_CR;
        onBody(at, to);
        at = to;
      } else if (this.#phase === TRAILERS) {
        at = this.#decodeTrailers(bytes, at, end);
      } else {
        this.#phase = this.#next(bytes[at] as number);
        at++;
      }
    }
    return at;
  }

  /** Checks the next byte, and returns the phase after it. */
  #next(byte: number): Phase {
    switch (this.#phase) {
      case SIZE:
        return this.#afterSize(byte);
      case SIZE_LF:
        if (byte !== LF) throw malformed('a size line must end in CRLF');
        return this.#sizeKnown();
      case DATA_CR:
        if (byte !== CR) throw malformed('a chunk is longer than its size');
        return DATA_LF;
      case DATA_LF:
        if (byte !== LF) throw malformed('a chunk must end in CRLF');
        return SIZE;
      default:
        if (++this.#extensionBytes > this.#limits.chunkExtensionBytes) {
          throw new HttpError(413, `chunk extensions of more than ${this.#limits.chunkExtensionBytes} bytes`);
        }
        return this.#inExtension(byte);
    }
  }

  #afterSize(byte: number): Phase {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#size = this.#size * 16 + digit;
      if (++this.#sizeDigits > MAX_SIZE_DIGITS) throw malformed('a size of too many digits');
      return SIZE;
    }
    if (this.#sizeDigits === 0) throw malformed('a size is missing');
    if (byte === CR) return SIZE_LF;
    if (byte === SEMICOLON) return BEFORE_NAME;
    if (byte === SP || byte === HTAB) return BEFORE_EXTENSION;
    throw malformed('a size is not a hexadecimal number');
  }

  #sizeKnown(): Phase {
    const isLast = this.#size === 0;
    this.#sizeDigits = 0;
    this.#total += this.#size;
    if (this.#total > this.#limits.bodyBytes) throw bodyTooLarge(this.#limits.bodyBytes);
    return isLast ? TRAILERS : DATA;
  }

  /** *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 section 7.1.1. Checked and then ignored. */
  #inExtension(byte: number): Phase {
    const isSpace = byte === SP || byte === HTAB;
    const isToken = isTokenByte[byte] === 1;
    const phase = this.#phase;
    switch (phase) {
      case BEFORE_NAME:
        if (isSpace) return BEFORE_NAME;
        if (isToken) return NAME;
        break;
      case BEFORE_VALUE:
        if (isSpace) return BEFORE_VALUE;
        if (byte === QUOTE) return QUOTED;
        if (isToken) return VALUE;
        break;
      case QUOTED:
        if (byte === QUOTE) return AFTER_QUOTED;
        if (byte === BACKSLASH) return QUOTED_PAIR;
        if (isValueByte[byte] === 1) return QUOTED;
        break;
      case QUOTED_PAIR:
        if (isValueByte[byte] === 1) return QUOTED;
        break;
      default:
        // After a size, a name or a value.
        if (isToken && (phase === NAME || phase === VALUE)) return phase;
        if (byte === SEMICOLON) return BEFORE_NAME;
        if (byte === EQUALS && (phase === NAME || phase === AFTER_NAME)) return BEFORE_VALUE;
        if (isSpace) return phase === NAME || phase === AFTER_NAME ? AFTER_NAME : BEFORE_EXTENSION;
        if (byte === CR && phase !== BEFORE_EXTENSION && phase !== AFTER_NAME) return SIZE_LF;
    }
    throw malformed('a chunk extension');
  }

  /** Trailers are few and small, so all bytes of them are gathered: FieldParser needs them in one piece. */
  #decodeTrailers(bytes: Buffer, start: number, end: number): number {
    if (this.#trailerParser === null) {
      if (bytes[start] === CR && start + 1 < end && bytes[start + 1] === LF) {
        this.#phase = DONE; // no trailers, the usual case
        return start + 2;
      }
      this.#trailerParser = new FieldParser(this.#limits.fieldCount, this.#limits.trailerBytes);
      this.#trailerParser.reset(0);
    }
    const gathered = this.#trailerBytes.length;
    this.#trailerBytes = Buffer.concat([this.#trailerBytes, bytes.subarray(start, end)]);
    const parser = this.#trailerParser;
    const result = parser.parse(this.#trailerBytes, 0, this.#trailerBytes.length);
    if (result === INCOMPLETE) return end;
    if (result < 0)
      throw new HttpError(-result, result === TOO_LARGE ? 'the trailers are too large' : 'a malformed trailer');
    this.#phase = DONE;
    this.#trailers = new HeaderList(this.#trailerBytes.toString('latin1', 0, parser.at), 0);
    return start + parser.at - gathered;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}

/** Returns the decoder of a body, by what body-framing.ts says of it; null for a request without a body. */
export function decoderOf(framing: number, limits: Limits): BodyDecoder | null {
  if (framing === NO_BODY || framing === 0) return null;
  return framing === CHUNKED ? new ChunkedDecoder(limits) : new LengthDecoder(framing);
}
