/**
 * https-endings: a server of HTTPS whose connections end in every state, and the count of what OpenSSL was asked to make and to free.
 *
 *     node https-endings.js COUNT
 *
 * It starts clients in processes of their own, some of which it kills with SIGKILL, and prints one line of JSON.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { connect as connectTls } from 'node:tls';
import { serve } from '../../http/index.ts';
import { createdHandles, openHandles } from '../../simplenet/layers/openssl-handles.ts';
import { curl } from '../simplenet/layers/recorded-hellos.ts';
import { certificateFor } from '../support/certificates.ts';
import { until } from '../support/waiting.ts';

const AT_ONCE = 50;
/** Connections of a process that is killed. */
const DOOMED = 100;
const SHARE_OF_DOOMED = 0.1;
const SHARE_OF_EARLY = 0.2;

const megabytes = () => Math.round(process.memoryUsage.rss() / 1024 / 1024);

const hello = Buffer.from(curl, 'base64');
const request = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

async function plain(port: number, bytes: Buffer, awaitsAnswer = false): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' }).on('error', () => {});
  await once(socket, 'connect');
  if (bytes.length > 0) socket.write(bytes);
  if (awaitsAnswer) await once(socket, 'data');
  return socket;
}

interface Secured {
  readonly below: Socket;
  readonly socket: ReturnType<typeof connectTls>;
}

async function secured(port: number): Promise<Secured> {
  const below = await plain(port, Buffer.alloc(0));
  const socket = connectTls({ socket: below, rejectUnauthorized: false }).on('error', () => {});
  await once(socket, 'secureConnect');
  return { below, socket };
}

/** In which state a connection is when it ends. */
const states: Readonly<Record<string, (port: number) => Promise<Socket>>> = {
  'before the hello': (port) => plain(port, Buffer.alloc(0)),
  'in the hello': (port) => plain(port, hello.subarray(0, 100)),
  'in the handshake': (port) => plain(port, hello, true),
  'not TLS': (port) => plain(port, Buffer.from(request)),
  established: async (port) => (await secured(port)).below,
  'in a request': async (port) => {
    const { below, socket } = await secured(port);
    socket.write(request.slice(0, 20));
    return below;
  },
  'while it waits for a response': async (port) => {
    const { below, socket } = await secured(port);
    socket.write('GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n');
    return below;
  },
  'after a response': async (port) => {
    const { below, socket } = await secured(port);
    socket.write(request);
    await once(socket, 'data');
    return below;
  },
};

/** How it ends. Below TLS, FIN is a truncation. */
const endings: Readonly<Record<string, (socket: Socket) => void>> = {
  FIN: (socket) => void socket.end(),
  RST: (socket) => void socket.resetAndDestroy(),
};

/** Those that end within TLS: by the client, by the server, by both. */
const goodbyes: Readonly<Record<string, (port: number) => Promise<Socket>>> = {
  'close_notify of the client': async (port) => {
    const { socket } = await secured(port);
    return socket.end();
  },
  'close_notify of the client, and RST instead of an answer': async (port) => {
    const { below, socket } = await secured(port);
    await new Promise<void>((resolve) => socket.end(() => resolve()));
    below.resetAndDestroy();
    return below;
  },
  'close_notify of the server': async (port) => {
    const { socket } = await secured(port);
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    socket.resume();
    await once(socket, 'end');
    return socket;
  },
};

const ways: readonly (readonly [name: string, (port: number) => Promise<Socket>])[] = [
  ...Object.entries(goodbyes),
  ...Object.entries(states).flatMap(([state, begin]) =>
    Object.entries(endings).map(([ending, end]): readonly [string, (port: number) => Promise<Socket>] => [
      `${state}: ${ending}`,
      async (port) => {
        const socket = await begin(port);
        end(socket);
        return socket;
      },
    ]),
  ),
];

/** A client process. */
async function runClients(port: number, count: number): Promise<void> {
  const done: Record<string, number> = {};
  let begun = 0;
  const one = async (): Promise<void> => {
    while (begun < count) {
      const [name, run] = ways[begun++ % ways.length] as (typeof ways)[number];
      const socket = await run(port);
      socket.resume();
      if (!socket.closed) await once(socket, 'close');
      done[name] = (done[name] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  console.log(JSON.stringify(done));
}

/** A client process that opens connections in every state, and waits to be killed. */
async function runDoomed(port: number): Promise<void> {
  const begins = Object.values(states);
  await Promise.all(
    Array.from({ length: DOOMED }, (_, i) => (begins[i % begins.length] as (port: number) => Promise<Socket>)(port)),
  );
  console.log('ready');
  setInterval(() => {}, 60_000);
}

function start(...args: readonly (string | number)[]): ChildProcess {
  const file = process.argv[1] as string;
  return spawn(process.execPath, [file, ...args.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function firstLine(child: ChildProcess): Promise<string> {
  const [line] = await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line');
  return line as string;
}

async function main(count: number): Promise<void> {
  const certificate = certificateFor('localhost');
  const server = serve(
    (asked, response) => (asked.path === '/wait' ? new Promise<void>(() => {}) : response.text('hello\n')),
    { tls: certificate, timeouts: { headerMs: 600_000, handshakeMs: 600_000 } },
  );
  const port = server.port as number;
  const before = { created: createdHandles('SSL'), open: openHandles().SSL };
  const toBeKilled = Math.max(1, Math.round((count * SHARE_OF_DOOMED) / DOOMED));
  // What V8 and malloc take in the beginning is not a leak.
  const isEarly = () => createdHandles('SSL') - before.created > count * SHARE_OF_EARLY;
  let earlyMegabytes = 0;
  void until(isEarly).then(() => {
    earlyMegabytes = megabytes();
  });
  const clients = start('clients', port, count - toBeKilled * DOOMED);
  const summary = firstLine(clients);
  for (let i = 0; i < toBeKilled; i++) {
    const child = start('doomed', port);
    await firstLine(child);
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  const done = JSON.parse(await summary) as Record<string, number>;
  await until(() => server.connectionCount === 0);
  const created = createdHandles('SSL') - before.created;
  const freed = created - (openHandles().SSL - before.open);
  done['killed with SIGKILL'] = toBeKilled * DOOMED;
  const connections = Object.values(done).reduce((sum, each) => sum + each, 0);
  const memory = { early: earlyMegabytes, late: megabytes() };
  console.log(JSON.stringify({ connections, created, freed, memory, done }));
  await server.close({ graceMs: 0 });
}

const [what = '', ...others] = process.argv.slice(2);
const [port = 0, count = 0] = others.map(Number);
if (what === 'clients') await runClients(port, count);
else if (what === 'doomed') await runDoomed(port);
else await main(Number(what));
