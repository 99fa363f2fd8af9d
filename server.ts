/**
 * The demonstration: a small site that shows what the server can do. Run it with `npm start`, then type the curl lines that
 * it prints.
 */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Router, type Server, serve } from './http/index.ts';
import { type Backend, backendAdvice, trace } from './simplenet/index.ts';

const usage = `Usage: npm start -- [options]
  --host ADDRESS  the address to listen on (HOST, 127.0.0.1); :: takes IPv6 and IPv4
  --port NUMBER   the port, 0 for any that is free (PORT, 8080)
  --backend NAME  the event loop: epoll, io_uring or auto (SIMPLENET_BACKEND, auto)
  --trace         write every system call to standard error
  --help          show this`;

const site = new Router();

site.get('/', (_request, response) => {
  response.text('Hello from raw system calls.\n');
});

site.get('/hello/:name', (request, response) => {
  response.text(`Hello, ${request.params.name}!\n`);
});

site.post('/json', async (request, response) => {
  response.json({ received: await request.json() });
});

/** Hashes the body as it arrives, so a large file takes no more memory than a small one. */
site.put('/upload', async (request, response) => {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of request.body) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  response.json({ bytes, sha256: hash.digest('hex') });
});

/** Sends a response in pieces. Each `write` waits until the client has taken what was queued. */
site.get('/slow', async (_request, response) => {
  response.header('Content-Type', 'text/plain; charset=utf-8');
  for (let count = 5; count > 0; count--) {
    await response.write(`${count}...\n`);
    await sleep(500);
  }
  response.end('Done.\n');
});

/** The server writes the error to the log. The client only gets 500. */
site.get('/error', () => {
  throw new Error('this error is deliberate');
});

site.all('/request', (request, response) => {
  const { method, target, path, httpVersion, authority, remoteAddress } = request;
  response.json({
    method,
    target,
    path,
    query: Object.fromEntries(request.query),
    httpVersion,
    authority,
    remoteAddress,
    headers: [...request.headers],
  });
});

interface Settings {
  readonly host: string;
  readonly port: string;
  readonly backend: Backend;
  readonly trace: boolean;
  readonly help: boolean;
}

function settings(): Settings {
  const { values } = parseArgs({
    options: {
      host: { type: 'string', default: process.env.HOST || '127.0.0.1' },
      port: { type: 'string', default: process.env.PORT || '8080' },
      backend: { type: 'string', default: process.env.SIMPLENET_BACKEND || 'auto' },
      trace: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.port === '') throw new RangeError('--port is empty'); // `serve` would choose any free port
  return values as Settings;
}

/**
 * SIGINT and SIGTERM stop the server when the responses under way are complete. A second SIGINT does not wait for them. A second SIGTERM
 * changes nothing: npm and supervisors send it twice, to the process and to its group, and no request may be lost by that.
 */
function stopOnSignals(server: Server): void {
  process.on('SIGTERM', () => void server.close());
  process.once('SIGINT', () => {
    void server.close();
    process.once('SIGINT', () => process.exit(130));
  });
}

function main(): void {
  const { host, port, backend, trace: isTraced, help } = settings();
  if (help) {
    console.log(usage);
    return;
  }
  if (isTraced) trace();
  const server = serve(site, { host, port, backend, limits: { bodyBytes: 16 * 1024 ** 3 } });
  stopOnSignals(server);
  console.log(`Listening on ${server.url}. In another terminal, type:

  curl ${server.url}/hello/world
  curl -T package.json ${server.url}/upload
  curl -N ${server.url}/slow`);
  const advice = backendAdvice(backend);
  if (advice !== null) console.log(`\n${advice}`);
}

try {
  main();
} catch (error) {
  // Only the first sentence: parseArgs adds advice about positional arguments, and this program has none.
  console.error((error as Error).message.split('. ')[0]);
  if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')) console.error(`\n${usage}`);
  process.exitCode = 1;
}
