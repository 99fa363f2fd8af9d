/**
 * The site on simplenet: through Router and serve, as a program would use them, with the default limits.
 * `--backend io_uring` chooses the other event loop.
 *
 * Next: node.ts
 */

import { parseArgs } from 'node:util';
import {
  compress,
  Router,
  type ServeOptions,
  serve,
  staticFiles,
  type WebSocketHandler,
  webSocket,
} from '../../http/index.ts';
import {
  announce,
  HELLO,
  IDLE_TIMEOUT_MS,
  LARGE,
  LIST,
  recordOf,
  routes,
  STREAM_CHUNK,
  STREAM_CHUNKS,
  tlsOptions,
} from '../site.ts';

const router = new Router();

router.get('/hello', (_request, response) => response.text(HELLO));

router.post('/echo', async (request, response) => response.bytes(await request.bytes()));

router.get('/large', (_request, response) => response.bytes(LARGE));

router.get('/stream', async (_request, response) => {
  response.header('Content-Type', 'text/plain; charset=utf-8');
  for (let sent = 0; sent < STREAM_CHUNKS; sent++) await response.write(STREAM_CHUNK);
  response.end();
});

if (process.env.FILES !== undefined) router.get('/files/*', staticFiles(process.env.FILES));

router.use('/list', compress()).get('/list', (_request, response) => response.json(LIST));

const topic: WebSocketHandler = webSocket({
  open: (ws) => ws.subscribe('all'),
  message: (_ws, data) => topic.publish('all', data),
});

router.get('/ws/echo', webSocket({ message: (ws, data) => ws.send(data) })).get('/ws/all', topic);

for (const { method, path, resource } of routes) {
  const register = { GET: router.get, POST: router.post, PUT: router.put, DELETE: router.delete }[method];
  register.call(router, path, (request, response) => response.json(recordOf(resource, request.params)));
}

const { values } = parseArgs({ options: { backend: { type: 'string' } } });
const timeouts = { idleMs: IDLE_TIMEOUT_MS };
// serve throws for an unknown name.
const backend = values.backend as ServeOptions['backend'];
const tls = tlsOptions();
const { address } = serve(router, {
  timeouts,
  ...(backend === undefined ? {} : { backend }),
  ...(tls === null ? {} : { tls }),
});
if ('port' in address) announce(address.port);
