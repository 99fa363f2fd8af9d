/**
 * TlsEntrance: how the connections of a server come in by TLS: its certificates, and what a client gets that speaks plain HTTP here.
 *
 * The connection and its handlers do not notice: TLS is a Stream made of a Stream. What differs is `request.scheme` and `request.tls`.
 *
 * Next: https-redirect.ts
 */

import {
  acceptTls,
  createTlsContext,
  type OnConnection,
  type TlsContext,
  type TlsCounts,
  type TlsOptions,
} from '../simplenet/index.ts';
import { ENDLESS_MS } from './connection/deadline.ts';
import { refusalOf } from './response/refusal.ts';

const BAD_REQUEST = 400;

/** What is needed of the server. */
export interface EntranceOwner {
  readonly timeouts: { readonly handshakeMs: number };
  /** Null if nobody counts handshakes. */
  readonly tlsCounts: TlsCounts | null;
  dateLine(): string;
  report(error: unknown, request: null, response: null): unknown;
}

export class TlsEntrance {
  readonly #context: TlsContext;

  /** Throws RangeError if a certificate cannot be used. */
  constructor(options: TlsOptions) {
    this.#context = createTlsContext(options);
  }

  /** Connections that are accepted from now on use these options. */
  replace(options: TlsOptions): void {
    this.#context.replace(options);
  }

  /** The connections that are open go on. */
  close(): void {
    this.#context.close();
  }

  /** Puts TLS in front of `onConnection`. */
  before(onConnection: OnConnection, owner: EntranceOwner): OnConnection {
    return acceptTls(this.#context, onConnection, {
      handshakeMs: Math.min(owner.timeouts.handshakeMs, ENDLESS_MS),
      onChooseError: (error) => void owner.report(error, null, null),
      maxQueuedBytes: Number.MAX_SAFE_INTEGER, // `answerBufferBytes` limits the queue of a response
      plainAnswer: (firstBytes) => plainAnswerTo(firstBytes, owner.dateLine()),
      counts: owner.tlsCounts ?? undefined,
    });
  }
}

/** A request of plain HTTP begins with a method. Nothing that is not HTTP gets an answer. */
function plainAnswerTo([first = 0]: Uint8Array, dateLine: string): Uint8Array | null {
  const isLetter = (first >= 0x41 && first <= 0x5a) || (first >= 0x61 && first <= 0x7a);
  if (!isLetter) return null;
  return Buffer.from(refusalOf(BAD_REQUEST, dateLine, 'this port speaks HTTPS: the URL must begin with https://'));
}
