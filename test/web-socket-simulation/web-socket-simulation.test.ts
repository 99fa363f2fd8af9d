/**
 * WebSockets on the simulated kernel: whatever happens, each message arrives once, in order and exactly, in both directions, or its connection is gone for a known reason.
 *
 * SEED=n lives one day again, SEEDS=n so many. web-socket-simulation.long.ts asks for more.
 */

import { test } from 'tap';
import { WebSocketDay } from './web-socket-day.ts';

const { SEED, SEEDS = '12' } = process.env;
const PEERS = 8;

async function live(seed: number): Promise<WebSocketDay> {
  try {
    return await new WebSocketDay(seed, PEERS).run();
  } catch (cause) {
    throw new Error(`the day fails with SEED=${seed}`, { cause });
  }
}

/** Of each of these there must have been some, or the simulation has missed the point. */
const happenings = [
  ...['shortRead', 'shortWrite', 'interrupt', 'spuriousAgain', 'delayedDelivery'].map((fault) => `fault: ${fault}`),
  ...['messages to the program', 'messages to clients', 'published', 'drains', 'pongs', 'pongs of clients'],
  ...['extension: PeerDeflate', 'extension: Object', 'ends: closed by the client', 'ends: the server stops'],
];

/** These take many days. */
const rareHappenings = [
  ...['fault: reset', 'fault: tooManyFiles', 'fault: noBuffers', 'fault: connectionAborted', 'stops in the middle'],
  ...['full: drop', 'full: close', 'close: 1006', 'close: 1013', 'left: reset'],
  ...['made room', 'refused', 'closed by the program', 'terminated', 'half-closed', 'read too slowly'].map(
    (excuse) => `ends: ${excuse}`,
  ),
];

test('each message once and in order, or the connection is gone', async (t) => {
  const seeds = SEED === undefined ? Array.from({ length: Number(SEEDS) }, (_, i) => i + 1) : [Number(SEED)];
  const tally = new Map<string, number>();
  for (const seed of seeds) {
    for (const [what, count] of (await live(seed)).tally) tally.set(what, (tally.get(what) ?? 0) + count);
  }
  t.comment(
    [...tally]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, count]) => `${count} ${what}`)
      .join('\n'),
  );
  if (SEED !== undefined) return;
  const expected = Number(SEEDS) >= 500 ? [...happenings, ...rareHappenings] : happenings;
  for (const happening of expected) t.ok((tally.get(happening) ?? 0) > 0, happening);
});

test('one seed is one course of events', async (t) => {
  for (const seed of [1, 2]) {
    const [first, again] = [await live(seed), await live(seed)];
    t.same([...again.tally], [...first.tally]);
    t.same([...again.kernel.calls], [...first.kernel.calls]);
    t.equal(again.now(), first.now());
  }
});
