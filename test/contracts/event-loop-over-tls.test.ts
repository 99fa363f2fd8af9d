/**
 * The contract of the event loop over TLS: on every backend, and with both versions of TLS. The version is of the handshake and the loop is below it, so here
 * each backend has one version. event-loop-over-tls.long.ts has the other one (TLS=other).
 */

import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { eventLoopContract } from './event-loop.ts';
import { RealWorld } from './real-world.ts';
import { type TlsVersion, TlsWorld } from './tls-world.ts';

const versions: Readonly<Record<(typeof backends)[number], readonly [TlsVersion, TlsVersion]>> = {
  epoll: ['TLSv1.3', 'TLSv1.2'],
  io_uring: ['TLSv1.2', 'TLSv1.3'],
};

for (const kind of backends) {
  const [usual, other] = versions[kind];
  const version = process.env.TLS === 'other' ? other : usual;
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
