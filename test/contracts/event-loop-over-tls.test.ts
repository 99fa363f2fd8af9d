/**
 * The contract of the event loop over TLS, on every backend and both versions of TLS.
 */

import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { eventLoopContract } from './event-loop.ts';
import { RealWorld } from './real-world.ts';
import { TlsWorld } from './tls-world.ts';

for (const kind of backends) {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const [name, scenario] of Object.entries(eventLoopContract)) {
      test(`${name} (${kind}, ${version})`, { skip: missingBackend[kind] }, async (t) => {
        const world = new TlsWorld(new RealWorld(kind), version);
        t.teardown(() => world.loop.close());
        await scenario(world);
        await world.close();
        t.pass();
      });
    }
  }
}
