/**
 * RawClient: a TCP connection that sends whatever bytes it is given, and remembers what came back.
 */

import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** It only ends what hangs: on a busy machine, an answer can take long. */
const PATIENCE_MS = 60_000;

/** How each answer begins. */
const STATUS_LINE = 'HTTP/1.1 ';

export interface RawClientOptions {
  readonly keepsText?: boolean;
  /** By TLS, whatever the certificate. */
  readonly isSecure?: boolean;
}

export class RawClient {
  readonly socket: Socket;
  /** Answers as text, if it keeps them. */
  text = '';
  /** How many have begun. */
  answers = 0;
  receivedBytes = 0;
  hasEnded = false;
  isClosed = false;
  error: NodeJS.ErrnoException | null = null;
  #changed: (() => void) | null = null;

  /** What RST goes to: below TLS. */
  readonly #below: Socket;

  constructor(port: number, options: RawClientOptions = {}) {
    const { keepsText = true, isSecure = false } = options;
    this.#below = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.socket = isSecure ? connectTls({ socket: this.#below, rejectUnauthorized: false }) : this.#below;
    this.socket.on('data', (bytes: Buffer) => {
      this.receivedBytes += bytes.length;
      if (keepsText) this.#keep(bytes.toString('latin1'));
      this.#tell();
    });
    this.socket.on('connect', () => this.#tell());
    this.socket.on('drain', () => this.#tell());
    this.socket.on('end', () => {
      this.hasEnded = true;
      this.#tell();
    });
    this.socket.on('error', (error) => {
      this.error = error;
    });
    this.socket.on('close', () => {
      this.isClosed = true;
      this.#tell();
    });
  }

  write(text: string | Uint8Array): this {
    this.socket.write(text);
    return this;
  }

  get isOver(): boolean {
    return this.hasEnded || this.isClosed;
  }

  get isConnected(): boolean {
    return !this.socket.connecting && !this.isClosed;
  }

  /** Waits for something to become true, which only what arrives here, or leaves, can make so. */
  async until(condition: () => boolean, what: string, patienceMs = PATIENCE_MS): Promise<void> {
    const giveUpAt = performance.now() + patienceMs;
    while (!condition()) {
      const leftMs = giveUpAt - performance.now();
      if (leftMs <= 0)
        throw new Error(`in vain: ${what}; ${this.receivedBytes} bytes so far: ${this.text.slice(0, 200)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  connected(): Promise<void> {
    return this.until(() => !this.socket.connecting, 'a connection');
  }

  ended(patienceMs?: number): Promise<void> {
    return this.until(() => this.isOver, 'the end', patienceMs);
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** RST. */
  reset(): void {
    this.#below.resetAndDestroy();
  }

  /** Counts as it goes: looking through all of a long text for each piece of it would take the test longer than the server. */
  #keep(text: string): void {
    const overlap = this.text.slice(1 - STATUS_LINE.length);
    this.answers += (overlap + text).split(STATUS_LINE).length - 1;
    this.text += text;
  }

  #tell(): void {
    const changed = this.#changed;
    this.#changed = null;
    changed?.();
  }
}
