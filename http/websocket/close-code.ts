/**
 * Close codes: which a peer may send, what its close frame says, and how ours is written (RFC 6455 section 7.4).
 *
 * Some codes are only for programs on one side: 1005 "the close frame had no code", 1006 "there was no close frame", 1015 "TLS failed". A peer that sends
 * one of them breaks the protocol, and so does one that sends a code that nobody has defined.
 *
 * Next: unmask.ts
 */

import { isUtf8 } from 'node:buffer';
import { described } from '../nearest-name.ts';

export const NORMAL_CLOSURE = 1000;
export const GOING_AWAY = 1001;
export const PROTOCOL_ERROR = 1002;
export const UNSUPPORTED_DATA = 1003;
export const NO_STATUS = 1005;
export const ABNORMAL_CLOSURE = 1006;
export const INVALID_PAYLOAD = 1007;
export const MESSAGE_TOO_BIG = 1009;
export const INTERNAL_ERROR = 1011;
/** Registered by IANA after the RFC. */
export const TRY_AGAIN_LATER = 1013;

/** The codes 1000 to 1014 that a close frame may have; IANA has registered 1012 to 1014 after the RFC. */
const FIRST_DEFINED = 1000;
const LAST_DEFINED = 1014;
const RESERVED = 1004;
/** 3000 to 3999 are registered by libraries, 4000 to 4999 are for programs among themselves. */
const FIRST_OF_PROGRAMS = 3000;
const LAST_OF_PROGRAMS = 4999;

/** A control frame carries 125 bytes, of which the code takes two (RFC 6455 section 5.5). */
export const MAX_REASON_BYTES = 123;

const CODE_BYTES = 2;

/** Whether a close frame may have this code. */
export function isSendableCode(code: number): boolean {
  if (!Number.isInteger(code)) return false;
  if (code >= FIRST_OF_PROGRAMS && code <= LAST_OF_PROGRAMS) return true;
  if (code < FIRST_DEFINED || code > LAST_DEFINED) return false;
  return code !== RESERVED && code !== NO_STATUS && code !== ABNORMAL_CLOSURE;
}

/** Throws for a code and a reason that no close frame can have. */
export function checkClosing(code: number, reason: string): void {
  if (!isSendableCode(code)) throw new RangeError(`${described(code)} is not a code that a close frame may have`);
  if (typeof reason !== 'string') throw new TypeError(`a close reason must be a string, not ${described(reason)}`);
  const length = Buffer.byteLength(reason);
  if (length > MAX_REASON_BYTES) {
    throw new RangeError(`a close reason has at most ${MAX_REASON_BYTES} bytes of UTF-8, not ${length}`);
  }
}

/** How a WebSocket ended: the code and the reason. */
export interface Closure {
  readonly code: number;
  readonly reason: string;
}

/** An error of the peer, or of an extension, that ends the connection with this code. */
export class WebSocketFault extends Error {
  override readonly name = 'WebSocketFault';
  readonly code: number;

  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Reads the payload of a close frame. Returns a WebSocketFault if the payload is not allowed. */
export function parseClose(payload: Buffer): Closure | WebSocketFault {
  if (payload.length === 0) return { code: NO_STATUS, reason: '' };
  if (payload.length < CODE_BYTES) return new WebSocketFault(PROTOCOL_ERROR, 'a close frame with one byte');
  const code = payload.readUInt16BE(0);
  if (!isSendableCode(code)) return new WebSocketFault(PROTOCOL_ERROR, `a close frame with the code ${code}`);
  const reason = payload.subarray(CODE_BYTES);
  if (!isUtf8(reason)) return new WebSocketFault(INVALID_PAYLOAD, 'a close reason that is not UTF-8');
  return { code, reason: reason.toString('utf8') };
}

/** Returns the payload of a close frame. A reason that is too long is cut between two characters. */
export function closePayload(code: number, reason: string): Buffer {
  if (code === NO_STATUS) return Buffer.alloc(0);
  const payload = Buffer.alloc(CODE_BYTES + MAX_REASON_BYTES);
  payload.writeUInt16BE(code, 0);
  const written = payload.write(reason, CODE_BYTES); // writes whole characters only
  return payload.subarray(0, CODE_BYTES + written);
}
