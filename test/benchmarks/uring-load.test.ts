/** The load generator in C, against servers that cut their responses, close, or fail. And which generator is chosen. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { t, test } from 'tap';
import { MissingLoad } from '../../benchmarks/c-load.ts';
import { chooseLoad } from '../../benchmarks/choose-load.ts';
import { type LoadOrder, type LoadResult, noWatch } from '../../benchmarks/load.ts';
import { measureSyscalls } from '../../benchmarks/syscall-price.ts';
import { UringLoad } from '../../benchmarks/uring-load.ts';

const REQUEST = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const HELLO = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
const CHUNKED =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n';
const EMPTY = 'HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n';
const CLOSES = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi';

const folder = mkdtempSync(join(tmpdir(), 'uring-load-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const requestFile = join(folder, 'request');
writeFileSync(requestFile, REQUEST);

function prepare(): UringLoad | string {
  try {
    return UringLoad.prepare(folder, undefined);
  } catch (error) {
    if (error instanceof MissingLoad) return `the generator ${error.message}`;
    throw error;
  }
}

const load = prepare();
const skip = typeof load === 'string' ? load : false;

/** Runs the generator against a server that does this with each request: the number is that of the request on its connection. */
async function run(
  onRequest: (socket: Socket, count: number) => void | Promise<void>,
  differences: Partial<LoadOrder> = {},
): Promise<LoadResult> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    let received = '';
    let count = 0;
    let turn: void | Promise<void>;
    socket.setEncoding('latin1').on('error', () => {});
    socket.on('data', async (text: string) => {
      for (received += text; received.length >= REQUEST.length; received = received.slice(REQUEST.length)) {
        const now = ++count;
        turn = Promise.resolve(turn).then(() => onRequest(socket, now));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const order = {
    port,
    requestFile,
    connections: 2,
    pipeline: 1,
    seconds: 0.1,
    rate: null,
    socket: null,
    tls: null,
    ...differences,
  };
  try {
    return await (load as UringLoad).run(order, noWatch);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

test('it counts pipelined responses, however they are cut, and those that are not 2xx', { skip }, async (t) => {
  for (const piece of [1, 7]) {
    const responses = [HELLO, CHUNKED, EMPTY];
    const onRequest = async (socket: Socket, count: number) => {
      const response = responses[(count - 1) % 3] as string;
      for (let at = 0; at < response.length; at += piece) {
        socket.write(response.slice(at, at + piece));
        await new Promise(setImmediate);
      }
    };
    const { requests, errors, refused, p50Us, p999Us } = await run(onRequest, { pipeline: 3 });
    t.ok(requests > 0 && requests % 3 === 0, `${requests} in pieces of ${piece}`);
    // The first response to each connection is not counted, and its status is.
    t.same([errors, refused], [0, requests / 3 + 2]);
    t.ok((p50Us as number) > 0 && (p50Us as number) <= (p999Us as number));
  }
});

test('it connects again after a response that closes', { skip }, async (t) => {
  const most: number[] = [];
  const result = await run((socket, count) => {
    most.push(count);
    socket.end(CLOSES);
  });
  t.ok(result.requests > 2);
  t.same([result.errors, Math.max(...most)], [0, 1], 'one request on each connection');
});

test('a broken connection and a response that is not HTTP are errors', { skip }, async (t) => {
  const broken = await run((socket, count) => void (count < 3 ? socket.write(HELLO) : socket.destroy()));
  t.ok(broken.errors > 0 && broken.requests > 0);
  t.ok((await run((socket) => void socket.write('SSH-2.0\r\n\r\n'))).errors > 0);
  t.ok((await run((socket) => void socket.write(HELLO + HELLO))).errors > 0, 'more responses than requests');
  t.ok(
    (await run((socket) => void socket.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`))).errors > 0,
    'a long head',
  );
});

test('a paced run sends all its requests, and counts how long each had to wait from when it was due', {
  skip,
}, async (t) => {
  const quick = await run((socket) => void socket.write(HELLO), { rate: 200, seconds: 0.2 });
  t.same([quick.requests, quick.errors], [40, 0]);
  const slow = async (socket: Socket) => {
    await sleep(20);
    socket.write(HELLO);
  };
  // Each response takes twice as long as the time between two requests, so the last request waits for as long as the run takes.
  const late = await run(slow, { rate: 100, seconds: 0.2, connections: 1 });
  t.equal(late.requests, 20);
  t.ok((late.p99Us as number) > 150_000, `p99 ${late.p99Us} us`);
});

test('without a compiler another generator is chosen, unless this one is wanted', async (t) => {
  const { PATH } = process.env;
  process.env.PATH = folder;
  t.teardown(() => {
    process.env.PATH = PATH;
  });
  const { load, reason } = chooseLoad(null, folder, undefined);
  t.match(load.title, /our own generator/);
  t.equal(load.canPace, false);
  t.match(reason, /^the load generator on io_uring needs a C compiler/);
  t.throws(() => chooseLoad('uring', folder, undefined), /needs a C compiler/);
  t.throws(() => chooseLoad('wrk', folder, undefined), /wrk is not installed/);
  t.equal(chooseLoad('own', folder, undefined).reason, null);
  t.match(await measureSyscalls(folder, undefined), /not measured, because the program for it needs a C compiler/);
});

test('system calls have a price', { skip }, async (t) => {
  const prices = await measureSyscalls(folder, undefined);
  t.same(Object.keys(prices), ['getppid', 'epoll_pwait', 'recv']);
  for (const price of Object.values(prices)) t.ok(price > 10 && price < 100_000, `${price} ns`);
});
