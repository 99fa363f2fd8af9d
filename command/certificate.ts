/**
 * The certificate of `--tls`, `--cert` and `--key`: that of files, or one for development.
 *
 * Next: free-port.ts
 */

import { readFileSync } from 'node:fs';
import { developmentCertificate, type TlsCertificate } from '../simplenet/index.ts';
import { CommandError, FAILED } from './command-error.ts';
import type { CommandOptions } from './options.ts';

export interface Certificate {
  readonly tls: TlsCertificate;
  /** For a person: what is particular about it; empty if it is from files. */
  readonly notes: readonly string[];
}

/** Null without TLS. Throws CommandError for a file that cannot be read. */
export function certificateOf({ tls, cert, key }: CommandOptions, make = developmentCertificate): Certificate | null {
  if (cert !== undefined && key !== undefined) {
    return { tls: { cert: contentOf('cert', cert), key: contentOf('key', key) }, notes: [] };
  }
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

function contentOf(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reasons: Record<string, string> = {
      ENOENT: 'there is no such file',
      EACCES: 'this user may not read it',
      EISDIR: 'it is a directory',
    };
    throw new CommandError(`--${option} ${path}: ${reasons[code as string] ?? message}`, FAILED);
  }
}
