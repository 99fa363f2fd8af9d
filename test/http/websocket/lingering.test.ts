/** After the close handshake: a client that still takes what was sent before gets all of it, and one that does not is closed. On a stream that counts. */

import { test } from 'tap';
import { WebSocketCounts } from '../../../http/web-socket-counts.ts';
import { PartialMemory } from '../../../http/websocket/partial-memory.ts';
import { ServerWebSocket } from '../../../http/websocket/server-web-socket.ts';
import { Topics } from '../../../http/websocket/topics.ts';
import { defaultWebSocketSettings } from '../../../http/websocket/web-socket-options.ts';
import type { Stream } from '../../../simplenet/index.ts';
import { CLOSE, clientFrame } from '../../support/web-socket-frames.ts';

test('the deadline starts again as long as the client takes something', async (t) => {
  const calls: string[] = [];
  const stream = {
    queuedBytes: 1_000,
    write: () => false,
    end: () => void calls.push('end'),
    close: () => void calls.push('close'),
    setDeadline: () => void calls.push('deadline'),
  };
  const endpoint = {
    settings: defaultWebSocketSettings,
    extension: null,
    topics: new Topics(),
    partial: new PartialMemory(1),
    events: {},
  };
  const ws = new ServerWebSocket(endpoint, stream as unknown as Stream, new WebSocketCounts(), undefined, '');
  const after = (queuedBytes: number): string[] => {
    stream.queuedBytes = queuedBytes;
    calls.length = 0;
    ws.onTimeout();
    return [...calls];
  };
  ws.onData(stream as unknown as Stream, clientFrame(CLOSE));
  t.same(calls.slice(-2), ['end', 'deadline']);
  t.same(after(1_000), ['deadline'], 'the first time, nothing is known yet');
  t.same(after(999), ['deadline']);
  t.same(after(999), ['close'], 'it has taken nothing');
});

test('without anything to send the first deadline closes', async (t) => {
  let isClosed = false;
  const stream = {
    queuedBytes: 0,
    write: () => true,
    end() {},
    close: () => {
      isClosed = true;
    },
    setDeadline() {},
  };
  const endpoint = {
    settings: defaultWebSocketSettings,
    extension: null,
    topics: new Topics(),
    partial: new PartialMemory(1),
    events: {},
  };
  const ws = new ServerWebSocket(endpoint, stream as unknown as Stream, new WebSocketCounts(), undefined, '');
  ws.onData(stream as unknown as Stream, clientFrame(CLOSE));
  ws.onTimeout();
  t.ok(isClosed);
});
