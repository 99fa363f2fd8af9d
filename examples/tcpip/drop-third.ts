/**
 * Loss: the third segment is dropped, and the receiver says by SACK what has come behind it.
 *
 * Ten segments leave at once, the initial window. Each segment behind the hole is acknowledged at once, with the bytes up to the hole and the blocks
 * that lie beyond it. So the sender sends one segment again, after a round trip, and not eight after a timeout.
 */

import { createExperiment, SERVER, say } from '../support/experiment.ts';

const FULL_FRAME = 1_514;
let segments = 0;

const { host, client, server } = await createExperiment({
  drop: (frame, _index, from) => from === 0 && frame.length === FULL_FRAME && ++segments === 3,
});

let received = 0;
server.listen({ address: SERVER, port: 80 }, () => ({
  onData(_stream, bytes) {
    received += bytes.length;
  },
  onClose: () => say(`the server has read ${received} bytes, and both sides have ended`),
}));
const stream = client.connect({ address: SERVER, port: 80 }, { onData: () => {} });
stream.write(Buffer.alloc(10 * 1_448));
stream.end();
await host.run(host.now() + 1_000);
