/** developmentCertificate: when it is kept, when it is made again, and when it is for this process alone. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { developmentCertificate, hostsOf } from '../../../simplenet/layers/development-certificate.ts';

const DAY_MS = 24 * 60 * 60 * 1_000;
const FILE = 'development-certificate.pem';

function folderOf(t: Test): string {
  return join(t.testdir(), 'cache', 'simplenet');
}

test('it is made once and kept, where nobody else can read it', async (t) => {
  const folder = folderOf(t);
  const first = developmentCertificate({ folder });
  t.match(first, { path: join(folder, FILE), whyNotKept: null });
  t.equal(lstatSync(folder).mode & 0o777, 0o700);
  t.equal(lstatSync(first.path as string).mode & 0o777, 0o600);
  t.same(readdirSync(folder), [FILE], 'nothing unfinished is left');
  t.same(developmentCertificate({ folder }), first);
  const certificate = new X509Certificate(first.tls.cert);
  t.equal(certificate.fingerprint256, first.fingerprint);
  t.match(first.fingerprint, /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  t.equal(certificate.checkHost('localhost'), 'localhost');
  t.equal(certificate.checkIP('127.0.0.1'), '127.0.0.1');
  t.equal(certificate.checkIP('::1'), '::1');
  if (/^[a-z][a-z0-9-]*$/.test(hostname())) t.equal(certificate.checkHost(hostname()), hostname());
  t.ok(certificate.checkPrivateKey(createPrivateKey(first.tls.key)));
});

test('it is made again a week before it expires, and if the clock is before its beginning', async (t) => {
  const folder = folderOf(t);
  const now = Date.now();
  const first = developmentCertificate({ folder, now });
  const end = first.expiresAt.getTime();
  t.equal(Math.round((end - now) / DAY_MS), 90);
  t.equal(developmentCertificate({ folder, now: end - 7 * DAY_MS - 1 }).tls.cert, first.tls.cert);
  const second = developmentCertificate({ folder, now: end - 7 * DAY_MS });
  t.not(second.tls.cert, first.tls.cert);
  t.equal(developmentCertificate({ folder, now: end }).tls.cert, second.tls.cert);
  t.not(developmentCertificate({ folder, now }).tls.cert, second.tls.cert);
});

test('a file that is damaged is replaced', async (t) => {
  const folder = folderOf(t);
  const { path, tls } = developmentCertificate({ folder });
  const file = path as string;
  const whole = readFileSync(file, 'latin1');
  const other = developmentCertificate({ folder: join(t.testdirName, 'other') });
  const damages = ['', whole.slice(0, 500), whole.replace(/M[A-Za-z]/, '//'), tls.cert + other.tls.key, other.tls.key];
  for (const damaged of damages) {
    writeFileSync(file, damaged);
    const made = developmentCertificate({ folder });
    t.match(made, { path, whyNotKept: null });
    t.ok(new X509Certificate(made.tls.cert).checkPrivateKey(createPrivateKey(made.tls.key)));
    t.equal(readFileSync(file, 'latin1'), made.tls.cert + made.tls.key);
  }
});

test('what is not private, or cannot be written, is not used: the certificate is for this process alone', async (t) => {
  const folder = folderOf(t);
  const { path } = developmentCertificate({ folder });
  const file = path as string;
  const alone = (why: RegExp) => {
    const made = developmentCertificate({ folder });
    t.equal(made.path, null);
    t.match(made.whyNotKept, why);
    t.ok(new X509Certificate(made.tls.cert).checkPrivateKey(createPrivateKey(made.tls.key)));
  };
  chmodSync(file, 0o640);
  alone(/\.pem is open to other users/);
  chmodSync(file, 0o600);
  chmodSync(folder, 0o750);
  alone(/simplenet is open to other users \(chmod go= closes it\)/);
  chmodSync(folder, 0o700);
  truncateSync(file, 65_537);
  alone(/is not a file of a certificate/);
  rmSync(file);
  mkdirSync(file, 0o700);
  alone(/is not a file of a certificate/);
  rmSync(file, { recursive: true });
  const elsewhere = join(t.testdirName, 'elsewhere.pem');
  writeFileSync(elsewhere, 'mine', { mode: 0o600 });
  symlinkSync(elsewhere, file);
  alone(/ELOOP/);
  t.equal(readFileSync(elsewhere, 'latin1'), 'mine');
  rmSync(folder, { recursive: true });
  writeFileSync(folder, '', { mode: 0o600 });
  alone(/ENOTDIR/);
  t.match(developmentCertificate({ folder: join(folder, 'below') }), { path: null, whyNotKept: /ENOTDIR/ });
  t.match(developmentCertificate({ folder: '/proc/simplenet' }), { path: null, whyNotKept: /ENOENT/ });
});

test('a folder of another user is not used', async (t) => {
  let folder = '/usr'; // of root
  if (process.getuid?.() === 0) {
    folder = folderOf(t);
    developmentCertificate({ folder });
    chownSync(folder, 1, 1);
  }
  t.match(developmentCertificate({ folder }), { path: null, whyNotKept: `${folder} belongs to another user` });
});

test('the name of the machine counts if a certificate can have it', async (t) => {
  t.same(hostsOf('Box.Example'), ['localhost', 'box.example', '127.0.0.1', '::1']);
  t.same(hostsOf('bücher'), ['localhost', 'xn--bcher-kva', '127.0.0.1', '::1']);
  for (const name of ['localhost', '', 'my_box', '10.0.0.7', '(none)'])
    t.same(hostsOf(name), ['localhost', '127.0.0.1', '::1'], name);
});

test('the folder is in XDG_CACHE_HOME, or in ~/.cache', async (t) => {
  const home = t.testdir();
  const { HOME, XDG_CACHE_HOME } = process.env;
  t.teardown(() => {
    for (const [name, value] of Object.entries({ HOME, XDG_CACHE_HOME })) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
  process.env.HOME = home;
  process.env.XDG_CACHE_HOME = join(home, 'xdg');
  t.equal(developmentCertificate().path, join(home, 'xdg', 'simplenet', FILE));
  for (const unusable of ['', 'relative/cache']) {
    process.env.XDG_CACHE_HOME = unusable;
    t.equal(developmentCertificate().path, join(home, '.cache', 'simplenet', FILE));
  }
  t.notOk(existsSync('relative'));
});
