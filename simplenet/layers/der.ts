/**
 * DER: how a certificate is written: each value as a type, a length and its content (X.690). As much of it as a certificate needs. Pure.
 *
 *     30 0a                       SEQUENCE, 10 bytes of content
 *        02 01 05                 INTEGER 5
 *        0c 05 68 65 6c 6c 6f     UTF8String "hello"
 *
 * There is one way to write each value, so that a signature of the bytes is a signature of the value. It only writes: what strangers send is read by
 * OpenSSL.
 *
 * Next: self-signed.ts
 */

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
/** A tag of its own in the place where it stands: [0], [1] ... `isConstructed`: values stand in it. */
const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;

export function sequence(...values: readonly Uint8Array[]): Buffer {
  return value(SEQUENCE, ...values);
}

export function set(...values: readonly Uint8Array[]): Buffer {
  return value(SET, ...values);
}

/** A value in a tag of its own: `[n] EXPLICIT`. */
export function explicit(tag: number, content: Uint8Array): Buffer {
  return value(CONTEXT | CONSTRUCTED | tag, content);
}

/** Bytes under a tag of their own: `[n] IMPLICIT`. */
export function implicit(tag: number, content: Uint8Array): Buffer {
  return value(CONTEXT | tag, content);
}

export function boolean(isTrue: boolean): Buffer {
  return value(BOOLEAN, Buffer.of(isTrue ? 0xff : 0));
}

/** A number >= 0, from its bytes, the highest first. A first bit of 1 would make it negative, so a zero byte goes before it. */
export function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first === -1 ? Buffer.of(0) : bytes.subarray(first);
  const isHigh = (digits[0] as number) >= 0x80;
  return value(INTEGER, ...(isHigh ? [Buffer.of(0)] : []), digits);
}

/** `unusedBits`: of the last byte. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return value(BIT_STRING, Buffer.of(unusedBits), bytes);
}

export function octetString(bytes: Uint8Array): Buffer {
  return value(OCTET_STRING, bytes);
}

export function utf8String(text: string): Buffer {
  return value(UTF8_STRING, Buffer.from(text));
}

/** `2.5.29.17`: the first two numbers share a byte, and each other one is in groups of seven bits, all but its last with a high bit. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...others].flatMap((number) => {
    const groups = [number % 128];
    for (let rest = Math.floor(number / 128); rest > 0; rest = Math.floor(rest / 128))
      groups.unshift(128 + (rest % 128));
    return groups;
  });
  return value(OBJECT_IDENTIFIER, Buffer.from(bytes));
}

/** RFC 5280 section 4.1.2.5: two digits for the year until 2049, and four from then on. */
export function time(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replace(/\.\d+|[-:T]/g, ''); // 20260101120000Z
  return digits < '2050' ? value(UTC_TIME, Buffer.from(digits.slice(2))) : value(GENERALIZED_TIME, Buffer.from(digits));
}

function value(type: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.of(type, ...lengthBytes(content.length)), content]);
}

/** Below 128 the length itself; from there on how many bytes it has, and these. */
function lengthBytes(length: number): number[] {
  if (length < 128) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}
