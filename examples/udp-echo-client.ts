/**
 * The client of udp-echo-server: it sends each word as a datagram and waits for its echo, for a limited time.
 *
 * `npm run example -- udp-echo-client 8080 hello world!`. A datagram may be lost, and so may its echo, so each wait over UDP needs a
 * limit. connect(2) sends nothing here. It sets the peer, and lets the kernel report ECONNREFUSED if the machine of the peer replies that
 * no socket has that port.
 */

import { UdpSocket } from '../simplenet/index.ts';
import { addressFrom } from './support/address.ts';

const PATIENCE_MS = 1000;

const [address = '8080', ...words] = process.argv.slice(2);
const socket = UdpSocket.connectTo(addressFrom(address));
for (const word of words.length > 0 ? words : ['hello', 'world!']) {
  socket.send(Buffer.from(word));
  if (socket.wait('readable', PATIENCE_MS)) {
    console.log(`echo: ${socket.receive().bytes}`);
  } else {
    console.log(`no echo of '${word}' within ${PATIENCE_MS} ms`);
    process.exitCode = 1;
  }
}
socket.close();
