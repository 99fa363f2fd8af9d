/**
 * What `stream.tls` returns: asked of OpenSSL when it is read, because most programs never do.
 *
 * Next: stream-over-stream.ts
 */

import { X509Certificate } from 'node:crypto';
import type { SslConnection } from './ssl-connection.ts';
import type { TlsInfo } from './tls-options.ts';

export function infoOf(ssl: SslConnection, serverName: string | null): TlsInfo {
  const certificate = ssl.peerCertificate;
  let parsed: X509Certificate | null = null;
  return {
    version: ssl.version,
    cipher: ssl.cipher,
    serverName,
    alpn: ssl.hasAlpn ? 'http/1.1' : null,
    isResumed: ssl.isResumed,
    get peerCertificate() {
      if (certificate !== null) parsed ??= new X509Certificate(certificate);
      return parsed;
    },
  };
}
