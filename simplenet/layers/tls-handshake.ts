/**
 * TlsHandshake: from the first byte of a connection to the keys that both sides have agreed on. A TlsStream has one until then.
 *
 * A server first reads the hello of its client. It names the server that the client wants, and so chooses the certificate. Then OpenSSL agrees with the peer on keys.
 *
 * Next: tls-stream.ts
 */

import type { Stream } from '../loop/event-loop.ts';
import { decodeClientHello } from './client-hello.ts';
import { lastFailure, openssl, SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE, type SslContext } from './openssl.ts';
import { failureOf } from './openssl-errors.ts';
import { SslConnection } from './ssl-connection.ts';
import type { TlsContext } from './tls-context.ts';
import type { TlsCounts, TlsFailure } from './tls-counts.ts';
import type { InputLimits } from './tls-input.ts';
import type { ChooseCertificate, TlsCertificate } from './tls-options.ts';
import type { OutputLimits } from './tls-output.ts';
import { sendRecords } from './tls-records.ts';

/** RFC 8446 section 6. */
const INTERNAL_ERROR = 80;

/** A record with an alert that ends the connection: type 21, level 2 (RFC 8446 section 6). */
const alertRecord = (alert: number) => Uint8Array.of(21, 3, 3, 0, 2, 2, alert);

/** What all connections of a listener share, or what a client is made of. */
export interface TlsSetup extends InputLimits, OutputLimits {
  /** Null for a client. */
  readonly context: TlsContext | null;
  /** Null for a server. */
  readonly client: { readonly context: SslContext; readonly serverName: string | null } | null;
  readonly handshakeMs: number;
  readonly plainAnswer: (firstBytes: Buffer) => Uint8Array | null;
  readonly onChooseError: (error: unknown) => void;
  /** Null if nobody counts. */
  readonly counts: TlsCounts | null;
}

function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as Partial<PromiseLike<T>> | null)?.then === 'function';
}

/** Gets the outcome, once. */
export interface HandshakeOwner {
  /** `rest`: the records that came behind the last message of the handshake. */
  handshakeComplete(ssl: SslConnection, serverName: string | null, rest: Buffer): void;
  handshakeFailed(reason: string, kind: TlsFailure): void;
}

export class TlsHandshake {
  readonly #setup: TlsSetup;
  readonly #inner: Stream;
  readonly #owner: HandshakeOwner;
  #ssl: SslConnection | null = null;
  #serverName: string | null = null;
  /** The beginning of a hello. */
  #held: Buffer | null = null;

  constructor(setup: TlsSetup, inner: Stream, owner: HandshakeOwner) {
    this.#setup = setup;
    this.#inner = inner;
    this.#owner = owner;
  }

  /** A client says hello. */
  begin({ context, serverName }: NonNullable<TlsSetup['client']>): void {
    this.#serverName = serverName;
    this.#ssl = SslConnection.connect(context, serverName);
    this.#continue(this.#ssl);
  }

  /** Bytes of the peer. */
  receive(bytes: Buffer): void {
    if (this.#ssl === null) {
      this.#readHello(bytes);
      return;
    }
    this.#ssl.receive(bytes, bytes.length);
    this.#continue(this.#ssl);
  }

  /** The connection is over. A handshake that is complete has given its connection away. */
  free(): void {
    this.#held = null;
    this.#ssl?.free();
    this.#ssl = null;
  }

  #readHello(chunk: Buffer): void {
    const { context, plainAnswer } = this.#setup;
    const bytes = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    const hello = decodeClientHello(bytes);
    if (hello === null) {
      this.#held = this.#held === null ? Buffer.from(chunk) : bytes;
    } else if ('reason' in hello) {
      const answer = hello.alert === null ? plainAnswer(bytes) : alertRecord(hello.alert);
      if (answer !== null) this.#inner.write(answer);
      this.#owner.handshakeFailed(hello.reason, hello.alert === null ? 'plain' : 'hello');
    } else if (context !== null) {
      this.#serverName = hello.serverName;
      this.#choose(context, hello.serverName, bytes);
    }
  }

  #choose(context: TlsContext, serverName: string | null, hello: Buffer): void {
    let certificate: ReturnType<ChooseCertificate>;
    try {
      certificate = context.choose(serverName);
    } catch (error) {
      this.#cannotChoose(error);
      return;
    }
    if (!isPromise(certificate)) {
      this.#accept(context, certificate ?? null, hello);
      return;
    }
    // What comes meanwhile waits in the stream below. The time limit of the handshake goes on.
    const held = Buffer.from(hello);
    this.#held = held;
    this.#inner.pause();
    certificate.then(
      (later) => {
        if (this.#held === null) return; // the connection is over
        this.#inner.resume();
        this.#accept(context, later ?? null, held);
      },
      (error: unknown) => {
        if (this.#held !== null) this.#cannotChoose(error);
      },
    );
  }

  #accept(context: TlsContext, certificate: TlsCertificate | null, hello: Buffer): void {
    this.#held = null;
    let settings: SslContext;
    try {
      settings = context.contextFor(this.#serverName, certificate);
    } catch (error) {
      this.#cannotChoose(error);
      return;
    }
    const ssl = SslConnection.accept(settings);
    this.#ssl = ssl;
    ssl.receive(hello, hello.length);
    this.#continue(ssl);
  }

  /** A mistake of the program, or of what it asks. The client is not to blame, and hears nothing about the reason. */
  #cannotChoose(error: unknown): void {
    this.#inner.write(alertRecord(INTERNAL_ERROR));
    this.#setup.onChooseError(error);
    this.#owner.handshakeFailed(`no certificate could be chosen: ${String(error)}`, 'serverCertificate');
  }

  #continue(ssl: SslConnection): void {
    let result = -SSL_ERROR_WANT_WRITE;
    let reason = '';
    // A long chain of certificates fills the output several times.
    while (result === -SSL_ERROR_WANT_WRITE) {
      result = ssl.handshake();
      reason = lastFailure();
      sendRecords(ssl, this.#inner);
    }
    // Before any function of the program runs: if it writes to another stream of TLS, that one uses the same memory.
    const rest = result > 0 ? ssl.takeInput() : null;
    this.#logKeys();
    if (result === -SSL_ERROR_WANT_READ) return;
    if (rest !== null) {
      this.#ssl = null;
      this.#owner.handshakeComplete(ssl, this.#serverName, rest);
    } else this.#owner.handshakeFailed(reason, failureOf(reason));
  }

  #logKeys(): void {
    const onKeyLog = this.#setup.context?.options.onKeyLog;
    if (onKeyLog === undefined) return;
    // OpenSSL's callback has written the lines without their ends: a label in capitals, and two numbers in small letters.
    for (const line of openssl.takeKeyLog().match(/[A-Z][A-Z0-9_]* [0-9a-f]+ [0-9a-f]+/g) ?? []) onKeyLog(line);
  }
}
