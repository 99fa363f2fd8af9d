/**
 * The oracle: what llhttp and the table of differences have to say about a reading of ours.
 */

import { compare } from './comparison.ts';
import { rowFor, rows } from './differences.ts';
import type { Reading } from './reading.ts';
import { readWithLlhttp, type TheirMessage } from './theirs.ts';

export interface Verdict {
  /** Requests on which we and llhttp agree, accepted or refused. */
  readonly agreed: number;
  /** Differences that the table explains. */
  readonly explained: number;
  /** What is wrong: differences that it does not explain, and requests that by the table we must not accept. */
  readonly faults: readonly string[];
}

export function judge(bytes: Buffer, ours: Reading): Verdict {
  const theirs = readWithLlhttp(bytes);
  const { agreed, differences } = compare(bytes, ours, theirs);
  const unexplained = differences.filter((difference) => rowFor(difference) === undefined);
  const faults = unexplained.map((difference) => JSON.stringify({ ...difference, text: undefined }));
  let at = 0;
  for (const [i, { end }] of ours.messages.slice(0, agreed).entries()) {
    const text = bytes.toString('latin1', at, end);
    const message = theirs.messages[i] as TheirMessage;
    const broken = rows.filter(({ forbids }) => forbids?.(message, text));
    faults.push(...broken.map(({ title }) => `we accept what we must refuse: ${title}`));
    at = end;
  }
  return { agreed, explained: differences.length - unexplained.length, faults };
}
