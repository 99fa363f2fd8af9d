/**
 * IP: a datagram that is larger than a frame travels in fragments, and one fragment that is lost loses all of it.
 *
 * Both datagrams have 4,000 bytes. Of the second, the fragment in the middle is lost. After 30 s the receiver gives up, and says so by ICMP.
 */

import { createExperiment, SERVER, say } from '../support/experiment.ts';

let packets = 0;

const { host, client, server } = await createExperiment({
  drop: (_frame, _index, from) => from === 0 && ++packets === 5,
});

server.bindUdp(
  { address: SERVER, port: 7 },
  { onMessage: (_port, bytes) => say(`the server has got ${bytes.length} bytes`) },
);
const port = client.bindUdp({ address: '0.0.0.0', port: 5000 }, { onMessage: () => {} });
for (let i = 0; i < 2; i++) {
  port.send(Buffer.alloc(4_000), { address: SERVER, port: 7 });
  await host.run(host.now() + 1_000);
}
await host.run();
