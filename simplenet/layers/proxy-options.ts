/**
 * What a program says and gets of the PROXY protocol: the options of acceptProxied, and its streams.
 *
 * Next: proxy-protocol.ts
 */

import type { SocketAddress } from '../kernel/socket-address.ts';
import type { Stream, StreamHandler } from '../loop/event-loop.ts';
import type { ProxyInfo } from './proxy-header.ts';

/**
 * A stream whose proxy says who the client is: `remoteAddress` and `localAddress` are those of the header once it has come.
 *
 * ```ts
 * import type { ProxiedStream } from 'simplenet';
 *
 * const describe = (stream: ProxiedStream) => `${stream.proxy?.usesTls === true ? 'tls' : 'plain'}, ${stream.proxy?.tlvs.length} TLVs`;
 * ```
 */
export interface ProxiedStream extends Stream {
  /** Null until the header is complete. It is complete before the first `onData`. */
  readonly proxy: ProxyInfo | null;
}

/**
 * Chooses the handler of a connection that was just accepted. Its header has not been read.
 *
 * ```ts
 * import type { OnProxiedConnection } from 'simplenet';
 *
 * const echo: OnProxiedConnection = () => ({ onData: (stream, bytes) => stream.write(bytes) });
 * ```
 */
export type OnProxiedConnection = (stream: ProxiedStream) => StreamHandler;

/**
 * The options of `acceptProxied`.
 *
 * ```ts
 * import type { ProxyProtocolOptions } from 'simplenet';
 *
 * const options: ProxyProtocolOptions = { from: ['10.1.0.0/16'], headerMs: 2_000, onRefused: (reason) => console.error(reason) };
 * ```
 */
export interface ProxyProtocolOptions {
  /** The addresses of the proxies, as for AddressRanges: an array, or one text with commas. A header from anybody else does not count. */
  readonly from: string | readonly string[];
  /**
   * `required`, unless given: a proxy must send a header, and whoever is not in `from` is closed. `optional`: a proxy need not, and others may connect, whose first bytes
   * are not looked at.
   */
  readonly mode?: 'required' | 'optional';
  /** How long a header may take: 10 s unless given. */
  readonly headerMs?: number;
  /** The longest header: 4 KiB unless given. A line of version 1 has at most 107 bytes. */
  readonly maxHeaderBytes?: number;
  /** Says whether a client may come in. Called once for each connection, when it is known who its client is, before its first `onData`. If it returns false, the connection closes. */
  readonly admits?: (stream: ProxiedStream) => boolean;
  /** A connection is closed because its header is missing, late or wrong, or because it does not come from a proxy. */
  readonly onRefused?: (reason: string, peer: SocketAddress) => void;
}
