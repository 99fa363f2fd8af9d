/**
 * TlsCounts: how the handshakes of a listener ended, for whoever watches a server. Plain numbers, which `acceptTls` adds to if it gets them.
 *
 * Each kind of failure has its own cause, and another person who can do something about it. Their number is fixed, because the reasons that
 * OpenSSL gives, and so the peers, must not make series of metrics.
 *
 * Next: chosen-contexts.ts
 */

/** What each kind of failure is, in the order in which docs/api.md has them. */
const NO_FAILURES = {
  /** The first bytes are not TLS: plain HTTP, mostly. */
  plain: 0,
  /** The hello is malformed or too long. */
  hello: 0,
  /** The peer offers no version that is allowed here. */
  version: 0,
  /** The peer offers no cipher or no kind of key that is allowed here. */
  cipher: 0,
  /** The peer offers protocols, and HTTP/1.1 is not among them. */
  alpn: 0,
  /** The peer had to send a certificate, and has none, or one that nobody vouches for. */
  clientCertificate: 0,
  /** `serverNames` threw, or its certificate cannot be used. */
  serverCertificate: 0,
  /** The peer has sent an alert: it does not accept our certificate, mostly. */
  alert: 0,
  /** The connection ended in the middle. */
  closed: 0,
  /** It took longer than `handshakeMs`. */
  timeout: 0,
  other: 0,
};

/**
 * Why a handshake failed: a key of `TlsCounts.failed`.
 *
 * ```ts
 * import { TlsCounts, type TlsFailure } from 'simplenet';
 *
 * const failures = (counts: TlsCounts, kind: TlsFailure): number => counts.failed[kind];
 * console.log(failures(new TlsCounts(), 'timeout'));
 * ```
 */
export type TlsFailure = keyof typeof NO_FAILURES;

/**
 * Counts of handshakes and connections, for the option `counts` of `acceptTls`.
 *
 * ```ts
 * import { acceptTls, TlsCounts, type TlsContext } from 'simplenet';
 *
 * const counts = new TlsCounts();
 * const echo = (context: TlsContext) =>
 *   acceptTls(context, () => ({ onData: (stream, bytes) => stream.write(bytes) }), { counts });
 * setInterval(() => console.log(counts.open, counts.failed.timeout), 60_000).unref();
 * ```
 */
export class TlsCounts {
  /** Connections that are open and whose handshake is complete. */
  open = 0;
  /** Complete handshakes, by version, and by whether the peer has continued an earlier session. */
  readonly completed: Readonly<Record<'TLSv1.2' | 'TLSv1.3', { full: number; resumed: number }>> = {
    'TLSv1.2': { full: 0, resumed: 0 },
    'TLSv1.3': { full: 0, resumed: 0 },
  };
  /** Handshakes that failed, by reason. What this side closes is none of them. */
  readonly failed: Record<TlsFailure, number> = { ...NO_FAILURES };
}
