/** What TLS and WebSocket tell of themselves: handshakes that succeed and that fail in each way, connections, messages, bytes, and clients that read too slowly. */

import { once } from 'node:events';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { type Test, test } from 'tap';
import { Router, type ServeOptions, type ServerWebSocket, serve, webSocket } from '../../../http/index.ts';
import { WebSocketCounts } from '../../../http/web-socket-counts.ts';
import { openssl13 } from '../../simplenet/layers/recorded-hellos.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { authority, ecdsa } from '../../support/certificates.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';
import { WebSocketClient } from '../../support/web-socket-client.ts';
import { BINARY, CLOSE, PING, TEXT } from '../../support/web-socket-frames.ts';

/** A server, and a function that returns its samples of one protocol that are not 0: name and labels -> value. */
function watched(t: Test, protocol: string, site: Router, options: ServeOptions) {
  const server = serve(site, { onError: () => {}, metrics: { port: 0 }, ...options });
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 0 }));
  const samples = async (): Promise<Record<string, number>> => {
    const response = await fetch(`${server.metricsUrl}/metrics`, { headers: { Connection: 'close' } });
    const lines = (await response.text()).split('\n').filter((line) => line.startsWith(`${protocol}_`));
    const pairs = lines.map((line) => [
      line.slice(0, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' '))),
    ]);
    return Object.fromEntries(pairs.filter(([, value]) => value !== 0));
  };
  return { server, samples };
}

const failures = (reason: string) => `tls_handshake_failures_total{reason="${reason}"}`;
const handshakes = (version: string, resumed: boolean) =>
  `tls_handshakes_total{version="${version}",resumed="${resumed}"}`;

for (const backend of backends) {
  const skip = missingBackend[backend];
  const hello = new Router().get('/', (_request, response) => response.text('hello'));

  test(`handshakes by version and resumption, and open connections (${backend})`, { skip }, async (t) => {
    const { server, samples } = watched(t, 'tls', hello, { backend, tls: ecdsa });
    t.same(await samples(), {});
    const dial = async (options: ConnectionOptions): Promise<TLSSocket> => {
      const socket = tlsConnect({ port: server.port as number, host: '127.0.0.1', ca: authority.cert, ...options });
      socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await once(socket, 'data');
      return socket;
    };
    let session: Buffer | undefined;
    const first = tlsConnect({ port: server.port as number, host: '127.0.0.1', ca: authority.cert });
    first.on('session', (given) => {
      session = given;
    });
    first.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await once(first, 'data');
    t.same(await samples(), { tls_connections: 1, [handshakes('TLSv1.3', false)]: 1 });
    await until(() => session !== undefined);
    const sockets = [first, await dial({}), await dial({ session }), await dial({ maxVersion: 'TLSv1.2' })];
    t.same(await samples(), {
      tls_connections: 4,
      [handshakes('TLSv1.2', false)]: 1,
      [handshakes('TLSv1.3', false)]: 2,
      [handshakes('TLSv1.3', true)]: 1,
    });
    sockets[0]?.end();
    sockets[1]?.destroy();
    await until(() => server.connectionCount === 2);
    t.equal((await samples()).tls_connections, 2);
    for (const socket of sockets) socket.destroy();
    await until(() => server.connectionCount === 0);
    t.equal((await samples()).tls_connections, undefined);
  });

  test(`handshakes that fail, by reason (${backend})`, { skip }, async (t) => {
    const { server, samples } = watched(t, 'tls', hello, {
      backend,
      tls: {
        ...ecdsa,
        requestClientCertificate: 'require',
        ca: authority.cert,
        serverNames: (name) => {
          throw new Error(`no ${name}`);
        },
      },
    });
    const bytes = (text: string, encoding: BufferEncoding) => async () => {
      const raw = new RawClient(server.port as number).write(Buffer.from(text, encoding));
      await raw.ended();
      raw.destroy();
    };
    const secure = (options: ConnectionOptions) => async () => {
      const socket = tlsConnect({
        port: server.port as number,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        ...options,
      });
      await once(socket.resume(), 'close').catch(() => {});
    };
    const leaves = (how: 'end' | 'resetAndDestroy', sent: string) => async () => {
      const raw = new RawClient(server.port as number).write(Buffer.from(sent, 'hex'));
      await raw.connected();
      await until(() => server.connectionCount === 1);
      raw.socket[how]();
      await until(() => server.connectionCount === 0);
      raw.destroy();
    };
    // A hello without a server name, and then an alert: unknown_ca.
    const refuses = async () => {
      const raw = new RawClient(server.port as number).write(Buffer.from(openssl13, 'base64'));
      await raw.until(() => raw.receivedBytes > 0, 'the answer to the hello');
      raw.write(Buffer.from('15030300020230', 'hex'));
      await raw.ended();
      raw.destroy();
    };
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    const kinds: [string, () => Promise<unknown>][] = [
      ['plain', bytes('GET / HTTP/1.1\r\n\r\n', 'latin1')],
      ['plain', bytes('SSH-2.0-x\r\n', 'latin1')],
      ['hello', bytes('1603010000', 'hex')],
      ['version', secure(old)],
      ['cipher', secure({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' })],
      ['alpn', secure({ ALPNProtocols: ['h2'] })],
      ['clientCertificate', secure({})],
      ['clientCertificate', secure({ maxVersion: 'TLSv1.2' })],
      ['serverCertificate', secure({ servername: 'unknown.example' })],
      ['alert', refuses],
      ['closed', leaves('end', '')],
      ['closed', leaves('end', '16030100')],
      ['closed', leaves('resetAndDestroy', '16030100')],
    ];
    const expected: Record<string, number> = {};
    for (const [reason, fail] of kinds) {
      await fail();
      await until(() => server.connectionCount === 0);
      expected[failures(reason)] = (expected[failures(reason)] ?? 0) + 1;
      t.same(await samples(), expected, reason);
    }
  });

  test(`handshakes that take too long are failures, and those that the server closes are not (${backend})`, {
    skip,
  }, async (t) => {
    const slow = watched(t, 'tls', hello, { backend, tls: ecdsa, timeouts: { handshakeMs: 50 } });
    for (const count of [1, 2]) {
      await new RawClient(slow.server.port as number).ended();
      t.same(await slow.samples(), { [failures('timeout')]: count });
    }
    const full = watched(t, 'tls', hello, { backend, tls: ecdsa, limits: { connections: 1 } });
    const evicted = new RawClient(full.server.port as number);
    await until(() => full.server.connectionCount === 1);
    const other = new RawClient(full.server.port as number);
    await evicted.ended();
    t.same(await full.samples(), {});
    await full.server.close({ graceMs: 0, idleGraceMs: 0 });
    other.destroy();
  });

  test(`WebSockets: messages and bytes both ways, and how they end (${backend})`, { skip }, async (t) => {
    const echo = webSocket({ open: (ws) => ws.send('welcome'), message: (ws, data) => ws.send(data) });
    const { server, samples } = watched(t, 'websocket', new Router().get('/', echo), { backend });
    t.same(await samples(), {});
    const client = await WebSocketClient.open(t, server);
    await client.untilFrames(1);
    const opened = { websocket_connections: 1, websocket_opened_total: 1 };
    t.same(await samples(), { ...opened, websocket_sent_messages_total: 1, websocket_sent_bytes_total: 2 + 7 });
    client.send(TEXT, 'ä');
    await client.untilFrames(2);
    t.same(await samples(), {
      ...opened,
      websocket_received_messages_total: 1,
      websocket_received_bytes_total: 6 + 2,
      websocket_sent_messages_total: 2,
      websocket_sent_bytes_total: 9 + 2 + 2,
    });
    client.send(PING, '!').send(BINARY, Buffer.alloc(1_000)); // a ping has bytes and is no message
    await client.untilFrames(4);
    t.same(await samples(), {
      ...opened,
      websocket_received_messages_total: 2,
      websocket_received_bytes_total: 8 + 7 + 1_008,
      websocket_sent_messages_total: 3,
      websocket_sent_bytes_total: 13 + 3 + 1_004,
    });
    client.raw.reset();
    await until(() => server.connectionCount === 0);
    const codes: Record<string, number> = { 1006: 1 };
    for (const [code, label] of [
      [1_000, '1000'],
      [1_000, '1000'],
      [3_000, '3xxx'],
      [3_999, '3xxx'],
      [4_000, '4xxx'],
      [4_999, '4xxx'],
      [null, '1005'],
      [1_015, '1002'], // not one that a client may send
    ] as const) {
      const closing = await WebSocketClient.open(t, server);
      if (code === null) closing.send(CLOSE);
      else closing.close(code);
      await closing.untilClosed();
      closing.raw.socket.end();
      await until(() => server.connectionCount === 0);
      codes[label] = (codes[label] ?? 0) + 1;
    }
    const now = await samples();
    t.same(
      Object.entries(codes).map(([code, count]) => [code, now[`websocket_closed_total{code="${code}"}`], count]),
      Object.entries(codes).map(([code, count]) => [code, count, count]),
    );
    t.match(now, { websocket_opened_total: 9 });
    t.equal(now.websocket_connections, undefined);
  });

  test(`WebSockets whose client reads too slowly: messages are dropped, or it is cut (${backend})`, {
    skip,
  }, async (t) => {
    for (const whenFull of ['drop', 'close'] as const) {
      const sockets: ServerWebSocket[] = [];
      const endpoint = webSocket(
        {
          open(ws) {
            sockets.push(ws);
            ws.subscribe('all');
          },
        },
        { whenFull, maxQueuedBytes: 100_000 },
      );
      const { server, samples } = watched(t, 'websocket', new Router().get('/', endpoint), { backend });
      const client = await WebSocketClient.open(t, server);
      client.raw.socket.pause();
      await until(() => sockets.length === 1);
      const ws = sockets[0] as ServerWebSocket;
      const message = Buffer.alloc(40_000);
      let sent = 0;
      while (ws.queuedBytes + message.length <= 100_000) {
        ws.send(message);
        sent++;
        await new Promise((resolve) => setImmediate(resolve));
      }
      // From here to the last message nothing is awaited: the client, or rather its kernel, may take something at any time.
      const { webSocketCounts: counts } = server.commons;
      const isDropped = whenFull === 'drop';
      t.match(counts, { sentMessages: sent, sentBytes: sent * 40_004, droppedMessages: 0, tooSlow: 0 });
      ws.send(message);
      t.match(counts, { sentMessages: sent, droppedMessages: isDropped ? 1 : 0, tooSlow: isDropped ? 0 : 1 });
      endpoint.publish('all', message);
      t.match(await samples(), {
        websocket_sent_messages_total: sent,
        websocket_sent_bytes_total: sent * 40_004,
        ...(isDropped ? { websocket_dropped_messages_total: 2 } : { websocket_slow_readers_closed_total: 1 }),
      });
      client.raw.reset();
      await until(() => server.connectionCount === 0);
      t.match(await samples(), { 'websocket_closed_total{code="1006"}': 1 });
    }
  });
}

test('compressed messages, and those for many, count as they are sent', async (t) => {
  const text = 'to be or not to be, '.repeat(50);
  const endpoint = webSocket(
    { open: (ws) => ws.subscribe('all'), message: (_ws, data) => void endpoint.publish('all', data) },
    { compression: { minBytes: 0 } },
  );
  const { server, samples } = watched(t, 'websocket', new Router().get('/', endpoint), {});
  const plain = await WebSocketClient.open(t, server);
  const small = await WebSocketClient.open(t, server, '/', { 'Sec-WebSocket-Extensions': 'permessage-deflate' });
  plain.send(TEXT, text);
  await Promise.all([plain.untilFrames(1), small.untilFrames(1)]);
  const compressed = small.raw.receivedBytes - small.head.length;
  t.ok(compressed < 100);
  t.match(await samples(), {
    websocket_received_messages_total: 1,
    websocket_received_bytes_total: text.length + 8,
    websocket_sent_messages_total: 2,
    websocket_sent_bytes_total: text.length + 4 + compressed,
  });
});

test('a client cannot make series of codes', async (t) => {
  const counts = new WebSocketCounts();
  for (const code of [1_000, 1_014, 3_000, 3_999, 4_000, 4_999]) counts.countClosed(code);
  t.same(counts.closedByCode(), [
    { code: '1000', count: 1 },
    { code: '1014', count: 1 },
    { code: '3xxx', count: 2 },
    { code: '4xxx', count: 2 },
  ]);
});

test('without TLS there are no metrics of it, and without metrics nothing counts handshakes', async (t) => {
  const plain = watched(t, 'tls', new Router(), {});
  t.same(await plain.samples(), {});
  t.equal(plain.server.commons.tlsCounts, null);
  t.equal(watched(t, 'tls', new Router(), { tls: ecdsa, metrics: undefined }).server.commons.tlsCounts, null);
});
