/**
 * Many clients ask for much at the same moment. Each answer alone is a matter of microseconds; if the loop gives all of them
 * their bytes in one turn, nothing else happens meanwhile: no timer, no other client.
 *
 * Next: pipeline.ts
 */

import { besiege } from '../support/unfairness.ts';
import { type Attack, type AttackOptions, type Finding, UNLIMITED } from './attack.ts';

/** What an answer of fair-site's `/large` has besides its head. */
const BODY_BYTES = 1_000_000;

const MAX_STALL_MS = 50;

/** Beside other tests memory and caches are slow, too, for which nothing can be subtracted. */
const MAX_STALL_BUSY_MS = 100;

async function run({ backend, size }: AttackOptions): Promise<readonly Finding[]> {
  const isFull = size === 'full';
  const connections = isFull ? 500 : 200;
  const atMost = isFull ? MAX_STALL_MS : MAX_STALL_BUSY_MS;
  const findings: Finding[] = [];
  for (const requests of isFull ? [1, 30] : [2]) {
    const plan = { connections, requests, path: '/large', answerBytes: BODY_BYTES };
    const outcome = await besiege(backend, plan, { connections: 1, path: '/' });
    const what = `${connections} clients x ${requests} MB`;
    findings.push(
      { what: `${what}: longest delay of a timer in the server, ms`, value: outcome.stallMs, atMost },
      { what: `${what}: the same with waits for a core`, value: outcome.wallStallMs, atMost: UNLIMITED },
      { what: `${what}: p99 of a polite client, ms`, value: outcome.p99Ms, atMost },
      { what: `${what}: the same with waits for a core`, value: outcome.wallP99Ms, atMost: UNLIMITED },
      { what: `${what}: all together, ms`, value: outcome.tookMs, atMost: UNLIMITED },
    );
  }
  return findings;
}

export const attack: Attack = { title: 'many clients ask for 1 MB at once, then for many in a pipeline', run };
