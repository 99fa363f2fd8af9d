/** The states of a neighbour: which may follow which, as the diagram says. */

import t from 'tap';
import { FAILED, INCOMPLETE, Neighbour, PROBING, REACHABLE, STALE } from '../../../../simplenet/tcpip/ip/neighbour.ts';

/** A way from the beginning to each state. */
const ways: Readonly<Record<string, readonly number[]>> = {
  INCOMPLETE: [INCOMPLETE],
  REACHABLE: [INCOMPLETE, REACHABLE],
  STALE: [STALE],
  PROBING: [STALE, PROBING],
  FAILED: [INCOMPLETE, FAILED],
};

const allowed: Readonly<Record<string, readonly number[]>> = {
  INCOMPLETE: [REACHABLE, FAILED],
  REACHABLE: [STALE],
  STALE: [STALE, PROBING],
  PROBING: [REACHABLE, INCOMPLETE],
  FAILED: [STALE],
};

function neighbourIn(way: readonly number[]): Neighbour {
  const neighbour = new Neighbour(1, way[0] as number);
  for (const state of way.slice(1)) neighbour.enter(state, 0);
  return neighbour;
}

for (const [name, way] of Object.entries(ways)) {
  t.test(`from ${name}`, async (t) => {
    for (const to of [INCOMPLETE, REACHABLE, STALE, PROBING, FAILED]) {
      const neighbour = neighbourIn(way);
      if (allowed[name]?.includes(to)) {
        neighbour.requests = 2;
        neighbour.enter(to, 77);
        t.match(neighbour, { state: to, endsAt: 77, requests: 0 });
      } else {
        t.throws(() => neighbour.enter(to, 77), { message: new RegExp(`must not go from ${name} to`) });
      }
    }
  });
}
