/**
 * Capsules: the type-length-value units of a tunnel (RFC 9297 section 3.2). `encodeCapsule` makes one, CapsuleDecoder cuts a stream into them.
 *
 * A capsule is given whole to the program, so its length is limited (`capsuleBytes`): it is the client's to choose.
 *
 * Next: tunnel-streams.ts
 */

import { protocolError } from './protocol-error.ts';

/**
 * One message of the capsule protocol (RFC 9297 section 3.2).
 *
 * ```ts
 * import type { Capsule, Tunnel } from 'simplenet/http';
 *
 * async function greet(tunnel: Tunnel): Promise<void> {
 *   const greeting: Capsule = { type: 0x29, data: new TextEncoder().encode('hello') };
 *   await tunnel.capsules().writable.getWriter().write(greeting);
 * }
 * ```
 */
export interface Capsule {
  readonly type: number;
  readonly data: Uint8Array;
}

/** RFC 9297 section 3.5: the type of a capsule that carries an HTTP datagram. */
export const DATAGRAM = 0x00;

/** The two highest bits of the first byte are the length of a number: 1, 2, 4 or 8 bytes (RFC 9000 section 16). */
const LENGTH_SHIFT = 6;

export function encodeCapsule(type: number, data: Uint8Array): Uint8Array {
  const head = Buffer.concat([encodeNumber(type), encodeNumber(data.byteLength)]);
  return Buffer.concat([head, data]);
}

function encodeNumber(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`a capsule type is a whole number, not ${value}`);
  let exponent = 0;
  while (exponent < 3 && value >= 2 ** (8 * 2 ** exponent - 2)) exponent++;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  const encoded = bytes.subarray(8 - 2 ** exponent);
  encoded[0] = (encoded[0] as number) | (exponent << LENGTH_SHIFT);
  return encoded;
}

/** A number, and the offset behind it; null if bytes are missing. */
function decodeNumber(bytes: Buffer, at: number): { readonly value: number; readonly end: number } | null {
  const first = bytes[at];
  if (first === undefined) return null;
  const length = 2 ** (first >> LENGTH_SHIFT);
  if (at + length > bytes.length) return null;
  const padded = Buffer.alloc(8);
  bytes.copy(padded, 8 - length, at, at + length);
  padded[8 - length] = first & ((1 << LENGTH_SHIFT) - 1);
  return { value: Number(padded.readBigUInt64BE()), end: at + length };
}

export class CapsuleDecoder {
  /** Pieces are put together when there are enough: a client may send a megabyte as a million of them. */
  #pieces: Uint8Array[] = [];
  #byteLength = 0;
  #neededBytes = 1;
  readonly #capsuleBytes: number;

  constructor(capsuleBytes: number) {
    this.#capsuleBytes = capsuleBytes;
  }

  /** A capsule is incomplete. */
  get isMidway(): boolean {
    return this.#byteLength > 0;
  }

  /** Returns the capsules that are complete now. Throws ProtocolError for one that is too long. */
  push(bytes: Uint8Array): Capsule[] {
    this.#pieces.push(bytes);
    this.#byteLength += bytes.byteLength;
    return this.#byteLength < this.#neededBytes ? [] : this.#decode(Buffer.concat(this.#pieces));
  }

  #decode(bytes: Buffer): Capsule[] {
    const capsules: Capsule[] = [];
    let at = 0;
    while (true) {
      const type = decodeNumber(bytes, at);
      const length = type === null ? null : decodeNumber(bytes, type.end);
      this.#neededBytes = bytes.length - at + 1;
      if (type === null || length === null) break;
      const end = length.end + length.value;
      if (end - at > this.#capsuleBytes) {
        throw protocolError('ERR_HTTP_PROTOCOL_ERROR', `a capsule of more than ${this.#capsuleBytes} bytes`);
      }
      this.#neededBytes = end - at;
      if (end > bytes.length) break;
      capsules.push({ type: type.value, data: new Uint8Array(bytes.subarray(length.end, end)) });
      at = end;
    }
    this.#pieces = [bytes.subarray(at)];
    this.#byteLength = bytes.length - at;
    return capsules;
  }
}
