import { test } from 'tap';
import { createTlsContext, type TlsCertificate, type TlsContext, type TlsOptions } from '../../../simplenet/index.ts';
import { openHandles } from '../../../simplenet/layers/openssl-handles.ts';
import { authority, client, ecdsa, encryptedKey, rsa, stranger, wildcard } from '../../support/certificates.ts';
import { shakeHands } from '../../support/tls-clients.ts';

function refusal(options: Partial<TlsOptions>): string {
  const before = openHandles();
  try {
    createTlsContext({ ...ecdsa, ...options }).close();
  } catch (error) {
    const after = openHandles();
    if (after.SSL_CTX !== before.SSL_CTX || after.X509 !== before.X509 || after.EVP_PKEY !== before.EVP_PKEY)
      return 'leak';
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  return 'none';
}

/** Its text is base64, but what it stands for is not a certificate. */
const damagedCertificate = ecdsa.cert.replace('\nMI', '\nXX');

test('mistakes in the options are sentences', async (t) => {
  const cases: readonly (readonly [Partial<TlsOptions>, string])[] = [
    [{ key: stranger.key }, 'RangeError: tls.key: the key does not belong to the certificate'],
    [{ key: rsa.key }, 'RangeError: tls.key: the key does not belong to the certificate: they are of different kinds'],
    [
      { cert: authority.cert + ecdsa.cert },
      'RangeError: tls.key: the key does not belong to the certificate, which is the first one of the chain',
    ],
    [{ cert: 'nothing' }, 'RangeError: tls.cert: there is no certificate in it: it must be PEM'],
    [{ cert: '' }, 'RangeError: tls.cert: there is no certificate in it: it must be PEM'],
    [{ cert: ecdsa.key }, 'RangeError: tls.cert: there is no certificate in it: it must be PEM'],
    [{ key: ecdsa.cert }, 'RangeError: tls.key: there is no key in it that OpenSSL can read'],
    [{ key: encryptedKey }, 'RangeError: tls.key: it is encrypted, and there is no passphrase'],
    [{ key: encryptedKey, passphrase: 'guess' }, 'RangeError: tls.key: the passphrase is wrong'],
    [
      { cert: [ecdsa.cert, rsa.cert] },
      'RangeError: tls: there must be a key for each certificate, not 2 of cert and 1 of key',
    ],
    [{ cert: [], key: [] }, 'RangeError: tls: there must be a key for each certificate, not 0 of cert and 0 of key'],
    [{ cert: 5 as unknown as string }, 'TypeError: tls.cert must be the text or the bytes of a PEM file, not number'],
    [{ minVersion: 'TLSv1.1' as 'TLSv1.2' }, "RangeError: tls.minVersion must be 'TLSv1.2' or 'TLSv1.3', not TLSv1.1"],
    [{ ciphers: 'NOTHING' }, "RangeError: tls.ciphers: ciphers 'NOTHING': OpenSSL knows none of these ciphers"],
    [
      { minVersion: 'toString' as 'TLSv1.2' },
      "RangeError: tls.minVersion must be 'TLSv1.2' or 'TLSv1.3', not toString",
    ],
    [{ ciphers: ['AES'] as unknown as string }, 'RangeError: tls.ciphers must be a text such as '],
    [{ ciphers: 'AES\0' }, 'TypeError: a C string is text without NUL'],
    [
      { serverNames: new Map([['a.example.com', wildcard]]) as unknown as Record<string, TlsCertificate> },
      'RangeError: tls.serverNames must be an object with a certificate for each name, or a function, not [object Map]',
    ],
    [
      { serverNames: null as unknown as Record<string, TlsCertificate> },
      'RangeError: tls.serverNames must be an object with a certificate for each name, or a function, not null',
    ],
    [{ groups: 5 as unknown as string }, 'RangeError: tls.groups must be a text such as X25519:P-256, not 5'],
    [{ groups: 'nothing' }, "RangeError: tls.groups: groups 'nothing': OpenSSL does not know all of these groups"],
    [{ groups: '' }, "RangeError: tls.groups: groups '': OpenSSL does not know all of these groups"],
    [{ passphrase: 5 as unknown as string }, 'RangeError: tls.passphrase must be a text without NUL'],
    [{ passphrase: '\0' }, 'RangeError: tls.passphrase must be a text without NUL'],
    [
      { ticketKeys: new Uint8Array(5) },
      'RangeError: tls.ticketKeys must be a Uint8Array of 80 bytes, not what was given',
    ],
    [{ ticketKeyMs: Number.NaN }, 'RangeError: tls.ticketKeyMs must be a number of milliseconds, not NaN'],
    [{ onKeyLog: 'keys.log' as unknown as () => void }, 'RangeError: tls.onKeyLog must be a function, not keys.log'],
    [
      { requestClientCertificate: 'required' as 'require', ca: ecdsa.cert },
      "RangeError: tls.requestClientCertificate must be true, false or 'require', not required",
    ],
    [{ ca: 5 as unknown as string }, 'TypeError: tls.ca must be the text or the bytes of a PEM file, not number'],
    [{ cert: damagedCertificate }, 'RangeError: tls.cert: a block of PEM is damaged'],
    [{ requestClientCertificate: true }, 'RangeError: tls.requestClientCertificate needs tls.ca: '],
    [{ requestClientCertificate: true, ca: 'x' }, 'RangeError: tls.ca: there is no certificate in it: it must be PEM'],
    [{ serverNames: { 'a b': wildcard } }, "RangeError: 'a b' is not a server name"],
    [
      { serverNames: { 'example.com': { ...wildcard, key: ecdsa.key } } },
      "RangeError: tls.serverNames['example.com'].key: the key does not belong to the certificate",
    ],
  ];
  for (const [options, message] of cases) t.match(refusal(options), message, message);
  t.equal(refusal({}), 'none');
});

test('a program may clear its ticket key: a certificate that is chosen later gets it all the same', async (t) => {
  const ticketKeys = new Uint8Array(80).fill(7);
  const context = createTlsContext({ ...ecdsa, ticketKeys, serverNames: () => wildcard });
  ticketKeys.fill(0);
  const { session } = await shakeHands(context, { servername: 'a.example.com' });
  const other = createTlsContext({ ...wildcard, ticketKeys: new Uint8Array(80).fill(7) });
  const { info } = await shakeHands(other, { servername: 'a.example.com', session: session as Buffer });
  t.equal(info.isResumed, true);
  context.close();
  other.close();
});

async function certificateFor(context: TlsContext, servername?: string): Promise<string> {
  const { certificate } = await shakeHands(context, servername === undefined ? {} : { servername });
  return `CN=${certificate.subject.CN}`;
}

test('the certificate is chosen by the name that the client asks for', async (t) => {
  const context = createTlsContext({ ...ecdsa, serverNames: { '*.example.com': wildcard, 'a.example.com': stranger } });
  t.equal(await certificateFor(context, 'b.example.com'), 'CN=*.example.com');
  t.equal(await certificateFor(context, 'A.example.com'), 'CN=a stranger');
  t.equal(await certificateFor(context, 'example.com'), 'CN=localhost');
  t.equal(await certificateFor(context), 'CN=localhost');
  context.close();
});

test('two kinds of keys stand side by side, and an encrypted one is decrypted', async (t) => {
  const both = createTlsContext({ cert: [ecdsa.cert, rsa.cert], key: [encryptedKey, rsa.key], passphrase: 'secret' });
  const kinds = [];
  for (const ciphers of ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256']) {
    kinds.push((await shakeHands(both, { maxVersion: 'TLSv1.2', ciphers })).cipher);
  }
  t.same(kinds, ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256']);
  both.close();
});

test('a chain is sent whole', async (t) => {
  const context = createTlsContext({ cert: ecdsa.cert + authority.cert, key: Buffer.from(ecdsa.key) });
  const options = { servername: 'localhost', ca: authority.cert, rejectUnauthorized: true };
  const { isAuthorized, certificate } = await shakeHands(context, options);
  t.equal(isAuthorized, true);
  t.equal(certificate.issuerCertificate.subject.CN, 'simplenet test authority');
  context.close();
});

test('versions, ciphers and groups', async (t) => {
  const context = createTlsContext({
    ...ecdsa,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES256-GCM-SHA384',
    groups: 'P-384',
  });
  const { info } = await shakeHands(context, {});
  t.match(info, { version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256' });
  await t.rejects(shakeHands(context, { maxVersion: 'TLSv1.2' }), { message: /protocol version/ });
  await t.rejects(shakeHands(context, { ecdhCurve: 'P-256' }), { message: /handshake failure/ });
  context.close();
  const wide = createTlsContext(ecdsa);
  const { info: old } = await shakeHands(wide, { maxVersion: 'TLSv1.2' });
  t.match(old, { version: 'TLSv1.2' });
  await t.rejects(shakeHands(wide, { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }), /handshake failure/);
  wide.close();
});

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a session continues by a ticket, until its key is replaced (${maxVersion})`, async (t) => {
    const ticketKeys = Buffer.alloc(80, 7);
    const context = createTlsContext({ ...ecdsa, ticketKeys });
    const first = await shakeHands(context, { maxVersion });
    t.equal(first.info.isResumed, false);
    const session = first.session as Buffer;
    t.equal((await shakeHands(context, { maxVersion, session })).info.isResumed, true);
    const other = createTlsContext({ ...ecdsa, ticketKeys });
    t.equal((await shakeHands(other, { maxVersion, session })).info.isResumed, true, 'the key can be shared');
    other.close();
    context.setTicketKeys();
    t.equal((await shakeHands(context, { maxVersion, session })).info.isResumed, false, 'a new key');
    context.setTicketKeys(ticketKeys);
    t.equal((await shakeHands(context, { maxVersion, session })).info.isResumed, true, 'the old one again');
    const strict = createTlsContext({ ...ecdsa, ticketKeys, requestClientCertificate: true, ca: authority.cert });
    t.equal((await shakeHands(strict, { maxVersion, session })).info.isResumed, false, 'other rules for clients');
    strict.close();
    context.close();
  });
}

test('a context makes a new ticket key now and then, also after one of the program was refused', async (t) => {
  const context = createTlsContext({ ...ecdsa, ticketKeyMs: 0 });
  t.throws(() => context.setTicketKeys(new Uint8Array(5)), RangeError);
  const { session } = await shakeHands(context, {});
  t.equal((await shakeHands(context, { session: session as Buffer })).info.isResumed, false);
  context.close();
});

test('clients are asked for certificates', async (t) => {
  const asked = createTlsContext({ ...ecdsa, requestClientCertificate: true, ca: [authority.cert] });
  t.equal((await shakeHands(asked, {})).info.peerCertificate, null);
  const { info } = await shakeHands(asked, client);
  t.equal(info.peerCertificate?.subject, 'CN=a client');
  t.equal(info.peerCertificate, info.peerCertificate, 'it is parsed once');
  await t.rejects(shakeHands(asked, stranger), /alert/);
  asked.close();
  const required = createTlsContext({ ...ecdsa, requestClientCertificate: 'require', ca: authority.cert });
  await t.rejects(shakeHands(required, {}), /alert/);
  t.equal((await shakeHands(required, client)).info.peerCertificate?.subject, 'CN=a client');
  required.close();
});

test('a context is replaced for new connections', async (t) => {
  const context = createTlsContext(ecdsa);
  const before = await shakeHands(context, {}, true);
  t.throws(() => context.replace({ ...ecdsa, key: stranger.key }), RangeError);
  t.equal(await certificateFor(context), 'CN=localhost', 'a mistake changes nothing');
  context.replace(stranger);
  t.equal(await certificateFor(context), 'CN=a stranger');
  t.equal(await before.echo('still here'), 'still here', 'the old connection lives on');
  before.end();
  context.close();
  context.close();
  t.throws(() => context.replace(ecdsa), /closed/);
  t.throws(() => context.setTicketKeys(), /closed/);
});

test('the secrets of a connection are logged on demand', async (t) => {
  const lines: string[] = [];
  const context = createTlsContext({ ...ecdsa, onKeyLog: (line) => lines.push(line) });
  await shakeHands(context, {});
  t.same(lines.map((line) => line.split(' ')[0]).sort(), [
    'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
    'CLIENT_TRAFFIC_SECRET_0',
    'EXPORTER_SECRET',
    'SERVER_HANDSHAKE_TRAFFIC_SECRET',
    'SERVER_TRAFFIC_SECRET_0',
  ]);
  for (const line of lines) t.match(line, /^[A-Z0-9_]+ [0-9a-f]{64} [0-9a-f]{64,96}$/);
  lines.length = 0;
  await shakeHands(context, { maxVersion: 'TLSv1.2' });
  t.match(lines[0], /^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}$/);
  context.close();
});
