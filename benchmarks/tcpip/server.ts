/**
 * The server of the TCP/IP benchmark: the same router on a stack of our own, or on the epoll loop of the kernel's.
 *
 *     node build/benchmarks/tcpip/server.js tap0 10.9.1.2/24      the stack, on a TAP interface that it makes
 *     node build/benchmarks/tcpip/server.js kernel 10.9.2.2       the kernel's sockets
 *
 * Next: bench.ts
 */

import { Router, serve } from '../../http/index.ts';
import { createStack, openTap } from '../../simplenet/index.ts';
import { announce, HELLO } from '../site.ts';

/** What one download carries. */
export const BULK_BYTES = 200_000_000;
const PIECE = Buffer.alloc(65_536, 'simplenet ');
const PORT = 8080;

const [network = 'kernel', address = ''] = process.argv.slice(2);

const router = new Router();
router.get('/hello', (_request, response) => response.text(HELLO));
router.get('/bulk', async (_request, response) => {
  for (let left = BULK_BYTES; left > 0; left -= PIECE.length) await response.write(PIECE.subarray(0, left));
  response.end();
});
router.put('/bulk', async (request, response) => {
  let bytes = 0;
  for await (const chunk of request.body) bytes += chunk.length;
  response.text(`${bytes}\n`);
});

const limits = { bodyBytes: 2 * BULK_BYTES };
const place = { host: address.replace(/\/.*/, ''), port: PORT, limits };
if (network === 'kernel') serve(router, { ...place, backend: 'epoll' });
else serve(router, { ...place, loop: createStack({ link: openTap(network), address }) });
announce(PORT);
