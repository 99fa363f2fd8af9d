/**
 * The smallest web server: accept, read, parse, write, close, in a loop of calls that wait.
 *
 * `npm run example -- blocking-http 8080`, then `curl http://127.0.0.1:8080/`. It supports very little of HTTP. It serves one client at
 * a time: all others wait meanwhile, and a client that sends nothing stops it without end. It reads one request of each connection. It
 * reads no body: close(2) with unread bytes sends a reset, which may destroy the response. `../http/` and
 * `../simplenet/create-event-loop.ts` exist to do better.
 *
 * Ctrl-C works although no JavaScript runs while a call waits. Without a listener for SIGINT a native handler of Node restores the
 * terminal and raises the signal again. The signal kills the process, a shell sees status 130, and the kernel closes every socket.
 * `process.on('SIGINT')` would prevent that: a listener runs only when the call has returned.
 */

import { formatSocketAddress, NetSocket, SystemError } from '../simplenet/index.ts';
import { addressFrom } from './support/address.ts';

const MAX_HEAD_BYTES = 8192;

/** Reads a head up to its empty line. Returns its first line, or '' if the client disconnects or sends too much before. */
function readRequestLine(client: NetSocket): string {
  const buffer = Buffer.alloc(MAX_HEAD_BYTES);
  for (let length = 0; length < buffer.length; ) {
    const size = client.read(buffer, length);
    if (size === 0) return '';
    length += size;
    const head = buffer.toString('latin1', 0, length);
    if (head.includes('\r\n\r\n')) return head.slice(0, head.indexOf('\r\n'));
  }
  return '';
}

function responseTo(requestLine: string): string {
  const [, method, path] = /^([A-Z]+) (\/[^ ]*) HTTP\/1\.[01]$/.exec(requestLine) ?? [];
  if (method === undefined) return response('400 Bad Request', 'That is no HTTP.\n');
  if (method !== 'GET') return response('501 Not Implemented', 'Only GET is known here.\n');
  if (path !== '/') return response('404 Not Found', 'There is only / here.\n');
  return response('200 OK', 'Hello from a blocking server.\n');
}

function response(status: string, body: string): string {
  const fields = `Content-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close`;
  return `HTTP/1.1 ${status}\r\n${fields}\r\n\r\n${body}`;
}

const listener = NetSocket.listenOn(addressFrom(process.argv[2] ?? '8080'));
console.log(`waiting on http://${formatSocketAddress(listener.localAddress)}/`);

for (;;) {
  const client = listener.accept();
  try {
    const requestLine = readRequestLine(client);
    console.log(JSON.stringify(requestLine)); // quoted: a client may send control characters for the terminal
    client.writeAll(Buffer.from(responseTo(requestLine)));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    console.log(error.message); // this client has disconnected; the next one is served
  } finally {
    client.close();
  }
}
