/**
 * target-site: the server that tests attack, in a process of its own, so that its descriptors and its memory are its own, too.
 *
 * Its argument is JSON for `serve`. It sends its port over the channel to its parent (server-process.ts), and its state
 * whenever it is asked.
 */

import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { Router, type ServeOptions, serve } from '../../http/index.ts';
import { portOf } from '../../simplenet/index.ts';
import { openHandles } from '../../simplenet/layers/openssl-handles.ts';
import { addCarelessRoutes } from './careless-site.ts';
import { addContextRoutes } from './context-site.ts';

/** What the server says of itself. */
export interface TargetState {
  readonly connections: number;
  /** Handlers that have begun and not ended. */
  readonly atWork: number;
  /** What went to the log. */
  readonly errors: readonly string[];
  readonly heapBytes: number;
  /** Of ArrayBuffers and native objects that the heap holds. */
  readonly bufferBytes: number;
  /** Connections of OpenSSL that were made and not freed. */
  readonly sslObjects: number;
}

const PIECE_BYTES = 65_536;
const LONGEST_WAIT_MS = 10_000;
const MAX_ERRORS = 100;

const site = new Router();
let atWork = 0;

site.use(async (_request, _response, next) => {
  atWork++;
  try {
    await next();
  } finally {
    atWork--;
  }
});

site.get('/', (_request, response) => response.text('hello\n'));

site.put('/upload', async (request, response) => {
  let bytes = 0;
  for await (const chunk of request.body) bytes += chunk.length;
  response.json({ bytes });
});

/** Each piece goes back as it comes. */
site.post('/echo', async (request, response) => {
  for await (const chunk of request.body) await response.write(chunk);
  response.end();
});

site.get('/large/:bytes', (request, response) => response.bytes(Buffer.alloc(Number(request.params.bytes), 'x')));

site.get('/stream/:bytes', async (request, response) => {
  const piece = Buffer.alloc(PIECE_BYTES, 'x');
  for (let left = Number(request.params.bytes); left > 0; left -= piece.length) {
    await response.write(left < piece.length ? piece.subarray(0, left) : piece);
  }
  response.end();
});

site.get('/later/:ms', async (request, response) => {
  await sleep(Number(request.params.ms));
  response.text('later\n');
});

/** Blocks the thread until the file `X-Files`.over exists, and makes `X-Files`.begun first. */
site.get('/block', (request, response) => {
  const files = request.headers.get('x-files');
  writeFileSync(`${files}.begun`, '');
  const cell = new Int32Array(new SharedArrayBuffer(4));
  while (!existsSync(`${files}.over`)) Atomics.wait(cell, 0, 0, 5);
  response.text('blocked\n');
});

/** Until the client is gone. */
site.all('/wait', async (request, response) => {
  const patience = new AbortController();
  await Promise.race([once(request.signal, 'abort'), sleep(LONGEST_WAIT_MS, null, { signal: patience.signal })]);
  patience.abort();
  response.text('waited\n');
});

addCarelessRoutes(site);
addContextRoutes(site);

const errors: string[] = [];
let isStopping = false;
const options = JSON.parse(process.argv[2] ?? '{}') as ServeOptions;
const server = serve(site, {
  ...options,
  onError(error) {
    if (errors.length < MAX_ERRORS) errors.push((error as Error).stack ?? String(error));
  },
});

process.on('message', (message) => {
  if (message === 'state') {
    globalThis.gc?.();
    // process.memoryUsage needs a descriptor, and there may be none
    const { used_heap_size: heapBytes, external_memory: bufferBytes } = getHeapStatistics();
    const sslObjects = openHandles().SSL;
    const state: TargetState = {
      connections: server.connectionCount,
      atWork,
      errors,
      heapBytes,
      bufferBytes,
      sslObjects,
    };
    process.send?.(state);
  } else {
    isStopping = true;
    void server.close({ graceMs: 1_000 }).then(() => process.disconnect());
  }
});
// Should the test die, so does its server.
process.on('disconnect', () => {
  if (!isStopping) process.exit(1);
});
process.send?.(portOf(server.address));
