/**
 * Clients: the load generator that ships with the repository, and the one that holds idle connections.
 *
 * A program. It gets a LoadOrder as JSON, keeps its number of connections busy for its seconds, writes a LoadResult as JSON and ends. Each
 * connection sends its batch, waits for all responses, and sends the next batch. After a response with `Connection: close` a new
 * connection is made. With `holds` instead of seconds, each connection sends one request. When all have their response, the program writes
 * `held`, and the connections stay open and idle until standard input ends.
 *
 * Next: ../idle-memory.ts
 */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createEventLoop, raiseOpenFileLimit, type Stream, type StreamHandler } from '../../simplenet/index.ts';
import type { LoadOrder, LoadResult } from '../load.ts';
import { ResponseReader } from '../response-reader.ts';
import { Latencies } from './latencies.ts';

export interface ClientsOrder extends LoadOrder {
  readonly holds?: boolean;
}

const SPARE_FILES = 100;
const ANSWER_TIMEOUT_MS = 5_000;

/** Connections that are made at a time. If the queue of a listener overflows, the next SYN is repeated only after a second. */
const MAX_CONNECTING = 256;

const CLOSES = /\r\nconnection:[ \t]*close/i;

const order = JSON.parse(process.argv[2] ?? '{}') as ClientsOrder;
const { port, connections, pipeline } = order;
const batch = Buffer.concat(Array<Buffer>(pipeline).fill(readFileSync(order.requestFile)));
const loop = createEventLoop();
const latencies = new Latencies();
let requests = 0;
let errors = 0;
let refused = 0;
let isOver = false;
let answered = 0;
let connecting = 0;
let unopened = connections;
let whenAllAnswered: (() => void) | null = null;

class Client implements StreamHandler {
  #missing = 0;
  #sentAt = 0;
  #isOpen = false;
  #isClosing = false;
  readonly #reader = new ResponseReader(({ status, head }) => {
    requests++;
    if (CLOSES.test(head)) this.#isClosing = true;
    if (status < 200 || status > 299) refused++;
    latencies.add((performance.now() - this.#sentAt) * 1_000);
    this.#missing--;
  });

  #send(stream: Stream): void {
    this.#missing = pipeline;
    this.#sentAt = performance.now();
    stream.write(batch);
    stream.setDeadline(ANSWER_TIMEOUT_MS);
  }

  onOpen(stream: Stream): void {
    this.#isOpen = true;
    connecting--;
    this.#send(stream);
    openMore();
  }

  onData(stream: Stream, bytes: Buffer): void {
    if (isOver) return;
    try {
      this.#reader.push(bytes);
    } catch {
      errors++; // these bytes are not a response: the connection cannot go on
      stream.abort();
      return;
    }
    if (this.#missing > 0) return;
    if (order.holds !== true) {
      if (this.#isClosing) stream.close();
      else this.#send(stream);
      return;
    }
    stream.setDeadline(Number.POSITIVE_INFINITY);
    if (++answered === connections) whenAllAnswered?.();
  }

  onClose(): void {
    if (!this.#isOpen) connecting--;
    if (isOver) return;
    if (!this.#isClosing || this.#missing > 0) errors++;
    unopened++;
    openMore();
  }
}

function openMore(): void {
  while (!isOver && unopened > 0 && connecting < MAX_CONNECTING) {
    unopened--;
    connecting++;
    loop.connect({ address: '127.0.0.1', port }, new Client(), { noDelay: true });
  }
}

async function drive(): Promise<LoadResult> {
  const start = performance.now();
  openMore();
  await sleep(order.seconds * 1_000);
  isOver = true;
  const seconds = (performance.now() - start) / 1_000;
  const [p50Us, p99Us, p999Us] = [50, 99, 99.9].map((percent) => latencies.percentile(percent)) as [
    number,
    number,
    number,
  ];
  return { requests, seconds, p50Us, p99Us, p999Us, errors, refused };
}

async function hold(): Promise<void> {
  const all = new Promise<void>((resolve) => {
    whenAllAnswered = resolve;
  });
  openMore();
  await all;
  process.stdout.write('held\n');
  await new Promise((resolve) => process.stdin.on('end', resolve).resume());
  isOver = true;
}

raiseOpenFileLimit(connections + SPARE_FILES);
if (order.holds === true) await hold();
else process.stdout.write(`${JSON.stringify(await drive())}\n`);
loop.close();
