/**
 * SameSocketWork: what same-work.ts is for HTTP, for WebSocket: two connections open, one of them sends two messages, and what comes of them is compared byte for
 * byte. A message to all must come to both.
 *
 * Next: load.ts
 */

import { connect, type Socket } from 'node:net';
import type { SocketExchange } from './workloads.ts';

const TIMEOUT_MS = 5_000;
const MESSAGES = 2;
const STATUS = 'HTTP/1.1 101 ';
/** For the key of the example in RFC 6455, which the workloads send. */
const ACCEPT = /^sec-websocket-accept:[ \t]*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/im;
const END_OF_HEAD = '\r\n\r\n';

class Client {
  readonly socket: Socket;
  #text = '';
  #failure = '';
  #wake: () => void = () => {};

  constructor(port: number) {
    const fail = (failure: string) => {
      this.#failure = failure;
      this.#wake();
    };
    this.socket = connect(port, '127.0.0.1')
      .setEncoding('latin1')
      .setTimeout(TIMEOUT_MS, () => fail('it does not answer'))
      .on('end', () => fail('it ends the connection'))
      .on('error', ({ message }) => fail(message))
      .on('data', (text) => {
        this.#text += text;
        this.#wake();
      });
  }

  /** Returns what has come, as soon as it is enough. */
  async take(isEnough: (text: string) => boolean): Promise<string> {
    while (!isEnough(this.#text)) {
      if (this.#failure !== '') throw new Error(this.#failure);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const text = this.#text;
    this.#text = '';
    return text;
  }
}

/** Resolves with what is wrong with the server, in a few words, or with null. */
export async function checkSocketWork(
  port: number,
  handshake: Buffer,
  exchange: SocketExchange,
): Promise<string | null> {
  const clients = [new Client(port), new Client(port)] as const;
  try {
    for (const client of clients) {
      client.socket.write(handshake);
      const head = await client.take((text) => text.includes(END_OF_HEAD));
      if (!head.startsWith(STATUS)) return `the handshake is answered with ${head.split('\r\n')[0]}`;
      if (!ACCEPT.test(head)) return 'Sec-WebSocket-Accept is wrong or missing';
      if (!head.endsWith(END_OF_HEAD)) return 'something follows the handshake';
    }
    const answer = exchange.answer.toString('latin1');
    for (let sent = 0; sent < MESSAGES; sent++) {
      clients[0].socket.write(exchange.frame);
      for (const client of exchange.isToAll ? clients : [clients[0]]) {
        const text = await client.take(({ length }) => length >= answer.length);
        if (text !== answer) return 'a message differs from what was sent';
      }
    }
    return null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    for (const { socket } of clients) socket.destroy();
  }
}
