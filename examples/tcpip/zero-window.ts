/**
 * Flow control: the server stops reading, its window closes, and the client asks at longer and longer intervals whether it has opened.
 *
 * The server has room for 4,000 bytes and pauses for two seconds. The ACK that opens the window could be lost, and then both
 * sides would wait without end. So the client asks now and then, with an empty segment whose number is old, which the server must answer (a
 * zero-window probe, RFC 9293 section 3.8.6.1).
 */

import { createExperiment, SERVER, say } from '../support/experiment.ts';

const { host, client, server } = await createExperiment({
  server: { receiveBufferBytes: 4_000, maxReceiveBufferBytes: 4_000 },
});

let received = 0;
server.listen({ address: SERVER, port: 80 }, (accepted) => {
  accepted.pause();
  server.after(2_000, () => {
    say('the server reads again');
    accepted.resume();
  });
  return {
    onData(_stream, bytes) {
      received += bytes.length;
    },
    onClose: () => say(`the server has read ${received} bytes, and both sides have ended`),
  };
});
const stream = client.connect({ address: SERVER, port: 80 }, { onData: () => {} });
stream.write(Buffer.alloc(6_000));
stream.end();
await host.run(host.now() + 4_000);
