/**
 * The fuzzer: inputs without end, each the same for the same seed, each put through the properties.
 *
 * An input is something written (the corpus, the transcripts, earlier finds) or made by grammar, alone or damaged by the mutator,
 * and cut at random. What breaks a property is shrunk and handed back as a find.
 */

import { writtenCases } from '../oracle/cases.ts';
import { Random } from '../simulation/random.ts';
import { mutate, randomCuts } from './mutator.ts';
import type { Input, Property } from './properties.ts';
import { readRegressions } from './regressions.ts';
import { pipelineText, sampled } from './request-grammar.ts';
import { shrink } from './shrinker.ts';

/** Where inputs come from. */
export interface Inputs {
  /** What somebody has written or recorded. */
  written(): readonly Buffer[];
  /** What is made by rules: the same for the same seed. */
  made(seed: number, count: number): readonly Buffer[];
  /** What the mutator puts in: bytes that have mattered before. Its own unless given. */
  readonly spices?: readonly Buffer[];
  /** How many inputs arrive byte by byte. */
  readonly shareOfSingleBytes: number;
}

export interface Checks {
  /** Requests of HTTP unless given. */
  readonly inputs?: Inputs;
  /** Every input goes through these. */
  readonly fast: readonly Property[];
  /** And some through these. */
  readonly slow: readonly Property[];
}

export interface Find {
  /** Which property, and what was wrong. */
  readonly what: string;
  /** The smallest input that is wrong in the same way. */
  readonly input: Input;
}

/** Long ones cost time and say little. */
const MAX_SEED_BYTES = 1_500;

/** How many requests are made by grammar at a time; then others take their place. */
const BATCH = 100;
const USES_OF_BATCH = 2_000;

let inputsWritten: readonly Buffer[] | null = null;

/** What somebody has written, read once. */
function written(): readonly Buffer[] {
  inputsWritten ??= [...writtenCases(), ...readRegressions()]
    .map(({ bytes }) => bytes)
    .filter(({ length }) => length > 0 && length <= MAX_SEED_BYTES);
  return inputsWritten;
}

const requests: Inputs = {
  written,
  made: (seed, count) => sampled(pipelineText, seed, count).map((text) => Buffer.from(text, 'latin1')),
  shareOfSingleBytes: 0.1,
};

const SHARE_OF_DAMAGED = 0.85;
const SHARE_OF_SLOW = 0.15;

/** What is wrong with this input under these properties; what they throw is wrong, too. */
export async function faultOf(properties: readonly Property[], input: Input): Promise<string | null> {
  for (const { name, check } of properties) {
    try {
      const fault = await check(input);
      if (fault !== null) return `${name}: ${fault}`;
    } catch (error) {
      return `${name}: it threw ${String(error)}`;
    }
  }
  return null;
}

export class Fuzzer {
  readonly #checks: Checks;
  readonly #seed: number;
  readonly #random: Random;
  readonly #inputs: Inputs;
  #made: readonly Buffer[] = [];
  executions = 0;

  constructor(checks: Checks, seed: number) {
    this.#checks = checks;
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#inputs = checks.inputs ?? requests;
  }

  /** The next input goes through the properties. A find is not shrunk yet. */
  async step(onInput: (input: Input) => void = () => {}): Promise<Find | null> {
    const input = this.#nextInput();
    onInput(input);
    const isSlow = this.#random.chance(SHARE_OF_SLOW);
    const { fast, slow } = this.#checks;
    this.executions++;
    const what = await faultOf(isSlow ? [...fast, ...slow] : fast, input);
    return what === null ? null : { what, input };
  }

  /** The smallest input that breaks the same property. */
  async shrink({ what, input }: Find, onInput: (input: Input) => void = () => {}): Promise<Find> {
    const { fast, slow } = this.#checks;
    const broken = [...fast, ...slow].filter(({ name }) => what.startsWith(`${name}: `));
    const smallest = await shrink(input, async (candidate) => {
      onInput(candidate);
      return (await faultOf(broken, candidate)) !== null;
    });
    return { what: (await faultOf(broken, smallest)) ?? what, input: smallest };
  }

  #nextInput(): Input {
    const random = this.#random;
    const { spices, shareOfSingleBytes } = this.#inputs;
    if (this.executions % USES_OF_BATCH === 0) this.#made = this.#inputs.made(this.#seed + this.executions, BATCH);
    const pick = () => random.pick(random.chance(0.5) ? this.#inputs.written() : this.#made);
    const bytes = pick();
    const input = random.chance(SHARE_OF_DAMAGED) ? mutate(random, bytes, pick(), spices) : bytes;
    return { bytes: input, cuts: randomCuts(random, input.length, shareOfSingleBytes) };
  }
}
