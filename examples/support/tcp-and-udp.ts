/**
 * TCP and UDP at one address and port, as DNS and the old small services use them.
 *
 * The kernel distinguishes sockets by protocol first, so the two ports are independent. For port 0 the kernel chooses a port that is free
 * for TCP. If another socket has that port for UDP, another port is tried.
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
