/** The contract of the event loop over TLS on two TCP/IP stacks of our own: without faults, and with five percent of the frames lost */

import { test } from 'tap';
import { eventLoopContract } from './event-loop.ts';
import { inWorlds } from './seeds.ts';
import { LossyStackWorld, StackWorld } from './stack-world.ts';
import { TlsWorld } from './tls-world.ts';

const overTls = (world: StackWorld, seed: number) => new TlsWorld(world, seed % 2 === 0 ? 'TLSv1.2' : 'TLSv1.3');

for (const [name, scenario] of Object.entries(eventLoopContract)) {
  test(name, async (t) => {
    await inWorlds(1, (seed) => overTls(new StackWorld(seed), seed), scenario);
    t.pass(`${await inWorlds(1, (seed) => overTls(new LossyStackWorld(seed), seed), scenario)} seeds with 5 % loss`);
  });
}
