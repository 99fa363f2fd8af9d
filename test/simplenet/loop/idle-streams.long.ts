/** Ten thousand idle streams on the real kernel weigh little, on either loop. */

import { type Test, test } from 'tap';
import { type backends, noUring } from '../../support/backends.ts';
import { Program, plainEnvironment } from '../../support/programs.ts';

/** How much a server of that kind keeps for each of them, in bytes. */
async function weigh(t: Test, backend: (typeof backends)[number]): Promise<{ heap: number; rss: number } | null> {
  const server = Program.script(
    `
    const { createEventLoop, raiseOpenFileLimit } = await import(build + '/simplenet/index.js');
    const limit = raiseOpenFileLimit(12_000);
    const loop = createEventLoop({ backend: '${backend}' });
    let closes = 0;
    const handler = { onData: (s, b) => void s.write(b), onClose: () => void closes++ };
    const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => handler);
    const report = (what) => { gc(); gc(); console.log(what + ' ' + (process.memoryUsage().heapUsed + process.memoryUsage().external) + ' ' + process.memoryUsage().rss); };
    report('limit=' + limit + ' port=' + listener.address.port + ' start');
    for (const wanted of [10_000, 0]) {
      while (loop.openCount - 1 !== wanted) await new Promise((resolve) => setTimeout(resolve, 5));
      report('open=' + wanted);
    }`,
    { nodeOptions: ['--expose-gc', '--max-semi-space-size=1'], env: plainEnvironment() },
  );
  t.teardown(() => server.kill());
  const [, limit, port, heapAtStart, rssAtStart] = await server.prints(/limit=(\d+) port=(\d+) start (\d+) (\d+)\n/);
  if (Number(limit) < 10_100) {
    t.pass(`skipped: this machine allows ${limit} open files`);
    return null;
  }
  const client = Program.script(`
    const { createEventLoop, raiseOpenFileLimit } = await import(build + '/simplenet/index.js');
    raiseOpenFileLimit(12_000);
    const loop = createEventLoop();
    let opens = 0, echoes = 0;
    const streams = [];
    const handler = { onOpen() { if (++opens === 10_000) console.log('connected'); }, onData() { if (++echoes === 10_000) console.log('served'); } };
    for (let i = 0; i < 10_000; i++) {
      streams.push(loop.connect({ address: '127.0.0.1', port: ${port} }, handler));
      if (i % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    process.on('SIGUSR2', () => { for (const stream of streams) stream.write(Buffer.from('x')); });`);
  t.teardown(() => client.kill());
  await client.prints(/connected/);
  const report = async (open: number) => {
    const [, heap, rss] = await server.prints(new RegExp(`open=${open} (\\d+) (\\d+)\n`));
    return { heap: Number(heap), rss: Number(rss) };
  };
  const held = await report(10_000);
  const perConnection = (held.heap - Number(heapAtStart)) / 10_000;
  const rssPerConnection = (held.rss - Number(rssAtStart)) / 10_000;
  t.ok(perConnection < 1_024, `${perConnection.toFixed(0)} bytes of heap, ${rssPerConnection.toFixed(0)} of RSS each`);
  client.kill('SIGUSR2');
  await client.prints(/served/);
  client.kill('SIGKILL');
  await client.ends();
  const after = await report(0);
  const left = after.heap - Number(heapAtStart);
  t.ok(left < 0.2 * (held.heap - Number(heapAtStart)) + 300_000, `${left} bytes of heap are left when all are gone`);
  return { heap: perConnection, rss: rssPerConnection };
}

test('10,000 idle connections', { skip: noUring }, async (t) => {
  const onEpoll = await weigh(t, 'epoll');
  const onUring = await weigh(t, 'io_uring');
  if (onEpoll === null || onUring === null) return;
  const ratioOf = (what: 'heap' | 'rss') => onUring[what] / onEpoll[what];
  t.ok(ratioOf('heap') < 1.5, `heap: on io_uring ${ratioOf('heap').toFixed(2)} times of what it is on epoll`);
  // When V8 gives pages back is chance, and tells by a third in so small a process: `npm run bench -- --workload idle` measures it.
  t.ok(ratioOf('rss') < 2, `rss: on io_uring ${ratioOf('rss').toFixed(2)} times of what it is on epoll`);
});
