/**
 * The client of hello-server: it connects, writes "hello " and "world!", and leaves.
 */

import { NetSocket } from '../simplenet/index.ts';

const port = Number(process.argv[2] ?? 8080);
const socket = NetSocket.connectTo({ address: '127.0.0.1', port }); // socket, connect
console.log(`written bytes: ${socket.write(Buffer.from('hello '))}`);
console.log(`written bytes: ${socket.write(Buffer.from('world!'))}`);
socket.close();
