/** VirtualHost: the order of what happens, and when. */

import t from 'tap';
import { VirtualHost } from '../../../simplenet/loop/virtual-host.ts';

t.test('alarms ring in the order of their times, and the clock jumps to each', async (t) => {
  const host = new VirtualHost();
  const seen: [string, number][] = [];
  const note = (name: string) => () => void seen.push([name, host.now()]);
  host.alarm(3_600_000, note('an hour'));
  host.alarm(10, note('first'));
  host.alarm(10, note('second'));
  host.alarm(Number.POSITIVE_INFINITY, note('never'));
  host.alarm(20, note('cancelled')).cancel();
  await host.run();
  t.same(seen, [
    ['first', 10],
    ['second', 10],
    ['an hour', 3_600_000],
  ]);
  t.equal(host.wallNow(), Date.UTC(2022, 7, 18, 1));
});

t.test('run stops at the time that it is given, also if nothing waits', async (t) => {
  const host = new VirtualHost();
  let rang = 0;
  host.alarm(10, () => rang++);
  host.alarm(11, () => rang++);
  await host.run(10);
  t.same([rang, host.now()], [1, 10]);
  await host.run(500);
  t.same([rang, host.now()], [2, 500]);
  await host.run(400);
  t.equal(host.now(), 500, 'the clock never goes back');
});

t.test('promises and what is to run soon come before the clock moves', async (t) => {
  const host = new VirtualHost();
  const seen: string[] = [];
  host.alarm(1, () => seen.push('alarm'));
  host.soon(async () => {
    await Promise.resolve();
    seen.push('promise');
    host.soon(() => seen.push('soon'));
  });
  await host.run();
  t.same(seen, ['promise', 'soon', 'alarm']);
});

t.test('a watch has a turn when it asks, once more if it returns true, and none when it is closed', async (t) => {
  const host = new VirtualHost();
  let turns = 0;
  const watch = host.watch(null, () => ++turns === 1);
  watch.ref();
  watch.unref();
  await host.run();
  t.equal(turns, 0);
  watch.turnSoon();
  watch.turnSoon();
  await host.run();
  t.equal(turns, 2);
  watch.turnSoon();
  watch.close();
  await host.run();
  t.equal(turns, 2);
  t.throws(() => host.watch(1, () => false), { message: 'a virtual host cannot watch a descriptor' });
});

t.test('an exception ends run, and the next run goes on', async (t) => {
  const host = new VirtualHost();
  host.raise(new Error('one'));
  host.raise(new Error('two'));
  await t.rejects(host.run(), { message: 'one' });
  await t.rejects(host.run(), { message: 'two' });
  await host.run(5);
  t.equal(host.now(), 5);
});
