/**
 * speed: a program that prints how much CPU time a request costs on the Node that runs it, in microseconds.
 *
 *     node speed.js BACKEND CLIENTS
 *
 * The clients live in the same process, so nothing but CPU time counts, and a busy machine changes little. Of many short slices the
 * cheapest one is printed: others can only make a slice dearer.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Server, serve } from '../../http/index.ts';
import { type Backend, createEventLoop, type Stream } from '../../simplenet/index.ts';

const SLICES = 40;
const SLICE_MS = 25;
/** A slice of fewer requests says nothing. */
const LEAST_REQUESTS = 5;

const request = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n');

async function measure(backend: Backend, clients: number): Promise<number> {
  const server: Server = serve((_request, response) => response.text('hello\n'), { port: 0, backend });
  const loop = createEventLoop({ backend });
  let requests = 0;
  const ask = (stream: Stream) => void stream.write(request);
  for (let i = 0; i < clients; i++) {
    loop.connect(server.address, {
      onOpen: ask,
      onData(stream) {
        requests++;
        ask(stream);
      },
    });
  }
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < SLICES; i++) {
    const requestsBefore = requests;
    const cpuBefore = process.cpuUsage();
    await sleep(SLICE_MS);
    const { user, system } = process.cpuUsage(cpuBefore);
    const count = requests - requestsBefore;
    if (count >= LEAST_REQUESTS) best = Math.min(best, (user + system) / count);
  }
  loop.close();
  await server.close();
  return best;
}

const [backend, clients] = process.argv.slice(2);
console.log((await measure(backend as Backend, Number(clients))).toFixed(2));
