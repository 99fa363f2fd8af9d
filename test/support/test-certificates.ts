/** Certificates for tests, made when they are needed: each is signed by its own key, so a client that trusts one trusts nothing else. */

import { type SelfSigned, selfSigned } from '../../simplenet/layers/self-signed.ts';

const HOUR_MS = 3_600_000;

export function certificateFor(...hosts: readonly string[]): SelfSigned {
  const now = Date.now();
  return selfSigned({ hosts, notBefore: now - HOUR_MS, notAfter: now + HOUR_MS });
}

export function clientCertificate(name: string): SelfSigned {
  const now = Date.now();
  return selfSigned({ hosts: [name], notBefore: now - HOUR_MS, notAfter: now + HOUR_MS, purpose: 'client' });
}
