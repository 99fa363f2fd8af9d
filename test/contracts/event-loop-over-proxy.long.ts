/**
 * The contract of the event loop behind a header of the PROXY protocol, on every backend.
 */

import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { eventLoopContract } from './event-loop.ts';
import { ProxiedWorld } from './proxied-world.ts';
import { RealWorld } from './real-world.ts';

for (const kind of backends) {
  for (const [name, scenario] of Object.entries(eventLoopContract)) {
    test(`${name} (${kind})`, { skip: missingBackend[kind] }, async (t) => {
      const world = new ProxiedWorld(new RealWorld(kind));
      t.teardown(() => world.loop.close());
      await scenario(world);
      await world.close();
      t.pass();
    });
  }
}
