/**
 * ARP: before the first packet, a host asks who has the address of its neighbour.
 *
 * Both stacks announce themselves at their start. The datagram waits for the answer. The second neighbour does not exist: the stack asks
 * three times, and then the program is told.
 */

import { createExperiment, SERVER, say } from '../support/experiment.ts';

const { host, client, server } = await createExperiment({ isFresh: true });

server.bindUdp({ address: SERVER, port: 7 }, { onMessage: (_port, bytes) => say(`the server has got '${bytes}'`) });
const port = client.bindUdp({ address: '0.0.0.0', port: 5000 }, { onMessage: () => {} });
port.send(Buffer.from('hello'), { address: SERVER, port: 7 });
await host.run();

const silent = { address: '10.9.0.77', port: 80 };
client.connect(silent, { onData: () => {}, onClose: (_stream, error) => say(`the program: ${error?.message}`) });
await host.run();
