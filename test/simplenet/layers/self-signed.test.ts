/** selfSigned: what OpenSSL reads in the certificate that was written by hand. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'tap';
import { selfSigned } from '../../../simplenet/layers/self-signed.ts';

const notBefore = Date.UTC(2026, 4, 1);
const hosts = ['localhost', 'box.example', '127.0.0.1', '::1'];

test('the certificate says what it should, and its signature is right', async (t) => {
  const { cert, key } = selfSigned({ hosts, notBefore, notAfter: Date.UTC(2051, 0, 1) });
  const certificate = new X509Certificate(cert);
  t.equal(certificate.subject, 'CN=simplenet development certificate');
  t.equal(certificate.issuer, certificate.subject);
  t.equal(
    certificate.subjectAltName,
    'DNS:localhost, DNS:box.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
  );
  t.equal(certificate.ca, false, 'it can sign no other certificate');
  t.same(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1'], 'for servers');
  t.equal(Date.parse(certificate.validFrom), notBefore);
  t.equal(Date.parse(certificate.validTo), Date.UTC(2051, 0, 1));
  t.ok(certificate.verify(certificate.publicKey));
  t.ok(certificate.checkPrivateKey(createPrivateKey(key)));
  t.equal(certificate.checkIP('::1'), '::1');
  t.equal(certificate.checkHost('other.example'), undefined);
});

test('no two are the same', async (t) => {
  const made = Array.from(
    { length: 20 },
    () => new X509Certificate(selfSigned({ hosts, notBefore, notAfter: notBefore + 1e9 }).cert),
  );
  t.equal(new Set(made.map(({ serialNumber }) => serialNumber)).size, 20);
  t.equal(
    new Set(made.map(({ publicKey }) => publicKey.export({ type: 'spki', format: 'der' }).toString('hex'))).size,
    20,
  );
  for (const certificate of made) t.ok(certificate.verify(certificate.publicKey));
});
