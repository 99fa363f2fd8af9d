/**
 * Readers with a bug, to see that the fuzzer finds it. Each spoils what our own reader says in a way that parsers have really
 * been wrong.
 */

import { type CoreOptions, createReader } from '../oracle/ours.ts';
import type { Reader } from '../oracle/reading.ts';

const CR = 0x0d;
const LF = 0x0a;

/** Forgets, when a piece ends between CR and LF, that it was in the middle of a line end. */
export function forgetfulReader(options?: CoreOptions): Reader {
  const read = createReader(options);
  return (bytes, cuts) => {
    const isTorn = cuts.some((cut) => bytes[cut - 1] === CR && bytes[cut] === LF);
    return isTorn ? { messages: [], rest: { kind: 'refused', within: 'head', why: '400' } } : read(bytes, cuts);
  };
}

/** Takes what lies around its bytes into account: in one buffer it sees more to come, and in another none. */
export function curiousReader(options: CoreOptions = {}): Reader {
  const read = createReader(options);
  return (bytes, cuts) => {
    const reading = read(bytes, cuts);
    if (reading.rest.kind !== 'unfinished' || options.salt === undefined) return reading;
    return { ...reading, rest: { kind: 'nothing' } };
  };
}

/** Takes a bare LF for the end of a line. */
export function lenientReader(options?: CoreOptions): Reader {
  const read = createReader(options);
  return (bytes) => {
    const mended = Buffer.from(bytes.toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1');
    return read(mended, [mended.length]);
  };
}

/** Reads the size of a chunk of ten bytes as if it were decimal. */
export function decimalReader(options?: CoreOptions): Reader {
  const read = createReader(options);
  return (bytes) => {
    const misread = Buffer.from(bytes.toString('latin1').replaceAll('\r\na\r\n', '\r\n1\r\n'), 'latin1');
    return read(misread, [misread.length]);
  };
}

/** Never comes to an end when there is a body. */
export function endlessReader(options?: CoreOptions): Reader {
  const read = createReader(options);
  return (bytes, cuts) => {
    const reading = read(bytes, cuts);
    while (reading.messages[0]?.body !== undefined && reading.messages[0].body !== '');
    return reading;
  };
}
