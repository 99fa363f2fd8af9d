/** Two machines over the network of exchange.ts. */

import t from 'tap';
import { SYN } from '../../../../simplenet/tcpip/tcp/segment.ts';
import { Exchange, writeRandomly } from './exchange.ts';
import { runSeeds } from './exchange-seeds.ts';

t.test('two connections shake hands, exchange bytes and close, without any loss', async (t) => {
  const exchange = new Exchange({ seed: 1 });
  const { client, server } = exchange;
  const fromClient = writeRandomly(client, 300_000, exchange.random);
  const fromServer = writeRandomly(server, 100_000, exchange.random);
  client.isClosing = true;
  server.isClosing = true;
  exchange.run();
  t.equal(server.hash.digest('hex'), fromClient);
  t.equal(client.hash.digest('hex'), fromServer);
  for (const { connection } of [client, server]) {
    t.same([connection.isClosed, connection.error, connection.deadlineAt], [true, 0, Number.POSITIVE_INFINITY]);
  }
});

t.test('every byte is right over a network that loses, duplicates and reorders', async (t) => {
  runSeeds(t, 0, 60);
});

t.test('a network that loses everything from some moment on ends both sides with an error', async (t) => {
  let left = 30;
  const exchange = new Exchange({ seed: 2, drop: () => left-- <= 0, limits: { unansweredMs: 100_000 } });
  const { client, server } = exchange;
  writeRandomly(client, 300_000, exchange.random);
  writeRandomly(server, 300_000, exchange.random);
  exchange.run();
  for (const { connection } of [client, server]) {
    t.ok(connection.isClosed && connection.error !== 0, exchange.describe());
    t.equal(connection.deadlineAt, Number.POSITIVE_INFINITY);
  }
});

t.test('both open and close at the same moment', async (t) => {
  let syns = 0;
  const exchange = new Exchange({
    seed: 3,
    isSimultaneous: true,
    drop: (segment) => {
      if ((segment.flags & SYN) !== 0) syns++;
      return false;
    },
  });
  const { client, server } = exchange;
  client.isClosing = true;
  server.isClosing = true;
  exchange.run();
  t.equal(syns, 4, 'SYN and SYN, ACK of each');
  t.same([client.connection.error, server.connection.error], [0, 0]);
});
