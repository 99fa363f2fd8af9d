/**
 * Attack: a way to harm the server, as a program that measures how much harm it does.
 *
 * Each file `test/attacks/NAME.ts` exports one as `attack`. `npm run attack -- NAME` runs it at full size and prints its
 * findings beside their limits; a test beside it, `NAME.test.ts`, runs the same attack at the size that fits `npm test`. So the
 * figure that SECURITY.md gives and the figure that a test holds come from one piece of code.
 *
 * Next: run.ts
 */

import type { Test } from 'tap';
import type { Backend } from '../../simplenet/create-event-loop.ts';

export interface AttackOptions {
  /** The event loop of the attacked server. */
  readonly backend: Exclude<Backend, 'auto'>;
  /** `short` takes a few seconds and belongs to `npm test`; `full` takes as long as the claim in SECURITY.md needs. */
  readonly size: 'short' | 'full';
}

/** The limit of a figure that is only reported. */
export const UNLIMITED: number = Number.POSITIVE_INFINITY;

/** One measured figure and the limit that it must keep. */
export interface Finding {
  readonly what: string;
  readonly value: number;
  /** The largest harmless value; `UNLIMITED` for a figure that is only reported. */
  readonly atMost: number;
}

export interface Attack {
  /** One sentence: what a client, a handler or a busy machine does. */
  readonly title: string;
  run(options: AttackOptions): Promise<readonly Finding[]>;
}

/** Runs an attack within a test: each finding is one assertion. */
export async function mustHold(t: Test, attack: Attack, options: AttackOptions): Promise<void> {
  for (const { what, value, atMost } of await attack.run(options)) {
    t.ok(value <= atMost, `${what}: ${value}, at most ${atMost}`);
  }
}
