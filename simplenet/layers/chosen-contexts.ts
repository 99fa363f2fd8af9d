/**
 * ChosenContexts: what was made of certificates that a function of the program chooses by name. Strangers choose the names, and the program the certificates.
 *
 * To make an SSL_CTX of a certificate costs as much as several handshakes. So it is kept by the object that the program has returned: a program that returns
 * the same object for the same certificate pays once. The one that was not used for longest makes room; its connections live on.
 *
 * Next: tls-context.ts
 */

import { openssl, type SslContext } from './openssl.ts';
import type { TlsCertificate } from './tls-options.ts';

/** Each has some 50 KB. */
export const MAX_CHOSEN_CONTEXTS = 1_000;

export class ChosenContexts {
  readonly #make: (certificate: TlsCertificate) => SslContext;
  /** The one that was used last stands last. */
  readonly #made = new Map<TlsCertificate, SslContext>();

  constructor(make: (certificate: TlsCertificate) => SslContext) {
    this.#make = make;
  }

  /** Throws RangeError if the certificate cannot be used. */
  of(certificate: TlsCertificate): SslContext {
    const context = this.#made.get(certificate) ?? this.#make(certificate);
    this.#made.delete(certificate);
    this.#made.set(certificate, context);
    for (const [oldest, its] of this.#made) {
      if (this.#made.size <= MAX_CHOSEN_CONTEXTS) break;
      this.#made.delete(oldest);
      openssl.SSL_CTX_free(its);
    }
    return context;
  }

  all(): Iterable<SslContext> {
    return this.#made.values();
  }
}
