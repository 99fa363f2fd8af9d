import { test } from 'tap';
import { openssl, type Ssl, type SslContext } from '../../../simplenet/layers/openssl.ts';
import { createdHandles, Handle, openHandles } from '../../../simplenet/layers/openssl-handles.ts';

test('a handle is of one kind, and is used until it is freed', async (t) => {
  const context = openssl.SSL_CTX_new('server');
  const ssl = openssl.SSL_new(context);
  t.throws(
    () => openssl.SSL_free(context as unknown as Ssl),
    new TypeError('this function of OpenSSL takes a handle of SSL'),
  );
  for (const other of [null, undefined, 1, {}, 'SSL', Object.create(Object.getPrototypeOf(ssl) as object)]) {
    t.throws(() => openssl.SSL_new(other as unknown as SslContext), TypeError);
  }
  openssl.SSL_CTX_free(context);
  t.throws(() => openssl.SSL_new(context), new Error('this handle of SSL_CTX has been freed'));
  t.throws(() => openssl.SSL_CTX_free(context), /has been freed/);
  t.equal(openssl.SSL_get_version(ssl), 'TLSv1.3', 'a connection has its own reference to its settings');
  openssl.SSL_free(ssl);
  t.throws(() => openssl.SSL_get_version(ssl), /has been freed/);
});

test('what is created and freed is counted', async (t) => {
  const before = openHandles();
  const created = createdHandles('BIO');
  const bio = openssl.BIO_new_mem();
  t.equal(openHandles().BIO, before.BIO + 1);
  t.equal(createdHandles('BIO'), created + 1);
  t.match(Handle.label(bio), /^0x[0-9a-f]+$/);
  openssl.BIO_free(bio);
  t.same(openHandles(), before);
});
