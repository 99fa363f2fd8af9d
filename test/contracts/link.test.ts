/** The contract of the Link seam on links in memory. tap-link.test.ts runs it on TAP devices. */

import { test } from 'tap';
import { nodeHost } from '../../simplenet/loop/node-host.ts';
import { observeFrames } from '../../simplenet/tcpip/link/observed-link.ts';
import { createWire } from '../../simplenet/tcpip/link/simulated-wire.ts';
import { type Ends, linkContract } from './link.ts';

const pairs: Readonly<Record<string, () => Ends>> = {
  'a simulated wire': () => createWire(),
  'a simulated wire with delay': () => {
    const ends = createWire({ delayMs: 1, jitterMs: 1, bytesPerSecond: 10_000_000 });
    ends[0].watch(nodeHost, () => false).unref(); // time passes
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
      const ends = makePair();
      t.teardown(() => ends.map((end) => end.close()));
      await scenario(ends);
      t.pass();
    });
  }
}
