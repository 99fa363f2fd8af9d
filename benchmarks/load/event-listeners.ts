/**
 * EventListeners: clients that ask for a stream of events as a browser does, and count what comes.
 *
 * A program: `event-listeners.js PORT CONNECTIONS BYTES`. It writes a line when all clients have the head of their response, and another one each time
 * when each of them has got so many bytes more.
 *
 * Next: ../events.ts
 */

import { createEventLoop, raiseOpenFileLimit, type Stream, type StreamHandler } from '../../simplenet/index.ts';

/** Connections that are made at a time, so that the queue of the listener does not overflow. */
const MAX_CONNECTING = 256;
const SPARE_FILES = 100;

const [port = 0, connections = 0, eventBytes = 0] = process.argv.slice(2).map(Number);
const request = [
  'GET /events HTTP/1.1',
  `Host: 127.0.0.1:${port}`,
  'Connection: keep-alive',
  'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
  'sec-ch-ua-platform: "Linux"',
  'sec-ch-ua-mobile: ?0',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  'Accept: text/event-stream',
  'Cache-Control: no-cache',
  'Sec-Fetch-Site: same-origin',
  'Sec-Fetch-Mode: cors',
  'Sec-Fetch-Dest: empty',
  `Referer: http://127.0.0.1:${port}/`,
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Accept-Language: en-GB,en;q=0.9',
  'Cookie: session=0123456789abcdef0123456789abcdef',
  '\r\n',
].join('\r\n');

const loop = createEventLoop();
let unopened = connections;
let heads = 0;
let bytes = 0;

class Listener implements StreamHandler {
  #hasHead = false;

  onOpen(stream: Stream): void {
    stream.write(Buffer.from(request));
  }

  onData(_stream: Stream, received: Buffer): void {
    if (this.#hasHead) {
      bytes += received.length;
      if (bytes < connections * eventBytes) return;
      bytes -= connections * eventBytes;
      process.stdout.write('got\n');
      return;
    }
    if (!received.toString('latin1').endsWith('\r\n\r\n')) return;
    this.#hasHead = true;
    if (++heads === connections) process.stdout.write('ready\n');
    openOne();
  }

  onClose(): void {
    throw new Error('the server has closed a stream');
  }
}

function openOne(): void {
  if (unopened === 0) return;
  unopened--;
  loop.connect({ address: '127.0.0.1', port }, new Listener(), { noDelay: true });
}

raiseOpenFileLimit(connections + SPARE_FILES);
for (let i = 0; i < MAX_CONNECTING; i++) openOne();
