/** TimerList: many deadlines, of which the owner knows the earliest. */

import t from 'tap';
import { type Timed, TimerList } from '../../../../simplenet/tcpip/tcp/timer-list.ts';
import { Random } from '../../../simulation/random.ts';

function timed(): Timed {
  return { deadlineAt: Number.POSITIVE_INFINITY, timerSlot: -1 };
}

t.test('a deadline is due when it has come, and then no more', async (t) => {
  const list = new TimerList<Timed>();
  const [a, b] = [timed(), timed()];
  const due: Timed[] = [];
  const expire = (now: number): number => {
    list.expire(now, (one) => due.push(one));
    return due.length;
  };
  t.equal(list.earliestAt, Number.POSITIVE_INFINITY);
  list.set(a, 10);
  list.set(b, 20);
  t.equal(list.earliestAt, 10);
  t.equal(expire(9), 0);
  list.set(a, 30);
  t.equal(list.earliestAt, 10, 'too early, which costs one look');
  t.equal(expire(10), 0);
  t.equal(list.earliestAt, 20);
  t.equal(expire(20), 1);
  t.equal(due[0], b);
  list.set(a, Number.POSITIVE_INFINITY);
  list.set(a, Number.POSITIVE_INFINITY);
  t.equal(expire(1_000), 1);
  t.equal(list.earliestAt, Number.POSITIVE_INFINITY);
});

t.test('a callback may set deadlines, also that of another object that is due', async (t) => {
  const list = new TimerList<Timed>();
  const [a, b] = [timed(), timed()];
  list.set(a, 1);
  list.set(b, 1);
  let calls = 0;
  list.expire(1, () => {
    calls++;
    list.set(a, 5);
    list.set(b, 6);
  });
  t.equal(calls, 2);
  t.equal(list.earliestAt, 5);
});

t.test('it agrees with a plain list', async (t) => {
  const random = new Random(1);
  const list = new TimerList<Timed>();
  const all = Array.from({ length: 50 }, timed);
  for (let now = 0; now < 2_000; now++) {
    const one = random.pick(all);
    list.set(one, random.chance(0.2) ? Number.POSITIVE_INFINITY : now + 1 + random.below(100));
    const expected = all.filter(({ deadlineAt }) => deadlineAt <= now).length;
    let count = 0;
    list.expire(now, () => count++);
    if (count !== expected) t.equal(count, expected, `at ${now}`);
  }
  t.pass();
});
