import { test } from 'tap';
import { eventLoopContract } from './event-loop.ts';
import { RealWorld, realLoops } from './real-world.ts';

for (const kind of Object.keys(realLoops) as (keyof typeof realLoops)[]) {
  for (const address of ['127.0.0.1', '::1']) {
    for (const [name, scenario] of Object.entries(eventLoopContract)) {
      test(`${name} (${kind}, ${address})`, async (t) => {
        const world = new RealWorld(kind, { address, port: 0 });
        t.teardown(() => world.loop.close());
        await scenario(world);
        await world.close();
        t.pass();
      });
    }
  }
}
