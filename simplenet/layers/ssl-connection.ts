/**
 * SslConnection: one connection of TLS without a network: records go in, bytes come out, and the other way round.
 *
 * OpenSSL reads records from a memory BIO and writes them to a BIO pair, whose memory is sent without another copy. All connections of a thread share both. That is safe
 * because no call waits: records of one connection are put in, its call takes them out, and only then is it the turn of another connection. So an idle connection has no
 * buffers of its own at all: with SSL_MODE_RELEASE_BUFFERS OpenSSL has none either. If records were left behind by a fault of ours, the next connection that got them would
 * have other keys, and would end.
 *
 * Each call into C costs as much as a small encryption. So this file counts the records that come in, by the length in their headers: after the last one has
 * been read, no further SSL_read is needed to hear that nothing is left.
 *
 * Next: tls-options.ts
 */

import { type Bio, openssl, SSL_ERROR_WANT_READ, type Ssl, type SslContext, type X509 } from './openssl.ts';
import type { BioPair } from './openssl-handles.ts';

/** RFC 8446 section 5.1: type, version, and the length of what follows. */
const HEADER_BYTES = 5;
const LENGTH_AT = 3;

/** How many plain bytes one `write` takes at most. */
export const MAX_BATCH_BYTES = 65_536;

/**
 * As four records, with headers and tags, these fit into one packet of the kernel, which has less than 64 KiB. With a few bytes more, a second packet leaves for them alone, and a
 * response of a megabyte over loopback costs a tenth more.
 */
const PACKET_BATCH_BYTES = 65_024;

/** How many of `length` plain bytes the next `write` takes. 64 KiB are what programs often write at once: the last 512 bytes of them would leave in a send of their own. */
export function batchOf(length: number): number {
  return length <= MAX_BATCH_BYTES ? length : PACKET_BATCH_BYTES;
}

/** Four full records with their headers and tags, and some room for a first one and for messages of the handshake. */
export const OUTPUT_BYTES = MAX_BATCH_BYTES + 8_192;

interface SharedBios {
  readonly input: Bio;
  readonly output: BioPair;
  /** Whose records the input may hold. If that connection has ended, nobody wants them any more. */
  reader: SslConnection | null;
  /** Whose output has not been taken. */
  writer: SslConnection | null;
}

let shared: SharedBios | null = null;

function sharedBios(): SharedBios {
  shared ??= {
    input: openssl.BIO_new_mem(),
    output: openssl.BIO_new_bio_pair(OUTPUT_BYTES),
    reader: null,
    writer: null,
  };
  return shared;
}

/**
 * Makes what all connections of this thread share. Call it at the start of a program: koffi makes an object for the memory of the pair, which fails in a worker that is
 * being terminated, and then koffi aborts the process.
 */
export function prepareConnections(): void {
  sharedBios();
}

export class SslConnection {
  readonly #ssl: Ssl;
  readonly #bios = sharedBios();
  /** How many bytes of the record that is coming in are missing, and how many of its header have come. */
  #missing = 0;
  #header = 0;
  /** The upper half of its length. */
  #lengthHigh = 0;
  /** Complete records that OpenSSL has and that no read has returned. Those without bytes for the program count, too. */
  #records = 0;

  private constructor(context: SslContext) {
    this.#ssl = openssl.SSL_new(context);
    openssl.SSL_set_bio(this.#ssl, this.#bios.input, this.#bios.output);
  }

  static accept(context: SslContext): SslConnection {
    const connection = new SslConnection(context);
    openssl.SSL_set_accept_state(connection.#ssl);
    return connection;
  }

  /** `serverName`: what to ask the server for. */
  static connect(context: SslContext, serverName: string | null): SslConnection {
    const connection = new SslConnection(context);
    openssl.SSL_set_connect_state(connection.#ssl);
    if (serverName !== null) openssl.SSL_set_tlsext_host_name(connection.#ssl, serverName);
    return connection;
  }

  /**
   * Takes records of the peer, or parts of them: `maxRecords` complete ones at most. Returns how many bytes it has taken. Then call `handshake` or `read` until it
   * returns -SSL_ERROR_WANT_READ or `hasRecords` is false.
   */
  receive(bytes: Uint8Array, length: number, maxRecords = Number.POSITIVE_INFINITY): number {
    const { input, reader } = this.#bios;
    if (reader !== null) openssl.BIO_reset(input);
    const taken = this.#count(bytes, length, maxRecords);
    openssl.BIO_write(input, bytes, 0, taken);
    this.#bios.reader = this;
    return taken;
  }

  /** Gives back what stands behind the last message of the handshake, as if it had not been received. OpenSSL has read no byte of it. */
  takeInput(): Buffer {
    const { input } = this.#bios;
    const bytes = Buffer.alloc(openssl.BIO_ctrl_pending(input));
    if (bytes.length > 0) openssl.BIO_read(input, bytes, 0, bytes.length);
    this.#bios.reader = null;
    this.#records = 0;
    this.#missing = 0;
    this.#header = 0;
    return bytes;
  }

  /** Returns 1 when the handshake is complete, or -SSL_ERROR_...: -SSL_ERROR_WANT_WRITE if the output is full. */
  handshake(): number {
    this.#begin();
    return this.#readAll(openssl.SSL_do_handshake(this.#ssl), () => openssl.SSL_do_handshake(this.#ssl));
  }

  /** Returns how many bytes it has put into the buffer, or -SSL_ERROR_... */
  read(bytes: Uint8Array, offset: number, length: number): number {
    this.#begin();
    const read = () => openssl.SSL_read(this.#ssl, bytes, offset, length);
    const result = this.#readAll(read(), read);
    // A read that fills the buffer may have left a part of its record.
    if (result > 0 && result < length && this.#records > 0) this.#records--;
    if (!this.hasRecords) this.#bios.reader = null;
    return result;
  }

  /** Whether another `read` may return something. False is certain. */
  get hasRecords(): boolean {
    return this.#records > 0 || this.#missing > 0 || this.#header > 0;
  }

  /** Encrypts bytes[offset..offset + length). Returns `length`, or -SSL_ERROR_... */
  write(bytes: Uint8Array, offset: number, length: number): number {
    this.#begin();
    return openssl.SSL_write(this.#ssl, bytes, offset, length);
  }

  /** Writes close_notify. */
  shutdown(): void {
    this.#begin();
    openssl.SSL_shutdown(this.#ssl);
  }

  /** The next write changes the keys (TLS 1.3). */
  updateKeys(): void {
    openssl.SSL_key_update(this.#ssl);
  }

  /**
   * Takes the records for the peer. Returns how many bytes of `output` they are, until any connection writes again. Call it after each call that may
   * write: what is not taken is lost when another connection writes.
   */
  takeOutput(): number {
    const bios = this.#bios;
    if (bios.writer !== this) return 0;
    bios.writer = null;
    return openssl.BIO_nread(bios.output);
  }

  get output(): Uint8Array {
    return this.#bios.output.memory;
  }

  get version(): string {
    return openssl.SSL_get_version(this.#ssl);
  }

  get cipher(): string {
    return openssl.SSL_get_cipher_name(this.#ssl);
  }

  get isResumed(): boolean {
    return openssl.SSL_session_reused(this.#ssl);
  }

  get hasAlpn(): boolean {
    return openssl.SSL_has_alpn(this.#ssl);
  }

  /** As DER; null if it has sent none. */
  get peerCertificate(): Buffer | null {
    const certificate: X509 | null = openssl.SSL_get1_peer_certificate(this.#ssl);
    if (certificate === null) return null;
    try {
      return openssl.i2d_X509(certificate);
    } finally {
      openssl.X509_free(certificate);
    }
  }

  /** No other method may be called afterwards. */
  free(): void {
    openssl.SSL_free(this.#ssl);
  }

  #begin(): void {
    const bios = this.#bios;
    if (bios.reader !== null && bios.reader !== this) {
      openssl.BIO_reset(bios.input);
      bios.reader = null;
    }
    if (bios.writer === this) return;
    if (bios.writer !== null) openssl.BIO_nread(bios.output); // of a connection that has ended
    bios.writer = this;
  }

  /**
   * Makes a call `again` that has asked for more although it has not read everything: OpenSSL does so behind an empty record. What was left would be read as the
   * first bytes of another connection.
   */
  #readAll(first: number, again: () => number): number {
    let result = first;
    for (let before = Number.POSITIVE_INFINITY; result === -SSL_ERROR_WANT_READ; ) {
      const left = openssl.BIO_ctrl_pending(this.#bios.input);
      if (left === 0) {
        // OpenSSL keeps the beginning of an incomplete record itself.
        this.#records = 0;
        this.#bios.reader = null;
        break;
      }
      /* c8 ignore next -- it always reads something. If not, the next connection throws the rest away. */
      if (left === before) break;
      before = left;
      result = again();
    }
    return result;
  }

  /** Counts records until there are `maxRecords`. Returns where the last one ends, or `length`. */
  #count(bytes: Uint8Array, length: number, maxRecords: number): number {
    let at = 0;
    while (at < length && this.#records < maxRecords) {
      if (this.#missing > 0) {
        const taken = Math.min(this.#missing, length - at);
        this.#missing -= taken;
        at += taken;
        if (this.#missing === 0) this.#records++;
        continue;
      }
      const byte = bytes[at++] as number;
      if (this.#header++ === LENGTH_AT) this.#lengthHigh = byte;
      if (this.#header < HEADER_BYTES) continue;
      this.#header = 0;
      this.#missing = this.#lengthHigh * 256 + byte;
      if (this.#missing === 0) this.#records++;
    }
    return at;
  }
}
