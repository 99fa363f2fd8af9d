/**
 * port-forward: both directions at once, backpressure, half-close, and ends that are no good ends.
 */

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { runExample } from '../support/examples.ts';
import { buildFolder, missing, Program } from '../support/programs.ts';
import { rssBytesOf } from '../support/server-process.ts';

async function listen(t: Test, onConnection: (socket: Socket) => void): Promise<[Server, number]> {
  const server = createServer({ allowHalfOpen: true }, onConnection).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  return [server, (server.address() as AddressInfo).port];
}

async function startForward(t: Test, target: string): Promise<[Program, number]> {
  const forward = runExample('port-forward', '0', target);
  t.teardown(() => forward.kill());
  const [, port] = await forward.prints(/forwarding 127\.0\.0\.1:(\d+) to \S+\n/);
  return [forward, Number(port)];
}

function connectTo(t: Test, port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  return socket;
}

const MEGABYTE = 1024 * 1024;
const TRANSFER_BYTES = 64 * MEGABYTE;

/** What the forwarder itself may hold of it: two queues, and what V8 has not collected yet. */
const MAX_GROWTH_BYTES = 40 * MEGABYTE;

/** Sends a block again and again, as fast as the other side takes it, then FIN. Answers what has been sent until now. */
function sendMuch(socket: Socket): { readonly hash: Promise<string>; readonly sentBytes: () => number } {
  const block = randomBytes(MEGABYTE);
  const hash = createHash('sha256');
  let sentBytes = 0;
  const send = async () => {
    while (sentBytes < TRANSFER_BYTES) {
      hash.update(block);
      sentBytes += block.length;
      if (!socket.write(block)) await once(socket, 'drain');
    }
    socket.end();
    return hash.digest('hex');
  };
  return { hash: send(), sentBytes: () => sentBytes };
}

async function receiveAll(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  socket.on('data', (bytes: Buffer) => hash.update(bytes));
  await once(socket, 'end');
  return hash.digest('hex');
}

test('much, in both directions at once, to a reader that rests', async (t) => {
  const [server, targetPort] = await listen(t, () => {});
  const [forward, port] = await startForward(t, `127.0.0.1:${targetPort}`);
  const pid = forward.child.pid as number;
  const accepted = once(server, 'connection');
  const client = connectTo(t, port);
  const [target] = (await accepted) as [Socket];
  t.teardown(() => target.destroy());
  const before = rssBytesOf(pid);
  const [up, down] = [sendMuch(client), sendMuch(target)];
  const arrivedUp = receiveAll(target);

  // The client reads nothing, until the target can send no more: all buffers on the way are full.
  for (let last = -1; last !== down.sentBytes(); await sleep(200)) last = down.sentBytes();
  t.ok(down.sentBytes() < TRANSFER_BYTES, `it stood still at ${down.sentBytes()} bytes`);
  t.equal(await up.hash, await arrivedUp, 'the other direction went on');
  t.ok(rssBytesOf(pid) - before < MAX_GROWTH_BYTES, 'memory while it stands still');

  const arrivedDown = receiveAll(client);
  t.equal(await down.hash, await arrivedDown);
  t.ok(rssBytesOf(pid) - before < MAX_GROWTH_BYTES, 'memory in the end');
  forward.kill('SIGINT');
  t.same(await forward.ends().then(({ code, stderr }) => [code, stderr]), [0, '']);
});

test('nc -N sends its end, and still gets the answer', { skip: missing('nc') }, async (t) => {
  const [, targetPort] = await listen(t, (socket) => {
    let size = 0;
    socket.on('data', (bytes: Buffer) => {
      size += bytes.length;
    });
    socket.on('end', () => setTimeout(() => socket.end(`${size} bytes\n`), 50));
  });
  const [, port] = await startForward(t, `localhost:${targetPort}`);
  const nc = new Program('nc', ['-N', '127.0.0.1', String(port)]);
  t.teardown(() => nc.kill());
  nc.child.stdin?.end('x'.repeat(100_000));
  t.same(await nc.ends().then(({ code, stdout }) => [code, stdout]), [0, '100000 bytes\n']);
});

test('curl does not notice', { skip: missing('curl') }, async (t) => {
  const site = new Program(process.execPath, [join(buildFolder, 'server.js'), '--port', '0']);
  t.teardown(() => site.kill());
  const [, sitePort] = await site.prints(/Listening on http:\/\/127\.0\.0\.1:(\d+)/);
  const [, port] = await startForward(t, `127.0.0.1:${sitePort}`);
  const url = `http://127.0.0.1:${port}`;
  const { stdout } = await new Program('curl', ['-s', `${url}/hello/one`, `${url}/hello/two`]).ends();
  t.equal(stdout, 'Hello, one!\nHello, two!\n');
});

test('the target ends first, and what it said arrives', async (t) => {
  const [, targetPort] = await listen(t, (socket) => socket.end('x'.repeat(1_000_000)));
  const [, port] = await startForward(t, `127.0.0.1:${targetPort}`);
  const client = connectTo(t, port);
  let size = 0;
  client.on('data', (bytes: Buffer) => {
    size += bytes.length;
  });
  await once(client, 'end');
  t.equal(size, 1_000_000);
  client.end();
});

test('a target that refuses closes the client', async (t) => {
  const [server, targetPort] = await listen(t, () => {});
  server.close();
  await once(server, 'close');
  const [forward, port] = await startForward(t, `127.0.0.1:${targetPort}`);
  const client = connectTo(t, port);
  client.write('is anybody there?');
  await new Promise((resolve) => client.once('close', resolve));
  forward.kill('SIGTERM');
  const { code, stderr } = await forward.ends();
  t.equal(code, 0);
  t.equal(stderr, `connect ECONNREFUSED: connection refused 127.0.0.1:${targetPort}\n`);
});

for (const side of ['client', 'target'] as const) {
  test(`a reset of the ${side} reaches the other`, async (t) => {
    const [server, targetPort] = await listen(t, () => {});
    const [, port] = await startForward(t, `127.0.0.1:${targetPort}`);
    const accepted = once(server, 'connection');
    const client = connectTo(t, port);
    const [target] = (await accepted) as [Socket];
    target.on('error', () => {});
    const [one, other] = side === 'client' ? [client, target] : [target, client];
    other.resume();
    const failed = once(other, 'error');
    one.resetAndDestroy();
    t.match(await failed, [{ code: 'ECONNRESET' }]);
  });
}

test('to a path', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'socket');
  const server = createServer((socket) => socket.end('from a path\n')).listen(path);
  t.teardown(() => server.close());
  await once(server, 'listening');
  const [, port] = await startForward(t, `unix:${path}`);
  const client = connectTo(t, port);
  const [bytes] = (await once(client, 'data')) as [Buffer];
  t.equal(bytes.toString(), 'from a path\n');
  client.end();
});
