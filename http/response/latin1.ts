/**
 * Latin-1: bytes to text and back, one character for each byte, as cheaply as Node can do it.
 *
 * Heads are read and written as Latin-1: each byte is valid, and each character has the offset of its byte. `toString('latin1')` and
 * `write(text, 'latin1')` call the two methods used here, after they have looked up the encoding. That look-up takes longer than
 * copying a head. Node has had the two methods since its first versions, but its type declarations leave them out.
 *
 * Next: output-buffer.ts
 */

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
  return (bytes as Latin1Buffer).latin1Write(text, at, text.length);
}
