/**
 * The DAYTIME server of RFC 867: it sends the time over TCP and UDP, over IPv4 and IPv6, at one port number.
 *
 * The kernel finds the socket of a packet by protocol, address and port. So the TCP port and the UDP port of one number are independent,
 * and so are the ports of two addresses: this server has four sockets on one event loop. Over TCP it sends the time at once and ends
 * the connection. Over UDP each datagram is a question. Ask with daytime-query, `nc` or `socat`.
 */

import {
  createEventLoop,
  formatSocketAddress,
  portOf,
  type Stream,
  type StreamHandler,
  SystemError,
  type UdpHandler,
} from '../simplenet/index.ts';
import { portFrom } from './support/port.ts';
import { listenTcpAndUdp } from './support/tcp-and-udp.ts';

/** A client that does not close its side within this time is disconnected. */
const GRACE_MS = 10_000;

/** The one popular syntax that the RFC names: `Tuesday, February 22, 1982 17:37:43-PST`. */
function daytime(): Buffer {
  const now = new Date();
  const day = now.toLocaleDateString('en-US', { dateStyle: 'full', timeZone: 'UTC' });
  return Buffer.from(`${day} ${now.toISOString().slice(11, 19)}-UTC\r\n`);
}

function onTcp(stream: Stream): StreamHandler {
  stream.write(daytime());
  stream.end();
  stream.setDeadline(GRACE_MS);
  return { onData: () => {}, onTimeout: () => stream.close() }; // RFC 867: input is dropped
}

const onUdp: UdpHandler = {
  onMessage(port, _question, from) {
    // With the forged address of another such service, the two would answer each other without end. Clients have higher ports.
    const sender = portOf(from);
    if (sender >= 1024 && sender !== portOf(port.address)) port.send(daytime(), from);
  },
};

const loop = createEventLoop();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => loop.close());

/** Returns the port. For 0 the kernel chooses one. */
function serve(address: string, wanted: number): number {
  const [listener] = listenTcpAndUdp(loop, { address, port: wanted }, onTcp, onUdp);
  console.log(`waiting on ${formatSocketAddress(listener.address)}, TCP and UDP`);
  return portOf(listener.address);
}

const port = serve('127.0.0.1', portFrom(process.argv[2] ?? '8013')); // RFC 867 says 13, which needs root
try {
  serve('::1', port);
} catch (error) {
  const isWithoutIPv6 = error instanceof SystemError && /EADDRNOTAVAIL|EAFNOSUPPORT/.test(error.code);
  if (!isWithoutIPv6) throw error;
  console.log(`without IPv6: ${error.message}`);
}
