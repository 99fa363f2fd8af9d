/** WebSocketClient: a TCP connection that asks for a WebSocket, sends the frames it is given, and keeps what comes. */

import type { Test } from 'tap';
import { portOf } from '../../simplenet/kernel/socket-address.ts';
import { RawClient } from './raw-client.ts';
import { CLOSE, clientFrame, closeOf, type ServerFrame, serverFrames } from './web-socket-frames.ts';

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** The head of a request for a WebSocket. Fields replace those that it has; null leaves one out. */
export function upgradeRequest(target: string, fields: Readonly<Record<string, string | null>> = {}): string {
  const all: Readonly<Record<string, string | null>> = {
    Host: 'x',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': KEY,
    ...fields,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}\r\n`]));
  return `GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

export class WebSocketClient {
  readonly raw: RawClient;
  #head = '';

  constructor(raw: RawClient) {
    this.raw = raw;
  }

  /** Asks for a WebSocket, and waits for the 101. `first` is sent in the same write. */
  static async open(
    t: Test,
    server: { readonly address: Parameters<typeof portOf>[0] },
    target = '/',
    fields: Readonly<Record<string, string | null>> = {},
    first: Uint8Array = Buffer.alloc(0),
  ): Promise<WebSocketClient> {
    const raw = new RawClient(portOf(server.address));
    t.teardown(() => raw.destroy());
    const client = new WebSocketClient(raw);
    raw.write(Buffer.concat([Buffer.from(upgradeRequest(target, fields)), first]));
    await raw.until(() => raw.text.includes('\r\n\r\n'), 'the head');
    client.#head = raw.text.slice(0, raw.text.indexOf('\r\n\r\n') + 4);
    if (!client.#head.startsWith('HTTP/1.1 101 ')) throw new Error(`no WebSocket: ${raw.text}`);
    return client;
  }

  get head(): string {
    return this.#head;
  }

  get frames(): ServerFrame[] {
    return serverFrames(Buffer.from(this.raw.text.slice(this.#head.length), 'latin1')).frames;
  }

  /** The payloads of all frames but close, as text. */
  get texts(): string[] {
    return this.frames.filter(({ opcode }) => opcode !== CLOSE).map(({ payload }) => payload.toString());
  }

  /** What the close frame of the server says; null before it comes. */
  get closed(): { readonly code: number; readonly reason: string } | null {
    const frame = this.frames.find(({ opcode }) => opcode === CLOSE);
    return frame === undefined ? null : closeOf(frame.payload);
  }

  send(...args: Parameters<typeof clientFrame>): this {
    this.raw.write(clientFrame(...args));
    return this;
  }

  close(code: number, reason = ''): this {
    return this.send(CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]));
  }

  until(condition: () => boolean, what: string): Promise<unknown> {
    return this.raw.until(condition, what);
  }

  /** Waits for so many frames. */
  async untilFrames(count: number): Promise<ServerFrame[]> {
    await this.until(() => this.frames.length >= count, `${count} frames`);
    return this.frames;
  }

  /** Waits for the close frame and for FIN. */
  async untilClosed(): Promise<{ readonly code: number; readonly reason: string } | null> {
    await this.until(() => this.raw.isOver, 'the end');
    return this.closed;
  }
}
