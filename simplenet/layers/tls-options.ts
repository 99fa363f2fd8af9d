/**
 * The options of TLS, and what a program can ask a connection about it. Types only.
 *
 * Next: tls-counts.ts
 */

import type { X509Certificate } from 'node:crypto';
import type { Libc } from '../kernel/libc.ts';
import type { Stream, StreamHandler } from '../loop/event-loop.ts';
import type { TlsCounts } from './tls-counts.ts';

/**
 * A certificate and its key.
 *
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import type { TlsCertificate } from 'simplenet';
 *
 * const certificate: TlsCertificate = {
 *   cert: readFileSync('/etc/ssl/example.com/fullchain.pem'),
 *   key: readFileSync('/etc/ssl/example.com/key.pem'),
 * };
 * ```
 */
export interface TlsCertificate {
  /** PEM: the certificate of the server, and after it those that lead to an authority, in that order. An array: several certificates with different kinds of keys. */
  readonly cert: Pem | readonly Pem[];
  /** PEM: the private key. An array: one for each certificate, in the same order. */
  readonly key: Pem | readonly Pem[];
  /** What the key is encrypted with. */
  readonly passphrase?: string;
}

/**
 * A text or the bytes of a PEM file.
 *
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import type { Pem } from 'simplenet';
 *
 * const key: Pem = readFileSync('/etc/ssl/example.com/key.pem');
 * ```
 */
export type Pem = string | Uint8Array;

/**
 * Chooses the certificate for a name that a client asks for, in lower case; null or undefined for `cert` of the options. The handshake waits for a promise, no longer than
 * `handshakeMs`. Return the same object for the same certificate: what OpenSSL needs of it is made once for each object. Not called for a client that names none.
 *
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import type { ChooseCertificate, TlsCertificate } from 'simplenet';
 *
 * const known = new Map<string, Promise<TlsCertificate>>();
 * const read = async (file: string) => ({ cert: await readFile(`${file}.pem`), key: await readFile(`${file}.key`) });
 * const choose: ChooseCertificate = (name) => {
 *   if (!name.endsWith('.example.com')) return null;
 *   if (!known.has(name)) known.set(name, read(`/etc/ssl/sites/${name}`));
 *   return known.get(name);
 * };
 * ```
 */
export type ChooseCertificate = (
  serverName: string,
) => TlsCertificate | null | undefined | PromiseLike<TlsCertificate | null | undefined>;

/**
 * The options of `createTlsContext`.
 *
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { createTlsContext, type TlsOptions } from 'simplenet';
 *
 * const options: TlsOptions = {
 *   cert: readFileSync('/etc/ssl/example.com/fullchain.pem'),
 *   key: readFileSync('/etc/ssl/example.com/key.pem'),
 *   minVersion: 'TLSv1.3',
 * };
 * const context = createTlsContext(options);
 * ```
 */
export interface TlsOptions extends TlsCertificate {
  /**
   * Certificates for clients that ask for these names. `*.example.com` stands for one label. Others get `cert`. Or a function that chooses the certificate, at once or
   * later.
   */
  readonly serverNames?: Readonly<Record<string, TlsCertificate>> | ChooseCertificate;
  /** 'TLSv1.2' unless given. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3';
  /** The ciphers of TLS 1.2 and the suites of TLS 1.3, as OpenSSL writes them (`openssl ciphers`), joined by colons. */
  readonly ciphers?: string;
  /** The groups for the exchange of keys, the favourite first, joined by colons. OpenSSL's own choice unless given. */
  readonly groups?: string;
  /**
   * Asks clients for a certificate. True: a client may have none. 'require': a handshake without one fails. A certificate that none of `ca` has signed
   * ends the handshake in both cases.
   */
  readonly requestClientCertificate?: boolean | 'require';
  /** PEM: the authorities that may have signed the certificates of clients. */
  readonly ca?: Pem | readonly Pem[];
  /**
   * The key that encrypts session tickets: 80 secret bytes. Give the same to several processes, so that each continues sessions of the others. Unless given,
   * the context makes one of its own, and another one every `ticketKeyMs`.
   */
  readonly ticketKeys?: Uint8Array;
  /** How long a ticket key that the context has made is used: 8 hours unless given. A ticket of an older key costs a full handshake. */
  readonly ticketKeyMs?: number;
  /** Gets the secrets of each connection, one line each, in the format of SSLKEYLOGFILE, which Wireshark reads. For debugging: whoever has them can read all traffic. */
  readonly onKeyLog?: (line: string) => void;
}

/**
 * What both sides of a connection have agreed on.
 *
 * ```ts
 * import type { SecureStream, TlsInfo } from 'simplenet';
 *
 * function describe(stream: SecureStream): string {
 *   const tls: TlsInfo | null = stream.tls;
 *   return tls === null ? 'no handshake yet' : `${tls.version}, ${tls.cipher}`;
 * }
 * ```
 */
export interface TlsInfo {
  /** 'TLSv1.3' or 'TLSv1.2'. */
  readonly version: string;
  /** As OpenSSL names it: 'TLS_AES_256_GCM_SHA384'. */
  readonly cipher: string;
  /** The name that the client has asked for, in lower case; null if it named none. Strangers choose it. */
  readonly serverName: string | null;
  /** The protocol that was selected by ALPN; null if the client offered none. */
  readonly alpn: 'http/1.1' | null;
  /** Whether the client has continued an earlier session by a ticket. */
  readonly isResumed: boolean;
  /** The verified certificate of the client; null if it has sent none. It is parsed when it is read. */
  readonly peerCertificate: X509Certificate | null;
}

/**
 * A stream with TLS.
 *
 * ```ts
 * import { acceptTls, createEventLoop, type SecureStream, type TlsContext } from 'simplenet';
 *
 * function greet(stream: SecureStream): void {
 *   stream.write(Buffer.from(`hello, you speak ${stream.tls?.version}\n`));
 *   stream.end();
 * }
 * function listen(context: TlsContext): void {
 *   createEventLoop().listen(
 *     { address: '127.0.0.1', port: 8443 },
 *     acceptTls(context, (stream) => ({ onOpen: () => greet(stream), onData: () => {} })),
 *   );
 * }
 * ```
 */
export interface SecureStream extends Stream {
  /** Null until the handshake is complete, which `onOpen` of the handler reports. */
  readonly tls: TlsInfo | null;
}

/**
 * Chooses the handler of a connection that was just accepted. Its handshake has not begun: what is written is sent after it, and `onOpen` reports its end.
 *
 * ```ts
 * import type { OnSecureConnection } from 'simplenet';
 *
 * const echo: OnSecureConnection = () => ({ onData: (stream, bytes) => stream.write(bytes) });
 * ```
 */
export type OnSecureConnection = (stream: SecureStream) => StreamHandler;

/**
 * The options of `acceptTls`.
 *
 * ```ts
 * import type { AcceptTlsOptions } from 'simplenet';
 *
 * const options: AcceptTlsOptions = {
 *   handshakeMs: 5_000,
 *   plainAnswer: (firstBytes) => (firstBytes.subarray(0, 4).toString() === 'GET ' ? Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') : null),
 * };
 * ```
 */
export interface AcceptTlsOptions {
  /** How long a handshake may take, from the first connection on: 10 seconds unless given. */
  readonly handshakeMs?: number;
  /** As `LoopLimits.maxQueuedBytes`, for bytes that are not encrypted yet. 16 MiB unless given. */
  readonly maxQueuedBytes?: number;
  /** Gets what `serverNames` has thrown, or why its certificate cannot be used. `onClose` of the stream gets an error in any case. */
  readonly onChooseError?: (error: unknown) => void;
  /** How many records of one chunk are read at once: 256 unless given. The rest waits for the next turn, so that other connections get theirs. */
  readonly recordsPerTurn?: number;
  /**
   * The first bytes are not TLS. Returns what to send, not encrypted, before the connection is closed; null for nothing. `onClose` of the stream gets an error
   * in any case.
   */
  readonly plainAnswer?: (firstBytes: Buffer) => Uint8Array | null;
  /** The table of system calls that reads the files of `sendFile`; by default the process's own. */
  readonly libc?: Libc;
  /** Handshakes and open connections are added to it. */
  readonly counts?: TlsCounts | undefined;
}
