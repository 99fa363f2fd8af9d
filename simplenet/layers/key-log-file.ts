/**
 * keyLogFile: an `onKeyLog` that appends to a file, as curl and browsers do it with SSLKEYLOGFILE. Wireshark reads it.
 *
 * The library never looks at that variable: whoever can set it for a server could read all its traffic. The two programs (`npm start`, `simplenet`) do, and say so.
 *
 * Next: crc32c.ts
 */

import { appendFileSync } from 'node:fs';

/**
 * Returns a function for `onKeyLog` of the options of TLS, which appends each line to the file. The file is made for this user alone if it is not there. Throws
 * if it cannot be written.
 *
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { createTlsContext, keyLogFile } from 'simplenet';
 *
 * const onKeyLog = keyLogFile('/tmp/keys.log');
 * const context = createTlsContext({ cert: readFileSync('cert.pem'), key: readFileSync('key.pem'), onKeyLog });
 * ```
 */
export function keyLogFile(path: string): (line: string) => void {
  const append = (text: string) => appendFileSync(path, text, { mode: 0o600 });
  append('');
  return (line) => {
    try {
      append(`${line}\n`);
    } catch {
      // A full disk is no reason to end a connection: Wireshark cannot read it, and its client can.
    }
  };
}
