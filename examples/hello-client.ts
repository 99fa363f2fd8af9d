/**
 * The client of hello-server: it connects, writes "hello " and "world!", and leaves.
 *
 * A write returns how many bytes the kernel has taken. It does not say that the peer has read them. And two writes are not two messages:
 * this side does not decide where the pieces begin and end that the server reads.
 */

import { NetSocket } from '../simplenet/index.ts';
import { addressFrom } from './support/address.ts';

const address = addressFrom(process.argv[2] ?? '8080');
const socket = NetSocket.connectTo(address); // socket, connect
console.log(`written bytes: ${socket.write(Buffer.from('hello '))}`);
console.log(`written bytes: ${socket.write(Buffer.from('world!'))}`);
socket.close();
