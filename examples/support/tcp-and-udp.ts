/**
 * TCP and UDP at one address and port, as DNS and the old small services have it.
 *
 * The two do not get in each other's way: the kernel tells sockets apart by protocol first. Nor does the one have a port because the
 * other has it. For port 0 the kernel chooses one that is free for TCP; where somebody has it for UDP, another is tried.
 */

import type { EventLoop, Listener, OnConnection, SocketAddress, UdpHandler, UdpPort } from '../../simplenet/index.ts';
import { portOf } from '../../simplenet/index.ts';

const ATTEMPTS = 10;

export function listenTcpAndUdp(
  loop: EventLoop,
  address: SocketAddress,
  onConnection: OnConnection,
  handler: UdpHandler,
): [Listener, UdpPort] {
  for (let attempt = 1; ; attempt++) {
    const listener = loop.listen(address, onConnection);
    try {
      return [listener, loop.bindUdp(listener.address, handler)];
    } catch (error) {
      listener.close();
      if (portOf(address) !== 0 || attempt === ATTEMPTS) throw error;
    }
  }
}
