/**
 * Limits for one route: a large upload and a slow answer, while all other routes keep tight limits.
 *
 * Options of a route hold for that route; `limit` is a middleware for everything below a path. They are in force before any other
 * middleware runs.
 */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { limit, Router, serve } from '../../http/index.ts';

const MiB = 1024 ** 2;

const router = new Router();

router.post('/notes', async (request, response) => {
  response.json({ characters: (await request.text()).length });
});

// A body of 5 GiB, for which there is an hour. It is read in pieces.
const large = { bodyBytes: 5 * 1024 * MiB, bodyMs: 3_600_000 };
router.put('/backup', { limits: large }, async (request, response) => {
  const hash = createHash('sha256');
  for await (const piece of request.body) hash.update(piece);
  response.json({ sha256: hash.digest('hex') });
});

// An answer may need ten minutes until it begins. Elsewhere it is 503 after five seconds.
router.use('/models', limit({ answerMs: 600_000 }));
router.post('/models/answer', async (request, response) => {
  await sleep(100, undefined, { signal: request.signal }); // the model thinks, unless the client has left
  response.text('42\n');
});

const server = serve(router, {
  port: process.env.PORT ?? 8080,
  limits: { bodyBytes: MiB },
  timeouts: { answerMs: 5_000 },
});
console.log(server.url);
