/** The load generator for WebSocket and the check before it, against servers that do what they should, or something else. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { t, test } from 'tap';
import { MissingLoad } from '../../benchmarks/c-load.ts';
import { type LoadResult, noWatch } from '../../benchmarks/load.ts';
import { checkWork } from '../../benchmarks/same-work.ts';
import { SocketLoad } from '../../benchmarks/socket-load.ts';
import { type SocketExchange, type Workload, workloads } from '../../benchmarks/workloads.ts';

const folder = mkdtempSync(join(tmpdir(), 'socket-load-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const HEAD =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';
const END_OF_HEAD = '\r\n\r\n';

const workloadOf = (name: string) => workloads.find((each) => each.name === name) as Workload;
const exchangeOf = ({ socket }: Workload) => socket as SocketExchange;
const [echo, broadcast] = [workloadOf('ws-echo'), workloadOf('ws-broadcast')];
const answer = exchangeOf(echo).answer;

function prepare(): SocketLoad | string {
  try {
    return SocketLoad.prepare(folder, undefined);
  } catch (error) {
    if (error instanceof MissingLoad) return `the generator ${error.message}`;
    throw error;
  }
}

const load = prepare();
const skip = typeof load === 'string' ? load : false;

type OnMessage = (socket: Socket, sockets: ReadonlySet<Socket>) => void;

const sendBack: OnMessage = (socket) => void socket.write(answer);
const sendToAll: OnMessage = (_socket, sockets) => {
  for (const socket of sockets) socket.write(answer);
};

/** Runs with a server that answers each handshake with `head`, and does this with each message. */
async function withServer<T>(onMessage: OnMessage, head: string, use: (port: number) => Promise<T>): Promise<T> {
  const { length } = exchangeOf(echo).frame;
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    let received = '';
    let isOpen = false;
    socket.setEncoding('latin1').on('error', () => {});
    socket.on('data', (text: string) => {
      received += text;
      if (!isOpen && received.includes(END_OF_HEAD)) {
        isOpen = true;
        received = received.slice(received.indexOf(END_OF_HEAD) + END_OF_HEAD.length);
        socket.write(head);
      }
      for (; isOpen && received.length >= length; received = received.slice(length)) onMessage(socket, sockets);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

function run(workload: Workload, onMessage: OnMessage, head = HEAD): Promise<LoadResult> {
  const { frame, answer, isToAll } = exchangeOf(workload);
  const [requestFile, frameFile, answerFile] = ['request', 'frame', 'answer'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(requestFile, workload.request);
  writeFileSync(frameFile, frame);
  writeFileSync(answerFile, answer);
  const order = { requestFile, connections: 3, pipeline: 1, seconds: 0.1, rate: null, tls: null };
  return withServer(onMessage, head, (port) =>
    (load as SocketLoad).run({ ...order, port, socket: { frameFile, answerFile, isToAll } }, noWatch),
  );
}

test('it counts what comes: an echo once, a message to all at each connection', { skip }, async (t) => {
  const echoes = await run(echo, sendBack);
  t.equal(echoes.errors, 0);
  t.ok(echoes.requests > 3);
  const all = await run(broadcast, sendToAll);
  t.equal(all.errors, 0);
  t.ok(all.requests > 3 && all.requests % 3 === 0, `${all.requests} for three connections`);
  t.ok((all.p50Us as number) > 0 && (all.p50Us as number) <= (all.p999Us as number));
});

test('a message in pieces is one message', { skip }, async (t) => {
  const inPieces: OnMessage = (socket) => {
    socket.write(answer.subarray(0, 1));
    setImmediate(() => socket.write(answer.subarray(1)));
  };
  const { errors, requests } = await run(echo, inPieces);
  t.equal(errors, 0);
  t.ok(requests > 0);
});

test('another status, a wrong byte, a message too many and a lost connection are errors', { skip }, async (t) => {
  const wrong = Buffer.concat([answer.subarray(0, -1), Buffer.from('?')]);
  t.ok((await run(echo, sendBack, HEAD.replace('101', '200'))).errors > 0);
  t.ok((await run(echo, (socket) => void socket.write(wrong))).errors > 0);
  const twice: OnMessage = (socket, sockets) => {
    sendToAll(socket, sockets);
    socket.write(answer);
  };
  t.ok((await run(broadcast, twice)).errors > 0);
  t.ok((await run(echo, (socket) => void socket.destroy())).errors > 0);
});

test('a server that does other work is found out before it is timed', async (t) => {
  const check = (workload: Workload, onMessage: OnMessage, head = HEAD) =>
    withServer(onMessage, head, (port) => checkWork(port, workload));
  t.equal(await check(echo, sendBack), null);
  t.equal(await check(broadcast, sendToAll), null);
  t.match(await check(echo, sendBack, HEAD.replace('101', '400')), 'the handshake is answered with HTTP/1.1 400');
  t.match(await check(echo, sendBack, HEAD.replace('s3p', 'x3p')), 'Sec-WebSocket-Accept is wrong');
  t.equal(await check(echo, sendBack, `${HEAD}!`), 'something follows the handshake');
  t.match(await check(echo, (socket) => void socket.write(Buffer.alloc(answer.length))), 'a message differs');
  t.equal(await check(echo, (socket) => void socket.end()), 'it ends the connection');
});

test('without a compiler it cannot run, and says how to get one', async (t) => {
  const { PATH } = process.env;
  process.env.PATH = folder;
  t.teardown(() => {
    process.env.PATH = PATH;
  });
  t.throws(() => SocketLoad.prepare(folder, undefined), /needs a C compiler/);
  if (skip === false) t.throws(() => (load as SocketLoad).command({ socket: null } as never), /nothing but WebSocket/);
});
