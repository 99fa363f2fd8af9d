/**
 * Hosting: a loop with traffic waits for Node's loop too. All that Node does goes on meanwhile, and the roles change back.
 */

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import { type Test, test } from 'tap';
import { createEventLoop } from '../../../simplenet/create-event-loop.ts';
import type { EventLoop, Stream } from '../../../simplenet/loop/event-loop.ts';
import type { HostingLoop } from '../../../simplenet/loop/host.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { importing, LIBRARY, runProgram } from '../../support/child-program.ts';
import { until } from '../../support/waiting.ts';

const anyPort = { address: '127.0.0.1', port: 0 };
const ball = Buffer.from('x');
/** One after the other. In hosting.long.ts there are more. */
const WORKERS = Number(process.env.WORKERS ?? 3);

interface Game {
  readonly loop: EventLoop & HostingLoop;
  /** How often the ball has been sent back. */
  readonly count: number;
  readonly isHosting: boolean;
  /** How often the loops have changed roles so far. */
  readonly changes: number;
  stop(): void;
}

/** Two streams of one loop send a byte to and fro: traffic that needs nothing of Node's loop. */
function play(t: Test, backend: 'epoll' | 'io_uring', admits = true): Game {
  const loop = createEventLoop({ backend }) as EventLoop & HostingLoop;
  const game = { loop, count: 0, isHosting: false, changes: 0, stop: () => {} };
  const { admitGuest, dismissGuest } = loop;
  loop.admitGuest = (fd) => {
    game.changes++;
    game.isHosting = admits && admitGuest.call(loop, fd);
    return game.isHosting;
  };
  loop.dismissGuest = () => {
    game.changes++;
    game.isHosting = false;
    dismissGuest.call(loop);
  };
  let isOver = false;
  const onData = (stream: Stream) => {
    game.count++;
    if (!isOver) stream.write(ball);
  };
  const listener = loop.listen(anyPort, () => ({ onData }));
  loop.connect(listener.address, { onOpen: onData, onData });
  game.stop = () => {
    isOver = true;
  };
  t.teardown(() => loop.close());
  return game;
}

for (const backend of backends) {
  const skip = missingBackend[backend];

  test(`${backend}: the roles change with traffic, and change back when it ends`, { skip }, async (t) => {
    const game = play(t, backend);
    await until(() => game.isHosting);
    t.ok(game.count >= 3, `after ${game.count} turns, not at once`);
    game.stop();
    await until(() => !game.isHosting);
    t.equal(game.changes, 2);
    const { count } = game;
    await new Promise((resolve) => setTimeout(resolve, 5));
    t.equal(game.count, count);
  });

  test(`${backend}: timers, files, messages, fetches and other servers go on meanwhile`, { skip }, async (t) => {
    const game = play(t, backend);
    await until(() => game.isHosting);
    const server = createServer((_, response) => response.end('from node:http')).listen(0, '127.0.0.1');
    t.teardown(() => server.close());
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    t.equal(await (await fetch(url)).text(), 'from node:http');
    const [answer] = await once(get(url), 'response');
    t.equal(answer.statusCode, 200);
    answer.resume();
    await new Promise((resolve) => setTimeout(resolve, 3));
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise<void>((resolve) => process.nextTick(resolve));
    t.ok((await readFile(import.meta.filename)).length > 0);
    const source = `const { parentPort } = require('node:worker_threads'); parentPort.once('message', (m) => parentPort.postMessage(m + 1));`;
    const worker = new Worker(source, { eval: true });
    const exit = once(worker, 'exit'); // before the message: Node can emit both at once
    worker.postMessage(1);
    t.same(await once(worker, 'message'), [2]);
    await exit;
    const { count } = game;
    await until(() => game.count > count);
    t.equal(game.isHosting, true, 'the game goes on');
  });

  test(`${backend}: immediates run that do not keep Node's loop awake`, { skip }, async (t) => {
    const game = play(t, backend);
    await until(() => game.isHosting);
    const { count } = game;
    const immediates = 10;
    for (let i = 0; i < immediates; i++) await new Promise<void>((resolve) => setImmediate(resolve).unref());
    t.equal(game.isHosting, true);
    // Five milliseconds of this game are some 200 turns. Without a bound there would be ten thousand.
    t.ok(game.count - count < immediates * 1_000, `${game.count - count} turns`);
  });

  test(`${backend}: what a callback queues runs before the next wait`, { skip }, async (t) => {
    const game = play(t, backend);
    await until(() => game.isHosting);
    game.stop();
    // The loop waits for at most as long as a pause of the traffic takes. Without the queues, this would come after it.
    const order: string[] = [];
    const done = new Promise<void>((resolve) => {
      const listener = game.loop.listen(anyPort, (stream) => {
        order.push('turn');
        process.nextTick(() =>
          queueMicrotask(() => process.nextTick(() => order.push('tick of a microtask of a tick'))),
        );
        Promise.resolve().then(async () => {
          for (let i = 0; i < 10; i++) await null;
          order.push('promises');
        });
        const onData = () => {
          order.push('next turn');
          stream.close();
          resolve();
        };
        return { onData };
      });
      const client = game.loop.connect(listener.address, { onOpen: () => void client.write(ball), onData: () => {} });
    });
    await done;
    t.same(order.slice().sort(), ['next turn', 'promises', 'tick of a microtask of a tick', 'turn']);
    t.equal(order.at(-1), 'next turn');
  });

  test(`${backend}: of two loops in a thread one hosts, and the other goes on`, { skip }, async (t) => {
    const first = play(t, backend);
    await until(() => first.isHosting);
    const second = play(t, backend);
    await until(() => second.count > 50);
    t.same([first.isHosting, second.isHosting], [true, false]);
    first.stop();
    await until(() => second.isHosting);
    t.equal(first.isHosting, false, 'the second takes the place');
    second.stop();
    await until(() => !second.isHosting);
  });

  test(`${backend}: a loop that is closed while it hosts ends, and a new one takes its place`, { skip }, async (t) => {
    const game = play(t, backend);
    await until(() => game.isHosting);
    game.loop.close();
    await until(() => game.loop.openCount === 0 && !game.isHosting);
    const next = play(t, backend);
    await until(() => next.isHosting);
    next.stop();
  });

  test(`${backend}: a loop that cannot host goes on without, and is not asked again`, { skip }, async (t) => {
    const game = play(t, backend, false);
    await until(() => game.count > 100);
    t.equal(game.changes, 1);
    game.stop();
  });

  test(`${backend}: an unref’ed loop does not host: that would keep the process alive`, { skip }, async (t) => {
    const game = play(t, backend);
    await until(() => game.isHosting);
    game.loop.unref();
    t.equal(game.isHosting, false);
    const { count } = game;
    await until(() => game.count > count + 50);
    t.equal(game.isHosting, false);
    game.loop.ref();
    await until(() => game.isHosting);
    game.stop();
  });

  const player = `${importing('createEventLoop')}
    const loop = createEventLoop({ backend: '${backend}' });
    const { admitGuest, dismissGuest } = loop;
    let isHosting = false;
    loop.admitGuest = (fd) => (isHosting = admitGuest.call(loop, fd));
    loop.dismissGuest = () => { isHosting = false; dismissGuest.call(loop); };
    const whenHosting = (callback) => { const wait = () => isHosting ? callback() : setImmediate(wait); wait(); };
    let onBall = () => {};
    const onData = (stream) => { onBall(); stream.write(ball); };
    const ball = Buffer.from('x');
    const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData }));
    loop.connect(listener.address, { onOpen: onData, onData });\n`;

  test(`${backend}: rejections and exceptions are reported meanwhile, and the loop goes on`, { skip }, (t) => {
    const child = runProgram(
      `${player}
       process.on('unhandledRejection', (error) => { console.log(error, isHosting); onBall = () => { onBall = next; throw 'thrown'; }; });
       process.on('uncaughtException', (error) => { console.log(error, isHosting); });
       const next = () => { onBall = () => {}; process.nextTick(() => { throw 'from a tick'; }); setTimeout(() => process.exit(7), 5); };
       whenHosting(() => { onBall = () => { onBall = () => {}; Promise.reject('rejected'); }; });
       // The exception ends its stream, so there are two.
       loop.connect(listener.address, { onOpen: onData, onData });`,
    );
    t.same([child.status, child.stdout], [7, 'rejected true\nthrown true\nfrom a tick true\n'], child.stderr);
    t.end();
  });

  test(`${backend}: signals arrive meanwhile, and the process ends when nothing is left`, { skip }, (t) => {
    const child = runProgram(
      `${player}
       process.once('SIGUSR2', () => { console.log('signal', isHosting); loop.close(); });
       whenHosting(() => process.kill(process.pid, 'SIGUSR2'));`,
    );
    t.same([child.status, child.signal, child.stdout], [0, null, 'signal true\n'], child.stderr);
    t.end();
  });

  test(`${backend}: a worker is terminated while its loop waits for both`, { skip }, (t) => {
    const source = `
      const { parentPort } = require('node:worker_threads');
      import('${new URL('index.js', LIBRARY).href}').then(({ createEventLoop }) => {
        const loop = createEventLoop({ backend: '${backend}' });
        const { admitGuest } = loop;
        let left = 200;
        loop.admitGuest = (fd) => { left = 3; return admitGuest.call(loop, fd); };
        const onData = (stream) => { if (left-- > 0) stream.write(Buffer.from('x')); else if (left === -1) parentPort.postMessage('quiet'); };
        const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData }));
        loop.connect(listener.address, { onOpen: onData, onData });
      });`;
    const child = runProgram(
      `import { Worker } from 'node:worker_threads';
       for (let i = 0; i < ${WORKERS}; i++) {
         const worker = new Worker(${JSON.stringify(source)}, { eval: true, execArgv: [] });
         await new Promise((resolve) => worker.once('message', resolve));
         await worker.terminate();
       }
       console.log('alive');`,
    );
    t.same([child.status, child.signal, child.stdout], [0, null, 'alive\n'], child.stderr);
    t.end();
  });
}
