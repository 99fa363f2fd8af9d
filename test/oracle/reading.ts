/**
 * What a parser makes of the bytes of a connection, in words that every parser has.
 *
 * Two parsers agree when their readings are equal: the same requests with the same fields and bodies, each ending at the same
 * byte, and the same verdict on what comes after the last whole one. Text is latin1, one character a byte.
 */

export type Field = readonly [name: string, value: string];

export interface Message {
  readonly method: string;
  readonly target: string;
  readonly minorVersion: number;
  readonly fields: readonly Field[];
  readonly body: string;
  readonly trailers: readonly Field[];
  readonly keepAlive: boolean;
  /** The offset behind it: where the next one begins. */
  readonly end: number;
}

/** What became of the bytes behind the last whole message. */
export type Rest =
  /** There are none, or line ends before a request that has not begun. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'unfinished'; readonly within: Part }
  /** The last message asked for the end of the connection; nobody looks at what follows. */
  | { readonly kind: 'ignored' }
  /** Ours: the status. llhttp's: the name of its error, and its words. */
  | { readonly kind: 'refused'; readonly within: Part; readonly why: string };

export type Part = 'head' | 'body';

export interface Reading {
  readonly messages: readonly Message[];
  readonly rest: Rest;
}

/** Reads all bytes, handed over in pieces that end at each of `cuts`; the last one is the length. */
export type Reader = (bytes: Buffer, cuts: readonly number[]) => Reading;

export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value);
}
