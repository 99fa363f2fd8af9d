/**
 * Latin-1: bytes to text and back, one character for each byte, as cheaply as Node can do it.
 *
 * Heads are read and written as Latin-1: each byte is valid, and each character has the offset of its byte. `toString('latin1')` and
 * `write(text, 'latin1')` call the two methods used here, after they have looked up the encoding. That look-up takes longer than
 * copying a head. Node has had the two methods since its first versions, but its type declarations leave them out.
 *
 * The two methods are C++ and cost 20 to 45 ns, however short the text is. So short texts are measured and written by loops.
 *
 * Next: output-buffer.ts
 */

import { Buffer } from 'node:buffer'; // the global one is a getter, which costs 8 ns for each response

/** Up to this length a loop costs less than a call of C++: 14 characters take 41 ns instead of 62, and 32 would take 85 instead of 60. */
const MAX_LOOPED_LENGTH = 16;

const MAX_ASCII = 0x7f;

type Latin1Buffer = Buffer & {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number, length: number): number;
};

/** Returns bytes[start..end) as text. */
export function latin1Of(bytes: Buffer, start: number, end: number): string {
  return (bytes as Latin1Buffer).latin1Slice(start, end);
}

/** Writes text of characters below 256, and returns its length in bytes. The caller must make sure that it fits. */
export function writeLatin1(bytes: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length > MAX_LOOPED_LENGTH) return (bytes as Latin1Buffer).latin1Write(text, at, length);
  for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
  return length;
}

/** Returns the length of the text in UTF-8. */
export function utf8Length(text: string): number {
  return text.length <= MAX_LOOPED_LENGTH && isAscii(text) ? text.length : Buffer.byteLength(text);
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > MAX_ASCII) return false;
  return true;
}
