/**
 * Clients that take their time: heads and bodies that drip, thousands that say nothing, readers of a kilobyte a second, and
 * one that is frozen in the middle of its answer. Each holds a connection, and nothing else.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { type InternetAddress, NetSocket, raiseOpenFileLimit } from '../../simplenet/index.ts';
import { EAGAIN, ECONNRESET, IPPROTO_TCP } from '../../simplenet/kernel/abi.ts';
import { Program, plainEnvironment } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { ServerProcess } from '../support/server-process.ts';
import { growthOf, siege } from './siege.ts';

const DRIP_MS = 40;
const timeouts = {
  headerMs: 1_000,
  // A client that had no core between its connect and its first byte must not be taken for a silent one.
  idleMs: 3_000,
  bodyGraceMs: 300,
  bodyMinBytesPerSecond: 2_000,
  bodyMs: 900,
  // A client that had no core for a while must still find us listening: else its next piece is answered with RST, and 408 is lost.
  lingerMs: 5_000,
};

let strict: ServerProcess;
let patient: ServerProcess;

test('servers to attack', async (t) => {
  strict = await ServerProcess.start({ timeouts });
  patient = await ServerProcess.start();
  t.ok(strict.port !== patient.port);
});

/** Sends a piece every now and then until the server has had enough, or much too long. */
async function drip(port: number, first: string, piece: string): Promise<RawClient> {
  const client = new RawClient(port);
  await client.connected();
  client.write(first);
  for (let i = 0; i < 200 && !client.isOver; i++) {
    await sleep(DRIP_MS);
    client.write(piece);
  }
  client.destroy();
  return client;
}

const drips: Readonly<Record<string, readonly [first: string, piece: string]>> = {
  'a request line': ['GET /', 'x'],
  'a field': ['GET / HTTP/1.1\r\nHost: x\r\nX: ', 'y'],
  fields: ['GET / HTTP/1.1\r\nHost: x\r\n', 'X: y\r\n'],
  'a body of known length': ['PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n', 'b'],
  'a body in chunks': ['PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\nb\r\n'],
  'a body just fast enough, for too long': [
    'PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n',
    'b'.repeat(400),
  ],
};

test('heads and bodies that drip, 40 of each kind at once, end with 408', async (t) => {
  await siege(t, strict, async () => {
    const startedAt = performance.now();
    const all = Object.entries(drips).map(async ([what, [first, piece]]) => {
      const clients = await Promise.all(Array.from({ length: 40 }, () => drip(strict.port, first, piece)));
      const refused = clients.filter(({ text }) => text.startsWith('HTTP/1.1 408 ')).length;
      t.equal(refused, clients.length, what);
    });
    await Promise.all(all);
    const took = performance.now() - startedAt;
    t.ok(took >= timeouts.headerMs, `not before the time is over: ${took.toFixed(0)} ms`);
  });
});

test('empty lines that drip end without a word', async (t) => {
  await siege(t, strict, async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => drip(strict.port, '\r\n', '\r\n')));
    t.ok(clients.every(({ isOver, text }) => isOver && !text.includes('200')));
  });
});

const SILENT = Number(process.env.SILENT ?? 2_000);

test(`${SILENT} silent connections`, async (t) => {
  const allowed = raiseOpenFileLimit(SILENT + 200);
  if (allowed < SILENT + 200) return void t.pass(`skipped: this machine allows ${allowed} open files`);
  await siege(t, patient, async () => {
    const address: InternetAddress = { address: '127.0.0.1', port: patient.port };
    const silent: NetSocket[] = [];
    const before = patient.descriptors.sockets;
    const grown = await growthOf(patient, async () => {
      while (silent.length < SILENT) {
        silent.push(NetSocket.connectTo(address, { nonBlocking: true }));
        if (silent.length % 100 === 0) await sleep(1);
      }
      while (patient.descriptors.sockets < before + SILENT) await sleep(5);
    });
    t.ok(grown < SILENT / 100, `${((grown * 1024) / SILENT).toFixed(1)} KB each`);
    await sleep(200); // for the bystander
    for (const [i, socket] of silent.entries()) {
      if (i % 2 === 0) socket.close();
      else socket.reset();
    }
  });
});

test('silent connections are not waited for: each ends when its time is over', async (t) => {
  await siege(t, strict, async () => {
    const silent = Array.from({ length: 200 }, () => new RawClient(strict.port));
    const idle = Array.from({ length: 200 }, () =>
      new RawClient(strict.port).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    );
    await Promise.all([...silent, ...idle].map((client) => client.ended()));
    t.ok(
      silent.every(({ text }) => text === ''),
      'a client that sent nothing gets nothing',
    );
    t.ok(idle.every(({ answers, text }) => answers === 1 && text.endsWith('hello\n')));
    for (const client of [...silent, ...idle]) client.destroy();
  });
});

/** TCP_MAXSEG of tcp(7): with small segments the peer's kernel acknowledges what is read in small steps. */
const TCP_MAXSEG = 2;
const SEGMENT_BYTES = 536;

test('slow readers hold no memory and are heard out, and whoever takes nothing is given up', async (t) => {
  const WRITE_MS = 1_000;
  const server = await ServerProcess.start({ timeouts: { writeMs: WRITE_MS } });
  t.teardown(() => server.kill());
  await siege(t, server, async () => {
    const address: InternetAddress = { address: '127.0.0.1', port: server.port };
    const buffer = Buffer.alloc(SEGMENT_BYTES);
    const open = () => {
      const socket = NetSocket.connectTo(address, {
        receiveBufferBytes: 4_096,
        control: (target) => target.setOption(IPPROTO_TCP, TCP_MAXSEG, SEGMENT_BYTES),
      });
      socket.writeAll(Buffer.from('GET /stream/50000000 HTTP/1.1\r\nHost: x\r\n\r\n'));
      socket.setNonBlocking(true);
      return { socket, taken: 0, isOver: false };
    };
    const slow = Array.from({ length: 15 }, open);
    const deaf = Array.from({ length: 15 }, open);
    const startedAt = performance.now();
    const grown = await growthOf(server, async () => {
      while (performance.now() - startedAt < 3 * WRITE_MS || deaf.some(({ isOver }) => !isOver)) {
        for (const reader of slow) {
          const length = reader.socket.tryRead(buffer);
          if (length > 0) reader.taken += length;
          else if (length !== -EAGAIN) reader.isOver = true;
        }
        for (const reader of deaf) reader.isOver ||= reader.socket.takeError() === ECONNRESET;
        await sleep(50);
      }
    });
    t.equal(slow.filter(({ isOver }) => isOver).length, 0, 'nobody who reads 10 KB/s is given up');
    t.ok(
      slow.every(({ taken }) => taken < 500_000),
      'and it is long before the end of what they have asked for',
    );
    t.ok(grown < 25, `${grown.toFixed(1)} MB for 30 answers of 50 MB`);
    for (const { socket } of [...slow, ...deaf]) socket.close();
  });
});

test('a client that is stopped (SIGSTOP) in the middle of a large answer, and goes on (SIGCONT)', async (t) => {
  const LARGE = 30_000_000;
  const startClient = () =>
    Program.script(
      `
      const { connect } = await import('node:net');
      let bytes = 0, tail = '';
      const socket = connect(${patient.port}, '127.0.0.1');
      socket.write('GET /stream/${LARGE} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n');
      socket.on('data', (chunk) => {
        if (bytes < 1_000_000 && bytes + chunk.length >= 1_000_000) {
          console.log('begun');
          socket.pause();
          setTimeout(() => socket.resume(), 20); // long enough to be stopped
        }
        bytes += chunk.length;
        tail = (tail + chunk.toString('latin1')).slice(-7);
      });
      socket.on('error', (error) => console.log(error.code));
      socket.on('close', () => console.log('end ' + bytes + ' ' + JSON.stringify(tail)));`,
      { env: plainEnvironment() },
    );
  await siege(t, patient, async () => {
    const grown = await growthOf(patient, async () => {
      const client = startClient();
      t.teardown(() => client.kill());
      await client.prints(/begun/);
      client.kill('SIGSTOP');
      await sleep(500);
      const state = await patient.state();
      t.equal(state.atWork, 1, 'its answer waits');
      client.kill('SIGCONT');
      const [, bytes, tail] = await client.prints(/end (\d+) (.*)\n/);
      t.ok(Number(bytes) > LARGE, `${bytes} bytes`);
      t.equal(JSON.parse(tail as string), '\r\n0\r\n\r\n');
      await client.ends();
    });
    t.ok(grown < 25, `${grown.toFixed(1)} MB more`);
  });
});

test('the end', async (t) => {
  t.same(await Promise.all([strict.stop(), patient.stop()]), [0, 0]);
});
