/**
 * One port, many listeners: worker threads and processes share it with SO_REUSEPORT, and a BPF program can distribute connections.
 *
 * Each listener has a queue of its own. The kernel puts a new connection into one of the queues: by a hash of both addresses and
 * ports, or by the result of a classic BPF program that was attached to the group. So no thread waits for a lock of another, and
 * no thread takes connections from another. A second process, started in another terminal, joins the same group.
 */

import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { serve } from '../http/index.ts';
import { abi, type FilterInstruction, type OptionTarget, portOf } from '../simplenet/index.ts';
import { portFrom } from './support/port.ts';

const { BPF_ABS, BPF_A, BPF_ALU, BPF_H, BPF_K, BPF_LD, BPF_MOD, BPF_RET, BPF_W } = abi;

/** The TCP header after an IPv4 header without options. It begins with the port of the client. */
const CLIENT_PORT = abi.SKF_NET_OFF + 20;
const CPU = abi.SKF_AD_OFF + abi.SKF_AD_CPU;

/** The program loads a value and returns its remainder by the number of workers: the index of a listener in its group. */
const distributeBy = (load: FilterInstruction, workers: number): readonly FilterInstruction[] => [
  load,
  { code: BPF_ALU | BPF_MOD | BPF_K, k: workers },
  { code: BPF_RET | BPF_A, k: 0 },
];

const loads: Readonly<Record<string, FilterInstruction | null>> = {
  hash: null, // the default of the kernel
  cpu: { code: BPF_LD | BPF_W | BPF_ABS, k: CPU }, // the processor on which the connection arrived, whose caches hold it
  port: { code: BPF_LD | BPF_H | BPF_ABS, k: CLIENT_PORT },
};

interface Task {
  readonly index: number;
  readonly port: number;
  readonly workers: number;
  readonly by: string;
}

/** One listener, in a thread of its own. */
async function work({ index, port, workers, by }: Task): Promise<void> {
  let requests = 0;
  const load = loads[by] ?? null;
  // Attached between socket(2) and bind(2), because a connection may arrive right after that. The group uses the first worker's program.
  const control = (socket: OptionTarget) => {
    if (index === 0 && load !== null) socket.attachReusePortFilter(distributeBy(load, workers));
  };
  const server = serve(
    (_request, response) => {
      requests++;
      response.header('Connection', 'close').text(`worker ${index} of process ${process.pid}\n`);
    },
    { port, socket: { reusePort: true, control } },
  );
  parentPort?.postMessage(portOf(server.address));
  await new Promise((resolve) => parentPort?.once('message', resolve));
  await server.close();
  parentPort?.postMessage(requests);
}

async function main(): Promise<void> {
  const [portText = '8080', workersText = '4', by = 'hash'] = process.argv.slice(2);
  const workers = Number(workersText);
  if (!(Number.isInteger(workers) && workers >= 1 && workers <= 64) || !Object.hasOwn(loads, by)) {
    throw new Error('Usage: npm run example -- reuseport [PORT] [WORKERS, 1 to 64] [hash|cpu|port]');
  }
  let port = portFrom(portText);
  const threads: Worker[] = [];
  for (let index = 0; index < workers; index++) {
    const thread = new Worker(new URL(import.meta.url), { workerData: { index, port, workers, by } satisfies Task });
    // One after the other, because the kernel numbers listeners in the order of listen(2). The port of the first is used for all.
    [port] = (await once(thread, 'message')) as [number];
    threads.push(thread);
  }
  const stop = async () => {
    for (const [index, thread] of threads.entries()) {
      thread.postMessage('stop');
      const [requests] = (await once(thread, 'message')) as [number];
      console.log(`worker ${index}: ${requests} connections`);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop);
  console.log(`process ${process.pid}: ${workers} workers on http://127.0.0.1:${port}, dealt to by ${by}`);
}

if (isMainThread) await main();
else await work(workerData as Task);
