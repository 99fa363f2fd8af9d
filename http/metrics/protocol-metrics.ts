/**
 * ProtocolMetrics: what the layer below HTTP (TLS) and the protocol beside it (WebSocket) have counted.
 *
 * Next: server-metrics.ts
 */

import type { TlsCounts } from '../../simplenet/index.ts';
import type { WebSocketCounts } from '../web-socket-counts.ts';
import { familyOf, type MetricFamily } from './metric-families.ts';

export function tlsMetrics({ open, completed, failed }: TlsCounts): MetricFamily[] {
  return [
    familyOf('gauge', 'tls_connections', 'Open connections whose handshake is complete.', [[{}, open]]),
    familyOf(
      'counter',
      'tls_handshakes_total',
      'Complete handshakes. Resumed: the client has continued an earlier session.',
      Object.entries(completed).flatMap(([version, { full, resumed }]) => [
        [{ version, resumed: 'false' }, full],
        [{ version, resumed: 'true' }, resumed],
      ]),
    ),
    familyOf(
      'counter',
      'tls_handshake_failures_total',
      'Handshakes that failed.',
      Object.entries(failed).map(([reason, count]) => [{ reason }, count]),
    ),
  ];
}

export function webSocketMetrics(counts: WebSocketCounts): MetricFamily[] {
  const counter = (name: string, help: string, value: number) => familyOf('counter', name, help, [[{}, value]]);
  return [
    familyOf('gauge', 'websocket_connections', 'Open WebSockets.', [[{}, counts.open]]),
    counter('websocket_opened_total', 'WebSockets that were opened.', counts.opened),
    familyOf(
      'counter',
      'websocket_closed_total',
      'WebSockets that are closed, by the code of the close frame. 1005: it had none. 1006: there was no close frame.',
      counts.closedByCode().map(({ code, count }) => [{ code }, count]),
    ),
    counter(
      'websocket_slow_readers_closed_total',
      'WebSockets that were cut because their client read too slowly (maxQueuedBytes).',
      counts.tooSlow,
    ),
    counter('websocket_received_messages_total', 'Messages of clients.', counts.receivedMessages),
    counter('websocket_sent_messages_total', 'Messages to clients.', counts.sentMessages),
    counter(
      'websocket_dropped_messages_total',
      'Messages that were left out because their client read too slowly (whenFull: drop).',
      counts.droppedMessages,
    ),
    counter('websocket_received_bytes_total', 'Bytes of frames from clients.', counts.receivedBytes),
    counter('websocket_sent_bytes_total', 'Bytes of frames to clients.', counts.sentBytes),
  ];
}
