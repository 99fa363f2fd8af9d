/** ConnectionTable: connections by their ports and the peer's address. */

import t from 'tap';
import { ConnectionTable, type Peer } from '../../../../simplenet/tcpip/tcp/connection-table.ts';

t.test('connections that differ in one number are different', async (t) => {
  const table = new ConnectionTable<Peer>();
  const peers: Peer[] = [];
  for (const localPort of [80, 65_535]) {
    for (const remoteAddress of [1, 0xffffffff]) {
      for (const remotePort of [1, 65_535]) peers.push({ localPort, remoteAddress, remotePort });
    }
  }
  for (const peer of peers) table.set(peer);
  for (const peer of peers) t.equal(table.get(peer.localPort, peer.remoteAddress, peer.remotePort), peer);
  t.same([...table], peers);
  t.equal(table.get(81, 1, 1), undefined);
  for (const peer of peers) table.delete(peer);
  t.same([...table], []);
});

t.test('one that was replaced does not take its successor with it', async (t) => {
  const table = new ConnectionTable<Peer>();
  const old = { localPort: 1, remoteAddress: 2, remotePort: 3 };
  const next = { ...old };
  table.set(old);
  table.set(next);
  table.delete(old);
  t.equal(table.get(1, 2, 3), next);
  table.delete(next);
  table.delete(next);
  t.equal(table.get(1, 2, 3), undefined);
});
