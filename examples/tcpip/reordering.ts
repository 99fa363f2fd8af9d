/**
 * Reordering: one segment is overtaken by others, and nothing is sent again.
 *
 * A frame that is late looks like one that is lost, for a while. The sender waits for a quarter of a round trip before it believes the loss
 * (RACK, RFC 8985), and here the segment arrives before that. Three segments behind it would be taken for a sign of loss at once.
 */

import { createExperiment, SERVER, say } from '../support/experiment.ts';

const { host, client, server } = await createExperiment({ seed: 26, reorder: 0.05, reorderMs: 8 });

let received = 0;
server.listen({ address: SERVER, port: 80 }, () => ({
  onData(_stream, bytes) {
    received += bytes.length;
  },
  onClose: () => say(`the server has read ${received} bytes, and both sides have ended`),
}));
const stream = client.connect({ address: SERVER, port: 80 }, { onData: () => {} });
stream.write(Buffer.alloc(7 * 1_448));
stream.end();
await host.run(host.now() + 1_000);
