/**
 * A server that has no descriptor left, on the real kernel and either loop: it does not spin, waiting clients are served or
 * closed, and it recovers.
 *
 * Next: socket-loop.test.ts
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'tap';
import { EMFILE } from '../../../simplenet/kernel/abi.ts';
import { SpareDescriptor } from '../../../simplenet/loop/spare-descriptor.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { CountingLibc } from '../../support/counting-libc.ts';
import { Stopwatch } from '../../support/machine-time.ts';
import { Program } from '../../support/programs.ts';
import { until } from '../../support/waiting.ts';

/** An echo server that may open only 64 files; SIGUSR2 prints how much CPU time it has used, in microseconds. */
const server = (backend: string) => `
  const { createEventLoop, libc, abi } = await import(build + '/simplenet/index.js');
  const { default: process } = await import('node:process');
  process.on('SIGUSR2', () => { const { user, system } = process.cpuUsage(); console.log('cpu ' + (user + system)); });
  const loop = createEventLoop({ backend: '${backend}' });
  const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData: (s, b) => void s.write(b) }));
  const limit = Buffer.alloc(16);
  libc.getrlimit(abi.RLIMIT_NOFILE, limit);
  limit.writeBigUInt64LE(64n, 0);
  if (libc.setrlimit(abi.RLIMIT_NOFILE, limit) < 0) throw new Error('setrlimit');
  console.log('listening on ' + listener.address.port);
`;

async function cpuMicroseconds(program: Program): Promise<number> {
  const seen = program.stdout.length;
  program.kill('SIGUSR2');
  for (;;) {
    const match = /cpu (\d+)\n/.exec(program.stdout.slice(seen));
    if (match !== null) return Number(match[1]);
    await once(program.child.stdout as NodeJS.ReadableStream, 'data');
  }
}

interface Client {
  readonly socket: Socket;
  answer: 'waiting' | 'answered' | 'closed';
}

function clientOf(port: number): Client {
  const socket = connect(port, '127.0.0.1');
  const client: Client = { socket, answer: 'waiting' };
  socket.on('data', () => {
    client.answer = 'answered';
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    if (client.answer === 'waiting') client.answer = 'closed';
  });
  socket.write('hello');
  return client;
}

for (const backend of backends) {
  test(`200 clients and 64 descriptors (${backend})`, { skip: missingBackend[backend] }, async (t) => {
    const program = Program.script(server(backend));
    t.teardown(() => program.kill());
    const [, port] = await program.prints(/listening on (\d+)\n/);
    const clients = Array.from({ length: 200 }, () => clientOf(Number(port)));
    await until(() => clients.every((client) => client.answer !== 'waiting'));
    const answered = clients.filter((client) => client.answer === 'answered');
    const closed = clients.filter((client) => client.answer === 'closed');
    t.ok(answered.length >= 20, `${answered.length} were answered`);
    t.equal(answered.length + closed.length, 200, `${closed.length} were closed, none was left waiting`);

    // One more waits at the door: a second of it must cost next to nothing.
    const before = await cpuMicroseconds(program);
    const startedAt = performance.now();
    const late = Array.from({ length: 20 }, () => clientOf(Number(port)));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const cpu = (await cpuMicroseconds(program)) - before;
    const share = cpu / 1000 / (performance.now() - startedAt);
    t.ok(share < 0.05, `${(share * 100).toFixed(2)} % of a core while starved`);
    await until(() => late.every((client) => client.answer !== 'waiting'));
    t.ok(
      late.every((client) => client.answer === 'closed'),
      'late clients are turned away',
    );

    for (const client of answered) client.socket.destroy();
    const watch = new Stopwatch(program.child.pid);
    for (let isServed = false; !isServed; ) {
      const client = clientOf(Number(port));
      await until(() => client.answer !== 'waiting');
      isServed = client.answer === 'answered';
      client.socket.destroy();
    }
    const recovery = watch.stop().fairMs;
    t.ok(recovery < 1_000, `served again after ${recovery.toFixed(0)} ms`);
  });
}

test('if another thread takes the number of the spare descriptor, nothing is closed twice', async (t) => {
  const counting = new CountingLibc();
  const { open } = counting.libc;
  const spare = new SpareDescriptor(counting.libc);
  t.equal(counting.openFds.size, 1);
  let uses = 0;
  counting.libc.open = () => -EMFILE;
  for (let i = 0; i < 2; i++) {
    spare.lend(() => {
      uses++;
      t.equal(counting.openFds.size, 0, 'its number is free');
    });
  }
  t.equal(uses, 2);
  counting.libc.open = open;
  spare.lend(() => {});
  t.equal(counting.openFds.size, 1, 'once there is one again, it is kept');
  spare.close();
  t.equal(counting.openFds.size, 0);
  t.same(counting.violations, []);
});
