/**
 * A port as people type it.
 *
 * `Number` alone would make NaN of a typing error, 0 of an empty text and 80 of `0x50`, and the program would go on with that.
 */

const MAX_PORT = 65_535;

export function portFrom(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= MAX_PORT) return Number(text);
  throw new Error(`'${text}' is not a port: a port is a number from 0 to ${MAX_PORT}`);
}
