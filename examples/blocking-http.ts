/**
 * The smallest web server: accept, read, parse, write, close, in a loop of calls that wait.
 *
 * `npm run example -- blocking-http 8080`, then `curl http://127.0.0.1:8080/`. It knows a few lines of HTTP, and this is
 * what it cannot do. One client at a time: while it waits for the bytes of one, all others wait with it, and a client that
 * says nothing stops it for good. One request to a connection. No bodies: what is left unread when it closes may turn
 * the answer's way out into a reset. The servers of `../http/` and of `../simplenet/create-event-loop.ts` are about just that.
 *
 * Ctrl-C works although no JavaScript runs while a call waits. Where nobody listens for SIGINT, Node leaves it to a native
 * handler, which puts the terminal in order and raises the signal again: it kills the process, a shell sees status 130, and
 * the kernel closes every socket. `process.on('SIGINT')` would take that away: a listener runs when the call has returned.
 */

import { formatSocketAddress, NetSocket, SystemError } from '../simplenet/index.ts';

const MAX_HEAD_BYTES = 8192;

/** Reads up to the empty line behind the head: its first line, or '' where the client left or sent too much before. */
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

function answerTo(requestLine: string): string {
  const [, method, path] = /^([A-Z]+) (\/[^ ]*) HTTP\/1\.[01]$/.exec(requestLine) ?? [];
  if (method === undefined) return answer('400 Bad Request', 'That is no HTTP.\n');
  if (method !== 'GET') return answer('501 Not Implemented', 'Only GET is known here.\n');
  if (path !== '/') return answer('404 Not Found', 'There is only / here.\n');
  return answer('200 OK', 'Hello from a blocking server.\n');
}

function answer(status: string, body: string): string {
  const fields = `Content-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close`;
  return `HTTP/1.1 ${status}\r\n${fields}\r\n\r\n${body}`;
}

const listener = NetSocket.listenOn({ address: '127.0.0.1', port: Number(process.argv[2] ?? 8080) });
console.log(`waiting on http://${formatSocketAddress(listener.localAddress)}/`);

for (;;) {
  const client = listener.accept();
  try {
    const requestLine = readRequestLine(client);
    console.log(JSON.stringify(requestLine)); // quoted: it is a stranger's text, and this may be a terminal
    client.writeAll(Buffer.from(answerTo(requestLine)));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    console.log(error.message); // this client is gone, the next one may be well
  } finally {
    client.close();
  }
}
