import { test } from 'tap';
import { trace } from '../../../simplenet/kernel/tracing.ts';
import { decodeClientHello } from '../../../simplenet/layers/client-hello.ts';
import {
  type Bio,
  openssl,
  SSL_ERROR_WANT_READ,
  SSL_ERROR_WANT_WRITE,
  SSL_OP_NO_RENEGOTIATION,
  type Ssl,
  type SslContext,
  TLS1_2_VERSION,
  type X509,
} from '../../../simplenet/layers/openssl.ts';
import { sentenceOf, takeErrors } from '../../../simplenet/layers/openssl-errors.ts';
import { checkOpenSslVersion, declare, openSslFunctions } from '../../../simplenet/layers/openssl-functions.ts';
import { type BioPair, Handle, openHandles } from '../../../simplenet/layers/openssl-handles.ts';
import { ecdsa, encryptedKey } from '../../support/certificates.ts';

function bioOf(text: string): Bio {
  const bio = openssl.BIO_new_mem();
  openssl.BIO_write(bio, Buffer.from(text), 0, text.length);
  return bio;
}

function certificateOf(text: string): X509 {
  const bio = bioOf(text);
  const certificate = openssl.PEM_read_bio_X509(bio, '');
  openssl.BIO_free(bio);
  if (certificate === null) throw new Error('no certificate');
  return certificate;
}

test('no length of a call can be greater than its buffer', async (t) => {
  const context = openssl.SSL_CTX_new('server');
  const ssl = openssl.SSL_new(context);
  const bio = openssl.BIO_new_mem();
  const calls: readonly ((bytes: Uint8Array, offset: number, length: number) => unknown)[] = [
    (...args) => openssl.BIO_read(bio, ...args),
    (...args) => openssl.BIO_write(bio, ...args),
    (...args) => openssl.SSL_read(ssl, ...args),
    (...args) => openssl.SSL_write(ssl, ...args),
  ];
  class Liar extends Uint8Array {
    override get byteLength(): number {
      return 1_000;
    }
    override get length(): number {
      return 1_000;
    }
  }
  const shrunk = new Uint8Array(100);
  structuredClone(shrunk, { transfer: [shrunk.buffer] });
  for (const call of calls) {
    for (const [offset, length] of [
      [0, 9],
      [8, 1],
      [-1, 1],
      [0, -1],
      [0.5, 1],
      [0, Number.NaN],
      [2 ** 31, 1],
    ] as const) {
      t.throws(() => call(new Uint8Array(8), offset, length), RangeError, `${offset}, ${length}`);
    }
    t.throws(() => call(new Liar(8), 0, 9), RangeError, 'a length of a subclass');
    t.throws(() => call(shrunk, 0, 1), RangeError, 'transferred memory');
    t.throws(() => call('text' as unknown as Uint8Array, 0, 1), TypeError);
    t.throws(() => call(new DataView(new ArrayBuffer(8)) as unknown as Uint8Array, 0, 1), TypeError);
  }
  t.equal(openssl.BIO_ctrl_pending(bio), 0);
  openssl.BIO_free(bio);
  openssl.SSL_free(ssl);
  openssl.SSL_CTX_free(context);
});

test('bytes are written and read at their offsets', async (t) => {
  const bio = openssl.BIO_new_mem();
  t.equal(openssl.BIO_write(bio, Buffer.from('0123456789'), 2, 5), 5);
  t.equal(openssl.BIO_ctrl_pending(bio), 5);
  const bytes = Buffer.alloc(10, '.');
  t.equal(openssl.BIO_read(bio, bytes, 3, 7), 5);
  t.equal(bytes.toString(), '...23456..');
  t.equal(openssl.BIO_read(bio, bytes, 0, 1), -1, 'it is empty');
  openssl.BIO_write(bio, bytes, 0, 10);
  openssl.BIO_reset(bio);
  t.equal(openssl.BIO_ctrl_pending(bio), 0);
  openssl.BIO_free(bio);
});

test('settings that OpenSSL does not have are mistakes of the program', async (t) => {
  const context = openssl.SSL_CTX_new('server');
  const mistakes: readonly (readonly [() => void, RegExp])[] = [
    [
      () => openssl.SSL_CTX_set_cipher_list(context, 'NOTHING'),
      /ciphers 'NOTHING': OpenSSL knows none of these ciphers/,
    ],
    [() => openssl.SSL_CTX_set_ciphersuites(context, 'TLS_NOTHING'), /ciphers 'TLS_NOTHING': /],
    [() => openssl.SSL_CTX_set1_groups_list(context, 'nothing'), /groups 'nothing': /],
    [() => openssl.SSL_CTX_set_min_proto_version(context, 1), /the lowest version 1: /],
    [() => openssl.SSL_CTX_set_max_proto_version(context, 1), /the highest version 1: /],
    [() => openssl.SSL_CTX_set_tlsext_ticket_keys(context, new Uint8Array(79)), /./],
    [() => openssl.SSL_CTX_set_tlsext_ticket_keys(context, new Uint8Array(81)), /a ticket key has 80 bytes/],
    [() => openssl.SSL_CTX_set_session_id_context(context, new Uint8Array(33)), /./],
  ];
  for (const [call, message] of mistakes) t.throws(call, { name: 'RangeError', message });
  t.throws(() => openssl.SSL_CTX_set_cipher_list(context, 'a\0b'), TypeError);
  t.throws(() => openssl.SSL_CTX_set_options(context, 0.5), TypeError);
  t.throws(() => openssl.SSL_CTX_set_mode(context, Number.NaN), TypeError);
  t.throws(() => openssl.SSL_CTX_set_verify(context, Number.NaN), TypeError);
  t.equal(takeErrors(openSslFunctions()), null, 'the queue of errors is empty');
  openssl.SSL_CTX_free(context);
});

test('certificates and keys are read from PEM', async (t) => {
  const before = openHandles();
  const certificate = certificateOf(ecdsa.cert);
  t.equal(openssl.i2d_X509(certificate)[0], 0x30, 'DER begins with a sequence');
  openssl.X509_free(certificate);
  const cases = [
    ['nothing at all', 'there is no key in it that OpenSSL can read'],
    [encryptedKey, 'it is encrypted, and there is no passphrase'],
  ] as const;
  for (const [pem, message] of cases) {
    const bio = bioOf(pem);
    t.throws(() => openssl.PEM_read_bio_PrivateKey(bio, ''), { message: new RegExp(message) }, message);
    openssl.BIO_free(bio);
  }
  const wrong = bioOf(encryptedKey);
  t.throws(() => openssl.PEM_read_bio_PrivateKey(wrong, 'guess'), /the passphrase is wrong/);
  openssl.BIO_free(wrong);
  const right = bioOf(encryptedKey);
  openssl.EVP_PKEY_free(openssl.PEM_read_bio_PrivateKey(right, 'secret'));
  openssl.BIO_free(right);
  const damaged = bioOf(ecdsa.cert.replace(/\n[A-Za-z]/, '\n!'));
  t.throws(() => openssl.PEM_read_bio_X509(damaged, ''), RangeError);
  openssl.BIO_free(damaged);
  t.same(openHandles(), before);
});

test('what is written to one BIO of a pair is read from the other, without a copy', async (t) => {
  const pair = openssl.BIO_new_bio_pair(16_384);
  t.equal(pair.memory.length, 16_384);
  t.equal(openssl.BIO_nread(pair), 0, 'it is empty');
  t.throws(
    () => openssl.BIO_free(pair.far as unknown as Bio),
    TypeError,
    'its memory stays, because JavaScript sees it',
  );
  const context = openssl.SSL_CTX_new('client');
  const [ssl, input] = [openssl.SSL_new(context), openssl.BIO_new_mem()];
  openssl.SSL_set_bio(ssl, input, pair);
  openssl.SSL_set_connect_state(ssl);
  t.equal(openssl.SSL_do_handshake(ssl), -SSL_ERROR_WANT_READ);
  const length = openssl.BIO_nread(pair);
  t.match(decodeClientHello(pair.memory.subarray(0, length)), { serverName: null }, 'the whole of a ClientHello');
  t.equal(openssl.BIO_nread(pair), 0, 'it has been taken');
  openssl.SSL_free(ssl);
  openssl.SSL_CTX_free(context);
  openssl.BIO_free(input);
});

test('a pair that is full stops a connection until it is read', async (t) => {
  const pair = openssl.BIO_new_bio_pair(100);
  const context = openssl.SSL_CTX_new('client');
  const [ssl, input] = [openssl.SSL_new(context), openssl.BIO_new_mem()];
  openssl.SSL_set_bio(ssl, input, pair);
  openssl.SSL_set_connect_state(ssl);
  const pieces: Buffer[] = [];
  while (openssl.SSL_do_handshake(ssl) === -SSL_ERROR_WANT_WRITE) {
    t.equal(openssl.BIO_nread(pair), 100);
    pieces.push(Buffer.from(pair.memory));
  }
  pieces.push(Buffer.from(pair.memory.subarray(0, openssl.BIO_nread(pair))));
  t.match(decodeClientHello(Buffer.concat(pieces)), { serverName: null });
  openssl.SSL_free(ssl);
  openssl.SSL_CTX_free(context);
  openssl.BIO_free(input);
});

test('a connection has two BIOs', async (t) => {
  const context = openssl.SSL_CTX_new('client');
  const ssl = openssl.SSL_new(context);
  const bio = openssl.BIO_new_mem();
  t.throws(() => openssl.SSL_set_bio(ssl, bio, { near: bio, far: bio } as unknown as BioPair), TypeError);
  t.throws(() => openssl.SSL_set_tlsext_host_name(ssl, 'x'.repeat(256)), /server name/);
  t.throws(() => openssl.SSL_key_update(ssl), /SSL_key_update: /, 'before there are keys');
  t.equal(openssl.SSL_get_cipher_name(ssl), '');
  t.equal(openssl.SSL_get1_peer_certificate(ssl), null);
  t.equal(openssl.SSL_shutdown(ssl), -1, 'no handshake has begun');
  openssl.SSL_free(ssl);
  openssl.SSL_CTX_free(context);
  openssl.BIO_free(bio);
});

test('the queue of errors is emptied, whoever has filled it', async (t) => {
  const c = openSslFunctions();
  const bio = bioOf('nothing');
  c.PEM_read_bio_X509(Handle.addressOf(bio, 'BIO'), 0, 0, '');
  t.same(takeErrors(c), { text: 'there is no such block of PEM in it', isOwn: false });
  t.equal(takeErrors(c), null);
  openssl.BIO_free(bio);
});

test('texts of OpenSSL become sentences', async (t) => {
  t.equal(sentenceOf('key values mismatch'), 'the key does not belong to the certificate');
  for (const prefix of ['tlsv1', 'sslv3', 'tlsv13', 'ssl/tls']) {
    t.equal(sentenceOf(`${prefix} alert unknown ca`), "the peer has sent the alert 'unknown ca'");
  }
  t.equal(sentenceOf('something else'), 'something else');
});

test('another OpenSSL is refused with one sentence', async (t) => {
  t.throws(() => checkOpenSslVersion(0x1010_117f), /^TLS needs OpenSSL 3, and this process has version 0x1010117f/);
  t.doesNotThrow(() => checkOpenSslVersion(0x3000_0000));
  t.throws(() => declare('SSL_no_such_function', 'int', []), /this process has no function SSL_no_such_function/);
});

test('a trace shows the calls, and no secret', async (t) => {
  const lines: string[] = [];
  const stop = trace({ write: (line) => lines.push(line) });
  const context: SslContext = openssl.SSL_CTX_new('server');
  openssl.SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  openssl.SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  openssl.SSL_CTX_set_cipher_list(context, 'ECDHE+AESGCM');
  openssl.SSL_CTX_set_tlsext_ticket_keys(context, Buffer.alloc(80, 'S'));
  openssl.SSL_CTX_set_session_id_context(context, Buffer.alloc(3));
  const bio = bioOf(encryptedKey);
  const key = openssl.PEM_read_bio_PrivateKey(bio, 'secret');
  const ssl: Ssl = openssl.SSL_new(context);
  openssl.SSL_set_accept_state(ssl);
  const pair = openssl.BIO_new_bio_pair(1_024);
  openssl.SSL_set_bio(ssl, bio, pair);
  openssl.SSL_do_handshake(ssl);
  openssl.SSL_read(ssl, Buffer.alloc(10), 0, 10);
  openssl.BIO_read(bio, Buffer.alloc(10), 0, 10);
  openssl.BIO_nread(pair);
  openssl.takeKeyLog();
  openssl.SSL_get_version(ssl);
  openssl.PEM_read_bio_X509(bio, '');
  openssl.SSL_session_reused(ssl);
  const certificate = certificateOf(ecdsa.cert);
  openssl.i2d_X509(certificate);
  openssl.X509_free(certificate);
  openssl.EVP_PKEY_free(key);
  openssl.SSL_free(ssl);
  openssl.SSL_CTX_free(context);
  stop();
  openssl.BIO_free(bio);
  const text = lines.join('\n').replace(/0x[0-9a-f]+/g, '0x');
  t.match(text, 'SSL_CTX_new("server") = 0x');
  t.match(text, 'SSL_CTX_set_cipher_list(0x, "ECDHE+AESGCM")');
  t.match(text, 'SSL_CTX_set_tlsext_ticket_keys(0x, (secret))');
  t.match(text, 'SSL_CTX_set_session_id_context(0x, (3 bytes))');
  t.match(text, 'PEM_read_bio_PrivateKey(0x, (secret)) = 0x');
  t.match(text, 'SSL_do_handshake(0x) = -2 SSL_ERROR_WANT_READ');
  t.match(text, 'SSL_read(0x, "", 10) = -2 SSL_ERROR_WANT_READ');
  t.match(text, 'BIO_read(0x, "", 10) = -1');
  t.match(text, 'BIO_new_bio_pair(1024) = 0x');
  t.match(text, /SSL_set_bio\(0x, 0x, 0x\)/);
  t.match(text, 'BIO_nread(0x, "") = 0');
  t.match(text, 'SSL_get_version(0x) = "TLSv1.3"');
  t.match(text, 'i2d_X509(0x) = (');
  t.match(text, 'SSL_free(0x)');
  t.notMatch(text, /"secret"|SSSS|takeKeyLog|BIO_free\(0x\) = 1/);
  const { length } = lines;
  openssl.BIO_free(openssl.BIO_new_mem());
  t.equal(lines.length, length, 'it has stopped');
});
