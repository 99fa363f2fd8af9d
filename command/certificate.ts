/**
 * The certificate of `--tls`, `--cert` and `--key`: that of files, which can be read again when it was renewed, or one for development. And the file that SSLKEYLOGFILE names gets the secrets of all connections, as with curl.
 *
 * Next: free-port.ts
 */

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server, Workers } from '../http/index.ts';
import { developmentCertificate, keyLogFile, type TlsOptions } from '../simplenet/index.ts';
import { CommandError, FAILED } from './command-error.ts';
import type { CommandOptions } from './options.ts';

export interface Certificate {
  readonly tls: TlsOptions;
  /** For a person: what is particular about it; empty if nothing is. */
  readonly notes: readonly string[];
}

/** Reads the files again, and gives them to the server for its new connections. Returns the notes. Throws CommandError if they cannot be used: the old certificate stays. */
export type Renewal = (server: Server | Workers) => readonly string[];

/** How the error ends that is about an encrypted key: the command takes none, because a passphrase in its arguments could be read by all users. */
const NO_PASSPHRASE = 'there is no passphrase';

type Environment = Readonly<Record<string, string | undefined>>;

/** Null without TLS. Throws CommandError for a file that cannot be read, or written. */
export function certificateOf(
  options: CommandOptions,
  make = developmentCertificate,
  { SSLKEYLOGFILE: keyLog = '' }: Environment = process.env,
): Certificate | null {
  const certificate = chosenBy(options, make);
  if (certificate === null || keyLog === '') return certificate;
  const onKeyLog = explained(`SSLKEYLOGFILE ${keyLog}`, () => keyLogFile(keyLog));
  const note = `The secrets of all connections go to ${keyLog} (SSLKEYLOGFILE).`;
  return { tls: { ...certificate.tls, onKeyLog }, notes: [...certificate.notes, note] };
}

/** Null if the certificate is not of files. */
export function renewalOf(options: CommandOptions, certificate: Certificate | null): Renewal | null {
  const { cert, key } = options;
  if (certificate === null || cert === undefined || key === undefined) return null;
  return (server) => {
    const { tls, notes } = ofFiles(cert, key);
    try {
      server.setTls({ ...certificate.tls, ...tls });
    } catch (error) {
      throw new CommandError(sayingOptions((error as Error).message, options), FAILED);
    }
    return notes;
  };
}

/** What the server says about a certificate, with the options of the command instead of its own. */
export function sayingOptions(message: string, { key }: CommandOptions): string {
  const advice = message.endsWith(NO_PASSPHRASE) ? ` (openssl pkey -in ${key} -out FILE decrypts it)` : '';
  return message.replace(/^tls\.(?=cert|key)/, '--') + advice;
}

function chosenBy({ tls, cert, key }: CommandOptions, make: typeof developmentCertificate): Certificate | null {
  if (cert !== undefined && key !== undefined) return ofFiles(cert, key);
  if (!tls) return null;
  const { tls: made, fingerprint, path, whyNotKept } = make();
  const [first, second] = [fingerprint.slice(0, fingerprint.length / 2), fingerprint.slice(fingerprint.length / 2 + 1)];
  const notes = [
    'A certificate for development: clients must be told to accept it.',
    `  SHA-256  ${first.replace(/:$/, '')}`,
    `           ${second.replace(/^:/, '')}`,
    path === null ? `It is for this run alone: ${whyNotKept}` : `  In       ${path}`,
  ];
  return { tls: made, notes };
}

function ofFiles(cert: string, key: string): Certificate {
  const tls = { cert: contentOf('cert', cert), key: contentOf('key', key) };
  return { tls, notes: notesOn(tls.cert) };
}

/** An expired certificate is no reason to refuse it, since a renewed one may be on its way; clients will, and say little about it. */
function notesOn(pem: Buffer): readonly string[] {
  let validTo: string;
  try {
    ({ validTo } = new X509Certificate(pem));
  } catch {
    return []; // `serve` says what is wrong
  }
  return Date.parse(validTo) < Date.now() ? [`The certificate has expired (${validTo}): clients will refuse it.`] : [];
}

function contentOf(option: string, path: string): Buffer {
  return explained(`--${option} ${path}`, () => readFileSync(path));
}

/** Runs what opens a file. If it cannot be opened, a sentence says why. */
function explained<T>(what: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reasons: Record<string, string> = {
      ENOENT: 'there is no such file',
      EACCES: 'this user may not read it',
      EISDIR: 'it is a directory',
    };
    throw new CommandError(`${what}: ${reasons[code as string] ?? message}`, FAILED);
  }
}
