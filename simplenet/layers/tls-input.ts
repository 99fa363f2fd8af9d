/**
 * TlsInput: what comes in on a TLS stream, up to the bytes of the program. The counterpart of TlsOutput, and it calls no callback either.
 *
 * OpenSSL's memory is shared by all connections, so what a program cannot take yet is kept here: records that came with the end of the handshake to a paused stream.
 *
 * Next: tls-info.ts
 */

import type { Stream } from '../loop/event-loop.ts';
import { lastFailure, SSL_ERROR_ZERO_RETURN } from './openssl.ts';
import type { SslConnection } from './ssl-connection.ts';
import { openRecords } from './tls-records.ts';

export class TlsInput {
  /** Why nothing more can be read; null while that is possible. */
  fault: string | null = null;
  /** The peer has sent close_notify, and the program has not heard of it. */
  owesEnd = false;
  readonly #inner: Stream;
  /** Null until the handshake is complete. */
  #ssl: SslConnection | null = null;
  /** Records that wait. */
  #held: Buffer | null = null;

  constructor(inner: Stream) {
    this.#inner = inner;
  }

  /** The handshake is complete. */
  open(ssl: SslConnection): void {
    this.#ssl = ssl;
  }

  /** Forgets what waits. */
  close(): void {
    this.#ssl = null;
    this.#held = null;
    this.owesEnd = false;
  }

  /** Whether records wait here. */
  get hasRecords(): boolean {
    return this.#held !== null;
  }

  /** Whether something waits here that the stream below does not have any more. */
  get hasNews(): boolean {
    return this.#held !== null || this.owesEnd;
  }

  /** Keeps what OpenSSL has not read. */
  hold(): void {
    const rest = (this.#ssl as SslConnection).takeInput();
    if (rest.length > 0) this.#held = rest;
  }

  /** What new records say. See `OpenedRecords.bytes`: the next call overwrites it. */
  receive(records: Buffer): Buffer {
    const ssl = this.#ssl as SslConnection;
    ssl.receive(records, records.length);
    return this.#open(ssl, records.length);
  }

  /** What the records say that have come with the end of the handshake. */
  first(): Buffer {
    return this.#open(this.#ssl as SslConnection, 0);
  }

  /** What the records say that wait here. */
  next(): Buffer {
    const ssl = this.#ssl as SslConnection;
    const held = this.#held;
    this.#held = null;
    if (held !== null) ssl.receiveAgain(held, held.length);
    return this.#open(ssl, held?.length ?? 0);
  }

  #open(ssl: SslConnection, length: number): Buffer {
    const { bytes, result } = openRecords(ssl, this.#inner, length);
    if (result === -SSL_ERROR_ZERO_RETURN) this.owesEnd = true;
    else if (result !== 0) this.fault = lastFailure();
    return bytes;
  }
}
