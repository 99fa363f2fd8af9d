/** A site for workers that does to its worker what it is asked to do. */

import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ServeOptions } from '../../../http/index.ts';
import { peers, Router, webSocket } from '../../../http/index.ts';
import type { ToWorker } from '../../../http/workers/messages.ts';

const [behaviour, mark = ''] = process.argv.slice(2);
let told: unknown = null;
let done = 0;
peers.onTold('news', (message) => {
  told = message;
});
peers.onAsked('pid', () => process.pid);
peers.onAsked('function', () => () => {});
peers.onAsked('error', () => {
  throw new Error('an answer fails');
});
const isStopping = new Promise<void>((resolve) => {
  process.on('message', (message) => void ((message as ToWorker).kind === 'stop' && resolve()));
});
const hoard: Buffer[] = [];

if (behaviour === 'exits') process.exit(7);
if (behaviour === 'throws') throw new TypeError('the module is broken');
if (behaviour === 'throws nothing') throw null;
if (behaviour === 'says') throw Object.assign(new Error('what is wrong'), { exitCode: 2 });
// The first worker is told to end before it serves; the next one finds the mark.
if (behaviour === 'leaves' && !existsSync(mark)) {
  writeFileSync(mark, '');
  const isTold = once(process, 'SIGTERM');
  process.kill(process.pid, 'SIGTERM');
  await isTold;
}

const chat = webSocket({
  open: (ws) => ws.subscribe('room'),
  message: (_ws, data) => void chat.publish('room', data),
});

const site = new Router()
  .get('/', (_request, response) => response.text(`${peers.index} ${process.pid}`))
  .get('/chat', chat)
  .post('/tell', async (request, response) => {
    peers.tell('news', await request.text());
    response.text('');
  })
  .get('/told', (_request, response) => response.json({ pid: process.pid, told, done }))
  .get('/pids', async (_request, response) => response.json(await peers.askAll('pid')))
  .get('/ask-often', async (_request, response) => {
    const all = await Promise.all(Array.from({ length: 101 }, () => peers.askAll('pid')));
    response.json(all.map(({ length }) => length));
  })
  .get('/wrong', async (_request, response) => {
    const own = await peers.askAll('error').catch(() => 'its own answer fails here');
    const [, ...ofOthers] = await peers.askAll('function');
    response.json([own, ofOthers, await peers.askAll('pid')]);
  })
  .get('/unknown', async (_request, response) => response.json(await peers.askAll('unknown')))
  .get('/hang', () => {
    for (;;);
  })
  .get('/throw', () => {
    setImmediate(() => {
      throw new Error('out of a callback');
    });
  })
  .get('/hoard', async (_request, response) => {
    // In pieces: on busy cores 400 MB at once take longer than a worker may hang.
    for (let pieces = 0; pieces < 20; pieces++) {
      hoard.push(Buffer.alloc(20 * 1024 ** 2, 1));
      await nextTurn();
    }
    response.text(`${hoard.length} ${process.pid}`);
  })
  .get('/slow', async (_request, response) => {
    await response.write('begun');
    await isStopping;
    response.end(' and done');
  });

export const options: ServeOptions = { onDone: () => void done++ };
// biome-ignore lint/style/noDefaultExport: workers serve the default export of a module.
export default behaviour === 'nothing' ? undefined : behaviour === 'number' ? 5 : site;
