/**
 * One client sends requests without end and waits for no answer, each of which takes the handler 0.2 ms. A hundred others ask, wait
 * and ask again. They must not wait for more than the share of the first one.
 */

import { besiege } from '../support/unfairness.ts';
import { type Attack, type AttackOptions, type Finding, UNLIMITED } from './attack.ts';

const HANDLER_US = 200;
const MAX_P99_MS = 20 + HANDLER_US / 1000;
const POLITE = 100;

/** Beside other tests memory and caches are slow, too, for which nothing can be subtracted. */
const MAX_P99_BUSY_MS = 150;

async function run({ backend, size }: AttackOptions): Promise<readonly Finding[]> {
  const isFull = size === 'full';
  const atMost = isFull ? MAX_P99_MS : MAX_P99_BUSY_MS;
  const findings: Finding[] = [];
  for (const path of [`/work/${HANDLER_US}`, `/later/work/${HANDLER_US}`]) {
    const plan = { connections: 1, requests: 0, path, answerBytes: 0 };
    const outcome = await besiege(backend, plan, { connections: POLITE, path: '/' }, isFull ? 8_000 : 1_000);
    findings.push(
      { what: `${path}: p99 of ${POLITE} polite clients, ms`, value: outcome.p99Ms, atMost },
      { what: `${path}: the same with waits for a core`, value: outcome.wallP99Ms, atMost: UNLIMITED },
      { what: `${path}: longest delay of a timer in the server, ms`, value: outcome.stallMs, atMost: UNLIMITED },
    );
  }
  return findings;
}

export const attack: Attack = { title: 'one client pipelines without end to a handler that takes 0.2 ms', run };
