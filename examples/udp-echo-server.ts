/**
 * A UDP server in four calls: socket, bind, recvfrom, sendto. It sends each datagram back to its sender.
 *
 * UDP has no connections to accept or close: each datagram carries the address of its sender, and one socket serves all clients. This
 * server binds to the loopback only, because the address of a sender is easily forged. On the open network an attacker could make
 * it send to any address, even to another echo server, and the two would never stop (CERT advisory CA-1996-01).
 */

import { formatSocketAddress, SystemError, UdpSocket } from '../simplenet/index.ts';
import { addressFrom } from './support/address.ts';

const MAX_BYTES = 1024;

const socket = UdpSocket.bindTo(addressFrom(process.argv[2] ?? '8080'));
console.log(`waiting on ${formatSocketAddress(socket.localAddress)}`);

for (;;) {
  const { bytes, truncated, from } = socket.receive(MAX_BYTES);
  console.log(`${bytes.length} bytes from ${formatSocketAddress(from)}${truncated ? ', the rest is lost' : ''}`);
  try {
    socket.sendTo(bytes, from);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    console.log(error.message); // for example the sender has port 0, or a firewall refuses: other clients are still served
  }
}
