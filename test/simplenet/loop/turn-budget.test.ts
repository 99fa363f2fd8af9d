/** The budget of a turn, at its limits and one above them. */

import { test } from 'tap';
import type { Host } from '../../../simplenet/loop/host.ts';
import { TurnBudget } from '../../../simplenet/loop/turn-budget.ts';

function world() {
  let now = 1_000;
  let reads = 0;
  const host = {
    now() {
      reads++;
      return now;
    },
  } as Host;
  const budget = new TurnBudget(host, { turnMs: 5, sentBytesPerTurn: 100, sentBytesPerStream: 10 });
  const pass = (ms: number) => {
    now += ms;
  };
  return { budget, pass, begin: () => budget.begin(now, true), reads: () => reads };
}

test('bytes: spent at the limit, and not one below', async (t) => {
  const { budget, begin } = world();
  begin();
  budget.sent(99);
  t.notOk(budget.areBytesSpent);
  t.notOk(budget.isSpentByEvent());
  budget.sent(1);
  t.ok(budget.areBytesSpent);
  t.ok(budget.isSpentByEvent(), 'the very next event is the last');
  begin();
  t.notOk(budget.areBytesSpent, 'a new part has them all');
});

test('time: spent at the limit, and not before', async (t) => {
  const { budget, begin, pass } = world();
  begin();
  pass(4.99);
  t.notOk(budget.isTimeSpent);
  pass(0.01);
  t.ok(budget.isTimeSpent);
  t.ok(budget.isSpentByEvent(), 'once that is known, at every event');
  begin();
  t.notOk(budget.isTimeSpent);
});

test('the clock is read at every fourth event only', async (t) => {
  const { budget, begin, pass, reads } = world();
  begin();
  for (let i = 0; i < 8; i++) t.notOk(budget.isSpentByEvent());
  t.equal(reads(), 2);
  pass(5);
  t.same(
    [1, 2, 3, 4, 5].map(() => budget.isSpentByEvent()),
    [false, false, false, true, true],
  );
  t.equal(reads(), 3);
});

test('before the first turn all time is spent, because no turn has begun', async (t) => {
  const { budget } = world();
  t.ok(budget.isTimeSpent);
  t.notOk(budget.areBytesSpent);
});

test('each part has a number of its own', async (t) => {
  const { budget, begin } = world();
  const parts = new Set<number>();
  for (let i = 0; i < 3; i++) {
    begin();
    parts.add(budget.part);
  }
  t.equal(parts.size, 3);
});

test('the share of a stream: a small rest goes beyond it', async (t) => {
  const budget = new TurnBudget({} as Host, { turnMs: 5, sentBytesPerTurn: 100_000, sentBytesPerStream: 6_400 });
  const shares = [
    { length: 6_400, sent: 0, share: 6_400 },
    { length: 6_500, sent: 0, share: 6_500 },
    { length: 6_501, sent: 0, share: 6_400 },
    { length: 101, sent: 6_300, share: 101 },
    { length: 201, sent: 6_300, share: 100 },
    { length: 100, sent: 6_400, share: 100 },
    { length: 101, sent: 6_400, share: 0 },
    { length: 1, sent: 6_500, share: 0 },
  ];
  for (const { length, sent, share } of shares) {
    t.equal(budget.shareOf(length, sent), share, `${length} bytes after ${sent}`);
  }
});
