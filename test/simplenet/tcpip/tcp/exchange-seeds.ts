/** What a seed of the exchange stands for: a network, sizes of buffers, and what both programs write. */

import type { Test } from 'tap';
import { createCubic } from '../../../../simplenet/tcpip/tcp/cubic.ts';
import { createNewReno } from '../../../../simplenet/tcpip/tcp/new-reno.ts';
import { Random } from '../../../simulation/random.ts';
import { type End, Exchange, writeRandomly } from './exchange.ts';

/** Nearly all runs end well, so one in a thousand may end with errors. A fault of ours would show in far more. */
const MAX_ERRORS_PER_THOUSAND = 1;

/** Runs the seeds. Every byte must be right, or both sides must have ended with an error; no timer may be left. */
export function runSeeds(t: Test, first: number, count: number): void {
  let errors = 0;
  for (let seed = first; seed < first + count; seed++) {
    const problem = runSeed(seed);
    if (problem === 'error') errors++;
    else if (problem !== null) t.fail(problem);
  }
  t.ok(errors <= Math.ceil((count * MAX_ERRORS_PER_THOUSAND) / 1000), `${errors} of ${count} ended with errors`);
}

function runSeed(seed: number): string | null {
  const random = new Random(Math.imul(seed, 7919) + 13);
  const exchange = new Exchange({
    seed,
    lose: random.next() * 0.2,
    duplicate: random.next() * 0.1,
    reorder: random.next() * 0.3,
    delayMs: 1 + random.below(100),
    isSimultaneous: random.chance(0.2),
    receiveBufferBytes: random.pick([1_000, 4_000, 65_535, 262_144]),
    sendBufferBytes: random.pick([2_000, 65_536, 262_144]),
    maxSegmentBytes: random.pick([100, 536, 1460]),
    congestion: random.pick([createNewReno, createCubic]),
  });
  const { client, server } = exchange;
  const fromClient = writeRandomly(client, random.below(60_000), exchange.random);
  const fromServer = writeRandomly(server, random.below(60_000), exchange.random);
  client.isClosing = true;
  server.isClosing = true;
  exchange.run();
  if (!isOver(client) || !isOver(server)) return `something is left: ${exchange.describe()}`;
  const isRight = server.hash.digest('hex') === fromClient && client.hash.digest('hex') === fromServer;
  if (client.connection.error !== 0 && server.connection.error !== 0) return 'error';
  return isRight ? null : `bytes are wrong: ${exchange.describe()}`;
}

function isOver({ connection }: End): boolean {
  return connection.isClosed && !connection.hasOutput && connection.deadlineAt === Number.POSITIVE_INFINITY;
}
