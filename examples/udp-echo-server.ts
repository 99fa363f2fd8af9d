/**
 * A UDP server in four calls: socket, bind, recvfrom, sendto. It sends each datagram back to where it came from.
 *
 * There is nothing to accept and nothing to close: each datagram brings its sender's address along, and one socket serves all
 * clients. On the loopback only, for a sender's address is easily forged: on the open network an echo server can be made
 * to send to anybody, even to another echo server, and those two would never stop (CERT advisory CA-1996-01).
 */

import { formatSocketAddress, SystemError, UdpSocket } from '../simplenet/index.ts';

const MAX_BYTES = 1024;

const socket = UdpSocket.bindTo({ address: '127.0.0.1', port: Number(process.argv[2] ?? 8080) });
console.log(`waiting on ${formatSocketAddress(socket.localAddress)}`);

for (;;) {
  const { bytes, truncated, from } = socket.receive(MAX_BYTES);
  console.log(`${bytes.length} bytes from ${formatSocketAddress(from)}${truncated ? ', the rest is lost' : ''}`);
  try {
    socket.sendTo(bytes, from);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    console.log(error.message); // port 0 as the sender, a firewall's no: no reason to leave the others alone
  }
}
