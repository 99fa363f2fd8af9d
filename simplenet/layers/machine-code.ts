/**
 * Two functions in machine code, because OpenSSL asks two questions by calling a C function: which protocol (ALPN), and where the secrets of a
 * connection go (key log).
 *
 * koffi can make a C function out of one of JavaScript. Here it must not: OpenSSL calls in the middle of a handshake, and a worker thread may
 * be terminated at any moment, after which no JavaScript may run in it (loop/libuv.ts tells what happens then). No function of the process has the right
 * arguments either. So each is a few instructions, which touch nothing but their arguments. They lie in a page of memory that is first written, and then made
 * executable: it is never both.
 *
 * If the kernel refuses the page (a policy against code made at run time, which V8 needs as well unless it runs with --jitless), `makeFunction` throws.
 *
 * Next: openssl-trace.ts
 */

import { koffi } from '../kernel/ffi.ts';

const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
/** The kernel rounds it up to whole pages, which are larger on some arm64 machines. */
const PAGE_BYTES = 4_096;

type Architecture = 'x64' | 'arm64';

/**
 * SSL_CTX_alpn_select_cb_func, compiled from this C:
 *
 *     int select_http11(SSL *ssl, const unsigned char **out, unsigned char *outlen,
 *                       const unsigned char *in, unsigned inlen, void *arg) {
 *       const unsigned char *end = in + inlen;
 *       while (in < end) {
 *         long length = *in++;
 *         if (end - in < length) break;
 *         if (length == 8 && memcmp(in, "http/1.1", 8) == 0) { *out = in; *outlen = 8; return SSL_TLSEXT_ERR_OK; }
 *         in += length;
 *       }
 *       return SSL_TLSEXT_ERR_ALERT_FATAL;   // the alert no_application_protocol
 *     }
 */
const selectHttp11: Readonly<Record<Architecture, string>> = {
  x64:
    'f30f1efa49b9687474702f312e314589c04901c84c39c1732d488d79014d89c20fb6014929fa4939c27c1b4883f808750f4c394901' +
    '750948893e31c0c60208c3488d0c07ebceb802000000c3',
  arm64:
    '5f2403d5068d8ed26440248b860eaef2e625c6f2c625e6f27f0004eb63000054400080520e000014e00303aa05144038870000cbff0005eb' +
    '4bffff54bf2000f101010054631040f87f0006eba1000054200000f90000805245000039c0035fd60300058bedffff17',
};

/**
 * SSL_CTX_keylog_cb_func, `void (const SSL *ssl, const char *line)`: jumps to BIO_puts(bio, line). The two addresses follow the code.
 *
 *     x64:   endbr64; mov bio(%rip), %rdi; jmp *puts(%rip); nopl         arm64: bti c; ldr x0, bio; ldr x16, puts; br x16
 */
const putLine: Readonly<Record<Architecture, string>> = {
  x64: 'f30f1efa488b3d0d000000ff250f0000000f1f8000000000',
  arm64: '5f2403d5600000589000005800021fd6',
};

const symbols = koffi.load(null);
const mmap = symbols.func('mmap', 'int64', ['int64', 'size_t', 'int', 'int', 'int', 'int64']);
const mprotect = symbols.func('mprotect', 'int', ['int64', 'size_t', 'int']);

/** It stays until the process ends: a page costs less than to know that no SSL_CTX calls it any more. */
let alpnFunction: number | null = null;

/** The address of a SSL_CTX_alpn_select_cb_func that selects http/1.1, and refuses offers without it. */
export function http11Selector(): number {
  alpnFunction ??= makeFunction(codeOf(selectHttp11));
  return alpnFunction;
}

/** The address of a new SSL_CTX_keylog_cb_func that appends its lines, without their ends, to a BIO at this address. */
export function keyLogWriter(bio: number): number {
  const puts = Number(symbols.symbol('BIO_puts'));
  const code = codeOf(putLine);
  const operands = Buffer.alloc(2 * BigUint64Array.BYTES_PER_ELEMENT);
  operands.writeBigUInt64LE(BigInt(bio), 0);
  operands.writeBigUInt64LE(BigInt(puts), BigUint64Array.BYTES_PER_ELEMENT);
  return makeFunction(Buffer.concat([code, operands]));
}

function codeOf(functions: Readonly<Record<Architecture, string>>): Buffer {
  return Buffer.from(functions[process.arch as Architecture], 'hex');
}

function makeFunction(code: Buffer): number {
  const address = mmap(0, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) as number;
  /* c8 ignore next -- the process has no memory left */
  if (address === -1) throw new Error('the kernel gives no page for the functions that OpenSSL calls (mmap)');
  new Uint8Array(koffi.view(BigInt(address), code.length)).set(code);
  // The kernel makes the caches of an arm64 CPU agree when it makes a page executable for the first time.
  /* c8 ignore next -- under such a policy V8 does not start, unless it runs with --jitless. */
  if (mprotect(address, PAGE_BYTES, PROT_READ | PROT_EXEC) !== 0) throw new Error(NO_EXECUTABLE_PAGE);
  return address;
}

const NO_EXECUTABLE_PAGE =
  'a policy of this system allows no machine code that is made at run time (mprotect, PROT_EXEC), and TLS needs two small functions of it';
