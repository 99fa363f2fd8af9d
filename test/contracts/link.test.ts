/** The contract of the Link seam on links in memory. tap-link.test.ts runs it on TAP devices. */

import { type Test, test } from 'tap';
import { nodeHost } from '../../simplenet/loop/node-host.ts';
import { observeFrames } from '../../simplenet/tcpip/link/observed-link.ts';
import { createWire } from '../../simplenet/tcpip/link/simulated-wire.ts';
import { type Ends, linkContract } from './link.ts';

const pairs: Readonly<Record<string, (t: Test) => Ends>> = {
  'a simulated wire': () => createWire(),
  'a simulated wire with delay': (t) => {
    const ends = createWire({ delayMs: 1, jitterMs: 1, bytesPerSecond: 10_000_000 });
    const watch = ends[0].watch(nodeHost, () => false); // time passes
    t.teardown(() => watch.close());
    return ends;
  },
  'an observed link on a simulated wire': () => {
    const [left, right] = createWire();
    return [observeFrames(left, () => {}), observeFrames(right, () => {})];
  },
};

for (const [kind, makePair] of Object.entries(pairs)) {
  for (const [name, scenario] of Object.entries(linkContract)) {
    test(`${name} (${kind})`, async (t) => {
      const ends = makePair(t);
      t.teardown(() => ends.map((end) => end.close()));
      await scenario(ends);
      t.pass();
    });
  }
}
