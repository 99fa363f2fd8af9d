/**
 * ending-workers: a program whose worker threads serve HTTP under load and end, again and again, in one of several ways.
 *
 *     node ending-workers.js WAY COUNT [WAY COUNT ...]        the loop is what SIMPLENET_BACKEND says
 *
 * It prints what each way has left behind as a line of JSON (EndedWorkers). An abort of the process is seen by its parent. Each worker serves 16 clients
 * of its own, on a second loop of the same thread, so that its watches always have news; one more client waits in the main thread,
 * and must be told of the end.
 */

import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { serve } from '../../http/index.ts';
import { createEventLoop, portOf, type SocketAddress, type Stream } from '../../simplenet/index.ts';

export type Way = 'terminate' | 'terminate-idle' | 'exit' | 'run-out' | 'stop-then-terminate';

export interface EndedWorkers {
  readonly way: Way;
  readonly ended: number;
  readonly requests: number;
  /** More sockets and event descriptors than before. */
  readonly descriptors: number;
  /** Clients that were not told within some seconds that their server has gone. */
  readonly waiting: number;
}

const CLIENTS = 16;
const LONGEST_LIFE_MS = 20;
const PATIENCE_MS = 10_000;
const WORKERS_AT_ONCE = 2;

const request = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n');

function descriptors(): number {
  let count = 0;
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (/^socket:|^anon_inode:|^\/dev\/null$/.test(readlinkSync(`/proc/self/fd/${fd}`))) count++;
    } catch {
      // The descriptor of the folder itself.
    }
  }
  return count;
}

interface Life {
  readonly port: number;
  /** Its first number is how many requests were answered. */
  readonly counter: Int32Array;
}

async function live(way: Way): Promise<void> {
  const counter = new Int32Array(new SharedArrayBuffer(4));
  const loop = createEventLoop();
  let stopServer = async () => {};
  let address: SocketAddress;
  if (way === 'run-out') {
    // A server of http/ has no unref, so here the loop itself listens.
    const onData = (stream: Stream) => {
      Atomics.add(counter, 0, 1);
      stream.write(request);
    };
    address = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData })).address;
  } else {
    const server = serve(
      (_request, response) => {
        Atomics.add(counter, 0, 1);
        response.text('hello\n');
      },
      { port: 0 },
    );
    address = server.address;
    stopServer = () => server.close();
  }
  const life: Life = { port: portOf(address), counter };
  let isBusy = way !== 'terminate-idle';
  let answers = 0;
  for (let i = 0; i < CLIENTS; i++) {
    loop.connect(address, {
      onOpen: (stream) => void stream.write(request),
      onData(stream) {
        if (++answers === CLIENTS) parentPort?.postMessage(life);
        if (isBusy) stream.write(request);
      },
    });
  }
  parentPort?.on('message', async (message: string) => {
    if (message === 'stop') {
      loop.close();
      await stopServer();
      parentPort?.postMessage('stopped');
    } else if (way === 'exit') {
      process.exit(0);
    } else {
      // Nothing keeps the thread alive any more once the last answer is there, and nothing was closed.
      isBusy = false;
      loop.unref();
      parentPort?.unref();
    }
  });
}

async function endOne(way: Way): Promise<{ requests: number; isWaiting: boolean }> {
  const worker = new Worker(new URL(import.meta.url), { workerData: way });
  const ended = once(worker, 'exit');
  const [{ port, counter }] = (await once(worker, 'message')) as [Life];
  const client = connect(port, '127.0.0.1').on('error', () => {});
  const closed = once(client, 'close');
  client.write(request);
  await once(client, 'data');
  client.resume();
  await sleep(Math.random() * LONGEST_LIFE_MS);
  if (way === 'stop-then-terminate') {
    worker.postMessage('stop');
    await once(worker, 'message');
  } else if (way === 'exit' || way === 'run-out') {
    worker.postMessage('end');
    await ended;
  }
  await worker.terminate();
  // The ring of a terminated worker stays mapped, and so its sockets stay open: ARCHITECTURE.md, known limits.
  const isTold = !(way.startsWith('terminate') && process.env.SIMPLENET_BACKEND === 'io_uring');
  const patience = new AbortController();
  const isWaiting =
    isTold &&
    (await Promise.race([
      closed.then(() => false),
      sleep(PATIENCE_MS, true, { signal: patience.signal }).catch(() => true),
    ]));
  patience.abort();
  client.destroy();
  return { requests: Atomics.load(counter, 0), isWaiting };
}

async function endMany(way: Way, count: number): Promise<EndedWorkers> {
  const before = descriptors();
  let begun = 0;
  let requests = 0;
  let waiting = 0;
  const several = async () => {
    while (begun < count) {
      begun++;
      const one = await endOne(way);
      requests += one.requests;
      if (one.isWaiting) waiting++;
    }
  };
  await Promise.all(Array.from({ length: WORKERS_AT_ONCE }, several));
  const isLeft = () => descriptors() > before;
  for (const giveUpAt = performance.now() + PATIENCE_MS; isLeft() && performance.now() < giveUpAt; ) await sleep(10);
  return { way, ended: begun, requests, descriptors: Math.max(0, descriptors() - before), waiting };
}

if (isMainThread) {
  await endOne('exit'); // what Node itself opens for its first worker stays open
  const args = process.argv.slice(2);
  for (let i = 0; i < args.length; i += 2)
    console.log(JSON.stringify(await endMany(args[i] as Way, Number(args[i + 1]))));
} else {
  await live(workerData as Way);
}
