/**
 * ServerMetrics: everything that a server tells about itself: its requests, its connections, its lines, its system calls and its process.
 *
 * Next: watch-handler.ts
 */

import type { CallCount, TlsCounts } from '../../simplenet/index.ts';
import type { DoorCounts } from '../connection/door.ts';
import type { CountedAnswer } from '../request/meter.ts';
import type { WebSocketCounts } from '../web-socket-counts.ts';
import { type LagClock, LoopLag } from './loop-lag.ts';
import { familyOf, type Labels, type MetricFamily } from './metric-families.ts';
import { tlsMetrics, webSocketMetrics } from './protocol-metrics.ts';
import { RequestMetrics } from './request-metrics.ts';
import { usageMetrics } from './usage-metrics.ts';

/** The server that is watched. */
export interface WatchedServer {
  readonly door: {
    readonly connections: { readonly size: number };
    readonly busyCount: number;
    readonly counts: DoorCounts;
  };
  readonly admission: { readonly inFlight: number; readonly queued: number } | null;
  readonly bodyMemory: { readonly usedBytes: number };
  /** Null without TLS. */
  readonly tlsCounts: TlsCounts | null;
  readonly webSocketCounts: WebSocketCounts;
}

export class ServerMetrics {
  readonly #server: WatchedServer;
  readonly #requests = new RequestMetrics();
  readonly #lag: LoopLag;
  readonly #calls: ReadonlyMap<string, CallCount>;

  /** `calls` are those of the loop, and the clock is that of the loop. */
  constructor(server: WatchedServer, clock: LagClock, calls: ReadonlyMap<string, CallCount>) {
    this.#server = server;
    this.#lag = new LoopLag(clock);
    this.#calls = calls;
  }

  count(answer: CountedAnswer): void {
    this.#requests.count(answer);
  }

  families(): MetricFamily[] {
    const { tlsCounts, webSocketCounts } = this.#server;
    return [
      ...this.#requests.families(),
      ...this.#serverFamilies(),
      ...(tlsCounts === null ? [] : tlsMetrics(tlsCounts)),
      ...webSocketMetrics(webSocketCounts),
      ...this.#callFamilies(),
      this.#lag.family(),
      ...usageMetrics(),
    ];
  }

  close(): void {
    this.#lag.close();
  }

  #serverFamilies(): MetricFamily[] {
    const { door, admission, bodyMemory } = this.#server;
    const { connections, busyCount, counts } = door;
    const { accepted, shortages, evicted, full, address, proxyHeader } = counts;
    return [
      familyOf(
        'gauge',
        'http_connections',
        'Open connections. Busy: with a request, its response or another protocol.',
        [
          [{ state: 'busy' }, busyCount],
          [{ state: 'idle' }, connections.size - busyCount],
        ],
      ),
      familyOf('counter', 'http_connections_accepted_total', 'Connections that were accepted.', [[{}, accepted]]),
      familyOf(
        'counter',
        'http_connections_refused_total',
        'Connections that were closed at once, and idle or slow ones that made room.',
        [
          [{ reason: 'connections' }, full],
          [{ reason: 'connectionsPerAddress' }, address],
          [{ reason: 'proxyHeader' }, proxyHeader],
          [{ reason: 'evicted' }, evicted],
        ],
      ),
      familyOf('counter', 'http_descriptor_shortages_total', 'Times without a descriptor for a new connection.', [
        [{}, shortages],
      ]),
      familyOf(
        'gauge',
        'http_requests_in_flight',
        'Requests that have a place (requestsInFlight). Without that limit, busy connections.',
        [[{}, admission?.inFlight ?? busyCount]],
      ),
      familyOf('gauge', 'http_requests_queued', 'Requests that wait for a place.', [[{}, admission?.queued ?? 0]]),
      familyOf('gauge', 'http_body_memory_bytes', 'Bodies that are read whole (bodyMemoryBytes).', [
        [{}, bodyMemory.usedBytes],
      ]),
    ];
  }

  #callFamilies(): MetricFamily[] {
    const made: [Labels, number][] = [];
    const failed: [Labels, number][] = [];
    for (const [call, { calls, errors }] of this.#calls) {
      if (calls > 0) made.push([{ call }, calls]);
      for (const [error, count] of errors) failed.push([{ call, error }, count]);
    }
    return [
      familyOf('counter', 'simplenet_system_calls_total', 'System calls, by name.', made),
      familyOf(
        'counter',
        'simplenet_system_call_errors_total',
        'System calls that failed. EAGAIN means that there was nothing to do.',
        failed,
      ),
    ];
  }
}
