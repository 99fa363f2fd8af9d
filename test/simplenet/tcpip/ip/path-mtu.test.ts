/** Path MTU: lowered by what can be true, raised by time, bounded. */

import t from 'tap';
import { defaultIpLimits } from '../../../../simplenet/tcpip/ip/ip-limits.ts';
import { PathMtu, plateauBelow } from '../../../../simplenet/tcpip/ip/path-mtu.ts';

const create = (limits = {}, linkMtu = 1500) => new PathMtu(linkMtu, { ...defaultIpLimits, ...limits });

t.test('it is that of the link until it is lowered, for one destination', async (t) => {
  const paths = create();
  t.equal(paths.to(7), 1500);
  t.equal(paths.lower(7, 1400, 0), true);
  t.same([paths.to(7), paths.to(8), paths.mayFragment(7)], [1400, 1500, false]);
  t.equal(paths.lower(7, 1300, 0), true);
  t.equal(paths.to(7), 1300);
});

t.test('an error cannot raise it, nor repeat it', async (t) => {
  const paths = create();
  for (const mtu of [1500, 1501, 65_535]) t.equal(paths.lower(7, mtu, 0), false, `${mtu}`);
  t.equal(paths.size, 0);
  paths.lower(7, 1400, 0);
  t.equal(paths.lower(7, 1400, 1), false);
  t.equal(paths.lower(7, 1401, 1), false);
  t.equal(paths.to(7), 1400);
});

t.test('the floor: below 552 routers fragment, and a size below 68 is ignored', async (t) => {
  const paths = create();
  paths.lower(1, 552, 0);
  paths.lower(2, 551, 0);
  paths.lower(3, 68, 0);
  t.equal(paths.lower(4, 67, 0), false);
  t.equal(paths.lower(4, 0, 0), false);
  t.same(
    [1, 2, 3, 4].map((destination) => paths.to(destination)),
    [552, 552, 552, 1500],
  );
  t.same(
    [1, 2, 3, 4].map((destination) => paths.mayFragment(destination)),
    [false, true, true, false],
  );
});

t.test('a link below the floor', async (t) => {
  const paths = create({}, 300);
  t.equal(paths.lower(1, 200, 0), true);
  t.equal(paths.to(1), 300);
  t.equal(paths.mayFragment(1), true);
});

t.test('after ten minutes the size of the link is tried again', async (t) => {
  const paths = create();
  t.equal(paths.deadlineAt, Number.POSITIVE_INFINITY);
  paths.lower(1, 1400, 0);
  paths.lower(2, 1400, 1_000);
  paths.lower(1, 1300, 5_000);
  t.equal(paths.deadlineAt, 601_000, 'the one that was lowered again is younger');
  paths.onDeadline(600_999);
  t.equal(paths.to(2), 1400);
  paths.onDeadline(601_000);
  t.same([paths.to(1), paths.to(2), paths.deadlineAt], [1300, 1500, 605_000]);
  paths.onDeadline(605_000);
  t.same([paths.to(1), paths.size], [1500, 0]);
});

t.test('the table is bounded: the oldest makes room', async (t) => {
  const paths = create({ pathMtuEntries: 2 });
  paths.lower(1, 1400, 0);
  paths.lower(2, 1400, 1);
  t.same([paths.size, paths.to(1)], [2, 1400], 'two fit');
  paths.lower(3, 1400, 2);
  t.same([paths.size, paths.to(1), paths.to(2), paths.to(3)], [2, 1500, 1400, 1400]);
  paths.lower(2, 1300, 3);
  t.same([paths.size, paths.to(2), paths.to(3)], [2, 1300, 1400], 'a lower one takes its own place');
});

t.test('the next plateau', async (t) => {
  const steps = [65_535, 32_000, 1500, 1492, 1006, 508, 297, 296, 68, 20].map(plateauBelow);
  t.same(steps, [32_000, 17_914, 1492, 1006, 508, 296, 296, 68, 68, 68]);
});
