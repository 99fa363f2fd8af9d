/**
 * Short writes and short reads: what send and recv return when the buffers of the kernel fill up.
 *
 * A connection has two buffers, the sender's SO_SNDBUF and the receiver's SO_RCVBUF. send(2) only copies into the first, and
 * TCP moves bytes from there to the second while that has room. On a non-blocking socket, send returns how many bytes it has copied,
 * which may be fewer than it was given, or EAGAIN if there was no room at all. The program must send the rest again. recv(2) likewise
 * returns the bytes that have arrived, and never shows where a send ended.
 */

import { randomBytes } from 'node:crypto';
import { abi, NetSocket, SystemError } from '../simplenet/index.ts';

const BUFFER_BYTES = 32 * 1024;
const MESSAGE_BYTES = 1_000_000;
const PATIENCE_MS = 5000;

// The sizes must be set before listen(2) and connect(2), because TCP derives the receive window from them.
const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 0 }, { receiveBufferBytes: BUFFER_BYTES });
const sender = NetSocket.connectTo(listener.localAddress, { sendBufferBytes: BUFFER_BYTES });
const receiver = listener.accept();
listener.close();
sender.setNonBlocking(true);

const { SOL_SOCKET, SO_SNDBUF, SO_RCVBUF, EAGAIN } = abi;
const sendBuffer = sender.getOption(SOL_SOCKET, SO_SNDBUF);
const receiveBuffer = receiver.getOption(SOL_SOCKET, SO_RCVBUF);
// socket(7): the kernel doubles what it is asked for, and needs much of that for its own books.
console.log(`asked for ${BUFFER_BYTES}: SO_SNDBUF is ${sendBuffer}, SO_RCVBUF is ${receiveBuffer}`);

const message = randomBytes(MESSAGE_BYTES);
const arrived = Buffer.alloc(MESSAGE_BYTES);
let sent = 0;
let received = 0;
let shortWrites = 0;
let refusals = 0;

/** Tries to send all that is left. Returns false if there was no room for a single byte. */
function sendSome(): boolean {
  const size = sender.tryWrite(message, sent);
  if (size < 0 && size !== -EAGAIN) throw new SystemError('send', size);
  if (size < 0) refusals++;
  else if (size < MESSAGE_BYTES - sent) shortWrites++;
  if (received === 0) console.log(`send of ${MESSAGE_BYTES - sent} bytes: ${size < 0 ? 'EAGAIN' : size}`);
  if (size > 0) sent += size;
  return size > 0;
}

let hasRoom = true;
while (hasRoom) hasRoom = sendSome();
console.log(`nobody has read yet: ${sent} bytes are on their way, ${MESSAGE_BYTES - sent} are still ours`);

let reads = 0;
for (; received < MESSAGE_BYTES; reads++) {
  if (!receiver.wait('readable', PATIENCE_MS)) throw new Error('nothing moves any more');
  received += receiver.read(arrived, received);
  if (sent < MESSAGE_BYTES) sendSome();
}
console.log(`${received} bytes in ${reads} reads, after ${shortWrites} short writes and ${refusals} EAGAIN`);
console.log(arrived.equals(message) ? 'each byte arrived once, and in its place' : 'bytes are missing or out of place');
sender.close();
receiver.close();
