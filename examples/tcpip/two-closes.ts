/**
 * Closing: one side after the other, then both at once, then without a word.
 *
 * The side that closes first waits in TIME_WAIT. If both close at once both do, by way of CLOSING. A reset ends a connection in one segment, and
 * bytes may be lost.
 */

import type { Stack } from '../../simplenet/index.ts';
import { createExperiment, SERVER, say } from '../support/experiment.ts';

const { host, client, server } = await createExperiment();

function states(stack: Stack): string {
  return (
    stack
      .connections()
      .map(({ state }) => state)
      .join() || 'none, or TIME_WAIT'
  );
}

function showStates(): void {
  say(`client: ${states(client)}, server: ${states(server)}`);
}

/** Connects, and returns the two streams of the connection. */
async function connect(port: number) {
  const listener = server.listen({ address: SERVER, port }, (stream) => {
    accepted = stream;
    return { onData: () => {}, onEnd: () => {} };
  });
  let accepted = client.connect({ address: SERVER, port }, { onData: () => {}, onEnd: () => {} });
  const connected = accepted;
  await host.run(host.now() + 100);
  listener.close();
  return { connected, accepted };
}

console.log('One after the other');
const first = await connect(81);
first.connected.end();
await host.run(host.now() + 50);
showStates();
first.accepted.end();
await host.run(host.now() + 100);

console.log('Both at once');
const second = await connect(82);
second.connected.end();
second.accepted.end();
await host.run(host.now() + 10);
showStates();
await host.run(host.now() + 15);
showStates();
await host.run(host.now() + 100);

console.log('Without a word');
const third = await connect(83);
third.connected.abort();
await host.run(host.now() + 100);
