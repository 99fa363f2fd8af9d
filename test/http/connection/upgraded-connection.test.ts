/** What a server asks of a connection whose stream a WebSocket has. The whole of it, over sockets: ../websocket/web-socket.test.ts. */

import { test } from 'tap';
import type { OpenConnection } from '../../../http/connection/connection-context.ts';
import { UpgradedConnection } from '../../../http/connection/upgraded-connection.ts';
import { defaultLimits } from '../../../http/limits.ts';
import type { OwnProtocol } from '../../../http/own-protocol.ts';
import { MemoryCommons, MemoryStream } from '../../support/memory-server.ts';

class Home extends MemoryCommons {
  readonly forgotten: OpenConnection[] = [];

  override forget(connection: OpenConnection): void {
    this.forgotten.push(connection);
  }
}

function upgraded(queuedBytes = 0) {
  const home = new Home(() => {}, defaultLimits);
  const stream = new MemoryStream(false);
  stream.queuedBytes = queuedBytes;
  return { home, stream, connection: new UpgradedConnection(home, stream) };
}

test('it is never idle, so it is not closed to make room for another one', async (t) => {
  const { stream, connection } = upgraded();
  t.equal(connection.idleSince, Number.POSITIVE_INFINITY);
  t.equal(connection.closeIfSilent(), false);
  t.same([connection.press(), connection.refuseIfSlow()], [0, false]);
  connection.endHandshake();
  connection.flush();
  t.notOk(stream.isClosed);
});

test('when the server stops, the protocol is told, and the request whose signals are used', async (t) => {
  const { stream, connection } = upgraded();
  const told: string[] = [];
  connection.stop();
  const protocol: OwnProtocol = {
    isOwnProtocol: true,
    handedOver() {},
    serverStops: () => told.push('protocol'),
    onData() {},
  };
  stream.handler = protocol;
  connection.exchange = { serverStops: () => told.push('request') };
  connection.stop();
  t.same(told, ['request', 'protocol']);
});

test('it is ended with RST only if something is queued', async (t) => {
  const [empty, full] = [upgraded(), upgraded(1)];
  empty.connection.endNow();
  full.connection.endNow();
  t.same([empty.stream.isClosed, empty.stream.wasAborted], [true, false]);
  t.ok(full.stream.wasAborted);
});

test('the protocol reports its errors, and its end', async (t) => {
  const { home, connection } = upgraded();
  const error = new Error('from the program');
  connection.report(error);
  connection.closed();
  t.same([home.reported, home.forgotten], [[error], [connection]]);
});
