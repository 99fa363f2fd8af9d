/**
 * TlsContext: what all connections of a server share: certificates and keys, versions, ciphers, and the key of the session tickets.
 *
 * For each server name there is one SSL_CTX of OpenSSL. They differ in their certificates, and in nothing else. `replace` makes new ones; a connection holds a reference to the
 * one that it began with.
 *
 * A session ticket is the state of a session, encrypted with the ticket key, and the client keeps it. So whoever gets that key can read recorded traffic of
 * TLS 1.2. Therefore a context makes a new key now and then. There is only one at a time: a ticket of an older key costs a full handshake.
 *
 * It has no OCSP, no compression and no renegotiation.
 *
 * Next: tls-records.ts
 */

import { createHash, randomBytes } from 'node:crypto';
import { ChosenContexts } from './chosen-contexts.ts';
import {
  type Bio,
  type EvpPkey,
  openssl,
  SSL_MODE_NO_AUTO_CHAIN,
  SSL_MODE_RELEASE_BUFFERS,
  SSL_OP_CIPHER_SERVER_PREFERENCE,
  SSL_OP_NO_COMPRESSION,
  SSL_OP_NO_RENEGOTIATION,
  SSL_OP_PRIORITIZE_CHACHA,
  SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
  SSL_VERIFY_PEER,
  type SslContext,
  TICKET_KEY_BYTES,
  TLS1_2_VERSION,
  TLS1_3_VERSION,
  type X509,
} from './openssl.ts';
import { ServerNames } from './server-names.ts';
import { prepareConnections } from './ssl-connection.ts';
import type { ChooseCertificate, Pem, TlsCertificate, TlsOptions } from './tls-options.ts';

/** Of TLS 1.2 only what TLS 1.3 would accept as well: forward secrecy, and a cipher that authenticates. */
const CIPHERS_OF_TLS_1_2 = 'ECDHE+AESGCM:ECDHE+CHACHA20';

/** RFC 8446 section 4.6.1 allows a ticket seven days. A key that is used for hours limits what its loss reveals. */
const TICKET_KEY_MS = 8 * 3_600_000;

const versions = { 'TLSv1.2': TLS1_2_VERSION, 'TLSv1.3': TLS1_3_VERSION } as const;

/** What was made of one object of options. */
interface Settings {
  readonly options: TlsOptions;
  readonly fallback: SslContext;
  readonly named: ServerNames<SslContext>;
  /** Those of certificates that a function has chosen. */
  readonly chosen: ChosenContexts;
  /** All others. */
  readonly fixed: readonly SslContext[];
  ticketKeys: Uint8Array;
}

/** All contexts, to set ticket keys and to free them. */
const allOf = ({ fixed, chosen }: Settings): Iterable<SslContext> => [...fixed, ...chosen.all()];

/**
 * Certificates and settings for `acceptTls`. Made by `createTlsContext`.
 *
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { createTlsContext, type TlsContext } from 'simplenet';
 *
 * const read = () => ({ cert: readFileSync('cert.pem'), key: readFileSync('key.pem') });
 * const context: TlsContext = createTlsContext(read());
 * process.on('SIGHUP', () => context.replace(read())); // a renewed certificate
 * ```
 */
export class TlsContext {
  #settings: Settings;
  #isClosed = false;
  /** When this context has made the ticket key. Infinity if the program gave it. */
  #ticketKeyAt: number;

  /** @internal */
  constructor(options: TlsOptions) {
    this.#settings = makeSettings(options);
    prepareConnections();
    this.#ticketKeyAt = firstKeyAt(options);
  }

  /**
   * New connections use these options. Connections that are open go on with the old ones. Throws for a mistake in the options, and then changes nothing.
   */
  replace(options: TlsOptions): void {
    this.#checkOpen();
    const old = this.#settings;
    this.#settings = makeSettings(options);
    for (const context of allOf(old)) openssl.SSL_CTX_free(context);
    this.#ticketKeyAt = firstKeyAt(options);
  }

  /** Encrypts tickets with this key from now on; without an argument, with a new random one. */
  setTicketKeys(keys?: Uint8Array): void {
    this.#checkOpen();
    const used = keys === undefined ? randomBytes(TICKET_KEY_BYTES) : Uint8Array.from(keys);
    for (const context of allOf(this.#settings)) openssl.SSL_CTX_set_tlsext_ticket_keys(context, used);
    this.#settings.ticketKeys = used;
    this.#ticketKeyAt = keys === undefined ? performance.now() : Number.POSITIVE_INFINITY;
  }

  /** Gives its memory back. Connections that are open go on; no new one is possible. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const context of allOf(this.#settings)) openssl.SSL_CTX_free(context);
  }

  /**
   * What the program gave.
   * @internal
   */
  get options(): TlsOptions {
    return this.#settings.options;
  }

  /**
   * What the function of the program chooses for a name, and throws; null if there is none.
   * @internal
   */
  choose(serverName: string | null): ReturnType<ChooseCertificate> {
    const { serverNames } = this.#settings.options;
    return typeof serverNames === 'function' && serverName !== null ? serverNames(serverName) : null;
  }

  /**
   * The settings for a new connection, and a certificate that was chosen. Throws RangeError if that cannot be used.
   * @internal
   */
  contextFor(serverName: string | null, certificate: TlsCertificate | null = null): SslContext {
    this.#checkOpen();
    const { options, named, chosen, fallback } = this.#settings;
    if (performance.now() - this.#ticketKeyAt > (options.ticketKeyMs ?? TICKET_KEY_MS)) this.setTicketKeys();
    if (certificate !== null) return chosen.of(certificate);
    return (serverName === null ? null : named.find(serverName)) ?? fallback;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new Error('this TLS context is closed');
  }
}

/**
 * Reads certificates and keys, and makes the settings of a TLS server. Throws RangeError with a sentence if something does not fit together.
 *
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { acceptTls, createEventLoop, createTlsContext } from 'simplenet';
 *
 * const context = createTlsContext({ cert: readFileSync('cert.pem'), key: readFileSync('key.pem') });
 * const echo = acceptTls(context, () => ({ onData: (stream, bytes) => stream.write(bytes) }));
 * createEventLoop().listen({ address: '127.0.0.1', port: 8443 }, echo);
 * ```
 */
export function createTlsContext(options: TlsOptions): TlsContext {
  return new TlsContext(options);
}

/** The settings of a client that verifies nothing, for tests of servers. */
export function createClientContext(
  settings: { readonly minVersion?: keyof typeof versions; readonly maxVersion?: keyof typeof versions } = {},
): SslContext {
  const context = openssl.SSL_CTX_new('client');
  openssl.SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  openssl.SSL_CTX_set_min_proto_version(context, versions[settings.minVersion ?? 'TLSv1.2']);
  openssl.SSL_CTX_set_max_proto_version(context, versions[settings.maxVersion ?? 'TLSv1.3']);
  return context;
}

function firstKeyAt({ ticketKeys }: TlsOptions): number {
  return ticketKeys === undefined ? performance.now() : Number.POSITIVE_INFINITY;
}

const isText = (value: unknown) => typeof value === 'string';

/** A Map or an array would be an object without names, and so without certificates. */
const isNamesOrFunction = (value: unknown) =>
  typeof value === 'function' || (typeof value === 'object' && value !== null && !(Symbol.iterator in value));

/** What an option must be. Certificates, keys and names are judged where they are read. */
const optionChecks: readonly (readonly [keyof TlsOptions, (value: unknown) => boolean, string])[] = [
  ['serverNames', isNamesOrFunction, 'an object with a certificate for each name, or a function'],
  ['minVersion', (value) => isText(value) && Object.hasOwn(versions, value as string), "'TLSv1.2' or 'TLSv1.3'"],
  ['ciphers', isText, 'a text such as TLS_AES_128_GCM_SHA256:ECDHE+AESGCM'],
  ['groups', isText, 'a text such as X25519:P-256'],
  // With any other text, clients without a certificate would be let in.
  [
    'requestClientCertificate',
    (value) => [true, false, 'require'].includes(value as string),
    "true, false or 'require'",
  ],
  [
    'ticketKeys',
    (value) => value instanceof Uint8Array && value.length === TICKET_KEY_BYTES,
    `a Uint8Array of ${TICKET_KEY_BYTES} bytes`,
  ],
  ['ticketKeyMs', (value) => typeof value === 'number' && value >= 0, 'a number of milliseconds'],
  ['onKeyLog', (value) => typeof value === 'function', 'a function'],
];

function checkOptions(options: TlsOptions): void {
  for (const [name, isValid, expected] of optionChecks) {
    const value: unknown = options[name];
    if (value === undefined || isValid(value)) continue;
    const given = name === 'ticketKeys' ? 'what was given' : String(value); // the text of a key would be a secret
    throw new RangeError(`tls.${name} must be ${expected}, not ${given}`);
  }
}

function makeSettings(options: TlsOptions): Settings {
  checkOptions(options);
  const fixed: SslContext[] = [];
  // A copy: the program may clear its own, and contexts of certificates that are chosen later need it.
  const ticketKeys = Uint8Array.from(options.ticketKeys ?? randomBytes(TICKET_KEY_BYTES));
  const { serverNames = {} } = options;
  const makeFixed = (certificate: TlsCertificate, name: string): SslContext => {
    const context = makeContext(options, certificate, ticketKeys, name);
    fixed.push(context);
    return context;
  };
  try {
    const fallback = makeFixed(options, 'tls');
    const entries = typeof serverNames === 'function' ? [] : Object.entries(serverNames);
    const named = new ServerNames(
      entries.map(([name, certificate]) => [name, makeFixed(certificate, `tls.serverNames['${name}']`)] as const),
    );
    const chosen = new ChosenContexts((certificate) =>
      makeContext(options, certificate, settings.ticketKeys, 'what tls.serverNames has returned'),
    );
    const settings: Settings = { options, fallback, named, chosen, fixed, ticketKeys };
    return settings;
  } catch (error) {
    for (const context of fixed) openssl.SSL_CTX_free(context);
    throw error;
  }
}

function makeContext(options: TlsOptions, certificate: TlsCertificate, keys: Uint8Array, name: string): SslContext {
  const context = openssl.SSL_CTX_new('server');
  try {
    configure(context, options);
    openssl.SSL_CTX_set_tlsext_ticket_keys(context, keys);
    useCertificates(context, certificate, name);
    return context;
  } catch (error) {
    openssl.SSL_CTX_free(context);
    throw error;
  }
}

function configure(context: SslContext, options: TlsOptions): void {
  openssl.SSL_CTX_set_min_proto_version(context, versions[options.minVersion ?? 'TLSv1.2']);
  openssl.SSL_CTX_set_options(
    context,
    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA,
  );
  // A chain is what the program gave, and nothing that OpenSSL finds among the authorities for clients.
  openssl.SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  openssl.SSL_CTX_set_session_cache_off(context);
  setCiphers(context, options.ciphers);
  if (options.groups !== undefined)
    describing('tls.groups', () => openssl.SSL_CTX_set1_groups_list(context, options.groups as string));
  openssl.SSL_CTX_select_http11(context);
  if (options.onKeyLog !== undefined) openssl.SSL_CTX_log_keys(context);
  requestCertificates(context, options);
}

function setCiphers(context: SslContext, ciphers: string | undefined): void {
  const names = ciphers?.split(':') ?? [];
  const suites = names.filter((name) => name.startsWith('TLS_'));
  const others = names.filter((name) => !name.startsWith('TLS_'));
  describing('tls.ciphers', () => {
    if (suites.length > 0) openssl.SSL_CTX_set_ciphersuites(context, suites.join(':'));
    openssl.SSL_CTX_set_cipher_list(context, others.length > 0 ? others.join(':') : CIPHERS_OF_TLS_1_2);
  });
}

function requestCertificates(context: SslContext, options: TlsOptions): void {
  const { requestClientCertificate: request = false, ca = [] } = options;
  const authorities = listOf(ca);
  // A session continues without a look at certificates. So a ticket of other rules must not continue one.
  const rules = createHash('sha256').update(String(request));
  for (const pem of authorities) {
    checkPem(pem, 'tls.ca');
    rules.update(pem);
  }
  openssl.SSL_CTX_set_session_id_context(context, rules.digest());
  if (request === false) return;
  if (authorities.length === 0) {
    throw new RangeError(
      'tls.requestClientCertificate needs tls.ca: the authorities that may have signed the certificates',
    );
  }
  openssl.SSL_CTX_set_verify(
    context,
    request === 'require' ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_PEER,
  );
  for (const pem of authorities) {
    withCertificates(pem, '', 'tls.ca', (certificates) => {
      for (const certificate of certificates) {
        openssl.SSL_CTX_trust(context, certificate);
        openssl.SSL_CTX_add_client_CA(context, certificate);
      }
    });
  }
}

function useCertificates(context: SslContext, certificate: TlsCertificate, name: string): void {
  const certs = listOf(certificate.cert);
  const keys = listOf(certificate.key);
  if (certs.length === 0 || certs.length !== keys.length) {
    throw new RangeError(
      `${name}: there must be a key for each certificate, not ${certs.length} of cert and ${keys.length} of key`,
    );
  }
  const passphrase = certificate.passphrase ?? '';
  if (typeof passphrase !== 'string' || passphrase.includes('\0'))
    throw new RangeError(`${name}.passphrase must be a text without NUL`);
  for (const [i, cert] of certs.entries()) {
    let advice = '';
    withCertificates(cert, passphrase, `${name}.cert`, ([first, ...chain]) => {
      describing(`${name}.cert`, () => openssl.SSL_CTX_use_certificate(context, first as X509));
      openssl.SSL_CTX_clear_chain_certs(context);
      for (const next of chain) openssl.SSL_CTX_add1_chain_cert(context, next);
      if (chain.length > 0) advice = ', which is the first one of the chain';
    });
    useKey(context, keys[i] as Pem, passphrase, `${name}.key`, advice);
  }
}

/** `advice`: what to say about the certificate if the key does not belong to it. The certificates of a chain are often in the wrong order. */
function useKey(context: SslContext, pem: Pem, passphrase: string, name: string, advice: string): void {
  let key: EvpPkey | null = null;
  withMemory(pem, name, (bio) =>
    describing(name, () => {
      key = openssl.PEM_read_bio_PrivateKey(bio, passphrase);
    }),
  );
  const read = key as EvpPkey | null;
  /* c8 ignore next -- it has thrown */
  if (read === null) return;
  try {
    describing(name, () => openssl.SSL_CTX_use_PrivateKey(context, read), advice);
  } finally {
    openssl.EVP_PKEY_free(read);
  }
}

/** Calls `use` with all certificates of a PEM file, and frees them: OpenSSL has its own references to those that were used. */
function withCertificates(
  pem: Pem,
  passphrase: string,
  name: string,
  use: (certificates: readonly X509[]) => void,
): void {
  const certificates: X509[] = [];
  try {
    withMemory(pem, name, (bio) =>
      describing(name, () => {
        for (;;) {
          const certificate = openssl.PEM_read_bio_X509(bio, passphrase);
          if (certificate === null) break;
          certificates.push(certificate);
        }
      }),
    );
    if (certificates.length === 0) throw new RangeError(`${name}: there is no certificate in it: it must be PEM`);
    use(certificates);
  } finally {
    for (const certificate of certificates) openssl.X509_free(certificate);
  }
}

function checkPem(pem: Pem, name: string): void {
  if (typeof pem === 'string' || pem instanceof Uint8Array) return;
  throw new TypeError(`${name} must be the text or the bytes of a PEM file, not ${typeof pem}`);
}

function withMemory(pem: Pem, name: string, use: (bio: Bio) => void): void {
  checkPem(pem, name);
  const bytes = Buffer.from(pem);
  const bio = openssl.BIO_new_mem();
  try {
    if (bytes.length > 0) openssl.BIO_write(bio, bytes, 0, bytes.length);
    use(bio);
  } finally {
    openssl.BIO_free(bio);
    bytes.fill(0); // it may be a key
  }
}

/** Runs `action`. An error gets the name of the option in front: 'tls.key: the key does not belong to the certificate'. */
function describing(name: string, action: () => void, advice = ''): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const message = error.message.replace(/^[a-z]+: /, '').replace('the certificate', `the certificate${advice}`);
    throw new RangeError(`${name}: ${message}`);
  }
}

function listOf<T extends Pem>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}
