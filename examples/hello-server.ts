/**
 * A TCP server in the eight classic calls: it takes one client and prints what that sends, four bytes at a time.
 *
 * TCP carries a stream of bytes and does not have messages. The client writes "hello " and "world!". This server gets pieces that end
 * where a buffer ends. Each read below is one system call, and waits without a limit.
 */

import { formatSocketAddress, NetSocket } from '../simplenet/index.ts';
import { addressFrom } from './support/address.ts';

const address = addressFrom(process.argv[2] ?? '8080');
const listener = NetSocket.listenOn(address); // socket, bind, listen
console.log(`waiting on ${formatSocketAddress(listener.localAddress)}`);

const client = listener.accept();
const buffer = Buffer.alloc(4);
let total = 0;
for (let size = client.read(buffer); size > 0; size = client.read(buffer)) {
  console.log(buffer.toString('utf8', 0, size));
  total += size;
}
console.log(`Total size: ${total}`);
client.close();
listener.close();
