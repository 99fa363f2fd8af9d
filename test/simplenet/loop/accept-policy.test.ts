/** A policy of a shared listening socket decides which connections this loop takes, on both loops. */

import { test } from 'tap';
import type { AcceptPolicy } from '../../../simplenet/index.ts';
import { createEventLoop, NetSocket } from '../../../simplenet/index.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { until } from '../../support/waiting.ts';

class Script implements AcceptPolicy {
  readonly answers: boolean[] = [];
  readonly happened: string[] = [];

  mayAccept(): boolean {
    const answer = this.answers.shift() ?? true;
    this.happened.push(answer ? 'yes' : 'no');
    return answer;
  }

  accepted(): void {
    this.happened.push('accepted');
  }

  rested(): void {
    this.happened.push('rested');
  }
}

for (const backend of backends) {
  test(`on ${backend}`, { skip: missingBackend[backend] }, async (t) => {
    const loop = createEventLoop({ backend });
    const socket = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
    const address = socket.localAddress;
    const policy = new Script();
    let streams = 0;
    const listener = loop.adoptListener(socket, () => ({ onData: () => void streams, onClose: () => void streams++ }), {
      policy,
    });
    t.equal(listener.fd, socket.fd);
    t.ok(listener.isShared);
    policy.answers.push(false, false);
    NetSocket.connectTo(address).close();
    await until(() => streams === 1);
    t.same(
      policy.happened.slice(0, 6),
      ['no', 'rested', 'no', 'rested', 'yes', 'accepted'],
      'it is asked again after each rest',
    );

    // A listener that closes takes what waits, and asks nobody. As the last one it refuses what comes later.
    policy.happened.length = 0;
    policy.answers.push(false);
    using waiting = NetSocket.connectTo(address);
    await until(() => policy.happened.length > 0);
    listener.isShared = false;
    let isClosed = false;
    listener.closeWhenEmpty(1, () => {
      isClosed = true;
    });
    await until(() => isClosed);
    t.equal(policy.happened.filter((each) => each === 'accepted').length, 1);
    t.equal(listener.fd, -1);
    t.throws(() => NetSocket.connectTo(address), { code: 'ECONNREFUSED' });
    waiting.close();
    loop.close();
    await until(() => streams === 2);
  });
}
