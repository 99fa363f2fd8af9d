/** Two machines over the network of exchange.ts. */

import t from 'tap';
import { Exchange, writeRandomly } from './exchange.ts';
import { FixedWindow } from './fixed-window.ts';

t.test('two connections shake hands, exchange bytes and close, without any loss', async (t) => {
  const exchange = new Exchange({ seed: 1, congestion: (bytes) => new FixedWindow(bytes, 100_000) });
  const { client, server } = exchange;
  const fromClient = writeRandomly(client, 300_000, exchange.random);
  const fromServer = writeRandomly(server, 100_000, exchange.random);
  client.isClosing = true;
  server.isClosing = true;
  exchange.run();
  t.equal(server.hash.digest('hex'), fromClient);
  t.equal(client.hash.digest('hex'), fromServer);
  t.ok(client.connection.isClosed, exchange.describe());
  t.ok(server.connection.isClosed, exchange.describe());
  t.equal(client.connection.error, 0);
  t.equal(server.connection.error, 0);
  t.comment(exchange.describe(), client.segmentsSent, server.segmentsSent);
});
