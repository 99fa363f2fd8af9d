/**
 * Two ways to deadlock over TCP: both sides read first, and both sides write more than the buffers hold.
 *
 * In both cases each side waits for the next step of the other. The first deadlock shows in the first test. The second passes every
 * test with small messages. It comes when a message is larger than the send buffer of one side and the receive buffer of the other
 * together. Blocking calls would hang. So here one process has both ends, each wait has a limit, and the program prints which call would
 * hang.
 */

import { abi, NetSocket, SystemError } from '../simplenet/index.ts';

const BUFFER_BYTES = 32 * 1024;
const MESSAGE_BYTES = 1_000_000;
const PATIENCE_MS = 300;

class Side {
  readonly name: string;
  readonly socket: NetSocket;
  sent = 0;
  received = 0;

  constructor(name: string, socket: NetSocket) {
    this.name = name;
    this.socket = socket;
    socket.setNonBlocking(true);
  }

  /** Sends as much of the message as there is room for. */
  send(): void {
    while (this.sent < MESSAGE_BYTES) {
      const size = this.socket.tryWrite(message, this.sent);
      if (size === -abi.EAGAIN) return;
      if (size < 0) throw new SystemError('send', size);
      this.sent += size;
    }
  }

  /** Receives, sends, or does both, if that is possible within a millisecond. */
  receiveAndSend(): void {
    const { readable, writable } = this.socket.waitEither(1);
    if (readable) this.received += this.socket.read(buffer);
    if (writable) this.send();
  }

  tell(what: string): void {
    console.log(`   ${this.name.padEnd(5)} ${what}`);
  }
}

const message = Buffer.alloc(MESSAGE_BYTES, 'x');
const buffer = Buffer.alloc(BUFFER_BYTES);
const sizes = { sendBufferBytes: BUFFER_BYTES, receiveBufferBytes: BUFFER_BYTES };
const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 0 }, sizes);
const left = new Side('left', NetSocket.connectTo(listener.localAddress, sizes));
const right = new Side('right', listener.accept());
const sides = [left, right];
listener.close();

console.log('1. Both sides read first.');
for (const side of sides) {
  if (!side.socket.wait('readable', PATIENCE_MS)) side.tell(`recv would hang: nothing has come in ${PATIENCE_MS} ms`);
}
console.log('   Each would send when it has received. Agree on who speaks first.');

console.log(`2. Both sides write ${MESSAGE_BYTES} bytes first.`);
for (const side of sides) {
  while (side.sent < MESSAGE_BYTES && side.socket.wait('writable', PATIENCE_MS)) side.send();
  if (side.sent < MESSAGE_BYTES) side.tell(`send would hang: ${side.sent} bytes fill the buffers`);
}
console.log('   Each would read when it has written. Read while you write, or take turns.');

console.log('3. Both sides read whatever has come before they write on.');
const giveUpAt = performance.now() + 10_000;
while (sides.some((side) => side.sent < MESSAGE_BYTES || side.received < MESSAGE_BYTES)) {
  if (performance.now() > giveUpAt) throw new Error('this should not hang');
  for (const side of sides) side.receiveAndSend();
}
for (const side of sides) side.tell(`has sent ${side.sent} bytes and received ${side.received}`);
for (const side of sides) side.socket.close();
