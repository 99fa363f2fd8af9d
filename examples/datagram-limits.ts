/**
 * What UDP does not do: no datagram above 65507 bytes, no second try for a small buffer, no report of a loss.
 *
 * A datagram is sent whole or not at all. If it is too large for its length field, it is refused (EMSGSIZE). If it is larger than the
 * buffer that it is received into, its rest is lost. If the receiver is too slow, its queue overflows: sendto(2) has succeeded, and the
 * sender gets no error. A protocol over UDP that must not lose data has to number, acknowledge and repeat, as TCP does.
 */

import { SystemError, UdpSocket } from '../simplenet/index.ts';

/** An IPv4 packet has 65535 bytes, of which 20 are its header and 8 are UDP's. */
const MAX_BYTES = 65_507;
const PATIENCE_MS = 100;

const receiver = UdpSocket.bindTo({ address: '127.0.0.1', port: 0 }, { receiveBufferBytes: 128 * 1024 });
const sender = UdpSocket.connectTo(receiver.localAddress);

for (const size of [MAX_BYTES, MAX_BYTES + 1]) {
  try {
    sender.send(Buffer.alloc(size));
    console.log(`${size} bytes: sent`);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    console.log(`${size} bytes: ${error.code}`);
  }
}
const whole = receiver.receive();
console.log(`received ${whole.bytes.length} bytes, truncated: ${whole.truncated}`);

sender.send(Buffer.from('hello world!'));
sender.send(Buffer.from('and goodbye'));
const ROOM = 5;
for (const _ of ['hello world!', 'and goodbye']) {
  const { bytes, truncated } = receiver.receive(ROOM);
  console.log(`room for ${ROOM}: '${bytes}', truncated: ${truncated}`);
}

const COUNT = 1000;
for (let number = 1; number <= COUNT; number++) sender.send(Buffer.from(`${number}`.padEnd(1000)));
let arrived = 0;
let last = 0;
while (receiver.wait('readable', PATIENCE_MS)) {
  last = Number(receiver.receive().bytes);
  arrived++;
}
console.log(`${COUNT} sent while nobody received, ${arrived} arrived, the last was number ${last}`);
sender.close();
receiver.close();
