/**
 * One port, many listeners: worker threads and processes that share it with SO_REUSEPORT, and a program that deals out.
 *
 * Each listener has a queue of its own, and the kernel puts a new connection into one of them: by a hash of both addresses and
 * ports, unless a classic BPF program that was attached to the group says which. So no thread waits for another's lock, and
 * none takes connections off the others. Started again in another terminal, it joins the same group.
 */

import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { serve } from '../http/index.ts';
import { abi, type FilterInstruction, type OptionTarget, portOf } from '../simplenet/index.ts';

const { BPF_ABS, BPF_A, BPF_ALU, BPF_H, BPF_K, BPF_LD, BPF_MOD, BPF_RET, BPF_W } = abi;

/** Where an IPv4 header without options ends, and the TCP header begins with the port of the client. */
const CLIENT_PORT = abi.SKF_NET_OFF + 20;
const CPU = abi.SKF_AD_OFF + abi.SKF_AD_CPU;

/** What a program answers, the remainder of something by the number of workers, is the number of a listener in its group. */
const dealBy = (load: FilterInstruction, workers: number): readonly FilterInstruction[] => [
  load,
  { code: BPF_ALU | BPF_MOD | BPF_K, k: workers },
  { code: BPF_RET | BPF_A, k: 0 },
];

const loads: Readonly<Record<string, FilterInstruction | null>> = {
  hash: null, // the kernel's own way
  cpu: { code: BPF_LD | BPF_W | BPF_ABS, k: CPU }, // the processor on which the connection arrived: its caches are warm
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
  let answers = 0;
  const load = loads[by] ?? null;
  // Between socket(2) and bind(2): afterwards a connection might be dealt out already. The first one's program counts.
  const control = (socket: OptionTarget) => {
    if (index === 0 && load !== null) socket.attachReusePortFilter(dealBy(load, workers));
  };
  const server = serve(
    (_request, response) => {
      answers++;
      response.header('Connection', 'close').text(`worker ${index} of process ${process.pid}\n`);
    },
    { port, socket: { reusePort: true, control } },
  );
  parentPort?.postMessage(portOf(server.address));
  await new Promise((resolve) => parentPort?.once('message', resolve));
  await server.close();
  parentPort?.postMessage(answers);
}

async function main(): Promise<void> {
  const [portText = '8080', workersText = '4', by = 'hash'] = process.argv.slice(2);
  const workers = Number(workersText);
  if (!(Number.isInteger(workers) && workers >= 1 && workers <= 64) || !Object.hasOwn(loads, by)) {
    throw new Error('Usage: npm run example -- reuseport [PORT] [WORKERS, 1 to 64] [hash|cpu|port]');
  }
  let port = Number(portText);
  const threads: Worker[] = [];
  for (let index = 0; index < workers; index++) {
    const thread = new Worker(new URL(import.meta.url), { workerData: { index, port, workers, by } satisfies Task });
    // One after the other: the kernel numbers them in the order in which they listen. The first one knows the port for all.
    [port] = (await once(thread, 'message')) as [number];
    threads.push(thread);
  }
  const stop = async () => {
    for (const [index, thread] of threads.entries()) {
      thread.postMessage('stop');
      const [answers] = (await once(thread, 'message')) as [number];
      console.log(`worker ${index}: ${answers} connections`);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop);
  console.log(`process ${process.pid}: ${workers} workers on http://127.0.0.1:${port}, dealt to by ${by}`);
}

if (isMainThread) await main();
else await work(workerData as Task);
