/** A site that does what applications do: files, compression, digests, names, threads, requests of its own, events and WebSocket. A program: it gets the options of `serve` as JSON, and writes its URLs as one line. */

import { createHash } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { compress, Router, type ServeOptions, serve, staticFiles, webSocket } from '../../../http/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'simplenet-seccomp-'));
writeFileSync(join(folder, 'page.txt'), 'a page\n'.repeat(1_000));
writeFileSync(join(folder, 'large.bin'), Buffer.alloc(5_000_000));

const site = new Router();
site.get('/files/*', staticFiles(folder, { listing: true }));
site.use('/list', compress()).get('/list', (_request, response) => response.json(Array(2_000).fill('an entry')));
site.put('/upload', async (request, response) => {
  const hash = createHash('sha256');
  for await (const chunk of request.body) hash.update(chunk);
  response.text(hash.digest('hex'));
});
site.get('/events', (_request, response) => {
  const events = response.events();
  events.send({ data: 'an event' });
  events.close();
});
site.get('/chat', webSocket({ message: (socket, data) => void socket.send(data) }));
site.get('/work', async (_request, response) => {
  const path = join(folder, 'notes.txt');
  await writeFile(path, 'a note\n');
  appendFileSync(path, 'another\n');
  const { size } = await stat(path);
  await readFile(path);
  const { address } = await lookup('localhost');
  const answer = await new Promise((resolve, reject) => {
    const worker = new Worker('require("node:worker_threads").parentPort.postMessage("done")', { eval: true });
    worker.once('message', resolve).once('error', reject);
  });
  const own = server.url.startsWith('http:') ? await (await fetch(`${server.url}/files/page.txt`)).text() : '';
  response.json({ size, address, answer, own: own.length });
});

const options = JSON.parse(process.argv[2] ?? '{}') as ServeOptions & { readonly pem?: string };
const { pem, ...rest } = options;
const tls = pem === undefined ? undefined : { cert: readFileSync(pem), key: readFileSync(pem) };
const server = serve(site, { ...rest, tls, metrics: { port: 0 } });
process.stdout.write(`${server.url} ${server.metricsUrl}\n`);
process.once('SIGTERM', async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});
