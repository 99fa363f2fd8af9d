/** Both ends of a connection, as plain sockets that wait. */

import type { Test } from 'tap';
import { NetSocket } from '../../simplenet/sockets/net-socket.ts';

export function connectedPair(t: Test): { ours: NetSocket; theirs: NetSocket } {
  const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  const theirs = NetSocket.connectTo(listener.localAddress);
  const ours = listener.accept();
  listener.close();
  t.teardown(() => {
    theirs.close();
    ours.close();
  });
  return { ours, theirs };
}
