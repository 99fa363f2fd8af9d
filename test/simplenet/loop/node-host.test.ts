/**
 * NodeHost: turns inside Node's loop. Tests that would end or crash the process run in a child process.
 */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { Epoll } from '../../../simplenet/epoll/epoll.ts';
import { EPOLLIN } from '../../../simplenet/kernel/abi.ts';
import type { Watch } from '../../../simplenet/loop/host.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { importing, LIBRARY, runProgram } from '../../support/child-program.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';

function closing<S extends { close(): void }>(t: Test, socket: S): S {
  t.teardown(() => socket.close());
  return socket;
}

/** An epoll descriptor, and a way to make it readable. */
function watchable(t: Test): { epoll: Epoll; send: () => void; receive: () => void } {
  const listener = closing(t, NetSocket.listenOn({ address: '127.0.0.1', port: 0 }));
  const client = closing(t, NetSocket.connectTo(listener.localAddress));
  const server = closing(t, listener.accept());
  const epoll = closing(t, new Epoll());
  epoll.add(server.fd, EPOLLIN);
  return {
    epoll,
    send: () => void client.write(Buffer.from('x')),
    receive: () => void server.read(Buffer.alloc(1)),
  };
}

/** What a program in a process of its own begins with: the same as `watchable`. */
const preamble = `${importing('nodeHost', 'loop/node-host.js')}${importing('NetSocket, Epoll, abi')}
  const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  const client = NetSocket.connectTo(listener.localAddress);
  const server = listener.accept();
  const epoll = new Epoll();
  epoll.add(server.fd, abi.EPOLLIN);
  const send = () => client.write(Buffer.from('x'));
  const receive = () => server.read(Buffer.alloc(1));
`;

function passes(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A watch whose callback finds nothing that would ask for another turn at once. */
function watching(fd: number, callback: () => void): Watch {
  return nodeHost.watch(fd, () => {
    callback();
    return false;
  });
}

/** What the host raises, from here to the end of the test. */
function raisedIn(t: Test): unknown[] {
  const raised: unknown[] = [];
  const { raise } = nodeHost;
  nodeHost.raise = (error) => void raised.push(error);
  t.teardown(() => {
    nodeHost.raise = raise;
  });
  return raised;
}

t.test('now never goes back', async (t) => {
  let last = nodeHost.now();
  let isSteady = true;
  for (let i = 0; i < 10_000; i++) {
    const now = nodeHost.now();
    isSteady &&= now >= last;
    last = now;
  }
  t.equal(isSteady, true);
});

t.test('a watch calls for as long as there is something to read, and not before', async (t) => {
  const { epoll, send, receive } = watchable(t);
  let calls = 0;
  let resolve = () => {};
  const threeCalls = new Promise<void>((done) => {
    resolve = done;
  });
  const watch = watching(epoll.fd, () => {
    if (++calls < 3) return;
    receive();
    resolve();
  });
  await passes(20);
  t.equal(calls, 0);
  send();
  t.equal(calls, 0, 'never inside of what the program does');
  await threeCalls;
  await passes(20);
  t.equal(calls, 3, 'it was read, and no call follows');
  watch.close();
});

t.test('turnSoon calls once, though nothing is readable, and behind timers that are due', async (t) => {
  const { epoll } = watchable(t);
  const order: string[] = [];
  const watch = watching(epoll.fd, () => void order.push('turn'));
  setTimeout(() => order.push('timer'), 0);
  await new Promise<void>((resolve) => {
    setTimeout(() => {
      watch.turnSoon();
      watch.turnSoon();
      order.push('asked');
      resolve();
    }, 0);
  });
  await passes(20);
  t.same(order, ['timer', 'asked', 'turn']);
  watch.turnSoon();
  watch.close();
  watch.turnSoon();
  await passes(20);
  t.equal(order.length, 3, 'no call after close');
});

t.test('a callback that returns true is called again at once, a few times, and then Node goes on', async (t) => {
  const { epoll, send } = watchable(t);
  const order: string[] = [];
  let calls = 0;
  const done = new Promise<void>((resolve) => {
    const watch = nodeHost.watch(epoll.fd, () => {
      order.push(`turn ${++calls}`);
      if (calls === 1) {
        setImmediate(() => order.push('immediate'));
        process.nextTick(() => order.push('tick'));
      }
      if (calls < 6) queueMicrotask(() => order.push(`what turn ${calls} left to do`));
      if (calls === 6) {
        watch.close();
        resolve();
      }
      return calls < 5;
    });
  });
  send();
  await done;
  const turn = (i: number) => [`turn ${i}`, `what turn ${i} left to do`];
  t.same(order, ['turn 1', 'tick', 'what turn 1 left to do', ...[2, 3, 4, 5].flatMap(turn), 'immediate', 'turn 6']);
});

t.test('timers and promises go on beside a watch that always has something to do', async (t) => {
  const { epoll, send } = watchable(t);
  let calls = 0;
  const watch = watching(epoll.fd, () => calls++);
  send();
  let immediates = 0;
  // Where one of the two starved the other, this would not end.
  for (; calls <= 3 || immediates <= 3; immediates++) await new Promise((resolve) => setImmediate(resolve));
  await passes(5);
  watch.close();
  t.pass(`${calls} calls and ${immediates} immediates`);
});

t.test('one descriptor cannot be watched twice, and then again after close', async (t) => {
  const { epoll, send } = watchable(t);
  const watch = watching(epoll.fd, () => {});
  t.throws(() => watching(epoll.fd, () => {}), { message: `descriptor ${epoll.fd} is being watched already` });
  watch.close();
  await new Promise<void>((resolve) => {
    const again = watching(epoll.fd, () => {
      again.close();
      resolve();
    });
    send();
  });
  t.pass('the second watch was called');
});

t.test('after close nothing is called, and every method does nothing', async (t) => {
  const { epoll, send } = watchable(t);
  let calls = 0;
  const watch = watching(epoll.fd, () => calls++);
  send();
  watch.close();
  watch.close();
  watch.ref();
  watch.unref();
  watch.ref();
  watch.close();
  await passes(20);
  t.equal(calls, 0);
});

t.test('a late close of an old watch does not touch the new one on the same descriptor', async (t) => {
  const { epoll, send } = watchable(t);
  const old = watching(epoll.fd, () => {});
  old.close();
  const called = new Promise<void>((resolve) => {
    const watch = watching(epoll.fd, () => {
      watch.close();
      resolve();
    });
  });
  old.close();
  t.throws(() => watching(epoll.fd, () => {}), /is being watched already/);
  send();
  await called;
});

t.test('close within the callback', async (t) => {
  const { epoll, send } = watchable(t);
  let calls = 0;
  await new Promise<void>((resolve) => {
    const watch = watching(epoll.fd, () => {
      calls++;
      watch.close();
      watch.unref();
      watch.close();
      resolve();
    });
    send();
  });
  await passes(20);
  t.equal(calls, 1);
});

t.test('after close there is no further call, even if the last one returned true', async (t) => {
  const { epoll, send } = watchable(t);
  let calls = 0;
  await new Promise<void>((resolve) => {
    const watch = nodeHost.watch(epoll.fd, () => {
      calls++;
      watch.close();
      resolve();
      return true;
    });
    send();
  });
  await passes(5);
  t.equal(calls, 1);
});

t.test('a thousand watches, one after the other, leave nothing behind', async (t) => {
  const { epoll } = watchable(t);
  const before = openDescriptors();
  for (let i = 0; i < 1000; i++) watching(epoll.fd, () => {}).close();
  await passes(1);
  t.same(openDescriptors(), before);
});

t.test('an alarm rings once, not before its time', async (t) => {
  for (const delay of [0, 1, 30]) {
    const startedAt = nodeHost.now();
    let rings = 0;
    await new Promise<void>((resolve) => {
      nodeHost.alarm(delay, () => {
        rings++;
        resolve();
      });
      setTimeout(() => {}, delay + 50); // the alarm alone would not keep this process alive
    });
    // Node counts in whole milliseconds, and may be one too early by a finer clock.
    t.ok(nodeHost.now() - startedAt >= delay - 1.5, `${nodeHost.now() - startedAt} of ${delay} ms`);
    await passes(10);
    t.equal(rings, 1);
  }
});

t.test('an alarm far away does not ring now', async (t) => {
  // setTimeout knows delays of up to 2 ** 31 - 1 ms, some 25 days, and takes a longer one for 1 ms.
  const rings: number[] = [];
  const warnings: string[] = [];
  const onWarning = (warning: Error) => warnings.push(warning.name);
  process.on('warning', onWarning);
  t.teardown(() => process.off('warning', onWarning));
  const alarms = [2 ** 31 - 1, 2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY].map((delay) =>
    nodeHost.alarm(delay, () => rings.push(delay)),
  );
  await passes(30);
  for (const alarm of alarms) alarm.cancel();
  t.same(rings, []);
  t.same(warnings, []);
});

t.test('a timer that Node rings too early is set again, and no delay is too long for one', async (t) => {
  const delays: number[] = [];
  const { setTimeout: original } = globalThis;
  t.teardown(() => {
    globalThis.setTimeout = original;
  });
  globalThis.setTimeout = ((callback: () => void, delayMs: number) => {
    delays.push(delayMs);
    return original(callback, 1);
  }) as typeof setTimeout;
  let rings = 0;
  const near = nodeHost.alarm(60_000, () => rings++);
  const far = nodeHost.alarm(2 ** 40, () => rings++);
  while (delays.length < 6) await new Promise((resolve) => original(resolve, 1));
  t.equal(rings, 0);
  near.cancel();
  far.cancel();
  const [first, second, ...rest] = delays;
  t.same([first, second], [60_000, 2 ** 31 - 1]);
  t.ok(rest.length >= 2, `${rest.length} times again`);
  t.ok(
    rest.every((delay) => delay < 60_000 || delay === 2 ** 31 - 1),
    'for what is left of it',
  );
  const startedAt = nodeHost.now();
  nodeHost.alarm(10, () => rings++);
  while (rings === 0) await new Promise((resolve) => original(resolve, 1));
  t.ok(nodeHost.now() - startedAt >= 10, 'not before its time');
  await new Promise((resolve) => original(resolve, 5));
  t.equal(rings, 1);
});

t.test('a cancelled alarm does not ring', async (t) => {
  let rings = 0;
  const alarm = nodeHost.alarm(5, () => rings++);
  alarm.cancel();
  alarm.cancel();
  await passes(20);
  t.equal(rings, 0);
});

t.test('soon is soon, and not now', async (t) => {
  const order: string[] = [];
  const done = new Promise<void>((resolve) => {
    setImmediate(() => {
      order.push('immediate');
      resolve();
    });
  });
  nodeHost.soon(() => order.push('soon'));
  order.push('now');
  await done;
  t.same(order, ['now', 'soon', 'immediate']);
});

t.test('an alarm keeps no process alive', async (t) => {
  // A child that stays alive is killed by runProgram, long before such an alarm.
  const child = runProgram(
    `${importing('nodeHost', 'loop/node-host.js')} nodeHost.alarm(600_000, () => console.log('rang')); console.log('end');`,
  );
  t.same([child.status, child.stdout], [0, 'end\n'], child.stderr);
});

t.test('a watch keeps the process alive, unless it is unref’ed', async (t) => {
  const alive = runProgram(
    `${preamble}
     const watch = nodeHost.watch(epoll.fd, () => { receive(); console.log('called'); watch.close(); });
     // Nothing else keeps this process alive: the client is another process that waits for a while.
     const { spawn } = await import('node:child_process');
     spawn('sh', ['-c', 'sleep 0.2; printf x >&3'], { stdio: ['ignore', 'ignore', 'ignore', client.fd] }).unref();`,
  );
  t.same([alive.status, alive.stdout], [0, 'called\n'], alive.stderr);
  const gone = runProgram(
    `${preamble}
     const watch = nodeHost.watch(epoll.fd, () => console.log('called'));
     watch.unref(); watch.ref(); watch.unref();
     console.log('end');`,
  );
  t.same([gone.status, gone.stdout], [0, 'end\n'], gone.stderr);
});

t.test('a watch without a descriptor has the turns that it asks for, and no others', async (t) => {
  let calls = 0;
  const thirdCall = new Promise<void>((resolve) => {
    const watch = nodeHost.watch(null, () => {
      calls++;
      if (calls === 1) return true;
      if (calls === 2) setTimeout(() => watch.turnSoon(), 5);
      if (calls < 3) return false;
      watch.turnSoon();
      watch.close();
      watch.close();
      watch.ref();
      watch.unref();
      watch.turnSoon();
      resolve();
      return true;
    });
    watch.turnSoon();
  });
  await thirdCall;
  await passes(10);
  t.equal(calls, 3, 'it asked for a turn, returned true, and asked again; closed, it gets none');
});

t.test('a watch without a descriptor keeps the process alive, unless it is unref’ed', async (t) => {
  const begin = `${importing('nodeHost', 'loop/node-host.js')}
    const watch = nodeHost.watch(null, () => { console.log('called'); watch.close(); return false; });`;
  const alive = runProgram(`${begin} nodeHost.alarm(50, () => watch.turnSoon());`); // the alarm keeps nothing alive
  t.same([alive.status, alive.stdout], [0, 'called\n'], alive.stderr);
  const gone = runProgram(`${begin} watch.unref(); watch.ref(); watch.unref(); console.log('end');`);
  t.same([gone.status, gone.stdout], [0, 'end\n'], gone.stderr);
});

t.test('an exception of a callback is an uncaught exception, and the watch goes on', async (t) => {
  const child = runProgram(
    `${preamble}
     process.on('uncaughtException', (error) => console.log('uncaught', error.message));
     let calls = 0;
     const watch = nodeHost.watch(epoll.fd, () => {
       receive();
       calls++;
       if (calls === 4) { watch.close(); console.log('closed'); return; }
       setTimeout(send, 5);
       if (calls === 2) throw 'a string';
       throw new Error('call ' + calls);
     });
     send();`,
  );
  t.same(child.stdout, 'uncaught call 1\nuncaught undefined\nuncaught call 3\nclosed\n', child.stderr);
  t.same([child.status, child.signal], [0, null]);
});

t.test('an exception of a callback is raised, and the next call comes all the same', async (t) => {
  const { epoll, send, receive } = watchable(t);
  const raised = raisedIn(t);
  let calls = 0;
  const done = new Promise<void>((resolve) => {
    const watch = nodeHost.watch(epoll.fd, () => {
      if (++calls === 1) throw new Error('on purpose');
      receive();
      watch.close();
      resolve();
      return false;
    });
  });
  send();
  await done;
  t.match(raised, [{ message: 'on purpose' }]);
});

t.test('a descriptor that can be watched no more is an error that is raised', async (t) => {
  // No epoll descriptor is ever in error; a socket whose peer has reset the connection is, and libuv tells it as EBADF.
  const listener = closing(t, NetSocket.listenOn({ address: '127.0.0.1', port: 0 }));
  const client = NetSocket.connectTo(listener.localAddress);
  const server = closing(t, listener.accept());
  const raised = raisedIn(t);
  let calls = 0;
  const watch = watching(server.fd, () => calls++);
  client.reset();
  while (raised.length === 0) await passes(1);
  watch.close();
  t.equal(calls, 0);
  t.match(raised, [{ name: 'SystemError', code: 'EBADF', syscall: 'uv_poll' }]);
});

t.test('uncaught means uncaught: without a handler the process ends with the trace', async (t) => {
  const child = runProgram(
    `${preamble}
     function culprit() { throw new Error('on purpose'); }
     nodeHost.watch(epoll.fd, () => culprit());
     send();
     setTimeout(() => console.log('still here'), 1000);`,
  );
  t.same([child.status, child.stdout], [1, '']);
  t.match(child.stderr, /Error: on purpose\n\s+at culprit/);
});

t.test('raise does not interrupt its caller', async (t) => {
  const child = runProgram(
    `${importing('nodeHost', 'loop/node-host.js')}
     process.on('uncaughtException', (error) => console.log('uncaught', error.message));
     try { nodeHost.raise(new Error('one')); nodeHost.raise(new Error('two')); console.log('after'); }
     catch { console.log('caught'); }`,
  );
  t.equal(child.stdout, 'after\nuncaught one\nuncaught two\n', child.stderr);
});

t.test('a watch without references survives the garbage collector', async (t) => {
  const child = runProgram(
    `${preamble}
     let calls = 0;
     (() => { nodeHost.watch(epoll.fd, () => { receive(); calls++; }); })();
     for (let i = 0; i < 5; i++) {
       gc();
       new Array(100_000).fill(i).map(String);
       await new Promise((resolve) => setTimeout(resolve, 5));
       gc();
       send();
       await new Promise((resolve) => setTimeout(resolve, 20));
     }
     console.log(calls);
     process.exit(0);`,
    { nodeOptions: ['--expose-gc'] },
  );
  t.same([child.status, child.stdout], [0, '5\n'], child.stderr);
});

t.test('it works in worker threads, several at once', async (t) => {
  const source = `
    const { parentPort } = require('node:worker_threads');
    (async () => {
      const { nodeHost } = await import('${new URL('loop/node-host.js', LIBRARY).href}');
      const { NetSocket, Epoll, abi } = await import('${new URL('index.js', LIBRARY).href}');
      const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
      const client = NetSocket.connectTo(listener.localAddress);
      const server = listener.accept();
      const epoll = new Epoll();
      epoll.add(server.fd, abi.EPOLLIN);
      let calls = 0;
      const watch = nodeHost.watch(epoll.fd, () => {
        server.read(Buffer.alloc(1));
        if (++calls < 100) { client.write(Buffer.from('x')); return; }
        watch.close();
        for (const socket of [epoll, server, client, listener]) socket.close();
        parentPort.postMessage(calls);
      });
      client.write(Buffer.from('x'));
    })();`;
  const before = openDescriptors();
  const workers = [1, 2, 3].map(() => new Worker(source, { eval: true }));
  const ends = workers.map((worker) => once(worker, 'exit'));
  t.same(await Promise.all(workers.map((worker) => once(worker, 'message'))), [[100], [100], [100]]);
  t.same(await Promise.all(ends), [[0], [0], [0]], 'and each ends by itself');
  t.equal(
    openDescriptors().filter((line) => line.includes('socket:')).length,
    before.filter((line) => line.includes('socket:')).length,
  );
});

t.test('a worker that ends with its watch open does not affect the process', async (t) => {
  const child = runProgram(
    `import { Worker } from 'node:worker_threads';
     const source = \`
       const { parentPort } = require('node:worker_threads');
       (async () => {
         const { nodeHost } = await import('${new URL('loop/node-host.js', LIBRARY).href}');
         const { Epoll } = await import('${new URL('index.js', LIBRARY).href}');
         nodeHost.watch(new Epoll().fd, () => {});
         parentPort.postMessage('watching');
       })();\`;
     for (let i = 0; i < 3; i++) {
       const worker = new Worker(source, { eval: true, execArgv: [] });
       await new Promise((resolve) => worker.once('message', resolve));
       await worker.terminate();
     }
     console.log('alive');`,
  );
  t.same([child.status, child.signal, child.stdout], [0, null, 'alive\n'], child.stderr);
});
