/**
 * TlsInput: what comes in on a TLS stream, up to the bytes of the program. The counterpart of TlsOutput, and it calls no callback either.
 *
 * OpenSSL's memory is shared by all connections, so what must wait is kept here: records that came with the end of the handshake to a paused stream, and the rest of a chunk with more
 * records than a turn should bear. A change of keys (KeyUpdate) costs 18 us, so a chunk of 64 KiB with 2,400 of them would hold up all other connections for 43 ms. OpenSSL answers each,
 * and reads on whether the peer takes the answers or not: so what waits of them is limited here.
 *
 * Next: tls-info.ts
 */

import type { Stream } from '../loop/event-loop.ts';
import { lastFailure, SSL_ERROR_ZERO_RETURN } from './openssl.ts';
import type { SslConnection } from './ssl-connection.ts';
import { openRecords } from './tls-records.ts';

/** How many bytes may wait that answer the peer's changes of keys: some 2,400. Above it the connection ends. */
export const MAX_ANSWER_BYTES = 65_536;

export interface InputLimits {
  readonly recordsPerTurn: number;
}

export class TlsInput {
  /** Why nothing more can be read; null while that is possible. */
  fault: string | null = null;
  /** The peer has sent close_notify, and the program has not heard of it. */
  owesEnd = false;
  readonly #inner: Stream;
  readonly #maxRecords: number;
  /** Null until the handshake is complete. */
  #ssl: SslConnection | null = null;
  /** Answers of OpenSSL since the stream below was last empty. */
  #answerBytes = 0;
  /** Records that wait. */
  #held: Buffer | null = null;

  constructor(inner: Stream, { recordsPerTurn }: InputLimits) {
    this.#inner = inner;
    this.#maxRecords = recordsPerTurn;
  }

  /** The handshake is complete. Keeps the records that came behind it. */
  open(ssl: SslConnection, rest: Buffer): void {
    this.#ssl = ssl;
    if (rest.length > 0) this.#held = rest;
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

  /** What new records say. See `OpenedRecords.bytes`: the next call overwrites it. */
  receive(records: Buffer): Buffer {
    return this.#open(records, false);
  }

  /** What the records say that wait here. */
  next(): Buffer {
    return this.#open(this.#held as Buffer, true);
  }

  #open(records: Buffer, isHeld: boolean): Buffer {
    const ssl = this.#ssl as SslConnection;
    const taken = ssl.receive(records, records.length, this.#maxRecords);
    const queuedBefore = this.#inner.queuedBytes;
    const { bytes, result } = openRecords(ssl, this.#inner, taken);
    this.#countAnswers(queuedBefore);
    if (result === -SSL_ERROR_ZERO_RETURN) this.owesEnd = true;
    else if (result !== 0) this.fault = lastFailure();
    this.#held = null;
    // RFC 8446 section 6.1: what follows close_notify is ignored.
    if (result === 0 && taken < records.length) {
      const rest = records.subarray(taken);
      this.#held = isHeld ? rest : Buffer.from(rest);
    }
    return bytes;
  }

  #countAnswers(queuedBefore: number): void {
    const queued = this.#inner.queuedBytes;
    this.#answerBytes = queued === 0 ? 0 : this.#answerBytes + queued - queuedBefore;
    if (this.#answerBytes > MAX_ANSWER_BYTES)
      this.fault ??= 'the peer changes its keys again and again, and takes no answer';
  }
}
