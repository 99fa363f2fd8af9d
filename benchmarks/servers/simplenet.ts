/**
 * The site on simplenet: through Router and serve, as a program would use them, with the default limits.
 *
 * Next: node.ts
 */

import { Router, serve } from '../../http/index.ts';
import { announce, HELLO, IDLE_TIMEOUT_MS, LARGE, recordOf, routes, STREAM_CHUNK, STREAM_CHUNKS } from '../site.ts';

const router = new Router();

router.get('/hello', (_request, response) => response.text(HELLO));

router.post('/echo', async (request, response) => response.bytes(await request.bytes()));

router.get('/large', (_request, response) => response.bytes(LARGE));

router.get('/stream', async (_request, response) => {
  response.header('Content-Type', 'text/plain; charset=utf-8');
  for (let sent = 0; sent < STREAM_CHUNKS; sent++) await response.write(STREAM_CHUNK);
  response.end();
});

for (const { method, path, resource } of routes) {
  const register = { GET: router.get, POST: router.post, PUT: router.put, DELETE: router.delete }[method];
  register.call(router, path, (request, response) => response.json(recordOf(resource, request.params)));
}

const { address } = serve(router, { timeouts: { idleMs: IDLE_TIMEOUT_MS } });
if ('port' in address) announce(address.port);
