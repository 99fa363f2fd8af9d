/**
 * A stop that loses nothing: requests under way are answered, and open streams end well.
 *
 * `close` accepts no further connection, and waits for what is under way until the grace is over. A stream without end must be told: it
 * listens to `request.closing`.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { Router, serve } from '../../http/index.ts';

const router = new Router();

router.get('/clock', ({ closing }, response) => {
  async function* lines() {
    while (!closing.aborted) {
      yield `${new Date().toISOString()}\n`;
      await sleep(1_000, undefined, { signal: closing }).catch(() => {}); // its error says that it was woken
    }
    yield 'The server stops.\n';
  }
  return response.header('Content-Type', 'text/plain; charset=utf-8').body(lines());
});

router.get('/report', async (_request, response) => {
  await sleep(500);
  response.text('The report is complete.\n');
});

const server = serve(router, { port: process.env.PORT ?? 8080 });
console.log(server.url);

/** Less than the supervisor waits before it kills: systemd 90 s, Kubernetes 30 s, Docker 10 s. */
const GRACE_MS = 8_000;

async function stop(): Promise<void> {
  if (server.isStopping) return; // npm and some supervisors send the signal twice
  await server.close({ graceMs: GRACE_MS });
  console.log('stopped'); // here you close the database
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void stop());
