/**
 * The client of hello-server: it connects, writes "hello " and "world!", and leaves.
 *
 * What a write answers is how many bytes the kernel took, and not that anybody has read them. And two writes are no two messages:
 * where the pieces begin and end that the server reads, this side has no say.
 */

import { NetSocket } from '../simplenet/index.ts';

const port = Number(process.argv[2] ?? 8080);
const socket = NetSocket.connectTo({ address: '127.0.0.1', port }); // socket, connect
console.log(`written bytes: ${socket.write(Buffer.from('hello '))}`);
console.log(`written bytes: ${socket.write(Buffer.from('world!'))}`);
socket.close();
