/**
 * SocketClients: WebSocket clients that send messages of 64 bytes, and count what comes.
 *
 * A program: `socket-clients.js PORT echo|all CONNECTIONS`. It writes a line when all connections are open. From a line of standard input to the next one they work, and then it
 * writes how many messages they have got. `echo`: each connection sends the next message when the last one has come back. `all`: one connection sends it, when all
 * connections have got the last one.
 *
 * Next: ../websocket.ts
 */

import { createInterface } from 'node:readline';
import { createEventLoop, raiseOpenFileLimit, type Stream, type StreamHandler } from '../../simplenet/index.ts';

const MESSAGE_BYTES = 64;
/** With the header of a server. */
const FRAME_BYTES = 2 + MESSAGE_BYTES;
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);
/** Connections that are made at a time, so that the queue of the listener does not overflow. */
const MAX_CONNECTING = 256;
const SPARE_FILES = 100;

const [portText, mode, connectionsText] = process.argv.slice(2);
const port = Number(portText);
const connections = Number(connectionsText);

const request = Buffer.from(
  [
    `GET /${mode} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    '\r\n',
  ].join('\r\n'),
);
const payload = Buffer.alloc(MESSAGE_BYTES, 'x').map((byte, i) => byte ^ (MASK[i % 4] as number));
const frame = Buffer.concat([Buffer.from([0x81, 0x80 | MESSAGE_BYTES]), MASK, payload]);

const loop = createEventLoop();
const streams: Stream[] = [];
let unopened = connections;
let isAtWork = false;
/** Bytes of all connections. */
let bytes = 0;
/** What has come of the message to all. */
let roundBytes = 0;
/** Connections whose message is under way. */
let busy = 0;

function send(stream: Stream): void {
  busy++;
  stream.write(frame);
}

function rest(): void {
  if (--busy > 0 || isAtWork) return;
  process.stdout.write(`${bytes / FRAME_BYTES}\n`);
  bytes = 0;
}

class Client implements StreamHandler {
  #hasHead = false;
  #bytes = 0;

  onOpen(stream: Stream): void {
    stream.write(request);
  }

  onData(stream: Stream, received: Buffer): void {
    if (!this.#hasHead) {
      if (!received.toString('latin1').endsWith('\r\n\r\n')) return;
      this.#hasHead = true;
      streams.push(stream);
      if (streams.length === connections) process.stdout.write('ready\n');
      openOne();
      return;
    }
    bytes += received.length;
    if (mode === 'echo') this.#takeEcho(stream, received.length);
    else takeFromAll(received.length);
  }

  onClose(): void {
    throw new Error('the server has closed a connection');
  }

  #takeEcho(stream: Stream, length: number): void {
    this.#bytes += length;
    if (this.#bytes < FRAME_BYTES) return;
    this.#bytes -= FRAME_BYTES;
    if (isAtWork) stream.write(frame);
    else rest();
  }
}

function takeFromAll(length: number): void {
  roundBytes += length;
  if (roundBytes < connections * FRAME_BYTES) return;
  roundBytes = 0;
  if (isAtWork) (streams[0] as Stream).write(frame);
  else rest();
}

function openOne(): void {
  if (unopened === 0) return;
  unopened--;
  loop.connect({ address: '127.0.0.1', port }, new Client(), { noDelay: true });
}

createInterface(process.stdin).on('line', () => {
  isAtWork = !isAtWork;
  if (!isAtWork) return;
  for (const stream of mode === 'echo' ? streams : streams.slice(0, 1)) send(stream);
});
raiseOpenFileLimit(connections + SPARE_FILES);
for (let i = 0; i < MAX_CONNECTING; i++) openOne();
