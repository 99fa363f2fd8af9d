/**
 * WebSocket clients that others wrote: `ws`, Python's websockets, the WebSocket of Node, and Chromium. Each gets back what it sends, compressed where it can do that. The first two
 * also speak over TLS.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { Router, type Server, serve, webSocket } from '../../../http/index.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { importPeer, missingPeer } from '../../peers/peers.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { certificateFor } from '../../support/certificates.ts';
import { chromiumFlags } from '../../support/chromium.ts';
import { hasProgram, Program } from '../../support/programs.ts';

/** What the standard and `ws` have in common. */
interface ClientSocket {
  binaryType: string;
  readonly extensions: string;
  readonly protocol: string;
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  send(data: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
}

type ClientClass = new (url: string, protocols: string[], options?: object) => ClientSocket;

/** It starts slowly. */
const inLongSuite = process.env.LONG === undefined ? 'in the long suite' : false;

/** Debian has its packages beside this one only. */
const PYTHON = '/usr/bin/python3';

/** Text that compresses, of sizes up to what goes to the thread pool. */
const messages = Array.from({ length: 60 }, (_, i) => `${i} ${'grüße und küsse, '.repeat((i * i * i) % 3_001)}`);

const tls = certificateFor('127.0.0.1');

function siteOf(t: Test, backend: (typeof backends)[number], isSecure = false): Server {
  const echo = webSocket(
    {
      open: (ws) => ws.subscribe('all'),
      message: (ws, data) => (data === 'publish' ? void echo.publish('all', messages[10] as string) : ws.send(data)),
    },
    { compression: { minBytes: 16 }, subprotocols: ['echo'], maxQueuedBytes: 16 * 1024 * 1024 },
  );
  const page = `<script>
    const messages = ${JSON.stringify(messages)};
    const socket = new WebSocket('ws://' + location.host + '/echo', 'echo');
    const received = [];
    socket.onopen = () => { for (const message of messages) socket.send(message); };
    socket.onmessage = ({ data }) => { if (received.push(data) === messages.length) socket.close(4000, 'done'); };
    socket.onclose = ({ code, wasClean }) => fetch('/result', { method: 'POST', body: JSON.stringify({
      same: JSON.stringify(received) === JSON.stringify(messages), code, wasClean, extensions: socket.extensions, protocol: socket.protocol }) });
  </script>`;
  const router = new Router().get('/echo', echo).get('/', (_request, response) => response.html(page));
  router.post('/result', async (request, response) => {
    results.push(await request.json());
    response.empty();
    for (const wake of wakers.splice(0)) wake();
  });
  const server = serve(router, { backend, tls: isSecure ? tls : undefined });
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  return server;
}

/** `wss` for a server with TLS. */
function urlOf(server: Server): string {
  return `${server.url.replace(/^http(s?):.*/, 'ws$1')}://127.0.0.1:${portOf(server.address)}/echo`;
}

const results: unknown[] = [];
const wakers: (() => void)[] = [];

async function converse(t: Test, Client: ClientClass, server: Server, options?: object): Promise<ClientSocket> {
  const url = urlOf(server);
  const socket = options === undefined ? new Client(url, ['echo']) : new Client(url, ['echo'], options);
  socket.binaryType = 'arraybuffer';
  const received: unknown[] = [];
  const expected = messages.flatMap((message) => [message, message, messages[10]]);
  const closed = new Promise<unknown>((resolve) => {
    socket.onclose = ({ code, reason }) => resolve({ code, reason });
  });
  socket.onopen = () => {
    for (const message of messages) {
      socket.send(message);
      socket.send(Buffer.from(message));
      socket.send('publish');
    }
  };
  socket.onmessage = ({ data }) => {
    received.push(typeof data === 'string' ? data : Buffer.from(data as ArrayBuffer).toString());
    if (received.length === expected.length) socket.close(4_000, 'done');
  };
  const end = await closed;
  t.ok(
    received.every((message, i) => message === expected[i]),
    'each message once and in order',
  );
  t.equal(received.length, expected.length);
  t.match(end, { code: 4_000 });
  t.equal(socket.protocol, 'echo');
  return socket;
}

for (const backend of backends) {
  test(`ws (${backend})`, { skip: missingPeer('ws') || missingBackend[backend] }, async (t) => {
    const { WebSocket } = await importPeer<{ WebSocket: ClientClass }>('ws-oracle.mjs');
    const server = siteOf(t, backend);
    const offers: readonly object[] = [
      { perMessageDeflate: { threshold: 0 } },
      { perMessageDeflate: { threshold: 0, clientMaxWindowBits: 9, serverMaxWindowBits: 9 } },
      { perMessageDeflate: { threshold: 0, clientNoContextTakeover: true, serverNoContextTakeover: true } },
    ];
    for (const options of offers)
      t.equal((await converse(t, WebSocket, server, options)).extensions, 'permessage-deflate');
    t.equal((await converse(t, WebSocket, server, { perMessageDeflate: false })).extensions, '');
  });

  test(`ws over TLS (${backend})`, { skip: missingPeer('ws') || missingBackend[backend] }, async (t) => {
    const { WebSocket } = await importPeer<{ WebSocket: ClientClass }>('ws-oracle.mjs');
    const server = siteOf(t, backend, true);
    for (const perMessageDeflate of [true, false]) {
      const { extensions } = await converse(t, WebSocket, server, { perMessageDeflate, ca: tls.cert });
      t.equal(extensions, perMessageDeflate ? 'permessage-deflate' : '');
    }
  });
}

const NodeWebSocket = (globalThis as { readonly WebSocket?: ClientClass }).WebSocket;

test('the WebSocket of Node', { skip: NodeWebSocket === undefined && 'this version of Node has none' }, async (t) => {
  await converse(t, NodeWebSocket as ClientClass, siteOf(t, 'epoll'));
});

const PYTHON_CLIENT = `
import asyncio, json, ssl, sys, websockets
async def main(url, ca, messages):
    context = ssl.create_default_context(cafile=ca) if url.startswith('wss') else None
    async with websockets.connect(url, subprotocols=['echo'], ssl=context) as ws:
        for message in messages:
            await ws.send(message)
            assert await ws.recv() == message
            await ws.send(message.encode())
            assert await ws.recv() == message.encode()
        await (await ws.ping())
        print(ws.subprotocol, [extension.name for extension in ws.extensions])
asyncio.run(main(sys.argv[1], sys.argv[2], json.load(sys.stdin)))
`;

test('Python', async (t) => {
  const has = hasProgram(PYTHON) && (await new Program(PYTHON, ['-c', 'import websockets']).ends()).code === 0;
  if (!has) return void t.pass('skipped: the package python3-websockets is not installed');
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-websockets-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const ca = join(folder, 'ca.pem');
  writeFileSync(ca, tls.cert);
  for (const isSecure of [false, true]) {
    const url = urlOf(siteOf(t, 'epoll', isSecure));
    const program = new Program(PYTHON, ['-c', PYTHON_CLIENT, url, ca]);
    program.child.stdin?.end(JSON.stringify(messages));
    const { stdout, stderr } = await program.ends();
    t.equal(stdout, "echo ['permessage-deflate']\n", `${url}: ${stderr}`);
  }
});

test('Chromium', { timeout: 240_000, skip: inLongSuite }, async (t) => {
  if (!hasProgram('chromium')) return void t.pass('skipped: chromium is not installed');
  const server = siteOf(t, 'epoll');
  const profile = mkdtempSync(join(tmpdir(), 'simplenet-chromium-'));
  const reported = new Promise<void>((resolve) => void wakers.push(resolve));
  // The debugging port keeps it open until it is killed.
  const browser = new Program('chromium', [...chromiumFlags(profile), '--remote-debugging-port=0', server.url]);
  const ended = browser.ends();
  await Promise.race([reported, ended]);
  t.same(results.at(-1), {
    same: true,
    code: 4_000,
    wasClean: true,
    extensions: 'permessage-deflate; server_max_window_bits=12; client_max_window_bits=12',
    protocol: 'echo',
  });
  browser.kill();
  await ended;
  rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
});
