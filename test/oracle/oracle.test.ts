/**
 * The oracle: llhttp beside our parser, over the same bytes. What one accepts the other must accept, and take for the same
 * requests, to the byte; or the difference is on purpose, and stands in the table of differences.ts.
 *
 * SEED=n makes other requests, CASES=n more of them: oracle.long.ts makes 4,000.
 */

import { type Test, test } from 'tap';
import { randomCuts } from '../fuzz/mutator.ts';
import { Random } from '../simulation/random.ts';
import { visible } from '../transcripts/answer.ts';
import { generatedCases, type OracleCase, writtenCases } from './cases.ts';
import { compare } from './comparison.ts';
import { rowFor, rows } from './differences.ts';
import { judge } from './oracle.ts';
import { createReader } from './ours.ts';
import type { Reading } from './reading.ts';
import { readWithLlhttp } from './theirs.ts';

const SEED = Number(process.env.SEED ?? 1);
const CASES = Number(process.env.CASES ?? 1_500);

/** Longer ones would take n readings of n bytes each. */
const MAX_SPLIT_BYTES = 200;

/** More would say no more. */
const MAX_SHOWN = 10;

// A stack for each of many thousand refusals would take a third of the time.
Error.stackTraceLimit = 0;

const readOurs = createReader();

class Tally {
  readonly #t: Test;
  readings = 0;
  agreed = 0;
  accepted = 0;
  explained = 0;
  #failures = 0;

  constructor(t: Test) {
    this.#t = t;
  }

  /** Reads it whole with both, and compares. */
  judge({ title, bytes }: OracleCase): Reading {
    const ours = readOurs(bytes, [bytes.length]);
    const { agreed, explained, faults } = judge(bytes, ours);
    this.readings++;
    this.agreed += agreed;
    this.accepted += ours.messages.length;
    this.explained += explained;
    for (const fault of faults) this.#fail(title, bytes, { fault });
    return ours;
  }

  /** What both say of the whole must be what we say of the pieces. */
  split({ title, bytes }: OracleCase, whole: Reading, cuts: readonly number[]): void {
    const inPieces = readOurs(bytes, cuts);
    this.readings++;
    if (JSON.stringify(inPieces) !== JSON.stringify(whole)) this.#fail(title, bytes, { cuts, whole, inPieces });
  }

  report(): void {
    const { readings, agreed, accepted, explained } = this;
    this.#t.equal(
      this.#failures,
      0,
      `${readings} readings compared: ${agreed} requests agreed on, ${explained} explained`,
    );
    this.#t.ok(accepted > readings / 1_000, 'and not because everything was refused');
  }

  #fail(title: string, bytes: Buffer, details: object): void {
    if (++this.#failures > MAX_SHOWN) return;
    this.#t.fail(`${title}: "${visible(bytes.toString('latin1'))}"`, { details, stack: '' });
  }
}

test('each difference in the table is one, and of the kind that its row says', async (t) => {
  for (const row of rows) {
    const bytes = Buffer.from(row.example, 'latin1');
    const { differences } = compare(bytes, readOurs(bytes, [bytes.length]), readWithLlhttp(bytes));
    t.ok(differences.length > 0, `${row.title}: we and llhttp part`);
    for (const difference of differences) t.equal(rowFor(difference)?.title, row.title);
  }
});

test('requests that somebody wrote: the corpus and the transcripts, whole and cut at every place', async (t) => {
  const tally = new Tally(t);
  for (const one of writtenCases()) {
    const whole = tally.judge(one);
    if (one.cutUpTo > MAX_SPLIT_BYTES) continue;
    for (let cut = 1; cut <= one.cutUpTo; cut++) tally.split(one, whole, [cut, one.bytes.length]);
  }
  tally.report();
});

test(`requests made by grammar, whole and cut in some places (seed ${SEED})`, async (t) => {
  const tally = new Tally(t);
  const random = new Random(SEED);
  for (const one of generatedCases(SEED, CASES)) {
    const whole = tally.judge(one);
    tally.split(one, whole, randomCuts(random, one.bytes.length));
  }
  tally.report();
});
