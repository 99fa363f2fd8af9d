/**
 * The handshake, with its first SYN lost: the client waits a second and asks again.
 *
 * There is no other sign of the loss, because nobody knows of the connection yet. The wait doubles with each attempt (RFC 6298).
 */

import { createExperiment, SERVER, say } from '../support/experiment.ts';

const SYN = 0x02;
const FLAGS_AT = 47;
let syns = 0;

const { host, client, server } = await createExperiment({
  drop: (frame, _index, from) => from === 0 && frame[FLAGS_AT] === SYN && ++syns === 1,
});

server.listen({ address: SERVER, port: 80 }, () => ({
  onData: (_stream, bytes) => say(`the server reads '${bytes}'`),
}));
client.connect(
  { address: SERVER, port: 80 },
  {
    onOpen(stream) {
      say('the client is connected, and writes');
      stream.write(Buffer.from('hello'));
      stream.end();
    },
    onData: () => {},
  },
);
await host.run();
