import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { eventLoopContract } from './event-loop.ts';
import { RealWorld } from './real-world.ts';

for (const kind of backends) {
  for (const address of ['127.0.0.1', '::1']) {
    for (const [name, scenario] of Object.entries(eventLoopContract)) {
      test(`${name} (${kind}, ${address})`, { skip: missingBackend[kind] }, async (t) => {
        const world = new RealWorld(kind, { address, port: 0 });
        t.teardown(() => world.loop.close());
        await scenario(world);
        await world.close();
        t.pass();
      });
    }
  }
}
