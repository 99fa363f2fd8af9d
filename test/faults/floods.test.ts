/**
 * Too much of something: heads, fields, chunks and trailers without end, ten thousand requests in one go, thousands of
 * connections that come and go, and both directions full at once. What has no end is refused at its limit; what has one
 * is served, in order, and in little memory.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { type InternetAddress, NetSocket } from '../../simplenet/index.ts';
import { Stopwatch } from '../support/machine-time.ts';
import { RawClient } from '../support/raw-client.ts';
import { ServerProcess } from '../support/server-process.ts';
import { growthOf, siege } from './siege.ts';

let server: ServerProcess;
/** Takes large bodies. */
let wide: ServerProcess;
/** Takes large bodies, and soon gives up whoever takes nothing. */
let strict: ServerProcess;

test('servers to attack', async (t) => {
  const limits = { bodyBytes: 1_000_000_000 };
  const timeouts = { writeMs: 500, lingerMs: 300 };
  [server, wide, strict] = await Promise.all([
    ServerProcess.start(),
    ServerProcess.start({ limits }),
    ServerProcess.start({ limits, timeouts }),
  ]);
  t.equal(new Set([server, wide, strict].map(({ port }) => port)).size, 3);
});

const head = 'GET / HTTP/1.1\r\nHost: x\r\n';
const chunkedHead = 'PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';

/** What comes first, what comes again and again, and the answer. */
const floods: Readonly<Record<string, readonly [first: string, piece: string, status: RegExp]>> = {
  'a request line': ['GET /', 'x'.repeat(10_000), /^HTTP\/1\.1 414 /],
  'a method': ['', 'X'.repeat(10_000), /^HTTP\/1\.1 (400|414|501) /],
  'a field': [`${head}X: `, 'y'.repeat(10_000), /^HTTP\/1\.1 431 /],
  'a field name': [head, 'N'.repeat(10_000), /^HTTP\/1\.1 (400|431) /],
  fields: [head, 'X: y\r\n'.repeat(500), /^HTTP\/1\.1 431 /],
  'empty lines': ['', '\r\n'.repeat(500), /^HTTP\/1\.1 400 |^$/],
  'a chunk extension': [`${chunkedHead}1`, `;${'e'.repeat(10_000)}`, /^HTTP\/1\.1 413 /],
  'chunk extensions': [chunkedHead, `1;${'e'.repeat(100)}\r\nb\r\n`.repeat(100), /^HTTP\/1\.1 413 /],
  trailers: [`${chunkedHead}0\r\n`, 'X: y\r\n'.repeat(500), /^HTTP\/1\.1 431 /],
  'a body': [chunkedHead, `10000\r\n${'b'.repeat(65_536)}\r\n`, /^HTTP\/1\.1 413 /],
};

/** Sends on and on, as fast as it may, until the server has had enough. */
async function flood(port: number, first: string, piece: string): Promise<RawClient> {
  const client = new RawClient(port);
  await client.connected();
  client.write(first);
  while (!client.isOver) {
    if (client.socket.write(piece)) await sleep(0);
    else await client.until(() => client.isOver || client.socket.writableLength === 0, 'room');
  }
  client.destroy();
  return client;
}

test('what has no end is refused at its limit', async (t) => {
  await siege(t, server, async () => {
    const grown = await growthOf(server, async () => {
      const all = Object.entries(floods).map(async ([what, [first, piece, status]]) => {
        const clients = await Promise.all(Array.from({ length: 8 }, () => flood(server.port, first, piece)));
        for (const { text } of clients) t.match(text, status, what);
      });
      await Promise.all(all);
    });
    t.ok(grown < 60, `${grown.toFixed(1)} MB more`);
  });
});

const PIPELINED = 10_000;

test(`two pipelines of ${PIPELINED} requests at once: all are answered, in order`, async (t) => {
  await siege(t, server, async () => {
    const sizes = Array.from({ length: PIPELINED }, (_, i) => i % 100);
    const requests = sizes.map((size) => `GET /large/${size} HTTP/1.1\r\nHost: x\r\n\r\n`).join('');
    const ask = async () => {
      const client = new RawClient(server.port).write(requests);
      await client.until(() => client.isOver || client.answers === PIPELINED, `${PIPELINED} answers`);
      client.destroy();
      return [...client.text.matchAll(/\r\nContent-Length: (\d+)\r\n/g)].map((match) => Number(match[1]));
    };
    const answered = await Promise.all([ask(), ask()]);
    for (const lengths of answered) t.same(lengths, sizes);
  });
});

test('a pipeline of 1,000 requests whose answers take their time', async (t) => {
  await siege(t, server, async () => {
    const client = new RawClient(server.port).write('GET /later/0 HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1_000));
    await client.until(() => client.isOver || client.answers === 1_000, '1000 answers');
    t.equal(client.answers, 1_000);
    client.destroy();
  });
});

const CHURN = Number(process.env.CHURN ?? 2_500);

test(`${CHURN} connections that come and go, with and without a request, with FIN and RST`, async (t) => {
  const address: InternetAddress = { address: '127.0.0.1', port: server.port };
  const request = Buffer.from(`${head}\r\n`);
  const churn = async () => {
    for (let i = 0; i < CHURN; i++) {
      const socket = NetSocket.connectTo(address);
      if (i % 3 > 0) socket.writeAll(request);
      if (i % 3 === 2) socket.read(Buffer.alloc(1_000));
      if (i % 2 === 0) socket.close();
      else socket.reset();
      if (i % 20 === 0) await sleep(0);
    }
    await server.state(); // garbage is collected
  };
  await siege(t, server, async () => {
    await churn();
    const grown = await growthOf(server, churn);
    t.ok(grown < 15, `${grown.toFixed(1)} MB more after another ${CHURN}`);
  });
});

const ECHOED = 30_000_000;

/** After so much time without a byte taken, both directions are full. */
const FULL_MS = 150;

/** Sends without reading: more than all buffers between client and server hold. Resolves when no more is taken. */
async function fill(
  { pid }: ServerProcess,
  client: RawClient,
  head: string,
  piece: Buffer,
  bytes: number,
): Promise<void> {
  await client.connected();
  client.socket.pause();
  client.write(head);
  for (let sent = 0; sent < bytes; sent += piece.length) client.socket.write(piece);
  const nowTaken = () => client.socket.bytesWritten - client.socket.writableLength;
  for (let taken = -1; taken !== nowTaken(); ) {
    taken = nowTaken();
    // A server that has no core takes nothing, too: its share of it does not count.
    let waited = 0;
    while (waited < FULL_MS && taken === nowTaken()) {
      const watch = new Stopwatch(pid);
      await sleep(10);
      waited += watch.stop().fairMs;
    }
  }
}

test('both directions full at once: the server waits in little memory, and all comes back in the end', async (t) => {
  const upload = `POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${ECHOED}\r\n\r\n`;
  const piece = Buffer.alloc(100_000, 'e');
  await siege(t, wide, async () => {
    const clients = Array.from({ length: 3 }, () => new RawClient(wide.port, { keepsText: false }));
    const grown = await growthOf(wide, async () => {
      await Promise.all(clients.map((client) => fill(wide, client, upload, piece, ECHOED)));
      for (const client of clients) t.ok(client.socket.writableLength > 0, 'no more is taken');
    });
    t.ok(grown < 30, `${grown.toFixed(1)} MB for three of them`);
    for (const client of clients) client.socket.resume();
    await Promise.all(clients.map((client) => client.ended()));
    for (const { receivedBytes } of clients) t.ok(receivedBytes > ECHOED, `${receivedBytes} bytes`);
    for (const client of clients) client.destroy();
  });
});

test('both directions full, and the client never reads: it is given up', async (t) => {
  const upload = `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: ${ECHOED}\r\n\r\n`;
  await siege(t, strict, async () => {
    const echoing = new RawClient(strict.port);
    const asking = new RawClient(strict.port);
    await Promise.all([
      fill(strict, echoing, upload, Buffer.alloc(100_000, 'e'), ECHOED),
      fill(strict, asking, '', Buffer.from('GET /large/10000 HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2_500)), ECHOED),
    ]);
    await Promise.all([echoing.until(() => echoing.isClosed, 'RST'), asking.until(() => asking.isClosed, 'RST')]);
    t.same([echoing.error?.code, asking.error?.code], ['ECONNRESET', 'ECONNRESET']);
  });
});

test('the end', async (t) => {
  t.same(await Promise.all([server, wide, strict].map((each) => each.stop())), [0, 0, 0]);
});
