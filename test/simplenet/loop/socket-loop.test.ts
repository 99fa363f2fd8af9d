/**
 * The loop inside Node's, on both backends: beside all other work of the process, and in worker threads.
 *
 * Next: epoll-loop.test.ts
 */

import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { test } from 'tap';
import { libc } from '../../../simplenet/kernel/libc.ts';
import type { InternetAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { StreamHandler } from '../../../simplenet/loop/event-loop.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { realLoops } from '../../contracts/real-world.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { connectedPair } from '../../support/connected-pair.ts';
import { CountingLibc } from '../../support/counting-libc.ts';
import { Program, type ProgramOptions, plainEnvironment } from '../../support/programs.ts';
import { until } from '../../support/waiting.ts';

/** One after the other: the second finds what the first has unloaded. In socket-loop.long.ts there are more. */
const WORKERS = Number(process.env.WORKERS ?? 2);

const anyPort: InternetAddress = { address: '127.0.0.1', port: 0 };

const echo: StreamHandler = {
  onData(stream, bytes) {
    if (!stream.write(bytes)) stream.pause();
  },
  onDrain: (stream) => stream.resume(),
};

function portOf(address: unknown): number {
  return (address as InternetAddress).port;
}

/** One message there and back, over a client that is not ours. */
function exchange(client: Socket, message: string): Promise<string> {
  client.write(message);
  return once(client, 'data').then(([bytes]) => String(bytes));
}

/** A program whose loop is of that kind. */
function script(backend: string, text: string, options: ProgramOptions = {}): Program {
  return Program.script(text, { env: { ...plainEnvironment(), SIMPLENET_BACKEND: backend }, ...options });
}

const throwing = `
  const { createEventLoop } = await import(build + '/simplenet/index.js');
  const loop = createEventLoop();
  const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({
    onData(stream, bytes) {
      if (bytes.toString() === 'throw') throw new Error('a mistake in a callback');
      stream.write(bytes);
    },
  }));
  const talk = (text, handler = {}) => loop.connect(listener.address, {
    onOpen: (s) => void s.write(Buffer.from(text)), onData: () => {}, ...handler });
`;

const workerEnds = {
  'that is terminated while it waits': `
    stream.pause();
    setInterval(() => {}, 1_000);
    setTimeout(() => parentPort.postMessage('waiting'), 10);`,
  'that calls process.exit under load': `
    stream.write(bytes);
    process.exit(0);`,
};
for (const backend of backends) {
  const skip = missingBackend[backend];

  test(`timers, promises, fs and fetch go on under full load (${backend})`, { skip }, async (t) => {
    const program = script(
      backend,
      `
      import { readFile } from 'node:fs/promises';
      import { createServer } from 'node:http';
      const { createEventLoop } = await import(build + '/simplenet/index.js');
      const loop = createEventLoop();
      const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData: (s, b) => void s.write(b) }));
      let echoes = 0;
      for (let i = 0; i < 32; i++) {
        loop.connect(listener.address, {
          onOpen: (s) => void s.write(Buffer.from('x')),
          onData: (s, b) => { echoes++; s.write(b); },
        });
      }
      const http = createServer((_, response) => response.end('fetched')).listen(0, '127.0.0.1', async () => {
        const seen = { timers: 0, files: 0, fetches: 0, immediates: 0 };
        const timer = setInterval(() => seen.timers++, 5);
        const goesOn = () => Object.values(seen).some((count) => count < 10) && echoes < 100_000;
        while (goesOn()) {
          await readFile(process.execPath + '/../../nothing').catch(() => seen.files++);
          const answer = await fetch('http://127.0.0.1:' + http.address().port);
          if (await answer.text() === 'fetched') seen.fetches++;
          await new Promise((resolve) => setImmediate(resolve));
          seen.immediates++;
        }
        clearInterval(timer);
        http.close();
        http.closeAllConnections();
        loop.close();
        console.log(JSON.stringify({ ...seen, echoes }));
      });`,
    );
    const { code, stdout, stderr } = await program.ends();
    t.equal(code, 0, stderr);
    // Counted in echoes and not in time: how much of that there is, a busy machine decides.
    const { echoes = 0, ...seen } = JSON.parse(stdout) as Record<string, number>;
    for (const [what, count] of Object.entries(seen)) t.ok(count >= 10, `${what}: ${count} beside ${echoes} echoes`);
    t.ok(echoes > 100, `${echoes} echoes meanwhile`);
  });

  test(`a promise awaited in a callback resolves before the next turn of anything else (${backend})`, {
    skip,
  }, async (t) => {
    const loop = new realLoops[backend](libc, nodeHost, defaultLoopLimits);
    t.teardown(() => loop.close());
    const listener = loop.listen(anyPort, () => ({
      async onData(stream, bytes) {
        const copy = Buffer.from(bytes);
        await null;
        await null;
        stream.write(copy);
      },
    }));
    const client = createConnection(portOf(listener.address), '127.0.0.1');
    t.equal(await exchange(client, 'hello'), 'hello');
    client.destroy();
  });

  test(`an exception in a callback ends the process, as everywhere in Node (${backend})`, { skip }, async (t) => {
    const { code, stderr } = await script(backend, `${throwing} talk('throw');`, { isCounted: true }).ends();
    t.equal(code, 1);
    t.match(stderr, /a mistake in a callback[\s\S]*onData/, 'with the stack of where it was thrown');
  });

  test(`or reaches uncaughtException, and the loop goes on (${backend})`, { skip }, async (t) => {
    const { code, stdout } = await script(
      backend,
      `${throwing}
      process.on('uncaughtException', (error) => {
        console.log('caught: ' + error.message);
        talk('still there', { onData: (_, bytes) => { console.log(bytes.toString()); loop.close(); } });
      });
      talk('throw', { onClose: (_, error) => console.log('peer: ' + error.code) });`,
    ).ends();
    t.equal(code, 0);
    t.match(stdout, /caught: a mistake in a callback/);
    t.match(stdout, /peer: ECONNRESET/);
    t.match(stdout, /still there/);
  });

  test(`an open loop keeps the process alive, an empty or unref’ed one does not (${backend})`, { skip }, async (t) => {
    const head = `const { createEventLoop } = await import(build + '/simplenet/index.js');
      const listenOn = (loop) => loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData() {} }));`;
    // All in one process: it ends only if none of them keeps it alive.
    const { code, stdout, stderr } = await script(
      backend,
      `${head}
      const endings = {
        empty: () => {},
        unrefed: (loop) => { listenOn(loop); loop.unref(); },
        unrefedBeforehand: (loop) => { loop.unref(); listenOn(loop); },
        closedListener: (loop) => listenOn(loop).close(),
        closedLoop: (loop) => { listenOn(loop); loop.close(); },
      };
      for (const [name, end] of Object.entries(endings)) {
        end(createEventLoop());
        console.log(name);
      }`,
    ).ends();
    t.equal(code, 0, stderr);
    t.same(stdout.trimEnd().split('\n'), ['empty', 'unrefed', 'unrefedBeforehand', 'closedListener', 'closedLoop']);
    const alive = script(
      backend,
      `${head} const loop = createEventLoop(); listenOn(loop); loop.unref(); loop.ref(); setTimeout(() => console.log('alive'), 50).unref();`,
    );
    await alive.prints(/alive/);
    alive.kill();
    t.equal((await alive.ends()).signal, 'SIGKILL');
  });

  test(`it serves from a worker thread (${backend})`, { skip }, async (t) => {
    const { code, stdout, stderr } = await script(
      backend,
      `
      import { Worker } from 'node:worker_threads';
      const worker = new Worker(\`
        const { parentPort } = require('node:worker_threads');
        import(\${JSON.stringify(build + '/simplenet/index.js')}).then(({ createEventLoop }) => {
          const loop = createEventLoop();
          const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData: (s, b) => void s.write(b) }));
          parentPort.postMessage(listener.address);
          parentPort.once('message', () => { loop.close(); parentPort.close(); });
        });\`, { eval: true, execArgv: [] });
      worker.once('message', async (address) => {
        const { createEventLoop } = await import(build + '/simplenet/index.js');
        const loop = createEventLoop();
        loop.connect(address, {
          onOpen: (s) => void s.write(Buffer.from('from thread to thread')),
          onData: (s, bytes) => { console.log(bytes.toString()); loop.close(); worker.postMessage('stop'); },
        });
      });
      worker.once('exit', (code) => console.log('worker ended with ' + code));`,
    ).ends();
    t.equal(code, 0, stderr);
    t.match(stdout, /from thread to thread\nworker ended with 0/);
  });

  for (const [how, ending] of Object.entries(workerEnds)) {
    test(`a worker ${how} takes its loop with it and not the process (${backend})`, { skip }, async (t) => {
      // The parent does not load the library, so that what the worker has loaded is unloaded with it.
      const { code, signal, stdout, stderr } = await script(
        backend,
        `
        import { once } from 'node:events';
        import { Worker } from 'node:worker_threads';
        const program = \`
          const { parentPort } = require('node:worker_threads');
          import('\${build}/simplenet/index.js').then(({ createEventLoop }) => {
            const loop = createEventLoop();
            const echo = { onData: (stream, bytes) => void stream.write(bytes) };
            const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => echo);
            let echoes = 0;
            loop.connect(listener.address, {
              onOpen: (stream) => void stream.write(Buffer.from('x')),
              onData(stream, bytes) {
                if (++echoes < 1_000) stream.write(bytes);
                else { ${ending} }
              },
            });
          });\`;
        for (let i = 0; i < ${WORKERS}; i++) {
          const worker = new Worker(program, { eval: true, execArgv: [] });
          worker.once('message', () => worker.terminate());
          await once(worker, 'exit');
        }
        console.log('survived');`,
      ).ends();
      t.same([code, signal], [0, null], stderr);
      t.match(stdout, /survived/);
    });
  }

  test(`connect gives up after its timeout (${backend})`, { skip }, async (t) => {
    const loop = new realLoops[backend](libc, nodeHost, { ...defaultLoopLimits, tickMs: 10 });
    t.teardown(() => loop.close());
    // A listener that accepts nothing, with room for one: the next SYN is dropped, as if the host were not there.
    const full = NetSocket.listenOn(anyPort, { backlog: 0 });
    t.teardown(() => full.close());
    const outcome = (connectTimeoutMs: number) =>
      new Promise<string>((resolve) => {
        loop.connect(
          full.localAddress,
          {
            onData: () => {},
            onOpen: () => resolve('open'),
            onClose: (_stream, error) => resolve(error?.message ?? 'null'),
          },
          { connectTimeoutMs },
        );
      });
    t.equal(await outcome(5_000), 'open');
    t.match(await outcome(60), /^connect ETIMEDOUT: connection timed out 127\.0\.0\.1:\d+$/);
  });

  test(`a program that connects again and again from onClose leaves time for others (${backend})`, {
    skip,
  }, async (t) => {
    const loop = new realLoops[backend](libc, nodeHost, defaultLoopLimits);
    t.teardown(() => loop.close());
    let isOver = false;
    const again = () => {
      if (!isOver) loop.connect({ path: `\0nobody-${process.pid}` }, { onData: () => {}, onClose: again });
    };
    again();
    await new Promise((resolve) => setTimeout(resolve, 10));
    isOver = true;
    while (loop.openCount > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    t.pass('timers run');
  });

  test(`a connected socket that is taken over is a stream like any other (${backend})`, { skip }, async (t) => {
    const loop = new realLoops[backend](libc, nodeHost, defaultLoopLimits);
    t.teardown(() => loop.close());
    const { ours, theirs } = connectedPair(t);
    const peer = ours.remoteAddress;
    const recorder = new Recorder(echo);
    const stream = loop.adoptStream(ours, recorder);
    t.same(stream.remoteAddress, peer);
    t.equal(loop.openCount, 1);
    t.throws(() => loop.adoptStream(ours, recorder), /^descriptor \d+ is on this loop already$/);
    theirs.write(Buffer.from('hello'));
    await until(() => recorder.byteLength === 5);
    const answer = Buffer.alloc(10);
    t.equal(answer.toString('latin1', 0, theirs.read(answer)), 'hello');
    theirs.shutdown('write');
    await until(() => recorder.isClosed);
    t.same(recorder.complaints, []);
    t.equal(recorder.error, null);
    t.equal(recorder.opens, 0, 'it was open');
    t.equal(theirs.read(answer), 0, 'our side has ended, too');
    t.ok(ours.isClosed);
    t.equal(loop.openCount, 0);
  });

  test(`an invalid time limit for connect is refused before there is a socket (${backend})`, {
    skip,
  }, async (t) => {
    const counting = new CountingLibc();
    const loop = new realLoops[backend](counting.libc, nodeHost, defaultLoopLimits);
    t.teardown(() => loop.close());
    counting.take();
    for (const connectTimeoutMs of [0, -1, Number.NaN]) {
      t.throws(() => loop.connect(anyPort, echo, { connectTimeoutMs }), RangeError, String(connectTimeoutMs));
    }
    t.same(counting.take(), {});
  });
}
