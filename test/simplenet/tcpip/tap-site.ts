/**
 * A server on a TCP/IP stack of ours behind the interface tap0: over-tap.ts starts this program in a network namespace. It writes all
 * frames to the file of its argument. After SIGTERM it prints what the stack has counted.
 */

import { createHash } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Router, serve, webSocket } from '../../../http/index.ts';
import { captureFrames, createStack, openTap } from '../../../simplenet/index.ts';
import { piecesOf } from './numbered-bytes.ts';

const site = new Router();

site.get('/', (_request, response) => {
  response.html(
    '<link rel="stylesheet" href="/style.css"><h1>Frames</h1><p id="x"></p><script src="/script.js"></script>',
  );
});
site.get('/style.css', (_request, response) => {
  response.header('Content-Type', 'text/css').bytes(Buffer.from('h1 { color: rgb(1, 2, 3) }'));
});
site.get('/script.js', (_request, response) => {
  const script = "x.textContent = 'styled ' + getComputedStyle(document.querySelector('h1')).color";
  response.header('Content-Type', 'text/javascript').bytes(Buffer.from(script));
});
site.get('/hello', (_request, response) => {
  response.text('Hello, frames!\n');
});
/** Long enough for the client's FIN to arrive first. */
site.get('/late', async (_request, response) => {
  await sleep(300);
  response.text('late\n');
});
site.get('/bytes/:count', async (request, response) => {
  response.header('Content-Length', request.params.count);
  for (const piece of piecesOf(Number(request.params.count))) await response.write(piece);
  response.end();
});
site.put('/bytes', async (request, response) => {
  const hash = createHash('sha256');
  for await (const piece of request.body) hash.update(piece);
  response.text(hash.digest('hex'));
});

site.get('/echo', webSocket({ message: (ws, data) => ws.send(data) }, { compression: true }));

const file = openSync(process.argv[2] as string, 'w');
const link = captureFrames(openTap('tap0'), (bytes) => writeSync(file, bytes), Date.now);
const stack = createStack({ link, address: '10.9.0.2/24' });
const server = serve(site, { loop: stack, host: '10.9.0.2', port: 80, limits: { bodyBytes: 1024 ** 3 } });
console.log(`listening on ${server.url}`);

process.once('SIGTERM', async () => {
  await server.close();
  stack.close();
  console.log(JSON.stringify(stack.statistics));
});
