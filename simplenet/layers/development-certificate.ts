/**
 * developmentCertificate: a certificate for this machine, for trying HTTPS out: made when it is first needed, and kept until it is about to
 * expire.
 *
 * It is kept so that a browser which was told once to accept it goes on to do so. The file also has the key, so the folder and the file must belong to this user and
 * be closed to all others; if not, or if nothing can be written there, the certificate is made for this process alone. One file
 * holds both, and it appears whole (rename(2)): programs that start at the same time never see a key with the certificate of another one.
 *
 * Next: openssl-functions.ts
 */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir, hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { domainToASCII } from 'node:url';
import { type SelfSigned, selfSigned } from './self-signed.ts';

/**
 * A certificate for development: what `developmentCertificate` returns.
 *
 * ```ts
 * import { type DevelopmentCertificate, developmentCertificate } from 'simplenet';
 *
 * const certificate: DevelopmentCertificate = developmentCertificate();
 * console.log(certificate.fingerprint, certificate.expiresAt, certificate.path ?? certificate.whyNotKept);
 * ```
 */
export interface DevelopmentCertificate {
  /** The certificate and its key, in PEM: for `tls` of `serve`. */
  readonly tls: SelfSigned;
  /** The SHA-256 of the certificate, as browsers show it: `AB:CD:...`. */
  readonly fingerprint: string;
  readonly expiresAt: Date;
  /** The file in which it is kept; null if it is for this process alone. */
  readonly path: string | null;
  /** Why it is for this process alone, in one sentence; null if it is kept. */
  readonly whyNotKept: string | null;
}

/**
 * The options of `developmentCertificate`.
 *
 * ```ts
 * import { type DevelopmentCertificateOptions, developmentCertificate } from 'simplenet';
 *
 * const options: DevelopmentCertificateOptions = { folder: '/run/user/1000/certificates' };
 * console.log(developmentCertificate(options).path);
 * ```
 */
export interface DevelopmentCertificateOptions {
  /** Where it is kept. The default is `simplenet` in `$XDG_CACHE_HOME`, which is `~/.cache` unless it is set. */
  readonly folder?: string;
  /** The time, in milliseconds since 1970. */
  readonly now?: number;
}

const DAY_MS = 24 * 60 * 60 * 1_000;
const VALID_DAYS = 90;
/** What is left must last for the day of work that begins with it. */
const MIN_DAYS_LEFT = 7;
/** The clock of the other side may be slow. */
const BACKDATED_MS = 60 * 60 * 1_000;

const FILE = 'development-certificate.pem';
/** Of a file that somebody may have replaced. Ours has 1 KB. */
const MAX_FILE_BYTES = 65_536;

const OTHERS = 0o077;

/**
 * Returns the certificate of this user for `localhost`, 127.0.0.1, ::1 and the name of this machine. It is signed by its own key, so clients must be told to
 * accept it. It is for development: anybody who can read the files of this user has its key.
 *
 * ```ts
 * import { developmentCertificate } from 'simplenet';
 * import { serve } from 'simplenet/http';
 *
 * const { tls, fingerprint } = developmentCertificate();
 * const server = serve((_request, response) => response.text('hello\n'), { tls });
 * console.log(server.url, fingerprint);
 * ```
 */
export function developmentCertificate(options: DevelopmentCertificateOptions = {}): DevelopmentCertificate {
  const now = options.now ?? Date.now();
  const folder = options.folder ?? defaultFolder();
  const hosts = hostsOf(hostname());
  const path = join(folder, FILE);
  const make = () => selfSigned({ hosts, notBefore: now - BACKDATED_MS, notAfter: now + VALID_DAYS * DAY_MS });
  let pair: SelfSigned;
  try {
    makeFolder(folder);
    mustBePrivate(statSync(folder), folder);
    const kept = read(path);
    if (kept !== null && isGood(kept, hosts, now)) return described(kept, path, null);
    pair = make();
    write(path, pair);
  } catch (error) {
    return described(make(), null, (error as Error).message);
  }
  return described(pair, path, null);
}

function defaultFolder(): string {
  const { XDG_CACHE_HOME: cache = '' } = process.env;
  return join(cache.startsWith('/') ? cache : join(homedir(), '.cache'), 'simplenet');
}

/** With the folders above it. `recursive` of mkdirSync does not end if the kernel refuses a folder with ENOENT, as it does below /proc (Node 20). */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT') throw error;
    makeFolder(dirname(path));
    mkdirSync(path, { mode: 0o700 });
  }
}

/** What the certificate of a machine of this name is for. The name may have letters that no certificate has. */
export function hostsOf(machine: string): readonly string[] {
  const name = domainToASCII(machine.toLowerCase());
  const isUsable = /^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/.test(name) && !/(?:^|\.)\d+$/.test(name);
  return [...new Set(['localhost', ...(isUsable ? [name] : []), '127.0.0.1', '::1'])];
}

/** Throws if another user could read or replace what is there. */
function mustBePrivate({ uid, mode }: { readonly uid: number; readonly mode: number }, path: string): void {
  if (uid !== process.getuid?.()) throw new Error(`${path} belongs to another user`);
  if ((mode & OTHERS) !== 0) throw new Error(`${path} is open to other users (chmod go= closes it)`);
}

/** Null if there is none. The file is checked when it is open, so nobody can replace it in between. */
function read(path: string): SelfSigned | null {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    const status = fstatSync(descriptor);
    mustBePrivate(status, path);
    if (!status.isFile() || status.size > MAX_FILE_BYTES) throw new Error(`${path} is not a file of a certificate`);
    return pairFrom(readFileSync(descriptor, 'latin1'));
  } finally {
    closeSync(descriptor);
  }
}

function pairFrom(text: string): SelfSigned | null {
  const block = (label: string) => new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\n`).exec(text)?.[0];
  const cert = block('CERTIFICATE');
  const key = block('PRIVATE KEY');
  return cert === undefined || key === undefined ? null : { cert, key };
}

function write(path: string, { cert, key }: SelfSigned): void {
  const unfinished = `${path}.${process.pid}.${process.hrtime.bigint()}`; // several threads have one process id
  writeFileSync(unfinished, cert + key, { mode: 0o600, flag: 'wx' });
  renameSync(unfinished, path);
}

/** Whether it is for this machine and lasts for a while. A pair that is damaged is not good. */
function isGood({ cert, key }: SelfSigned, hosts: readonly string[], now: number): boolean {
  try {
    const certificate = new X509Certificate(cert);
    const isLasting = Date.parse(certificate.validTo) - now > MIN_DAYS_LEFT * DAY_MS;
    const hasBegun = Date.parse(certificate.validFrom) <= now;
    const isFor = (host: string) => (certificate.checkHost(host) ?? certificate.checkIP(host)) !== undefined;
    return isLasting && hasBegun && hosts.every(isFor) && certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function described(tls: SelfSigned, path: string | null, whyNotKept: string | null): DevelopmentCertificate {
  const { fingerprint256: fingerprint, validTo } = new X509Certificate(tls.cert);
  return { tls, fingerprint, expiresAt: new Date(validTo), path, whyNotKept };
}
