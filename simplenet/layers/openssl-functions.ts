/**
 * The C functions of OpenSSL that koffi calls: their prototypes. They check nothing: openssl.ts checks all arguments.
 *
 * Every Node carries OpenSSL and exports its functions, so nothing is installed or linked. A Node of a Linux distribution links the
 * system's libssl, with the same names. The functions are looked up when TLS is used for the first time, because a program without TLS
 * should not pay for that, and should not fail where OpenSSL is missing.
 *
 * A pointer is a number here. Addresses of programs have 47 bits on x64 and 48 on arm64, so a number holds them, and it costs less than a BigInt.
 *
 * Next: openssl-handles.ts
 */

import { koffi } from '../kernel/ffi.ts';

/** OPENSSL_VERSION_NUMBER of the first release whose functions and error texts we know. */
const OPENSSL_3 = 0x3000_0000;

const symbols = koffi.load(null);

export function declare<Arguments extends unknown[], Result>(
  name: string,
  result: string,
  parameters: readonly string[],
): (...args: Arguments) => Result {
  try {
    return symbols.func(name, result, [...parameters]) as unknown as (...args: Arguments) => Result;
  } catch (cause) {
    throw new Error(
      `TLS needs OpenSSL 3 as Node carries it, and this process has no function ${name}: another library (BoringSSL, ` +
        'LibreSSL) may stand in its place. The rest of simplenet works without TLS.',
      { cause },
    );
  }
}

type Int = (...args: number[]) => number;
type Text = (...args: number[]) => string | null;
type Void = (...args: number[]) => void;

const POINTER = 'int64';

function declareAll() {
  const int: (name: string, ...parameters: string[]) => Int = (name, ...parameters) => declare(name, 'int', parameters);
  const pointer: (name: string, ...parameters: string[]) => Int = (name, ...parameters) =>
    declare(name, POINTER, parameters);
  const text: (name: string, ...parameters: string[]) => Text = (name, ...parameters) =>
    declare(name, 'const char *', parameters);
  const action: (name: string, ...parameters: string[]) => Void = (name, ...parameters) =>
    declare(name, 'void', parameters);
  return {
    OpenSSL_version_num: declare<[], number>('OpenSSL_version_num', 'ulong', []),

    // The queue of errors, one for each thread.
    ERR_get_error: declare<[], number>('ERR_get_error', 'ulong', []),
    ERR_clear_error: action('ERR_clear_error'),
    ERR_reason_error_string: text('ERR_reason_error_string', 'ulong'),

    // Settings of many connections.
    TLS_server_method: pointer('TLS_server_method'),
    TLS_client_method: pointer('TLS_client_method'),
    SSL_CTX_new: pointer('SSL_CTX_new', POINTER),
    SSL_CTX_free: action('SSL_CTX_free', POINTER),
    SSL_CTX_ctrl: declare<[number, number, number, number], number>('SSL_CTX_ctrl', 'int64', [
      POINTER,
      'int',
      'int64',
      POINTER,
    ]),
    SSL_CTX_ctrl_text: declare<[number, number, number, string], number>('SSL_CTX_ctrl', 'int64', [
      POINTER,
      'int',
      'int64',
      'const char *',
    ]),
    SSL_CTX_ctrl_bytes: declare<[number, number, number, Uint8Array], number>('SSL_CTX_ctrl', 'int64', [
      POINTER,
      'int',
      'int64',
      'void *',
    ]),
    SSL_CTX_set_options: declare<[number, number], number>('SSL_CTX_set_options', 'uint64', [POINTER, 'uint64']),
    SSL_CTX_set_ciphersuites: declare<[number, string], number>('SSL_CTX_set_ciphersuites', 'int', [
      POINTER,
      'const char *',
    ]),
    SSL_CTX_set_cipher_list: declare<[number, string], number>('SSL_CTX_set_cipher_list', 'int', [
      POINTER,
      'const char *',
    ]),
    SSL_CTX_use_certificate: int('SSL_CTX_use_certificate', POINTER, POINTER),
    SSL_CTX_use_PrivateKey: int('SSL_CTX_use_PrivateKey', POINTER, POINTER),
    SSL_CTX_check_private_key: int('SSL_CTX_check_private_key', POINTER),
    SSL_CTX_set_session_id_context: declare<[number, Uint8Array, number], number>(
      'SSL_CTX_set_session_id_context',
      'int',
      [POINTER, 'void *', 'uint32'],
    ),
    SSL_CTX_set_verify: action('SSL_CTX_set_verify', POINTER, 'int', POINTER),
    SSL_CTX_get_cert_store: pointer('SSL_CTX_get_cert_store', POINTER),
    SSL_CTX_add_client_CA: int('SSL_CTX_add_client_CA', POINTER, POINTER),
    SSL_CTX_set_alpn_select_cb: action('SSL_CTX_set_alpn_select_cb', POINTER, POINTER, POINTER),
    SSL_CTX_set_keylog_callback: action('SSL_CTX_set_keylog_callback', POINTER, POINTER),

    // Certificates and keys.
    PEM_read_bio_X509: declare<[number, number, number, string], number>('PEM_read_bio_X509', POINTER, [
      POINTER,
      POINTER,
      POINTER,
      'const char *',
    ]),
    PEM_read_bio_PrivateKey: declare<[number, number, number, string], number>('PEM_read_bio_PrivateKey', POINTER, [
      POINTER,
      POINTER,
      POINTER,
      'const char *',
    ]),
    X509_STORE_add_cert: int('X509_STORE_add_cert', POINTER, POINTER),
    X509_free: action('X509_free', POINTER),
    EVP_PKEY_free: action('EVP_PKEY_free', POINTER),
    i2d_X509_bio: int('i2d_X509_bio', POINTER, POINTER),

    // Memory that reads and writes like a file.
    BIO_s_mem: pointer('BIO_s_mem'),
    BIO_new: pointer('BIO_new', POINTER),
    BIO_free: int('BIO_free', POINTER),
    BIO_up_ref: int('BIO_up_ref', POINTER),
    BIO_write: int('BIO_write', POINTER, POINTER, 'int'),
    BIO_read: int('BIO_read', POINTER, POINTER, 'int'),
    BIO_new_bio_pair: declare<[BigUint64Array, number, BigUint64Array, number], number>('BIO_new_bio_pair', 'int', [
      'void *',
      'size_t',
      'void *',
      'size_t',
    ]),
    BIO_nwrite0: declare<[number, BigUint64Array], number>('BIO_nwrite0', 'int', [POINTER, 'void *']),
    BIO_nread: declare<[number, BigUint64Array, number], number>('BIO_nread', 'int', [POINTER, 'void *', 'int']),
    BIO_ctrl: declare<[number, number, number, number], number>('BIO_ctrl', 'int64', [
      POINTER,
      'int',
      'int64',
      POINTER,
    ]),

    // One connection.
    SSL_new: pointer('SSL_new', POINTER),
    SSL_free: action('SSL_free', POINTER),
    SSL_set_bio: action('SSL_set_bio', POINTER, POINTER, POINTER),
    SSL_set_accept_state: action('SSL_set_accept_state', POINTER),
    SSL_set_connect_state: action('SSL_set_connect_state', POINTER),
    SSL_ctrl_text: declare<[number, number, number, string], number>('SSL_ctrl', 'int64', [
      POINTER,
      'int',
      'int64',
      'const char *',
    ]),
    SSL_do_handshake: int('SSL_do_handshake', POINTER),
    SSL_read: int('SSL_read', POINTER, POINTER, 'int'),
    SSL_write: int('SSL_write', POINTER, POINTER, 'int'),
    SSL_shutdown: int('SSL_shutdown', POINTER),
    SSL_want: int('SSL_want', POINTER),
    SSL_get_shutdown: int('SSL_get_shutdown', POINTER),
    SSL_key_update: int('SSL_key_update', POINTER, 'int'),
    SSL_get_version: text('SSL_get_version', POINTER),
    SSL_get_current_cipher: pointer('SSL_get_current_cipher', POINTER),
    SSL_CIPHER_get_name: text('SSL_CIPHER_get_name', POINTER),
    SSL_session_reused: int('SSL_session_reused', POINTER),
    SSL_get0_alpn_selected: declare<[number, BigUint64Array, Uint32Array], void>('SSL_get0_alpn_selected', 'void', [
      POINTER,
      'void *',
      'void *',
    ]),
    SSL_get1_peer_certificate: pointer('SSL_get1_peer_certificate', POINTER),
  };
}

export type OpenSslFunctions = ReturnType<typeof declareAll>;

let functions: OpenSslFunctions | null = null;

/** The functions of this process. Throws one sentence if its OpenSSL is another one. */
export function openSslFunctions(): OpenSslFunctions {
  if (functions !== null) return functions;
  const all = declareAll();
  checkOpenSslVersion(all.OpenSSL_version_num());
  functions = all;
  return all;
}

export function checkOpenSslVersion(version: number): void {
  if (version >= OPENSSL_3) return;
  throw new Error(
    `TLS needs OpenSSL 3, and this process has version 0x${version.toString(16)}. Every Node from version 18 on carries OpenSSL 3.`,
  );
}
