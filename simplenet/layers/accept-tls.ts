/**
 * How a TlsStream gets its stream below: acceptTls and connectTls.
 *
 * Next: ../index.ts
 */

import { libc as processLibc } from '../kernel/libc.ts';
import type { OnConnection, Stream, StreamHandler } from '../loop/event-loop.ts';
import type { SslContext } from './openssl.ts';
import type { TlsContext } from './tls-context.ts';
import type { TlsSetup } from './tls-handshake.ts';
import type { AcceptTlsOptions, OnSecureConnection, SecureStream } from './tls-options.ts';
import { TlsStream } from './tls-stream.ts';

const HANDSHAKE_MS = 10_000;
const MAX_QUEUED_BYTES = 16 * 1024 * 1024;
const RECORDS_PER_TURN = 256;

function setupOf(options: AcceptTlsOptions, context: TlsContext | null, client: TlsSetup['client'] = null): TlsSetup {
  return {
    context,
    client,
    handshakeMs: options.handshakeMs ?? HANDSHAKE_MS,
    maxQueuedBytes: options.maxQueuedBytes ?? MAX_QUEUED_BYTES,
    recordsPerTurn: options.recordsPerTurn ?? RECORDS_PER_TURN,
    onChooseError: options.onChooseError ?? (() => {}),
    plainAnswer: options.plainAnswer ?? (() => null),
    libc: options.libc ?? processLibc,
    counts: options.counts ?? null,
  };
}

/**
 * Puts TLS on what a loop accepts. Throws nothing: a handshake that fails ends its connection with an error.
 *
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { acceptTls, createEventLoop, createTlsContext } from 'simplenet';
 *
 * const context = createTlsContext({ cert: readFileSync('cert.pem'), key: readFileSync('key.pem') });
 * const echo = acceptTls(context, () => ({ onData: (stream, bytes) => stream.write(bytes) }));
 * createEventLoop().listen({ address: '127.0.0.1', port: 8443 }, echo);
 * ```
 */
export function acceptTls(
  context: TlsContext,
  onConnection: OnSecureConnection,
  options: AcceptTlsOptions = {},
): OnConnection {
  const setup = setupOf(options, context);
  return (inner) => TlsStream.accept(setup, inner, onConnection);
}

/** A client, for tests of servers: it verifies nothing. `connect` opens the stream below with the handler that it gets. */
export function connectTls(
  context: SslContext,
  handler: StreamHandler,
  connect: (handler: StreamHandler) => Stream,
  options: AcceptTlsOptions & { readonly serverName?: string } = {},
): SecureStream {
  const setup = setupOf(options, null, { context, serverName: options.serverName ?? null });
  return TlsStream.connect(setup, handler, connect);
}
