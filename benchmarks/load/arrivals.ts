/**
 * Arrivals: requests that come at a fixed rate, however slowly they are answered, as those of many users do.
 *
 * A program: `arrivals.js PORT REQUESTS_PER_SECOND SECONDS CONNECTIONS`. A request takes a connection that is free. If none is, it waits for one, and that time counts, because its
 * user waits as well. When the seconds are over nothing is sent any more; what is answered within PATIENCE_MS still counts. It writes an Arrived as JSON.
 *
 * Next: ../overload.ts
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { createEventLoop, raiseOpenFileLimit, type Stream, type StreamHandler } from '../../simplenet/index.ts';
import { ResponseReader } from '../response-reader.ts';
import { Latencies } from './latencies.ts';

/** What has become of the requests. */
export interface Arrived {
  readonly sent: number;
  /** 200, and those of them within IN_TIME_MS of their arrival. */
  readonly served: number;
  readonly inTime: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** 503. */
  readonly turnedAway: number;
}

const IN_TIME_MS = 1_000;
const PATIENCE_MS = 3_000;
const STEP_MS = 2;
const SPARE_FILES = 100;
const MAX_CONNECTING = 256;

const [port = 0, rate = 0, seconds = 0, connections = 0] = process.argv.slice(2).map(Number);
const REQUEST = Buffer.from('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
const loop = createEventLoop();
const latencies = new Latencies();
const free: Client[] = [];
/** When those came that wait for a connection. */
const waiting: number[] = [];
let unopened = connections;
let served = 0;
let inTime = 0;
let turnedAway = 0;
let isOver = false;

class Client implements StreamHandler {
  #stream!: Stream;
  #arrivedAt = 0;
  readonly #reader = new ResponseReader(({ status }) => this.#answered(status));

  onOpen(stream: Stream): void {
    this.#stream = stream;
    free.push(this);
    openOne();
  }

  ask(arrivedAt: number): void {
    this.#arrivedAt = arrivedAt;
    this.#stream.write(REQUEST);
  }

  onData(_stream: Stream, bytes: Buffer): void {
    this.#reader.push(bytes);
  }

  #answered(status: number): void {
    const ms = performance.now() - this.#arrivedAt;
    if (status === 200) {
      served++;
      if (ms <= IN_TIME_MS) inTime++;
      latencies.add(ms * 1_000);
    } else turnedAway++;
    const next = isOver ? undefined : waiting.shift();
    if (next === undefined) free.push(this);
    else this.ask(next);
  }

  onClose(): void {
    throw new Error('the server has closed a connection');
  }
}

function openOne(): void {
  if (unopened === 0) return;
  unopened--;
  loop.connect({ address: '127.0.0.1', port }, new Client(), { noDelay: true });
}

raiseOpenFileLimit(connections + SPARE_FILES);
for (let i = 0; i < MAX_CONNECTING; i++) openOne();
while (free.length < connections) await sleep(STEP_MS);
const start = performance.now();
let sent = 0;
while (performance.now() - start < seconds * 1_000) {
  const due = Math.floor(((performance.now() - start) / 1_000) * rate);
  for (; sent < due; sent++) {
    const arrivedAt = start + (sent / rate) * 1_000;
    const client = free.pop();
    if (client === undefined) waiting.push(arrivedAt);
    else client.ask(arrivedAt);
  }
  await sleep(STEP_MS);
}
isOver = true;
const giveUpAt = performance.now() + PATIENCE_MS;
while (free.length < connections && performance.now() < giveUpAt) await sleep(STEP_MS);
const [p50Ms = 0, p99Ms = 0] = [50, 99].map((percent) => latencies.percentile(percent) / 1_000);
const arrived: Arrived = { sent, served, inTime, p50Ms, p99Ms, turnedAway };
process.stdout.write(`${JSON.stringify(arrived)}\n`);
process.exit(0);
