/**
 * Reordering: one segment is overtaken by others, and nothing is sent again.
 *
 * A frame that is late looks like one that is lost, for a while. The sender waits for a quarter of a round trip before it believes the loss
 * (RACK, RFC 8985), and here the segment arrives before that.
 */

import { createExperiment, SERVER, say } from '../support/experiment.ts';

const { host, client, server } = await createExperiment({ seed: 4, reorder: 0.2, reorderMs: 8, jitterMs: 2 });

let received = 0;
server.listen({ address: SERVER, port: 80 }, () => ({
  onData(_stream, bytes) {
    received += bytes.length;
  },
  onEnd: () => say(`the server has read ${received} bytes, and the end`),
}));
const stream = client.connect({ address: SERVER, port: 80 }, { onData: () => {} });
stream.write(Buffer.alloc(8 * 1_448));
stream.end();
await host.run(host.now() + 1_000);
