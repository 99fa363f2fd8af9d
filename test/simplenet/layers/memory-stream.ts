/**
 * A stream without a network below TLS: the test says when it is full and when it closes, and reads what was written to it. And a client of TLS whose records
 * the test hands over in the pieces that it wants.
 */

import { openssl, type SslContext } from '../../../simplenet/layers/openssl.ts';
import { SslConnection } from '../../../simplenet/layers/ssl-connection.ts';
import { createClientContext } from '../../../simplenet/layers/tls-context.ts';
import type { MinimumProgress, Stream, StreamHandler } from '../../../simplenet/loop/event-loop.ts';

export class MemoryStream implements Stream {
  readonly remoteAddress = { address: '192.0.2.1', port: 1 };
  readonly localAddress = { address: '192.0.2.2', port: 2 };
  readonly peerCredentials = { pid: 3, uid: 4, gid: 5 };
  handler: StreamHandler = { onData: () => {} };
  queuedBytes = 0;
  /** After how many further writes one of them is queued. */
  fullAfterWrites = Number.POSITIVE_INFINITY;
  isEnded = false;
  isPaused = false;
  /** Nothing that is written leaves. */
  isFull = false;
  deadlineAt = 7;
  minimumProgress: MinimumProgress | null = null;
  turns = 0;
  /** `end`, `close` and `abort`, in their order. */
  readonly ends: string[] = [];
  #written: Buffer[] = [];

  /** What was written since the last call. */
  take(): Buffer {
    const bytes = Buffer.concat(this.#written);
    this.#written = [];
    return bytes;
  }

  write(bytes: Uint8Array, length = bytes.length): boolean {
    this.#written.push(Buffer.from(bytes.subarray(0, length)));
    if (this.isFull) this.queuedBytes += length;
    if (--this.fullAfterWrites <= 0) this.queuedBytes = length;
    return this.queuedBytes === 0;
  }

  writeOwned(bytes: Uint8Array): boolean {
    return this.write(bytes);
  }

  sendFile(): boolean {
    throw new Error('a file cannot go below TLS');
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  hasInput(): boolean {
    return false;
  }

  hasOutput(): boolean {
    return false;
  }

  end(): void {
    this.isEnded = true;
    this.ends.push('end');
  }

  close(): void {
    this.isEnded = true;
    this.ends.push('close');
  }

  abort(): void {
    this.isEnded = true;
    this.ends.push('abort');
  }

  setDeadline(): void {}

  awaitTurn(): void {
    this.turns++;
  }

  whenClosed(): void {}
}

let sharedContext: SslContext | null = null;

export class MemoryClient {
  readonly ssl: SslConnection;
  /** Null if it belongs to many clients. */
  readonly #context: SslContext | null;

  constructor(shared: SslContext | null = null) {
    this.#context = shared === null ? createClientContext() : null;
    this.ssl = SslConnection.connect(shared ?? (this.#context as SslContext), 'localhost');
  }

  /** One of thousands: they share their settings, which take a millisecond to make. */
  static ofMany(): MemoryClient {
    sharedContext ??= createClientContext();
    return new MemoryClient(sharedContext);
  }

  /** Its first message. */
  hello(): Buffer {
    this.ssl.handshake();
    return this.output();
  }

  /** Its last message of the handshake, after those of the server. */
  finish(flight: Buffer): Buffer {
    this.ssl.receive(flight, flight.length);
    this.ssl.handshake();
    return this.output();
  }

  /** Records with this text. */
  seal(text: string): Buffer {
    return this.sealBytes(Buffer.from(text));
  }

  sealBytes(bytes: Buffer): Buffer {
    this.ssl.write(bytes, 0, bytes.length);
    return this.output();
  }

  /** A record that changes the keys, and asks the server to change its own. */
  updateKeys(): Buffer {
    this.ssl.updateKeys();
    this.ssl.handshake();
    return this.output();
  }

  /** A record with close_notify. */
  goodbye(): Buffer {
    this.ssl.shutdown();
    return this.output();
  }

  /** What the records of the server say. */
  open(records: Buffer): string {
    this.ssl.receive(records, records.length);
    const plain = Buffer.alloc(records.length);
    let filled = 0;
    for (let read = 0; read >= 0 && this.ssl.hasRecords; ) {
      read = this.ssl.read(plain, filled, plain.length - filled);
      if (read > 0) filled += read;
    }
    return plain.toString('latin1', 0, filled);
  }

  free(): void {
    this.ssl.free();
    if (this.#context !== null) openssl.SSL_CTX_free(this.#context);
  }

  output(): Buffer {
    const length = this.ssl.takeOutput();
    return Buffer.from(this.ssl.output.subarray(0, length));
  }
}
