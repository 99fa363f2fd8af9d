/**
 * A world in which every connection begins with a header of the PROXY protocol: whatever listens accepts one. Whatever holds of an
 * event loop holds behind it, too, so the contract runs here as well.
 */

import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { acceptProxied } from '../../simplenet/layers/proxy-protocol.ts';
import type { AdoptListenerOptions, Listener, ListenerOptions, OnConnection } from '../../simplenet/loop/event-loop.ts';
import type { NetSocket } from '../../simplenet/sockets/net-socket.ts';
import { LoopOver } from './loop-over.ts';
import type { World } from './world.ts';
import { WorldOver } from './world-over.ts';

/** The header of a proxy that speaks for itself, so the addresses are those of the connection. */
const local = Buffer.from('\r\n\r\n\0\r\nQUIT\n\x20\0\0\0', 'latin1');

/** The header is delivered at once, so that clients need not send one: they are tested as well, and count what is queued. */
function proxied(onConnection: OnConnection): OnConnection {
  const accept = acceptProxied(onConnection, { from: 'loopback' });
  return (inner) => {
    const handler = accept(inner);
    handler.onData(inner, local);
    return handler;
  };
}

export class ProxiedLoop extends LoopOver {
  override listen(address: SocketAddress, onConnection: OnConnection, options?: ListenerOptions): Listener {
    return super.listen(address, proxied(onConnection), options);
  }

  override adoptListener(socket: NetSocket, onConnection: OnConnection, options?: AdoptListenerOptions): Listener {
    return super.adoptListener(socket, proxied(onConnection), options);
  }
}

export class ProxiedWorld extends WorldOver<ProxiedLoop> {
  constructor(inner: World) {
    super(inner, new ProxiedLoop(inner.loop));
  }
}
