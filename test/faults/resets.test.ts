/**
 * RST in every state of a connection: the client breaks off with SO_LINGER 0, thirty of each kind at once. Nothing is left,
 * nothing is reported, and handlers at work hear of it.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { type InternetAddress, NetSocket } from '../../simplenet/index.ts';
import { Stopwatch } from '../support/machine-time.ts';
import { ServerProcess } from '../support/server-process.ts';
import type { TargetState } from '../support/target-site.ts';
import { siege } from './siege.ts';

const COUNT = 30;
const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const upload = (path: string, length: number) =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`;

/** What a client sends, whether it reads the answer, and how the server shows that it has come so far. */
interface State {
  readonly sends: string;
  readonly reads?: RegExp;
  /** Handlers at work, of each client. */
  readonly atWork: 0 | 1;
}

const states: Readonly<Record<string, State>> = {
  'before a byte': { sends: '', atWork: 0 },
  'in the middle of a head': { sends: 'GET / HTTP/1.1\r\nHos', atWork: 0 },
  'in the middle of a body': { sends: `${upload('/echo', 100)}half`, atWork: 1 },
  'in the middle of a chunk': {
    sends: 'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf',
    atWork: 1,
  },
  'while a handler works': { sends: get('/wait'), atWork: 1 },
  'while a handler works and a pipeline waits': { sends: get('/wait') + get('/').repeat(3_000), atWork: 1 },
  'while a body waits that nobody reads': { sends: upload('/wait', 1_000_000) + 'b'.repeat(90_000), atWork: 1 },
  'in the middle of a streamed answer': { sends: get('/stream/50000000'), atWork: 1 },
  'before a complete answer is taken': { sends: get('/large/8000000'), atWork: 0 },
  'after an answer': { sends: get('/'), reads: /hello\n$/, atWork: 0 },
  'while we linger': { sends: 'nonsense\r\n\r\n', reads: /^HTTP\/1\.1 400 [\s\S]*\r\n\r\n./, atWork: 0 },
  'while the rest of a body is dropped': { sends: `${upload('/', 200_000)}half`, reads: /405/, atWork: 0 },
};

let server: ServerProcess;

test('a server to attack', async (t) => {
  server = await ServerProcess.start();
  t.ok(server.port > 0);
});

async function untilState(condition: (state: TargetState) => boolean): Promise<void> {
  while (!condition(await server.state())) await sleep(2);
}

const dial = () => {
  const address: InternetAddress = { address: '127.0.0.1', port: server.port };
  return NetSocket.connectTo(address, { receiveBufferBytes: 65_536 });
};

/** Reads until it matches; the socket does not wait. */
async function readUntil(socket: NetSocket, pattern: RegExp): Promise<void> {
  const buffer = Buffer.alloc(65_536);
  let text = '';
  socket.setNonBlocking(true);
  while (!pattern.test(text)) {
    const length = socket.tryRead(buffer, 0, buffer.length);
    if (length > 0) text += buffer.toString('latin1', 0, length);
    else await sleep(1);
  }
}

for (const [state, { sends, reads, atWork }] of Object.entries(states)) {
  test(`RST ${state}`, async (t) => {
    await siege(t, server, async () => {
      const clients = Array.from({ length: COUNT }, dial);
      for (const client of clients) client.writeAll(Buffer.from(sends));
      if (reads !== undefined) await Promise.all(clients.map((client) => readUntil(client, reads)));
      await untilState((found) => found.connections >= COUNT && found.atWork >= atWork * COUNT);
      for (const client of clients) client.reset();
      const watch = new Stopwatch(server.pid);
      await untilState((found) => found.connections <= 2 && found.atWork <= 1);
      const took = watch.stop().fairMs;
      t.ok(took < 3_000, `it is known after ${took.toFixed(0)} ms`);
    });
  });
}

test('RST before the connection is accepted', async (t) => {
  await siege(t, server, async () => {
    server.child.kill('SIGSTOP');
    for (let i = 0; i < COUNT; i++) {
      const client = dial();
      if (i % 2 === 0) client.writeAll(Buffer.from(get('/')));
      client.reset();
    }
    server.child.kill('SIGCONT');
    await untilState((found) => found.connections <= 2);
  });
});

test('the end', async (t) => {
  t.equal(await server.stop(), 0);
});
