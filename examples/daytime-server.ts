/**
 * The DAYTIME server of RFC 867: it tells the time to whoever asks, over TCP and UDP, over IPv4 and IPv6, at one port.
 *
 * A TCP port and a UDP port of one number have nothing to do with each other, nor have those of two addresses: a packet
 * finds its socket by protocol, address and port. So these are four sockets, and the event loop looks after all of them. Over
 * TCP the time comes unasked and then the end; over UDP any datagram is a question. Ask with daytime-query, `nc` or `socat`.
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
import { listenTcpAndUdp } from './support/tcp-and-udp.ts';

/** A client that never closes is let go. */
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
  return { onData: () => {}, onTimeout: () => stream.close() }; // RFC 867: what the client sends is thrown away
}

const onUdp: UdpHandler = {
  onMessage(port, _question, from) {
    // Two services that answer each other never stop, and a sender's address is easily forged. Clients have higher ports.
    const sender = portOf(from);
    if (sender >= 1024 && sender !== portOf(port.address)) port.send(daytime(), from);
  },
};

const loop = createEventLoop();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => loop.close());

/** Answers the port, which the kernel chose if it was 0. */
function serve(address: string, wanted: number): number {
  const [listener] = listenTcpAndUdp(loop, { address, port: wanted }, onTcp, onUdp);
  console.log(`waiting on ${formatSocketAddress(listener.address)}, TCP and UDP`);
  return portOf(listener.address);
}

const port = serve('127.0.0.1', Number(process.argv[2] ?? 8013)); // RFC 867 says 13, which needs root
try {
  serve('::1', port);
} catch (error) {
  const isWithoutIPv6 = error instanceof SystemError && /EADDRNOTAVAIL|EAFNOSUPPORT/.test(error.code);
  if (!isWithoutIPv6) throw error;
  console.log(`without IPv6: ${error.message}`);
}
