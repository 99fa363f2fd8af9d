/**
 * Real clients: programs that others wrote, with their own ideas of HTTP/1.1.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request as nodeRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { Router, type Server, serve } from '../../http/index.ts';
import { chromiumFlags } from '../support/chromium.ts';
import { hasProgram, Program } from '../support/programs.ts';

const site = new Router();
site.get('/', (_request, response) => {
  response.html(
    '<!doctype html><title>A page</title><link rel="stylesheet" href="/style.css"><h1>Hello</h1><p id="x"></p><script src="/script.js"></script>',
  );
});
site.get('/style.css', (_request, response) => {
  response.header('Content-Type', 'text/css').bytes(Buffer.from('h1 { color: green }'));
});
site.get('/script.js', (_request, response) => {
  response
    .header('Content-Type', 'text/javascript')
    .bytes(Buffer.from('document.querySelector("#x").textContent = "made by script";'));
});
site.get('/plain', (_request, response) => response.text('plain\n'));
site.put('/count', async (request, response) => {
  let bytes = 0;
  for await (const chunk of request.body) bytes += chunk.length;
  response.json({ bytes, rss: process.memoryUsage.rss() });
});
site.post('/echo', async (request, response) => response.bytes(await request.bytes()));
site.get('/large', (_request, response) => response.bytes(Buffer.alloc(5_000_000, 'x')));

let server: Server;
test('a server to ask', async (t) => {
  server = serve(site, { limits: { bodyBytes: 4 * 1024 ** 3 } });
  t.match(server.url, /^http/);
});

const run = (command: string, ...args: string[]) => new Program(command, args).ends();

test('curl', async (t) => {
  if (!hasProgram('curl')) return void t.pass('skipped: curl is not installed');
  const { url } = server;
  const curl = (...args: string[]) => run('curl', '-sS', '--max-time', '60', ...args);
  const twice = await curl('-v', `${url}/plain`, `${url}/plain`);
  t.equal(twice.stdout, 'plain\nplain\n');
  t.match(twice.stderr, /Re-using existing connection/);
  t.match(
    (await curl('--http1.0', '-i', `${url}/plain`)).stdout,
    /^HTTP\/1\.1 200 OK\r\n[\s\S]*Connection: close[\s\S]*plain\n$/,
  );
  t.match((await curl('-I', `${url}/large`)).stdout, /^HTTP\/1\.1 200 OK\r\n[\s\S]*Content-Length: 5000000\r\n\r\n$/);
  const expecting = await curl('-v', '-H', 'Expect: 100-continue', '-d', 'patience', `${url}/echo`);
  t.equal(expecting.stdout, 'patience');
  t.match(expecting.stderr, /HTTP\/1\.1 100 Continue/);
  const parallel = await curl('-Z', '--parallel-max', '20', ...Array.from({ length: 100 }, () => `${url}/plain`));
  t.equal(parallel.stdout, 'plain\n'.repeat(100));
});

/** Load, and what starts slowly. */
const inLongSuite = process.env.LONG === undefined ? 'in the long suite' : false;

/** In clients.long.ts it is 1 GB. */
const UPLOAD_BYTES = Number(process.env.UPLOAD_BYTES ?? 200_000_000);

test(`an upload of ${UPLOAD_BYTES} bytes by curl -T takes no memory`, async (t) => {
  if (!hasProgram('curl')) return void t.pass('skipped: curl is not installed');
  const before = process.memoryUsage.rss();
  const { stdout, stderr } = await new Program('sh', [
    '-c',
    `head -c ${UPLOAD_BYTES} /dev/zero | curl -sS -T - ${server.url}/count`,
  ]).ends();
  const { bytes, rss } = JSON.parse(stdout || '{}') as { bytes: number; rss: number };
  t.equal(bytes, UPLOAD_BYTES, stderr);
  t.ok(rss - before < 150_000_000, `${rss - before} bytes more`);
});

test('fetch, which is undici', async (t) => {
  t.equal(await (await fetch(`${server.url}/plain`)).text(), 'plain\n');
  t.equal((await (await fetch(`${server.url}/large`)).arrayBuffer()).byteLength, 5_000_000);
  const body = 'ü'.repeat(50_000);
  t.equal(await (await fetch(`${server.url}/echo`, { method: 'POST', body })).text(), body);
  const stream = new ReadableStream({
    start(controller) {
      for (let i = 0; i < 10; i++) controller.enqueue(Buffer.from(`piece ${i};`));
      controller.close();
    },
  });
  const streamed = await fetch(`${server.url}/echo`, { method: 'POST', body: stream, duplex: 'half' } as RequestInit);
  t.match(await streamed.text(), /^piece 0;.*piece 9;$/);
  t.equal((await fetch(`${server.url}/plain`, { method: 'HEAD' })).headers.get('content-length'), '6');
});

test('node:http as a client, keeping its connection', async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ports = new Set<number | undefined>();
  for (let i = 0; i < 5; i++) {
    const text = await new Promise<string>((resolve, reject) => {
      const request = nodeRequest(`${server.url}/plain`, { agent }, (response) => {
        ports.add(response.socket.localPort);
        let body = '';
        response.setEncoding('utf8').on('data', (piece: string) => {
          body += piece;
        });
        response.on('end', () => resolve(body));
      });
      request.on('error', reject).end();
    });
    t.equal(text, 'plain\n');
  }
  t.equal(ports.size, 1);
  agent.destroy();
});

test('Python’s http.client', async (t) => {
  if (!hasProgram('python3')) return void t.pass('skipped: python3 is not installed');
  const { stdout, stderr } = await run(
    'python3',
    '-c',
    `
import http.client, sys
c = http.client.HTTPConnection('${new URL(server.url).host}', timeout=20)
for i in range(3):
    c.request('GET', '/plain'); r = c.getresponse(); print(r.status, r.read().decode().strip())
c.request('POST', '/echo', body=iter([b'a', b'bc']), encode_chunked=True, headers={'Transfer-Encoding': 'chunked'})
r = c.getresponse(); print(r.status, r.read().decode())
c.request('HEAD', '/large'); r = c.getresponse(); print(r.status, r.getheader('Content-Length'), len(r.read()))
`,
  );
  t.equal(stdout, '200 plain\n200 plain\n200 plain\n200 abc\n200 5000000 0\n', stderr);
});

test('wrk', { skip: inLongSuite }, async (t) => {
  if (!hasProgram('wrk')) return void t.pass('skipped: wrk is not installed');
  const { stdout } = await run('wrk', '-t1', '-c64', '-d1', `${server.url}/plain`);
  t.match(stdout, /\d+ requests in/);
  t.notMatch(stdout, /Socket errors|Non-2xx/);
});

test('ab, which speaks HTTP/1.0', async (t) => {
  if (!hasProgram('ab')) return void t.pass('skipped: ab is not installed');
  for (const flags of [['-k'], []]) {
    const { stdout } = await run('ab', '-q', '-n', '500', '-c', '20', ...flags, `${server.url}/plain`);
    t.match(stdout, /Complete requests: +500\nFailed requests: +0\n/);
  }
});

test('Chromium loads a page with its style and script', { timeout: 240_000, skip: inLongSuite }, async (t) => {
  if (!hasProgram('chromium')) return void t.pass('skipped: chromium is not installed');
  const profile = mkdtempSync(join(tmpdir(), 'simplenet-chromium-'));
  t.teardown(() => rmSync(profile, { recursive: true, force: true }));
  const { stdout } = await run(
    'chromium',
    ...chromiumFlags(profile),
    '--dump-dom',
    '--virtual-time-budget=3000',
    server.url,
  );
  t.match(stdout, /<h1>Hello<\/h1><p id="x">made by script<\/p>/);
});

test('the end', async (t) => {
  await server.close({ graceMs: 100 });
  t.equal(server.connectionCount, 0);
});
