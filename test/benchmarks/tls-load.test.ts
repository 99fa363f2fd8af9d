/** The load generator for HTTPS, against servers that close, fail, or do not continue sessions. */

import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { t, test } from 'tap';
import { MissingLoad } from '../../benchmarks/c-load.ts';
import { type LoadOrder, type LoadResult, noWatch } from '../../benchmarks/load.ts';
import { checkWork } from '../../benchmarks/same-work.ts';
import { HELLO } from '../../benchmarks/site.ts';
import { TlsLoad, writeCertificate } from '../../benchmarks/tls-load.ts';
import { type Workload, workloads } from '../../benchmarks/workloads.ts';

const REQUEST = 'GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n';
const answer = () =>
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: ${new Date().toUTCString()}\r\nContent-Length: ${HELLO.length}\r\n\r\n${HELLO}`;

const folder = mkdtempSync(join(tmpdir(), 'tls-load-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const requestFile = join(folder, 'request');
writeFileSync(requestFile, REQUEST);
const pem = readFileSync(writeCertificate(folder));

function prepare(): TlsLoad | string {
  try {
    return TlsLoad.prepare(folder, undefined);
  } catch (error) {
    if (error instanceof MissingLoad) return `the generator ${error.message}`;
    throw error;
  }
}

const load = prepare();
const skip = typeof load === 'string' ? load : false;

interface Seen {
  readonly result: LoadResult;
  /** Of each connection: whether it continued a session. */
  readonly resumed: readonly boolean[];
}

type OnRequest = (socket: TLSSocket, server: Server) => void;

async function listen(onRequest: OnRequest, resumed: boolean[]): Promise<{ server: Server; sockets: Set<TLSSocket> }> {
  const sockets = new Set<TLSSocket>();
  const server = createServer({ cert: pem, key: pem, ALPNProtocols: ['http/1.1'] }, (socket) => {
    sockets.add(socket);
    resumed.push(socket.isSessionReused());
    let received = '';
    socket.setEncoding('latin1').on('error', () => {});
    socket.on('data', (text: string) => {
      for (received += text; received.length >= REQUEST.length; received = received.slice(REQUEST.length)) {
        onRequest(socket, server);
      }
    });
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, sockets };
}

async function run(onRequest: OnRequest, differences: Partial<LoadOrder> = {}): Promise<Seen> {
  const resumed: boolean[] = [];
  const { server, sockets } = await listen(onRequest, resumed);
  const { port } = server.address() as AddressInfo;
  const numbers = { port, connections: 3, pipeline: 1, seconds: 0.2, rate: null };
  const base = { ...numbers, requestFile, socket: null, tls: 'kept' as const };
  try {
    return { result: await (load as TlsLoad).run({ ...base, ...differences }, noWatch), resumed };
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const hello: OnRequest = (socket) => void socket.write(answer());

test('connections that are kept have one handshake each, also with pipelined requests', { skip }, async (t) => {
  const { result, resumed } = await run(hello, { pipeline: 3 });
  t.ok(result.requests > 0 && result.requests % 3 === 0, `${result.requests} responses`);
  t.same([result.errors, result.refused], [0, 0]);
  t.same(resumed, [false, false, false]);
  t.ok((result.p50Us as number) > 0);
});

test('a handshake for each request: full ones, or with the ticket of the connection before', { skip }, async (t) => {
  const full = await run(hello, { tls: 'full' });
  t.ok(full.result.requests > 3);
  t.equal(full.result.errors, 0);
  t.equal(full.resumed.length, full.result.requests + 3, 'the first one of each client is not counted');
  t.notOk(full.resumed.includes(true));

  const again = await run(hello, { tls: 'resumed' });
  t.ok(again.result.requests > 3);
  t.equal(again.result.errors, 0);
  t.same(again.resumed.indexOf(true), 3);
  t.equal(again.resumed.filter((wasResumed) => wasResumed).length, again.result.requests);
});

test('a server that does not continue a session is an error', { skip }, async (t) => {
  const forgetful: OnRequest = (socket, server) => {
    server.setTicketKeys(randomBytes(48));
    socket.write(answer());
  };
  t.ok((await run(forgetful, { tls: 'resumed' })).result.errors > 0);
});

test('a broken connection, a close and a response that is not HTTP', { skip }, async (t) => {
  let count = 0;
  const breaks: OnRequest = (socket) => void (++count % 5 === 0 ? socket.destroy() : socket.write(answer()));
  t.ok((await run(breaks)).result.errors > 0);
  t.ok((await run((socket) => void socket.write('SSH-2.0\r\n\r\n'))).result.errors > 0);
  const closes: OnRequest = (socket) => void socket.end(answer());
  t.ok((await run(closes)).result.errors > 0);
});

test('the check of a peer speaks TLS 1.3', async (t) => {
  const { server, sockets } = await listen(hello, []);
  const { port } = server.address() as AddressInfo;
  const workload = workloads.find(({ name }) => name === 'https-hello') as Workload;
  t.equal(workload.request.toString(), REQUEST);
  t.equal(await checkWork(port, workload), null);
  t.match(await checkWork(port, { ...workload, tls: null }), /ends the connection|ECONNRESET/);
  for (const socket of sockets) socket.destroy();
  server.close();
});

test('without a compiler or without the headers of OpenSSL there is no generator', async (t) => {
  const { PATH } = process.env;
  t.teardown(() => Object.assign(process.env, { PATH }));
  process.env.PATH = folder;
  t.throws(() => TlsLoad.prepare(folder, undefined), /^needs a C compiler/);
  // A compiler that finds no header.
  writeFileSync(join(folder, 'cc'), '#!/bin/sh\necho "x.c:1: fatal error: openssl/err.h: No such file" >&2\nexit 1\n', {
    mode: 0o755,
  });
  t.throws(() => TlsLoad.prepare(folder, undefined), /openssl\/err\.h.*; get them with: apt-get install libssl-dev$/);
});
