/**
 * Latin-1: bytes as text and back, one character a byte, as cheaply as Node can.
 *
 * Heads are read and written so: no byte can be invalid, and none changes its place. `toString('latin1')` and
 * `write(text, 'latin1')` come down to these two methods after they have found out which encoding is meant, which takes
 * longer than the copying of a head. Node has had them since its first versions, but its type declarations leave them out.
 *
 * Next: output-buffer.ts
 */

type Latin1Buffer = Buffer & {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number, length: number): number;
};

/** bytes[start..end). */
export function latin1Of(bytes: Buffer, start: number, end: number): string {
  return (bytes as Latin1Buffer).latin1Slice(start, end);
}

/** Text whose characters are all below 256, and for which there is room; answers how many bytes it was. */
export function writeLatin1(bytes: Buffer, at: number, text: string): number {
  return (bytes as Latin1Buffer).latin1Write(text, at, text.length);
}
