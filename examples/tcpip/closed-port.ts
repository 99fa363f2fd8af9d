/**
 * UDP: a datagram arrives whole or not at all, and nobody says which. Only a closed port is reported.
 *
 * Three datagrams to an open port, of which the wire loses the second. Then one to a port that nobody has: ICMP says so, and
 * the program gets ECONNREFUSED.
 */

import { createExperiment, SERVER, say } from '../support/experiment.ts';

let packets = 0;

const { host, client, server } = await createExperiment({
  drop: () => ++packets === 2,
});

server.bindUdp({ address: SERVER, port: 7 }, { onMessage: (_port, bytes) => say(`the server has got '${bytes}'`) });
const port = client.bindUdp(
  { address: '0.0.0.0', port: 5000 },
  { onMessage: () => {}, onError: (_port, error) => say(`the client: ${error.message}`) },
);
for (const word of ['one', 'two', 'three']) {
  port.send(Buffer.from(word), { address: SERVER, port: 7 });
  await host.run(host.now() + 100);
}
port.send(Buffer.from('anyone?'), { address: SERVER, port: 8 });
await host.run();
