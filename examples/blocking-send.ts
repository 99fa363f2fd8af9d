/**
 * When send waits: not at all while the buffers have room, and then until the other side reads.
 *
 * A blocking send(2) returns when the kernel has taken all the bytes. It takes at once what fits into our SO_SNDBUF and the peer's
 * SO_RCVBUF, although the peer has not read a byte. So the return of send does not say what the peer has received.
 * With one byte more than fits, send waits until the peer reads. Here the first process starts the second one, which is the peer: it
 * sleeps for a second before it reads.
 */

import { spawn } from 'node:child_process';
import { NetSocket, portOf } from '../simplenet/index.ts';

const BUFFER_BYTES = 128 * 1024;
const SENDS = [1000, 100_000, 5_000_000];
const REST_MS = 1000;
const PATIENCE_MS = 10_000;

function send(): void {
  const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 0 }, { sendBufferBytes: BUFFER_BYTES });
  const port = portOf(listener.localAddress);
  spawn(process.execPath, [import.meta.filename, 'reader', String(port)], { stdio: 'inherit' });
  if (!listener.wait('readable', PATIENCE_MS)) throw new Error('the reader did not come');
  const socket = listener.accept();
  listener.close();
  for (const size of SENDS) {
    const startedAt = performance.now();
    const sent = socket.write(Buffer.alloc(size));
    console.log(
      `sender: send of ${size} bytes took ${sent} of them in ${Math.round(performance.now() - startedAt)} ms`,
    );
  }
  socket.close();
}

function read(port: number): void {
  const socket = NetSocket.connectTo({ address: '127.0.0.1', port }, { receiveBufferBytes: BUFFER_BYTES });
  socket.wait('readable', PATIENCE_MS);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REST_MS); // sleeps, as blocking programs do
  console.log(`reader: begins to read, ${REST_MS} ms after the first bytes came`);
  const buffer = Buffer.alloc(64 * 1024);
  let total = 0;
  for (let size = socket.read(buffer); size > 0; size = socket.read(buffer)) total += size;
  console.log(`reader: ${total} bytes, then the end`);
  socket.close();
}

const [role, port] = process.argv.slice(2);
if (role === 'reader') read(Number(port));
else send();
