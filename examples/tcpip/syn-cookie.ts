/**
 * SYN cookies: the backlog is full of clients that never answer, and one that does is served all the same.
 *
 * The backlog has one place. The wire loses the ACK of the first client, as if its SYN came from a forged address. The server keeps nothing of the
 * second SYN: what it must remember is in the sequence number of its answer, and comes back in the ACK.
 */

import { createExperiment, SERVER, say } from '../support/experiment.ts';

const ACK = 0x10;
const FLAGS_AT = 47;
let isFlooding = true;

const { host, client, server, stopPrinting } = await createExperiment({
  drop: (frame, _index, from) => isFlooding && from === 0 && frame[FLAGS_AT] === ACK,
});

server.listen(
  { address: SERVER, port: 80 },
  () => {
    say('the server has a connection');
    return { onData: (_stream, bytes) => say(`the server reads '${bytes}'`) };
  },
  { backlog: 1 },
);
client.connect({ address: SERVER, port: 80 }, { onData: () => {} });
await host.run(host.now() + 100);

isFlooding = false;
client.connect(
  { address: SERVER, port: 80 },
  { onOpen: (stream) => void stream.write(Buffer.from('hello')), onData: () => {} },
);
await host.run(host.now() + 200);
const { cookiesSent, cookiesAccepted } = server.statistics;
stopPrinting();
say(`cookies sent: ${cookiesSent}, accepted: ${cookiesAccepted}`);
