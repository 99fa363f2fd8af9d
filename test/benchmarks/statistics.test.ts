import { test } from 'tap';
import { counts, summarize } from '../../benchmarks/results.ts';
import { orderOf } from '../../benchmarks/schedule.ts';
import { ratios, spreadOf } from '../../benchmarks/statistics.ts';
import { round } from './results-samples.ts';

test('a spread is the middle, the quartiles, the least and the most', async (t) => {
  t.same(spreadOf([3, 1, 20]), { median: 3, q1: 2, q3: 11.5, min: 1, max: 20 });
  t.same(spreadOf([4, 1, 2, 100]), { median: 3, q1: 1.75, q3: 28, min: 1, max: 100 });
  t.same(spreadOf([50, 10, 40, 20, 30]), { median: 30, q1: 20, q3: 40, min: 10, max: 50 });
  t.same(spreadOf([1, 2]), { median: 1.5, q1: 1.25, q3: 1.75, min: 1, max: 2 });
  t.same(spreadOf([7]), { median: 7, q1: 7, q3: 7, min: 7, max: 7 });
  t.throws(() => spreadOf([]), RangeError);
});

test('ratios are made round by round, and missing rounds have none', async (t) => {
  t.same(ratios([1, 2, 3], [2, 4, 12]), [0.5, 0.5, 0.25]);
  t.same(ratios([1, null, 3], [2, 4, null]), [0.5]);
  t.same(ratios([1, 2], [2]), [0.5]);
  t.same(ratios([1], [0]), []);
});

test('the order of the peers turns round with each cycle', async (t) => {
  t.same(
    [orderOf(['a', 'b', 'c'], 0), orderOf(['a', 'b', 'c'], 1)],
    [
      ['a', 'b', 'c'],
      ['c', 'b', 'a'],
    ],
  );
});

test('a round with errors is counted among the errors and nowhere else', async (t) => {
  const rounds = [round(8), round(1, { errors: 3 }), round(10), round(2, { refused: 5 }), null];
  t.same(rounds.map(counts), [true, false, true, false, false]);
  const fives = Array.from({ length: 5 }, () => round(40));
  const summary = summarize(rounds, { node: fives, c: [...fives.slice(1), null] });
  t.match(summary.figure, { median: 9, min: 8, max: 10 });
  t.match(summary.ratios, { node: { median: 0.225, min: 0.2, max: 0.25 }, c: { median: 0.225 } });
  t.same([summary.errors, summary.refused], [3, 5]);
});

test('without a round that counts there are no figures, without a reference no ratio', async (t) => {
  const none = summarize([null, round(1, { errors: 1 })], { node: [round(2), round(2)] });
  t.same([none.figure, none.ratios, none.p99Us], [null, { node: null }, null]);
  t.same(summarize([round(1)], {}).ratios, {});
});
