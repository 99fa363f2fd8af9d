import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { type Certificate, certificateOf, renewalOf } from '../../command/certificate.ts';
import { type CommandOptions, parseOptions } from '../../command/options.ts';
import type { DevelopmentCertificate } from '../../simplenet/index.ts';
import { selfSigned } from '../../simplenet/layers/self-signed.ts';
import { certificateFor } from '../support/certificates.ts';

const optionsOf = (...args: string[]) => parseOptions(args) as CommandOptions;

const made: DevelopmentCertificate = {
  tls: { cert: 'c', key: 'k' },
  fingerprint: 'AA:BB:CC:DD',
  expiresAt: new Date(0),
  path: '/cache/c.pem',
  whyNotKept: null,
};

test('only the certificate of files can be read again', async (t) => {
  const development = optionsOf('--tls');
  t.equal(
    renewalOf(
      development,
      certificateOf(development, () => made),
    ),
    null,
  );
  t.equal(renewalOf(optionsOf(), null), null);
});

test('without --tls and --cert there is none', async (t) => {
  t.equal(certificateOf(optionsOf()), null);
});

test('one for development: its fingerprint, and where it is', async (t) => {
  const { tls, notes } = certificateOf(optionsOf('--tls'), () => made) ?? { tls: null, notes: [] };
  t.same(tls, made.tls);
  t.same(notes.slice(1), ['  SHA-256  AA:BB', '           CC:DD', '  In       /cache/c.pem']);
  const alone = { ...made, path: null, whyNotKept: '/cache is open to other users' };
  t.equal(
    certificateOf(optionsOf('--tls'), () => alone)?.notes.at(-1),
    'It is for this run alone: /cache is open to other users',
  );
});

test('SSLKEYLOGFILE: the secrets go to that file, and a note says so', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'keys.log');
  const make = () => made;
  const { tls, notes } = certificateOf(optionsOf('--tls'), make, { SSLKEYLOGFILE: file }) as Certificate;
  tls.onKeyLog?.('CLIENT_RANDOM 00 11');
  tls.onKeyLog?.('CLIENT_RANDOM 22 33');
  t.equal(readFileSync(file, 'utf8'), 'CLIENT_RANDOM 00 11\nCLIENT_RANDOM 22 33\n');
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal(notes.at(-1), `The secrets of all connections go to ${file} (SSLKEYLOGFILE).`);
  rmSync(folder, { recursive: true });
  tls.onKeyLog?.('the folder is gone, and nothing happens');
  const nowhere = join(folder, 'keys.log');
  t.throws(() => certificateOf(optionsOf('--tls'), make, { SSLKEYLOGFILE: nowhere }), {
    message: `SSLKEYLOGFILE ${nowhere}: there is no such file`,
  });
  t.equal(certificateOf(optionsOf('--tls'), make, { SSLKEYLOGFILE: '' })?.tls.onKeyLog, undefined);
  t.equal(certificateOf(optionsOf(), make, { SSLKEYLOGFILE: nowhere }), null);
});

test('a certificate that has expired: a note', async (t) => {
  const past = Date.now() - 1_000;
  const { cert, key } = selfSigned({ hosts: ['localhost'], notBefore: past - 1_000, notAfter: past });
  const folder = t.testdir({ 'cert.pem': cert, 'key.pem': key });
  const { notes } = certificateOf(
    optionsOf('--cert', join(folder, 'cert.pem'), '--key', join(folder, 'key.pem')),
  ) as Certificate;
  t.match(notes, [/^The certificate has expired \(.* GMT\): clients will refuse it\.$/]);
  const valid = certificateFor('localhost');
  const fresh = t.testdir({ 'cert.pem': valid.cert, 'key.pem': valid.key });
  t.same(certificateOf(optionsOf('--cert', join(fresh, 'cert.pem'), '--key', join(fresh, 'key.pem')))?.notes, []);
});

test('files, and why one cannot be read', async (t) => {
  const folder = t.testdir({ 'cert.pem': 'c', 'key.pem': 'k' });
  const file = (name: string) => join(folder, name);
  const read = (cert: string, key: string) => certificateOf(optionsOf('--cert', cert, '--key', key));
  t.same(read(file('cert.pem'), file('key.pem')), {
    tls: { cert: Buffer.from('c'), key: Buffer.from('k') },
    notes: [],
  });
  t.throws(() => read(file('none'), file('key.pem')), {
    message: `--cert ${file('none')}: there is no such file`,
    exitCode: 1,
  });
  t.throws(() => read(file('cert.pem'), folder), { message: `--key ${folder}: it is a directory` });
  t.throws(() => read(file('cert.pem/x'), folder), { message: /^--cert .*x: ENOTDIR/ });
  if (process.getuid?.() === 0) return; // root may read all
  writeFileSync(file('closed'), '');
  chmodSync(file('closed'), 0);
  t.throws(() => read(file('closed'), folder), { message: `--cert ${file('closed')}: this user may not read it` });
});
