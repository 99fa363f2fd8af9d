/**
 * The shrinker: makes a find as small as it can, for what is left when nothing more can be left out is the bug.
 *
 * It knows nothing but "does it still fail": it forgets cuts, leaves out halves, quarters, words and single bytes, and makes
 * what remains plainer. The number of tries is bounded, as a failure may be slow.
 */

import type { Input } from './properties.ts';

const MAX_TRIES = 3_000;

/** From here on every length is tried: what can only be left out together is often a word or a line. */
const WORD_BYTES = 32;

/** What a byte may be replaced by, if that makes no difference. */
const PLAIN = 'a'.charCodeAt(0);

type Fails = (input: Input) => Promise<boolean>;

export async function shrink(input: Input, fails: Fails): Promise<Input> {
  let smallest = input;
  let tries = 0;
  const accept = async (candidate: Input): Promise<boolean> => {
    if (tries++ >= MAX_TRIES || !(await fails(candidate))) return false;
    smallest = candidate;
    return true;
  };
  for (let before: Input | null = null; before !== smallest; ) {
    before = smallest;
    await forgetCuts(() => smallest, accept);
    await leaveOut(() => smallest, accept);
    await makePlain(() => smallest, accept);
  }
  return smallest;
}

type Accept = (candidate: Input) => Promise<boolean>;

async function forgetCuts(current: () => Input, accept: Accept): Promise<void> {
  const { bytes } = current();
  if (current().cuts.length > 1 && (await accept({ bytes, cuts: [bytes.length] }))) return;
  for (let i = current().cuts.length - 2; i >= 0; i--) {
    await accept({ bytes, cuts: current().cuts.filter((_, at) => at !== i) });
  }
}

async function leaveOut(current: () => Input, accept: Accept): Promise<void> {
  for (let size = current().bytes.length - 1; size > 0; size = size > 2 * WORD_BYTES ? size >> 1 : size - 1) {
    for (let from = 0; from < current().bytes.length; ) {
      if (!(await accept(without(current(), from, from + size)))) from += size;
    }
  }
}

/** The bytes without some of them, cut at the same places as far as they are left. */
function without({ bytes, cuts }: Input, from: number, to: number): Input {
  const left = Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  const gone = Math.min(to, bytes.length) - from;
  const moved = cuts.map((cut) => (cut <= from ? cut : Math.max(from, cut - gone)));
  return { bytes: left, cuts: [...new Set([...moved.filter((cut) => cut > 0 && cut < left.length), left.length])] };
}

async function makePlain(current: () => Input, accept: Accept): Promise<void> {
  for (let at = 0; at < current().bytes.length; at++) {
    const { bytes, cuts } = current();
    if (bytes[at] === PLAIN) continue;
    const plainer = Buffer.from(bytes);
    plainer[at] = PLAIN;
    await accept({ bytes: plainer, cuts });
  }
}
