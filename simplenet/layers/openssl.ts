/**
 * The second table of C functions: OpenSSL. Read ../kernel/libc.ts first; the rules are the same.
 *
 * - A pointer of OpenSSL is a Handle (openssl-handles.ts), and bytes are a typed array, an offset and a length. Each argument is checked.
 * - A call on a connection that fails returns a number below 0: `-SSL_ERROR_...`, as libc.ts returns -errno. `lastFailure()` is then the reason. Other calls
 *   throw, because only a mistake of the program makes them fail.
 * - No call leaves an error in OpenSSL's queue.
 * - Call it as `openssl.SSL_read(...)`: a trace replaces the entries of the table (openssl-trace.ts).
 *
 * The names are those of the manual pages (man 3ssl SSL_read), those of macros included. What takes a function or an address is missing, or is replaced by something
 * that takes neither.
 *
 * Next: ssl-connection.ts
 */

import { koffi } from '../kernel/ffi.ts';
import { intrinsicByteLength, preventTransfer } from '../kernel/intrinsic-bytes.ts';
import { checkInteger, checkRange, checkString } from '../kernel/libc-checks.ts';
import { http11Selector, keyLogWriter } from './machine-code.ts';
import { NO_BLOCK, takeErrors, WRONG_PASSPHRASE } from './openssl-errors.ts';
import { type OpenSslFunctions, openSslFunctions } from './openssl-functions.ts';
import { type BioPair, Handle, prepareHandles } from './openssl-handles.ts';
import { traceOpenSsl } from './openssl-trace.ts';

export type SslContext = Handle<'SSL_CTX'>;
export type Ssl = Handle<'SSL'>;
export type Bio = Handle<'BIO'>;
export type X509 = Handle<'X509'>;
export type EvpPkey = Handle<'EVP_PKEY'>;

// ssl.h
export const SSL_ERROR_SSL = 1;
export const SSL_ERROR_WANT_READ = 2;
export const SSL_ERROR_WANT_WRITE = 3;
export const SSL_ERROR_ZERO_RETURN = 6;
export const SSL_OP_CIPHER_SERVER_PREFERENCE = 2 ** 22;
export const SSL_OP_PRIORITIZE_CHACHA = 2 ** 21;
export const SSL_OP_NO_COMPRESSION = 2 ** 17;
export const SSL_OP_NO_RENEGOTIATION = 2 ** 30;
export const SSL_MODE_RELEASE_BUFFERS = 0x10;
export const SSL_MODE_NO_AUTO_CHAIN = 0x8;
export const SSL_VERIFY_NONE = 0;
export const SSL_VERIFY_PEER = 1;
export const SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2;
export const SSL_KEY_UPDATE_REQUESTED = 1;
export const TLS1_2_VERSION = 0x0303;
export const TLS1_3_VERSION = 0x0304;
const SSL_WRITING = 2;
const SSL_READING = 3;
const SSL_RECEIVED_SHUTDOWN = 2;
const SSL_CTRL_MODE = 33;
const SSL_CTRL_SET_SESS_CACHE_MODE = 44;
const SSL_CTRL_SET_TLSEXT_HOSTNAME = 55;
const SSL_CTRL_SET_TLSEXT_TICKET_KEYS = 59;
const SSL_CTRL_CHAIN = 88;
const SSL_CTRL_CHAIN_CERT = 89;
const SSL_CTRL_SET_GROUPS_LIST = 92;
const SSL_CTRL_SET_MIN_PROTO_VERSION = 123;
const SSL_CTRL_SET_MAX_PROTO_VERSION = 124;
/** Of SSL_CTRL_CHAIN_CERT: OpenSSL takes a reference of its own. */
const ADD1 = 1;
const TLSEXT_NAMETYPE_HOST_NAME = 0;
const SSL_SESS_CACHE_OFF = 0;
/** The name of the key, the key of the HMAC, and the key of the cipher. */
export const TICKET_KEY_BYTES = 80;
const MAX_SESSION_ID_CONTEXT_BYTES = 32;
/** err.h and bio.h */
const BIO_CTRL_RESET = 1;
const BIO_CTRL_PENDING = 10;

/** The functions, and with them a check of the process: the first call of the table loads them. */
let loaded: OpenSslFunctions | null = null;

function functions(): OpenSslFunctions {
  if (loaded === null) {
    loaded = openSslFunctions();
    prepareHandles();
    traceOpenSsl(openssl);
  }
  return loaded;
}

/**
 * Addresses of buffers, found once. The checks of a call run first, so a buffer that was transferred or shrunk does not come here: its memory is
 * alive for as long as this object holds it.
 */
class LastAddress {
  #bytes: Uint8Array | null = null;
  #address = 0;

  of(bytes: Uint8Array): number {
    if (bytes !== this.#bytes) {
      this.#address = Number(koffi.address(bytes));
      this.#bytes = bytes;
    }
    return this.#address;
  }
}

const lastOfBioWrite = new LastAddress();
const lastOfBioRead = new LastAddress();
const lastOfSslRead = new LastAddress();
const lastOfSslWrite = new LastAddress();

/** Where BIO_nread puts the address of the bytes: always that of the pair's memory, because each read takes everything. */
const startOfNread = new BigUint64Array(1);

const sslContext = (handle: SslContext) => Handle.addressOf(handle, 'SSL_CTX');
const sslOf = (handle: Ssl) => Handle.addressOf(handle, 'SSL');
const bioOf = (handle: Bio) => Handle.addressOf(handle, 'BIO');
const pairedBioOf = (handle: BioPair['near']) => Handle.addressOf(handle, 'PAIRED_BIO');
const x509Of = (handle: X509) => Handle.addressOf(handle, 'X509');

/** Why the last call on a connection has failed. */
let failureText = '';

/** The reason of the last call that returned -SSL_ERROR_SSL. */
export function lastFailure(): string {
  return failureText;
}

function reasonOf(error: { readonly text: string } | null): string {
  return error?.text ?? 'OpenSSL names no reason';
}

/** The result of a call on a connection that returned 0 or less. SSL_get_error(3ssl) would believe errors that other code has left in the queue. */
function failure(c: OpenSslFunctions, address: number): number {
  const error = takeErrors(c);
  // SSL_want(3ssl) also says this after a failure in the middle of a record. A failure leaves an error of the SSL library.
  const want = error?.isOwn === true ? 0 : c.SSL_want(address);
  if (want === SSL_READING) return -SSL_ERROR_WANT_READ;
  if (want === SSL_WRITING) return -SSL_ERROR_WANT_WRITE;
  const isClosed = (c.SSL_get_shutdown(address) & SSL_RECEIVED_SHUTDOWN) !== 0;
  if (isClosed && error?.isOwn !== true) return -SSL_ERROR_ZERO_RETURN;
  failureText = reasonOf(error);
  return -SSL_ERROR_SSL;
}

/** Returns the result of a call that succeeds unless the program has made a mistake; throws that mistake. */
function done(c: OpenSslFunctions, what: string, result: number): number {
  if (result > 0) return result;
  throw new RangeError(`${what}: ${takeErrors(c)?.text ?? 'OpenSSL refuses it and names no reason'}`);
}

function checkBytes(bytes: Uint8Array, length: number, what: string): void {
  checkRange(bytes, 0, length);
  if (intrinsicByteLength(bytes) !== length) throw new RangeError(`${what} has ${length} bytes`);
}

/** The functions that the table has, in the order of their use. */
export const openssl = {
  // Settings of many connections: SSL_CTX.

  SSL_CTX_new(side: 'server' | 'client'): SslContext {
    const c = functions();
    const method = side === 'server' ? c.TLS_server_method() : c.TLS_client_method();
    return Handle.own('SSL_CTX', done(c, 'SSL_CTX_new', c.SSL_CTX_new(method)));
  },

  /** Connections that were made with it live on: they hold references. */
  SSL_CTX_free(context: SslContext): void {
    const c = functions();
    c.SSL_CTX_free(Handle.giveUp(context, 'SSL_CTX'));
  },

  SSL_CTX_set_options(context: SslContext, options: number): void {
    checkInteger(options, 'options');
    functions().SSL_CTX_set_options(sslContext(context), options);
  },

  SSL_CTX_set_mode(context: SslContext, mode: number): void {
    checkInteger(mode, 'mode');
    functions().SSL_CTX_ctrl(sslContext(context), SSL_CTRL_MODE, mode, 0);
  },

  SSL_CTX_set_min_proto_version(context: SslContext, version: number): void {
    setNumber(context, SSL_CTRL_SET_MIN_PROTO_VERSION, version, 'the lowest version');
  },

  SSL_CTX_set_max_proto_version(context: SslContext, version: number): void {
    setNumber(context, SSL_CTRL_SET_MAX_PROTO_VERSION, version, 'the highest version');
  },

  /** SSL_CTX_set_session_cache_mode(SSL_SESS_CACHE_OFF): a session lives in the ticket that the client keeps. */
  SSL_CTX_set_session_cache_off(context: SslContext): void {
    functions().SSL_CTX_ctrl(sslContext(context), SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, 0);
  },

  SSL_CTX_set_session_id_context(context: SslContext, bytes: Uint8Array): void {
    const c = functions();
    const length = intrinsicByteLength(bytes);
    checkRange(bytes, 0, Math.min(length, MAX_SESSION_ID_CONTEXT_BYTES));
    done(c, 'sessions', c.SSL_CTX_set_session_id_context(sslContext(context), bytes, length));
  },

  /** For TLS 1.2. */
  SSL_CTX_set_cipher_list(context: SslContext, ciphers: string): void {
    const c = functions();
    checkString(ciphers);
    done(c, `ciphers '${ciphers}'`, c.SSL_CTX_set_cipher_list(sslContext(context), ciphers));
  },

  /** For TLS 1.3. */
  SSL_CTX_set_ciphersuites(context: SslContext, suites: string): void {
    const c = functions();
    checkString(suites);
    done(c, `ciphers '${suites}'`, c.SSL_CTX_set_ciphersuites(sslContext(context), suites));
  },

  SSL_CTX_set1_groups_list(context: SslContext, groups: string): void {
    const c = functions();
    checkString(groups);
    const result = c.SSL_CTX_ctrl_text(sslContext(context), SSL_CTRL_SET_GROUPS_LIST, 0, groups);
    if (result > 0) return;
    takeErrors(c); // the text of it depends on the version, and says nothing about groups
    throw new RangeError(`groups '${groups}': OpenSSL does not know all of these groups`);
  },

  SSL_CTX_set_tlsext_ticket_keys(context: SslContext, keys: Uint8Array): void {
    const c = functions();
    checkBytes(keys, TICKET_KEY_BYTES, 'a ticket key');
    const address = sslContext(context);
    done(c, 'ticketKeys', c.SSL_CTX_ctrl_bytes(address, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, TICKET_KEY_BYTES, keys));
  },

  /** OpenSSL keeps one certificate for each kind of key. The calls for chain and key refer to the last one. */
  SSL_CTX_use_certificate(context: SslContext, certificate: X509): void {
    const c = functions();
    done(c, 'cert', c.SSL_CTX_use_certificate(sslContext(context), x509Of(certificate)));
  },

  SSL_CTX_clear_chain_certs(context: SslContext): void {
    functions().SSL_CTX_ctrl(sslContext(context), SSL_CTRL_CHAIN, 0, 0);
  },

  SSL_CTX_add1_chain_cert(context: SslContext, certificate: X509): void {
    const c = functions();
    done(c, 'cert', c.SSL_CTX_ctrl(sslContext(context), SSL_CTRL_CHAIN_CERT, ADD1, x509Of(certificate)));
  },

  /** Throws if the key does not belong to the last certificate. */
  SSL_CTX_use_PrivateKey(context: SslContext, key: EvpPkey): void {
    const c = functions();
    done(c, 'key', c.SSL_CTX_use_PrivateKey(sslContext(context), Handle.addressOf(key, 'EVP_PKEY')));
    // A key of another kind would be kept beside the certificate.
    done(c, 'key', c.SSL_CTX_check_private_key(sslContext(context)));
  },

  SSL_CTX_set_verify(context: SslContext, mode: number): void {
    checkInteger(mode, 'mode');
    functions().SSL_CTX_set_verify(sslContext(context), mode, 0);
  },

  /** Trusts a certificate: the peer's may be signed with it. X509_STORE_add_cert on SSL_CTX_get_cert_store. */
  SSL_CTX_trust(context: SslContext, certificate: X509): void {
    const c = functions();
    done(c, 'ca', c.X509_STORE_add_cert(c.SSL_CTX_get_cert_store(sslContext(context)), x509Of(certificate)));
  },

  /** Names an authority in the request for a client's certificate. */
  SSL_CTX_add_client_CA(context: SslContext, certificate: X509): void {
    const c = functions();
    done(c, 'ca', c.SSL_CTX_add_client_CA(sslContext(context), x509Of(certificate)));
  },

  /** SSL_CTX_set_alpn_select_cb with a function that selects http/1.1, and refuses offers without it (machine-code.ts). */
  SSL_CTX_select_http11(context: SslContext): void {
    functions().SSL_CTX_set_alpn_select_cb(sslContext(context), http11Selector(), 0);
  },

  /** SSL_CTX_set_keylog_callback with a function that appends each line, without an end of line, to the one BIO of this thread. */
  SSL_CTX_log_keys(context: SslContext): void {
    keyLogBio ??= openssl.BIO_new_mem();
    keyLogFunction ??= keyLogWriter(bioOf(keyLogBio));
    functions().SSL_CTX_set_keylog_callback(sslContext(context), keyLogFunction);
  },

  /** What was logged since the last call. */
  takeKeyLog(): string {
    return keyLogBio === null ? '' : readAll(keyLogBio).toString('latin1');
  },

  // Certificates and keys.

  /** The next certificate of a memory BIO with PEM; null if there is none. */
  PEM_read_bio_X509(bio: Bio, passphrase: string): X509 | null {
    const c = functions();
    checkString(passphrase);
    // Without a passphrase OpenSSL would ask for it on the terminal, and wait.
    const address = c.PEM_read_bio_X509(bioOf(bio), 0, 0, passphrase);
    if (address !== 0) return Handle.own('X509', address);
    const error = takeErrors(c);
    if (error === null || error.text === NO_BLOCK) return null;
    throw new RangeError(`cert: ${error.text}`);
  },

  PEM_read_bio_PrivateKey(bio: Bio, passphrase: string): EvpPkey {
    const c = functions();
    checkString(passphrase);
    const address = c.PEM_read_bio_PrivateKey(bioOf(bio), 0, 0, passphrase);
    if (address !== 0) return Handle.own('EVP_PKEY', address);
    const text = reasonOf(takeErrors(c));
    if (passphrase === '' && text === WRONG_PASSPHRASE)
      throw new RangeError('key: it is encrypted, and there is no passphrase');
    throw new RangeError(`key: ${text === 'unsupported' ? 'there is no key in it that OpenSSL can read' : text}`);
  },

  /** The certificate as DER. */
  i2d_X509(certificate: X509): Buffer {
    const c = functions();
    const bio = openssl.BIO_new_mem();
    try {
      done(c, 'certificate', c.i2d_X509_bio(bioOf(bio), x509Of(certificate)));
      return readAll(bio);
    } finally {
      openssl.BIO_free(bio);
    }
  },

  X509_free(certificate: X509): void {
    functions().X509_free(Handle.giveUp(certificate, 'X509'));
  },

  EVP_PKEY_free(key: EvpPkey): void {
    functions().EVP_PKEY_free(Handle.giveUp(key, 'EVP_PKEY'));
  },

  // BIOs: memory that is written and read. Reading an empty one returns -1.

  BIO_new_mem(): Bio {
    const c = functions();
    return Handle.own('BIO', done(c, 'BIO_new', c.BIO_new(c.BIO_s_mem())));
  },

  BIO_free(bio: Bio): void {
    functions().BIO_free(Handle.giveUp(bio, 'BIO'));
  },

  BIO_write(bio: Bio, bytes: Uint8Array, offset: number, length: number): number {
    checkRange(bytes, offset, length);
    return functions().BIO_write(bioOf(bio), lastOfBioWrite.of(bytes) + offset, length);
  },

  BIO_read(bio: Bio, bytes: Uint8Array, offset: number, length: number): number {
    checkRange(bytes, offset, length);
    return functions().BIO_read(bioOf(bio), lastOfBioRead.of(bytes) + offset, length);
  },

  /** Two BIOs: what is written to `near` is read from `far`. The pair holds `byteLength` bytes at most. */
  BIO_new_bio_pair(byteLength: number): BioPair {
    const c = functions();
    checkInteger(byteLength, 'byteLength');
    const [near, far, start] = [new BigUint64Array(1), new BigUint64Array(1), new BigUint64Array(1)];
    done(c, 'BIO_new_bio_pair', c.BIO_new_bio_pair(near, byteLength, far, 1));
    const writer = Number(near[0]);
    const room = c.BIO_nwrite0(writer, start);
    const memory = new Uint8Array(koffi.view(start[0] as bigint, room));
    preventTransfer(memory.buffer); // a stream of the program gets it, and could transfer it with postMessage
    return { near: Handle.own('PAIRED_BIO', writer), far: Handle.own('PAIRED_BIO', Number(far[0])), memory };
  },

  /** Takes what the pair holds. Returns how many bytes: they are the first ones of its memory, until the next write. */
  BIO_nread(pair: BioPair): number {
    return Math.max(0, functions().BIO_nread(pairedBioOf(pair.far), startOfNread, pair.memory.length));
  },

  BIO_ctrl_pending(bio: Bio): number {
    return functions().BIO_ctrl(bioOf(bio), BIO_CTRL_PENDING, 0, 0);
  },

  BIO_reset(bio: Bio): void {
    functions().BIO_ctrl(bioOf(bio), BIO_CTRL_RESET, 0, 0);
  },

  // One connection: SSL.

  SSL_new(context: SslContext): Ssl {
    const c = functions();
    return Handle.own('SSL', done(c, 'SSL_new', c.SSL_new(sslContext(context))));
  },

  SSL_free(ssl: Ssl): void {
    functions().SSL_free(Handle.giveUp(ssl, 'SSL'));
  },

  /** The connection reads from a BIO and writes to a pair. It holds a reference to each, beside that of their owner. */
  SSL_set_bio(ssl: Ssl, input: Bio, output: BioPair): void {
    const c = functions();
    const [address, reader, writer] = [sslOf(ssl), bioOf(input), pairedBioOf(output.near)];
    c.BIO_up_ref(reader);
    c.BIO_up_ref(writer);
    c.SSL_set_bio(address, reader, writer);
  },

  SSL_set_accept_state(ssl: Ssl): void {
    functions().SSL_set_accept_state(sslOf(ssl));
  },

  SSL_set_connect_state(ssl: Ssl): void {
    functions().SSL_set_connect_state(sslOf(ssl));
  },

  /** The name that a client asks for. */
  SSL_set_tlsext_host_name(ssl: Ssl, name: string): void {
    const c = functions();
    checkString(name);
    const result = c.SSL_ctrl_text(sslOf(ssl), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_HOST_NAME, name);
    done(c, `server name '${name}'`, result);
  },

  /** 1 when the handshake is complete. */
  SSL_do_handshake(ssl: Ssl): number {
    const c = functions();
    const address = sslOf(ssl);
    const result = c.SSL_do_handshake(address);
    return result > 0 ? result : failure(c, address);
  },

  SSL_read(ssl: Ssl, bytes: Uint8Array, offset: number, length: number): number {
    checkRange(bytes, offset, length);
    const c = functions();
    const address = sslOf(ssl);
    const result = c.SSL_read(address, lastOfSslRead.of(bytes) + offset, length);
    return result > 0 ? result : failure(c, address);
  },

  SSL_write(ssl: Ssl, bytes: Uint8Array, offset: number, length: number): number {
    checkRange(bytes, offset, length);
    const c = functions();
    const address = sslOf(ssl);
    const result = c.SSL_write(address, lastOfSslWrite.of(bytes) + offset, length);
    return result > 0 ? result : failure(c, address);
  },

  /** Writes close_notify. 0: that of the peer has not come. */
  SSL_shutdown(ssl: Ssl): number {
    const c = functions();
    const address = sslOf(ssl);
    const result = c.SSL_shutdown(address);
    return result >= 0 ? result : failure(c, address);
  },

  /** The next write changes the keys first (TLS 1.3), and asks the peer to do the same. */
  SSL_key_update(ssl: Ssl): void {
    const c = functions();
    done(c, 'SSL_key_update', c.SSL_key_update(sslOf(ssl), SSL_KEY_UPDATE_REQUESTED));
  },

  SSL_get_version(ssl: Ssl): string {
    return functions().SSL_get_version(sslOf(ssl)) as string; // of any connection it has a text
  },

  /** The name of the cipher; empty before there is one. */
  SSL_get_cipher_name(ssl: Ssl): string {
    const c = functions();
    const cipher = c.SSL_get_current_cipher(sslOf(ssl));
    return cipher === 0 ? '' : (c.SSL_CIPHER_get_name(cipher) as string);
  },

  SSL_session_reused(ssl: Ssl): boolean {
    return functions().SSL_session_reused(sslOf(ssl)) === 1;
  },

  /** Whether the two sides have agreed on a protocol (ALPN). Ours can only be http/1.1. */
  SSL_has_alpn(ssl: Ssl): boolean {
    const pointer = new BigUint64Array(1);
    const length = new Uint32Array(1);
    functions().SSL_get0_alpn_selected(sslOf(ssl), pointer, length);
    return length[0] !== 0;
  },

  SSL_get1_peer_certificate(ssl: Ssl): X509 | null {
    const address = functions().SSL_get1_peer_certificate(sslOf(ssl));
    return address === 0 ? null : Handle.own('X509', address);
  },
};

export type OpenSsl = typeof openssl;

/** All connections of this thread log to one BIO: it is emptied after each call that may log. */
let keyLogBio: Bio | null = null;
let keyLogFunction: number | null = null;

function setNumber(context: SslContext, command: number, value: number, what: string): void {
  const c = functions();
  checkInteger(value, what);
  done(c, `${what} ${value}`, c.SSL_CTX_ctrl(sslContext(context), command, value, 0));
}

function readAll(bio: Bio): Buffer {
  const length = openssl.BIO_ctrl_pending(bio);
  const bytes = Buffer.alloc(length);
  if (length > 0) openssl.BIO_read(bio, bytes, 0, length);
  return bytes;
}
