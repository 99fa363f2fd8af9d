/**
 * The client of udp-echo-server: it sends each word as a datagram and waits for its echo, for a limited time.
 *
 * `npm run example -- udp-echo-client 8080 hello world!`. A datagram may be lost, and so may its echo, so each wait over UDP needs a
 * limit. connect(2) sends nothing here. It sets the peer, and lets the kernel report ECONNREFUSED if the machine of the peer replies that
 * no socket has that port.
 */

import { UdpSocket } from '../simplenet/index.ts';
import { portFrom } from './support/port.ts';

const PATIENCE_MS = 1000;

const [port = '8080', ...words] = process.argv.slice(2);
const socket = UdpSocket.connectTo({ address: '127.0.0.1', port: portFrom(port) });
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
