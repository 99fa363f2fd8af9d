/**
 * Bodies that take more of the server than they cost their client: JSON and forms that hold the thread while they are parsed, and
 * a crowd of uploads that together are larger than the memory.
 *
 * The stall is the longest delay that a timer of 10 ms sees in the server. It is reported only at full size: a test must not depend on
 * how busy the machine is.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { Program, plainEnvironment } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { rssBytesOf } from '../support/server-process.ts';
import type { Attack, AttackOptions, Finding } from './attack.ts';

const MEGABYTE = 1024 * 1024;
const TIMER_MS = 10;
const MAX_STALL_MS = 50;

/** What the memory of a process can grow by for other reasons: garbage that is not collected yet, above all. */
const SLACK_MEGABYTES = 60;
const RECEIVE_MEGABYTES = 64 / 1024;

const serverOf = (backend: string, memoryMegabytes: number) => `
const { Router, serve } = await import(build + '/http/index.js');
const { portOf } = await import(build + '/simplenet/index.js');
const router = new Router();
router.post('/json', async (request, response) => response.json(typeof (await request.json())));
router.post('/form', async (request, response) => response.json((await request.form()).size));
router.post('/bytes', async (request, response) => response.json((await request.bytes()).length));
let [longest, last] = [0, performance.now()];
setInterval(() => {
  longest = Math.max(longest, performance.now() - last - ${TIMER_MS});
  last = performance.now();
}, ${TIMER_MS});
router.get('/stall', (_request, response) => {
  const stall = Math.max(longest, performance.now() - last - ${TIMER_MS});
  [longest, last] = [0, performance.now()];
  response.text('stall ' + stall.toFixed(0) + ' ms');
});
const server = serve(router, {
  backend: '${backend}',
  limits: { bodyMemoryBytes: ${memoryMegabytes} * ${MEGABYTE} },
  timeouts: { bodyWaitMs: 200 },
  onError: () => {},
});
console.log('port ' + portOf(server.address) + '.');
`;

const head = (path: string, length: number) => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`;
const chunked = (path: string) => `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
const statusOf = (client: RawClient) => Number(/^HTTP\/1\.1 (\d+) /.exec(client.text)?.[1]);

/** Sends the text in one chunk, so that the server cannot know its length in advance. Returns the status of the answer. */
async function post(port: number, path: string, text: string): Promise<number> {
  const client = new RawClient(port);
  client.write(chunked(path)).write(`${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`);
  await client.until(() => client.answers > 0 || client.isOver, 'an answer');
  client.destroy();
  return statusOf(client);
}

async function stallMs(port: number): Promise<number> {
  const client = new RawClient(port).write('GET /stall HTTP/1.1\r\nHost: x\r\n\r\n');
  await client.until(() => / ms$/.test(client.text), 'the stall');
  client.destroy();
  return Number(/stall (\d+) ms$/.exec(client.text)?.[1]);
}

/** What is refused, for its size, its depth or its fields; the smallest text that is, and the one of 16 MiB. */
const refused: Readonly<Record<string, [path: string, text: string, status: number]>> = {
  'JSON of 16 MiB': ['/json', `[${'1,'.repeat(8 * MEGABYTE - 1)}1]`, 413],
  'JSON of 16 MiB, nested': ['/json', '['.repeat(16 * MEGABYTE), 413],
  'JSON of 1 MiB, nested': ['/json', '['.repeat(MEGABYTE / 2) + ']'.repeat(MEGABYTE / 2), 400],
  'a form of 16 MiB': ['/form', 'a&'.repeat(8 * MEGABYTE), 413],
  'a form of 1 MiB, 524,288 fields': ['/form', 'a&'.repeat(MEGABYTE / 2), 413],
};

async function holdTheThread(port: number, isFull: boolean): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [what, [path, text, expected]] of Object.entries(refused)) {
    await stallMs(port);
    const status = await post(port, path, text);
    findings.push({
      what: `${what}: the answer is not ${expected}`,
      value: status === expected ? 0 : status,
      atMost: 0,
    });
    if (isFull) findings.push({ what: `${what}: stall, ms`, value: await stallMs(port), atMost: MAX_STALL_MS });
  }
  if (!isFull) return findings;
  const worst = `[${'{},'.repeat(MEGABYTE / 3 - 1)}{}]`;
  await stallMs(port);
  const status = await post(port, '/json', worst);
  const value = await stallMs(port);
  findings.push({
    what: `1 MiB of JSON that is allowed (${status}): stall, ms`,
    value,
    atMost: Number.POSITIVE_INFINITY,
  });
  return findings;
}

/** Each client sends half of what it has promised, and waits. */
async function fillTheMemory(server: Program, port: number, clients: number, megabytes: number): Promise<number> {
  const pid = server.child.pid as number;
  const before = rssBytesOf(pid);
  const half = Buffer.alloc((megabytes * MEGABYTE) / 2);
  const crowd = Array.from({ length: clients }, () =>
    new RawClient(port, { keepsText: false }).write(head('/bytes', megabytes * MEGABYTE)).write(half),
  );
  let grown = 0;
  for (let i = 0; i < 20; i++) {
    await sleep(50);
    grown = Math.max(grown, rssBytesOf(pid) - before);
  }
  for (const client of crowd) client.destroy();
  return Math.round(grown / MEGABYTE);
}

export const attack: Attack = {
  title: 'Clients send JSON and forms that are dear to parse, and many uploads that are read whole.',
  async run({ backend, size }: AttackOptions): Promise<readonly Finding[]> {
    const isFull = size === 'full';
    const [clients, megabytes, memory] = isFull ? [200, 16, 64] : [30, 8, 16];
    const server = Program.script(serverOf(backend, memory), { env: plainEnvironment() });
    try {
      const port = Number((await server.prints(/port (\d+)\./))[1]);
      const findings = await holdTheThread(port, isFull);
      const value = await fillTheMemory(server, port, clients, megabytes);
      const atMost = memory + megabytes + Math.ceil(clients * RECEIVE_MEGABYTES) + SLACK_MEGABYTES;
      const what = `${clients} clients send half of ${megabytes} MiB, memory for ${memory} MiB: RSS grows by, MiB`;
      return [...findings, { what, value, atMost }];
    } finally {
      server.kill();
      await server.ends();
    }
  },
};
