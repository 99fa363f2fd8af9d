/**
 * WebSockets that hold memory: subscribers that stop reading, messages that never end, and compressed messages that all wait for the thread pool. Each time one
 * client behaves, and must get everything.
 */

import { randomBytes } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { Program, plainEnvironment } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { rssBytesOf } from '../support/server-process.ts';
import { upgradeRequest } from '../support/web-socket-client.ts';
import { BINARY, CONTINUATION, clientFrame, TEXT } from '../support/web-socket-frames.ts';
import { type Attack, type AttackOptions, type Finding, UNLIMITED } from './attack.ts';

const MEGABYTE = 1024 * 1024;

/** What the memory of a process can grow by for other reasons: garbage that is not collected yet, above all. Readers that share no memory would take several times as much. */
const SLACK_MEGABYTES = 100;

/** What is published at a time, and what it is on the wire. */
const PUBLISHED_BYTES = 65_536;
const FRAME_BYTES = 10 + PUBLISHED_BYTES;

const QUEUED_MEGABYTES = 1;
const PARTIAL_MEGABYTES = 64;

/** RSV1. */
const COMPRESSED = 4;

/** One that reads asks for the next message when it has the last one, and so it also sets the pace. */
const serverOf = (backend: string) => `
const { Router, serve, webSocket } = await import(build + '/http/index.js');
const { portOf } = await import(build + '/simplenet/index.js');
const router = new Router();
const news = (whenFull) => {
  let count = 0;
  const handler = webSocket({
    open: (ws) => ws.subscribe('all'),
    message: (ws, data) => {
      if (data === 'how many') ws.send(String(handler.subscribers('all')).padStart(8));
      else handler.publish('all', Buffer.alloc(${PUBLISHED_BYTES}, count++));
    },
  }, { whenFull, maxQueuedBytes: ${QUEUED_MEGABYTES * MEGABYTE} });
  return handler;
};
router.get('/drop', news('drop')).get('/close', news('close'));
router.get('/count', webSocket(
  { message: (ws, data) => void ws.send(String(data.length).padStart(8)) },
  { maxPartialBytes: ${PARTIAL_MEGABYTES * MEGABYTE}, compression: true },
));
// Small buffers in the kernel: it would take megabytes for each reader, and hide what the process does.
const server = serve(router, { backend: '${backend}', onError: console.error, socket: { sendBufferBytes: 65536 } });
console.log('port ' + portOf(server.address) + '.');
`;

/** A text of eight characters. */
const REPLY_BYTES = 10;

const HEAD_END = '\r\n\r\n';

/** A WebSocket that counts what comes. */
class Counting {
  readonly raw: RawClient;
  #before = 0;

  private constructor(raw: RawClient) {
    this.raw = raw;
  }

  static async open(port: number, target: string, fields: Readonly<Record<string, string>> = {}): Promise<Counting> {
    const client = new Counting(new RawClient(port));
    const { raw } = client;
    raw.write(upgradeRequest(target, fields));
    await raw.until(() => raw.text.includes(HEAD_END), 'the head');
    client.#before = raw.text.indexOf(HEAD_END) + HEAD_END.length;
    return client;
  }

  /** Of frames alone. */
  get bytes(): number {
    return this.raw.receivedBytes - this.#before;
  }

  async untilBytes(count: number): Promise<boolean> {
    await this.raw.until(() => this.bytes >= count || this.raw.isOver, `${count} bytes`);
    return this.bytes >= count;
  }
}

function megabytesAbove(before: number, pid: number): number {
  return Math.round((rssBytesOf(pid) - before) / MEGABYTE);
}

async function openMany(
  port: number,
  target: string,
  count: number,
  fields?: Readonly<Record<string, string>>,
): Promise<Counting[]> {
  const clients: Counting[] = [];
  while (clients.length < count) {
    const some = Array.from({ length: Math.min(100, count - clients.length) }, () =>
      Counting.open(port, target, fields),
    );
    clients.push(...(await Promise.all(some)));
  }
  return clients;
}

/** Subscribers that read nothing, while much is published to them and to one that reads. */
async function stopReading(
  port: number,
  pid: number,
  whenFull: 'drop' | 'close',
  readers: number,
  megabytes: number,
): Promise<Finding[]> {
  const idle = await openMany(port, `/${whenFull}`, readers);
  for (const { raw } of idle) raw.socket.pause();
  const bystander = await Counting.open(port, `/${whenFull}`);
  // The text of what it reads would be larger than anything that is measured here.
  bystander.raw.socket.removeAllListeners('data');
  let bytes = 0;
  let wake = (): void => {};
  bystander.raw.socket.on('data', (piece: Buffer) => {
    bytes += piece.length;
    wake();
  });
  const has = async (count: number): Promise<void> => {
    while (bytes < count && !bystander.raw.isOver) await new Promise<void>((resolve) => (wake = resolve));
  };
  bystander.raw.socket.on('close', () => wake());
  const before = rssBytesOf(pid);
  const messages = (megabytes * MEGABYTE) / PUBLISHED_BYTES;
  let grown = 0;
  for (let i = 1; i <= messages && !bystander.raw.isOver; i++) {
    bystander.raw.write(clientFrame(TEXT, 'next'));
    await has(i * FRAME_BYTES);
    if (i % 16 === 0) grown = Math.max(grown, megabytesAbove(before, pid));
  }
  const missing = messages * FRAME_BYTES - bytes;
  bystander.raw.write(clientFrame(TEXT, 'how many'));
  let left = '';
  bystander.raw.socket.on('data', (piece: Buffer) => {
    left += piece.toString('latin1');
  });
  await has(messages * FRAME_BYTES + REPLY_BYTES);
  const subscribers = Number(left.slice(-8)) - 1;
  for (const { raw } of [...idle, bystander]) raw.destroy();
  const what = `${readers} readers stop, ${megabytes} MB are published, ${whenFull}`;
  return [
    { what: `${what}: RSS grows by, MiB`, value: grown, atMost: QUEUED_MEGABYTES + SLACK_MEGABYTES },
    {
      what: `${what}: readers that were cut`,
      value: readers - subscribers,
      atMost: whenFull === 'drop' ? 0 : UNLIMITED,
    },
    { what: `${what}: readers that were not cut`, value: subscribers, atMost: whenFull === 'drop' ? UNLIMITED : 0 },
    { what: `${what}: bytes that one who reads has not got`, value: missing, atMost: 0 },
  ];
}

/** Clients that send what must be kept, beside one whose messages come in two parts. */
async function fill(port: number, pid: number, clients: number, what: string, bytes: Buffer): Promise<Finding[]> {
  const crowd = await openMany(port, '/count', clients, { 'Sec-WebSocket-Extensions': 'permessage-deflate' });
  const bystander = await Counting.open(port, '/count');
  const before = rssBytesOf(pid);
  let grown = 0;
  let answered = 0;
  const half = Buffer.alloc(50_000, 'x');
  for (const [i, client] of crowd.entries()) {
    client.raw.write(bytes);
    if (i % 10 !== 9) continue;
    bystander.raw.write(clientFrame(BINARY, half, { isFinal: false }));
    await client.raw.until(() => client.raw.socket.writableLength === 0 || client.raw.isOver, 'its last byte');
    bystander.raw.write(clientFrame(CONTINUATION, half));
    if (await bystander.untilBytes((answered + 1) * REPLY_BYTES)) answered++;
    grown = Math.max(grown, megabytesAbove(before, pid));
  }
  for (const { raw } of [...crowd, bystander]) raw.destroy();
  return [
    {
      what: `${clients} clients send ${what}, room for ${PARTIAL_MEGABYTES} MiB: RSS grows by, MiB`,
      value: grown,
      atMost: PARTIAL_MEGABYTES + SLACK_MEGABYTES,
    },
    {
      what: `${clients} clients send ${what}: messages of another client that were not answered`,
      value: Math.floor(clients / 10) - answered,
      atMost: 0,
    },
  ];
}

export const attack: Attack = {
  title: 'WebSockets stop reading, send messages that never end, and send much to decompress.',
  async run({ backend, size }: AttackOptions): Promise<readonly Finding[]> {
    const [clients, megabytes] = size === 'full' ? [1_000, 100] : [400, 20];
    const server = Program.script(serverOf(backend), { env: plainEnvironment() });
    try {
      const port = Number((await server.prints(/port (\d+)\./))[1]);
      const pid = server.child.pid as number;
      const endless = clientFrame(BINARY, Buffer.alloc(MEGABYTE - 1), { isFinal: false });
      const compressed = deflateRawSync(randomBytes(MEGABYTE - 1_024), { finishFlush: 2 }).subarray(0, -4);
      const large = clientFrame(BINARY, compressed, { reserved: COMPRESSED });
      return [
        ...(await stopReading(port, pid, 'drop', clients, megabytes)),
        ...(await stopReading(port, pid, 'close', clients, megabytes)),
        ...(await fill(port, pid, clients, 'a megabyte of a message without an end', endless)),
        ...(await fill(port, pid, clients, 'a compressed megabyte', large)),
      ];
    } finally {
      server.kill();
      await server.ends();
    }
  },
};
