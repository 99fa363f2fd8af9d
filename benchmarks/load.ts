/**
 * LoadGenerator: a program that plays the clients. Several generators implement this interface: choose-load.ts picks one for HTTP; HTTPS and WebSocket have their own.
 *
 * All send the same bytes over the same number of connections, wait for the responses, and count. Their figures differ, because a
 * faster client gives a server more to do. The report names the generator, and results of different ones must not be compared.
 *
 * Next: c-load.ts
 */

import type { TlsSessions } from './workloads.ts';

export interface LoadOrder {
  readonly port: number;
  /** A file that holds the bytes of one request: of the handshake, for WebSocket. */
  readonly requestFile: string;
  /** What is sent and expected after the handshake of WebSocket. Null for HTTP. */
  readonly socket: SocketFiles | null;
  readonly connections: number;
  readonly pipeline: number;
  readonly seconds: number;
  /** Requests a second, evenly, however fast the responses come; null: the next request follows the response. */
  readonly rate: number | null;
  /** As Workload.tls. */
  readonly tls: TlsSessions | null;
}

/** As SocketExchange of a workload. */
export interface SocketFiles {
  readonly frameFile: string;
  readonly answerFile: string;
  readonly isToAll: boolean;
}

export interface LoadResult {
  /** Complete responses. */
  readonly requests: number;
  readonly seconds: number;
  /** A percentile is null if the generator cannot measure it. */
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  readonly p999Us: number | null;
  /** Connections that failed or broke, and responses that took too long. */
  readonly errors: number;
  /** Responses with a status other than 2xx. */
  readonly refused: number;
}

/** What the generator calls before its first request that counts, and after its last response. */
export interface LoadWatch {
  begin(): void;
  end(): void;
}

export const noWatch: LoadWatch = { begin() {}, end() {} };

export interface LoadGenerator {
  readonly title: string;
  /** It can send at a rate, and measure latency from the moment at which a request was due. */
  readonly canPace: boolean;
  run(order: LoadOrder, watch: LoadWatch): Promise<LoadResult>;
}

export const loadNames = ['uring', 'wrk', 'own'] as const;

export type LoadName = (typeof loadNames)[number];
