/** acceptProxied: headers in any pieces, whom it believes, and how its streams end. */

import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { test } from 'tap';
import {
  acceptProxied,
  createEventLoop,
  type EventLoop,
  formatSocketAddress,
  type OnConnection,
  type ProxiedStream,
  type ProxyProtocolOptions,
  portOf,
  type StreamHandler,
} from '../../../simplenet/index.ts';
import { until } from '../../support/waiting.ts';
import { addresses4, block, PROXY, TCP4, tlv } from './proxy-headers.ts';

const line = 'PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n';

/** A listener, what its streams have got, and how they have ended. */
class Listening {
  readonly loop: EventLoop = createEventLoop();
  readonly port: number;
  readonly streams: ProxiedStream[] = [];
  readonly seen: string[] = [];
  readonly refused: string[] = [];

  constructor(
    options: Partial<ProxyProtocolOptions> = {},
    reaction: Partial<StreamHandler> = {},
    wrap = (accept: OnConnection) => accept,
  ) {
    const onRefused = (reason: string) => void this.refused.push(reason);
    const accept = acceptProxied(
      (stream) => {
        this.streams.push(stream);
        return {
          onData: (_stream, bytes) => void this.seen.push(`data ${bytes}`),
          onClose: (_stream, error) => void this.seen.push(`close ${error?.code ?? 'well'}`),
          ...reaction,
        };
      },
      { from: 'loopback', onRefused, ...options },
    );
    this.port = portOf(this.loop.listen({ address: '127.0.0.1', port: 0 }, wrap(accept)).address);
  }

  /** A client, which has sent these bytes. */
  async client(bytes: string | Uint8Array = ''): Promise<Socket> {
    const socket = connect(this.port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    if (bytes.length > 0) socket.write(bytes);
    return socket;
  }

  async untilSeen(what: string): Promise<void> {
    await until(() => this.seen.includes(what));
  }

  /** Gives the server the bytes, and returns what it has seen by then and by the end. */
  async tell(bytes: string | Uint8Array): Promise<readonly string[]> {
    const client = await this.client(bytes);
    client.end();
    await until(() => this.seen.some((what) => what.startsWith('close')));
    client.destroy();
    return this.seen;
  }
}

async function listening(
  run: (listening: Listening) => Promise<void>,
  ...args: ConstructorParameters<typeof Listening>
): Promise<void> {
  const server = new Listening(...args);
  try {
    await run(server);
  } finally {
    server.loop.close();
  }
}

/** The end of a client, also by RST. */
function closed(client: Socket): Promise<void> {
  return new Promise((resolve) => client.once('close', () => resolve()));
}

const endsOf = ({ remoteAddress, localAddress }: ProxiedStream) =>
  [remoteAddress, localAddress].map(formatSocketAddress);

test('the addresses are those of the header, and its client goes on behind it', async (t) => {
  const v2 = block(PROXY, TCP4, Buffer.concat([addresses4, tlv(2, 'a.example')]));
  for (const [header, version] of [[Buffer.from(line), 1] as const, [v2, 2] as const]) {
    await listening(async (server) => {
      const client = await server.client();
      await until(() => server.streams.length > 0);
      const [stream] = server.streams as [ProxiedStream];
      t.equal(stream.proxy, null, 'before the header');
      t.equal(stream.remoteAddress, stream.remoteAddress);
      t.match(endsOf(stream), [/^127\.0\.0\.1:/, `127.0.0.1:${server.port}`], 'those of the connection');
      t.notOk(stream.hasInput());
      client.write(Buffer.concat([header, Buffer.from('hello')]));
      await server.untilSeen('data hello');
      t.same(endsOf(stream), ['192.0.2.1:4711', '198.51.100.7:443']);
      t.match(stream.proxy, { version, tlvs: version === 2 ? [{ type: 2 }] : [] });
      stream.write(Buffer.from('bye'));
      t.equal(`${(await once(client, 'data'))[0]}`, 'bye');
      client.end();
      await server.untilSeen('close well');
      t.equal(formatSocketAddress(stream.remoteAddress), '192.0.2.1:4711', 'also at the end');
      t.throws(() => stream.localAddress);
      t.same(server.refused, []);
    });
  }
});

test('a header and its rest in any two pieces, and byte by byte', async (t) => {
  for (const header of [Buffer.from(line), block(PROXY, TCP4, addresses4)]) {
    const all = Buffer.concat([header, Buffer.from('hello')]);
    const cuts = Array.from({ length: all.length - 1 }, (_, i) => [all.subarray(0, i + 1), all.subarray(i + 1)]);
    for (const pieces of [...cuts, Array.from(all, (byte) => Buffer.of(byte))]) {
      const parts: string[] = [];
      const feed = (accept: OnConnection): OnConnection => {
        return (inner) => {
          const handler = accept(inner);
          for (const piece of pieces) {
            const scratch = Buffer.from(piece); // a loop uses its buffer again
            handler.onData(inner, scratch);
            scratch.fill(0);
          }
          return handler;
        };
      };
      await listening(
        async (server) => {
          await server.tell('');
          if (parts.join('') !== 'hello') t.fail(`${pieces.map((piece) => piece.length)}: ${parts}`);
          if (endsOfKept(server) !== '192.0.2.1:4711') t.fail(`${pieces.map((piece) => piece.length)}`);
        },
        {},
        { onData: (_stream, bytes) => void parts.push(`${bytes}`) },
        feed,
      );
    }
  }
  t.pass();
});

const endsOfKept = ({ streams }: Listening) => formatSocketAddress((streams[0] as ProxiedStream).remoteAddress);

test('what is not a header ends the connection, is counted, and reaches nobody', async (t) => {
  for (const [bytes, reason] of [
    ['GET / HTTP/1.1\r\n\r\n', /not a header/],
    ['PROXY TCP4 x\r\nhello', /malformed/],
    ['PROXY TCP4 1', /ended the connection within its header/],
    [block(0x31, TCP4, addresses4), /version/],
  ] as const) {
    await listening(async (server) => {
      t.same(await server.tell(bytes), ['close EPROTO']);
      t.match(server.refused, [reason]);
    });
  }
  await listening(
    async (server) => {
      t.same(await server.tell(block(PROXY, TCP4, addresses4)), ['close EPROTO']);
      t.same(server.refused, ['the header has 28 bytes, and may have 27']);
    },
    { maxHeaderBytes: 27 },
  );
});

test('a peer that leaves before its first byte looks whether the port is open', async (t) => {
  await listening(async (server) => {
    t.same(await server.tell(''), ['close well']);
    t.same(server.refused, []);
  });
});

test('a header has a time of its own; then the deadline of the program counts', async (t) => {
  await listening(
    async (server) => {
      const client = await server.client('PROXY ');
      await closed(client);
      t.same([server.seen, server.refused], [['close ETIMEDOUT'], ['the header took too long']]);
    },
    { headerMs: 20 },
  );
  const late: string[] = [];
  await listening(
    async (server) => {
      const client = await server.client();
      await until(() => server.streams.length > 0);
      const [stream] = server.streams as [ProxiedStream];
      stream.setDeadline(1);
      t.throws(() => stream.setDeadline(Number.NaN), RangeError);
      t.ok(stream.deadlineAt - server.loop.activeNow() > 10_000, 'that of the header');
      client.write(line);
      await until(() => late.length > 0);
      t.same(late, ['timeout']);
      stream.setDeadline(Number.POSITIVE_INFINITY);
      t.equal(stream.deadlineAt, Number.POSITIVE_INFINITY);
      client.destroy();
      await until(() => server.seen.length > 0);
    },
    { headerMs: 60_000 },
    { onTimeout: () => void late.push('timeout') },
  );
  await listening(async (server) => {
    const client = await server.client();
    await until(() => server.streams.length > 0);
    (server.streams[0] as ProxiedStream).setDeadline(1);
    client.write(line);
    await closed(client);
    t.same([server.seen, server.refused], [['close ETIMEDOUT'], []], 'without onTimeout it closes');
  });
});

test('only the proxies are believed', async (t) => {
  await listening(
    async (server) => {
      const client = await server.client(`${line}hello`);
      await closed(client);
      t.same([server.seen, server.refused], [[], ['the peer is not a proxy']]);
      t.equal(server.streams.length, 0);
    },
    { from: '192.0.2.0/24' },
  );
  await listening(
    async (server) => {
      t.same(await server.tell(`${line}hello`), [`data ${line}hello`, 'close well'], 'its bytes are not looked at');
      t.match(server.streams, [{ proxy: { version: 0, source: null } }]);
      t.match(endsOfKept(server), /^127\.0\.0\.1:/);
    },
    { from: '192.0.2.0/24', mode: 'optional' },
  );
  t.throws(() => acceptProxied(() => ({ onData: () => {} }), { from: 'anybody' }), RangeError);
});

test('optional: a proxy need not send a header', async (t) => {
  for (const [bytes, seen, source] of [
    ['GET / HTTP/1.1', ['data GET / HTTP/1.1', 'close well'], /^127/],
    ['PROX', ['data PROX', 'close well'], /^127/],
    ['\r\n\r\n', ['data \r\n\r\n', 'close well'], /^127/],
    [`${line}hello`, ['data hello', 'close well'], /^192\.0\.2\.1:4711$/],
    ['PROXY TCP4 x\r\n', ['close EPROTO'], /^127/],
    ['', ['close well'], /^127/],
  ] as const) {
    await listening(
      async (server) => {
        t.same(await server.tell(bytes), seen, bytes);
        t.match(endsOfKept(server), source);
      },
      { mode: 'optional' },
    );
  }
});

test('admits is asked once for each connection, before its first byte, and may close it', async (t) => {
  for (const [bytes, data, client, from] of [
    [`${line}hello`, 'hello', '192.0.2.1:4711', 'loopback'],
    ['GET /', 'GET /', '127.0.0.1', 'loopback'],
    ['PROX', 'PROX', '127.0.0.1', 'loopback'],
    ['', null, '127.0.0.1', 'loopback'],
    ['hello', 'hello', '127.0.0.1', '192.0.2.0/24'],
  ] as const) {
    for (const isAdmitted of [true, false]) {
      const asked: string[] = [];
      const admits = ({ remoteAddress }: ProxiedStream) => {
        asked.push(formatSocketAddress(remoteAddress));
        return isAdmitted;
      };
      await listening(
        async (server) => {
          const expected = isAdmitted && data !== null ? [`data ${data}`, 'close well'] : ['close well'];
          t.same(await server.tell(bytes), expected, `${bytes} ${isAdmitted}`);
          t.same([asked.length, server.refused], [1, []]);
          t.ok(asked[0]?.startsWith(client), `${asked}`);
        },
        { mode: 'optional', admits, from },
      );
    }
  }
});

test('a program that closes at the last bytes of a peer hears of no end', async (t) => {
  const heard: string[] = [];
  await listening(
    async (server) => {
      await server.tell('PROX');
      t.same([server.seen, heard], [['close well'], []]);
    },
    { mode: 'optional' },
    { onData: (stream) => stream.close(), onEnd: () => void heard.push('end') },
  );
  await listening(
    async (server) => {
      const client = await server.client(line);
      await until(() => server.streams[0]?.proxy != null);
      (server.streams[0] as ProxiedStream).abort();
      await closed(client);
      await server.untilSeen('close well');
    },
    {},
    { onEnd: () => void heard.push('end') },
  );
  t.same(heard, []);
});

test('all else goes to the stream below', async (t) => {
  const file = await open(import.meta.filename);
  t.teardown(() => file.close());
  const turns: string[] = [];
  await listening(
    async (server) => {
      const client = await server.client(line);
      await until(() => server.streams[0]?.proxy != null);
      const [stream] = server.streams as [ProxiedStream];
      t.equal(stream.peerCredentials, null);
      stream.minimumProgress = { everyMs: 60_000, bytes: 1 };
      t.same(stream.minimumProgress, { everyMs: 60_000, bytes: 1 });
      stream.pause();
      client.write('later');
      await until(() => stream.hasInput());
      t.same(server.seen, []);
      stream.resume();
      await server.untilSeen('data later');
      stream.awaitTurn();
      stream.writeOwned(Buffer.from('owned '));
      stream.sendFile(file.fd, 0, 4);
      t.equal(`${(await once(client, 'data'))[0]}`.slice(0, 6), 'owned ');
      t.notOk(stream.write(Buffer.alloc(8 * 1024 * 1024)), 'more than the kernel takes');
      client.resume();
      await until(() => turns.includes('turn') && turns.includes('drain') && !stream.hasOutput());
      t.same([stream.queuedBytes, stream.isEnded], [0, false]);
      stream.whenClosed(() => void turns.push('closed'));
      client.resetAndDestroy();
      await until(() => turns.includes('closed'));
      t.same(server.seen, ['data later', 'close ECONNRESET']);
    },
    {},
    { onTurn: () => void turns.push('turn'), onDrain: () => void turns.push('drain') },
  );
});

test('a handler may end a connection at once, and without callbacks of its own nothing is missed', async (t) => {
  const loop = createEventLoop();
  t.teardown(() => loop.close());
  const accept = acceptProxied(() => ({ onData: (stream) => stream.awaitTurn() }), { from: 'loopback' });
  const { address } = loop.listen({ address: '127.0.0.1', port: 0 }, accept);
  for (const bytes of [`${line}hello`, 'hello']) {
    const client = connect(portOf(address), '127.0.0.1');
    client.on('error', () => {});
    client.end(bytes);
    await closed(client.resume());
  }
});

test('an end is told to the handler, and a break ends a paused stream if its handler wants that', async (t) => {
  const ends: string[] = [];
  await listening(
    async (server) => {
      t.same(await server.tell(`${line}hello`), ['data hello', 'close well']);
      t.same(ends, ['end']);
      const client = await server.client(line);
      await until(() => server.streams[1]?.proxy != null);
      server.streams[1]?.pause();
      client.write('lost');
      await until(() => server.streams[1]?.hasInput() === true);
      client.resetAndDestroy();
      await server.untilSeen('close ECONNRESET');
      t.notOk(server.seen.includes('data lost'));
    },
    {},
    {
      onEnd: (stream) => {
        ends.push('end');
        stream.end();
      },
      endsAtBreak: true,
    },
  );
});
