/**
 * The whole server, many thousand times: every request is answered once, in order, with exactly the right bytes, or its
 * connection is gone for a reason that the client itself can name; and in the end nothing is left.
 *
 * SEED=n lives one day again, SEEDS=n so many, REQUESTS=n as many days as make so many requests. server-simulation.long.ts asks for
 * 50,000, and `npm run simulate` for as many as one likes.
 */

import { test } from 'tap';
import { Days } from './days.ts';
import { ServerWorld } from './server-world.ts';

const REQUESTS = Number(process.env.REQUESTS ?? 4_000);
const CROWD = Number(process.env.CROWD ?? 100);

const { SEED, SEEDS } = process.env;
const isWhole = SEED === undefined && SEEDS === undefined;

/** On these days all that is asked for below happens: the seeds from 1 on would need some fifty days for that. */
const RARE_SEEDS = [62, 22, 31, 55];

/** After so many days the simulation has missed the point. */
const MAX_DAYS = 250;

function seedsToLive(): number[] {
  if (SEED !== undefined) return [Number(SEED)];
  const seeds = Array.from({ length: Number(SEEDS ?? MAX_DAYS) }, (_, i) => i + 1);
  return isWhole ? [...new Set([...RARE_SEEDS, ...seeds])] : seeds;
}

/** Of each of these there must have been some, or the simulation has missed the point. */
const happenings = [
  ...['shortRead', 'shortWrite', 'interrupt', 'spuriousAgain', 'reset', 'tooManyFiles', 'noBuffers'],
  ...['connectionAborted', 'delayedDelivery'],
].map((fault) => `fault: ${fault}`);
happenings.push(
  ...['storms', 'famines', 'stops in the middle', 'turned away: too many', 'turned away: no descriptor'],
  ...['clients that closed', 'clients that half-closed', 'clients that reset', '100 Continue', 'errors in the log'],
  ...['a handler failed', 'refused by a handler', 'malformed, refused', '101', '200', '204', '302'].map(answers),
  ...['400 the connection ended within a head', '400 the connection ended within a body'].map(answers),
  ...['408 the head took too long', '408 the body took too long', '503 Service Unavailable'].map(answers),
  ...['after the last answer', 'broken by the kernel', 'half-closed, all answered', 'idle for too long'].map(ends),
  ...['left a body unread', 'left a body unfinished', 'never asked', 'read too slowly', 'the grace is over'].map(ends),
  ...['the handler broke its answer', 'the handler flooded', 'the server stops', 'turned away', 'upgraded'].map(ends),
  ends('made room for another'),
);

function answers(kind: string): string {
  return `answers: ${kind}`;
}

function ends(excuse: string): string {
  return `ends: ${excuse}`;
}

test('whatever happens, each request is answered once, in order and exactly, or its connection is gone', async (t) => {
  const days = new Days();
  const hasHappened = (happening: string) => days.happened(happening) > 0;
  for (const seed of seedsToLive()) {
    await days.live({ seed });
    if (isWhole && days.requests >= REQUESTS && happenings.every(hasHappened)) break;
  }
  t.comment(days.report());
  if (!isWhole) return;
  for (const happening of happenings) t.ok(hasHappened(happening), happening);
});

test('one seed is one course of events', async (t) => {
  for (const seed of [1, 2, 3]) {
    const [first, again] = [await new ServerWorld({ seed }).run(), await new ServerWorld({ seed }).run()];
    t.equal(again.trace, first.trace, `every system call of seed ${seed}, its result and its moment`);
    t.same([...again.tally], [...first.tally]);
  }
});

test('a crowd at the same time', async (t) => {
  const days = new Days();
  await days.live({ seed: 1, connections: CROWD });
  t.equal(days.happened('connections'), CROWD);
});
