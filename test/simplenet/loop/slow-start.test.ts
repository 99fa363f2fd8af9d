/** SlowStart: one call for one client, a crowd in a few turns. */

import t from 'tap';
import { SlowStart } from '../../../simplenet/loop/slow-start.ts';

/** How many steps each turn made, when so many clients were waiting at its start. Turns without clients do not come. */
function stepsOf(most: number, waiting: readonly number[], firstTurn = 1): number[] {
  const slowStart = new SlowStart(most);
  return waiting.map((clients, i) => {
    if (clients === 0) return 0;
    let steps = 0;
    slowStart.run(firstTurn + i, () => {
      steps++;
      return steps <= clients;
    });
    return steps;
  });
}

t.test('a lone client costs one call', async (t) => {
  t.same(stepsOf(256, [1]), [1]);
  t.same(stepsOf(256, [1, 0, 1, 0, 0, 1]), [1, 0, 1, 0, 0, 1], 'again and again');
  t.same(stepsOf(256, [1], 0), [1], 'also in turn 0');
});

t.test('a crowd is taken in a few turns, twice as many in each', async (t) => {
  const crowd = (left: number) => Array<number>(left).fill(10_000);
  t.same(stepsOf(256, crowd(11)), [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256]);
  t.same(stepsOf(5, crowd(5)), [1, 2, 4, 5, 5], 'up to the most that is allowed');
  t.same(stepsOf(1, crowd(3)), [1, 1, 1]);
});

t.test('after a quiet turn the number begins with one again', async (t) => {
  t.same(stepsOf(256, [9, 9, 9, 0, 9, 9]), [1, 2, 4, 0, 1, 2]);
});

t.test('a step that finds nothing ends the turn, and the next one is as modest as it', async (t) => {
  // Three were there: three steps that found one, and one that found nothing.
  t.same(stepsOf(256, [9, 9, 9, 3, 9, 9]), [1, 2, 4, 4, 6, 10]);
  t.same(stepsOf(256, [9, 9, 9, 1, 1, 1]), [1, 2, 4, 2, 2, 2]);
});

t.test('a step that finds nothing at once', async (t) => {
  const slowStart = new SlowStart(256);
  const run = (turn: number, found: number) => {
    let steps = 0;
    slowStart.run(turn, () => steps++ < found);
    return steps;
  };
  t.same([run(1, 0), run(2, 0), run(3, 0)], [1, 1, 1]);
  t.equal(run(4, 100), 2);
});

t.test('an exception of a step is passed on, and the next turn works', async (t) => {
  const slowStart = new SlowStart(256);
  t.throws(
    () =>
      slowStart.run(1, () => {
        throw new Error('no');
      }),
    { message: 'no' },
  );
  let steps = 0;
  slowStart.run(2, () => steps++ < 10);
  t.equal(steps, 2);
});
