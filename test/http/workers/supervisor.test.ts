/**
 * Workers, as processes: they share the connections, reach each other, and are replaced when they end, hang or grow. The worst that a site can do happens to
 * one of them, and the others go on.
 */

import { rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { serve, WorkerError, type Workers, type WorkersOptions } from '../../../http/index.ts';
import { MAX_PAUSE_MS, pauseAfter } from '../../../http/workers/supervisor.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';
import { until } from '../../support/waiting.ts';

const site = new URL(`./site${import.meta.url.slice(-3)}`, import.meta.url);

interface Scene {
  readonly workers: Workers;
  readonly log: string[];
  /** A request on a connection of its own. */
  ask(path: string, method?: string, body?: string): Promise<string>;
}

async function scene(t: Test, options: Partial<WorkersOptions> = {}, behaviour = ''): Promise<Scene> {
  const log: string[] = [];
  const workers = serve(site, { workers: 2, log: (line) => log.push(line), workerArguments: [behaviour], ...options });
  t.teardown(() => workers.close({ graceMs: 0 }));
  await workers.ready;
  const where = workers.port === null ? { socketPath: workers.url.slice('unix:'.length) } : { port: workers.port };
  const ask = (path: string, method = 'GET', body = '') =>
    new Promise<string>((resolve, reject) => {
      const asked = request({ ...where, host: '127.0.0.1', path, method, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => resolve(text));
        response.on('error', reject);
      });
      asked.on('error', reject);
      asked.end(body);
    });
  return { workers, log, ask };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('workers share connections evenly, and reach each other', async (t) => {
  const all = await scene(t);
  const { workers, ask } = all;
  t.match(workers.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  t.equal(workers.pids.length, 2);
  t.equal(workers.isStopping, false);
  t.notOk(workers.closing.aborted);
  for (let i = 0; i < 100; i++) await ask('/');
  for (const count of workers.acceptedCounts) t.ok(count >= 40 && count <= 60, `${count} of 100`);
  t.same(JSON.parse(await ask('/pids')).sort(), [...workers.pids].sort(), 'each has answered');
  t.same(JSON.parse(await ask('/unknown')), []);

  await ask('/tell', 'POST', 'breakfast');
  const heard = new Map<number, unknown>();
  while (heard.size < 2 || ![...heard.values()].includes('breakfast')) {
    const { pid, told, done } = JSON.parse(await ask('/told'));
    heard.set(pid, told);
    t.ok(done > 0, 'the options of the module are in force');
  }
  t.same([...heard.values()].sort(), ['breakfast', null], 'the other one is told, not the one that tells');
  await until(() => workers.connectionCount === 0);
  t.equal(workers.busyCount, 0);
  const { pids } = workers;
  await workers.close();
  t.ok(workers.isStopping && workers.closing.aborted);
  for (const pid of pids) t.notOk(isAlive(pid));
  await t.rejects(workers.restart(), /stopping/);
});

test('what a worker does to itself is over in a moment, and the others go on', async (t) => {
  const all = await scene(t, { workerHangMs: 2_000, workerMemoryBytes: 300 * 1024 ** 2 });
  const { workers, log, ask } = all;
  const [first = 0, second = 0] = workers.pids;
  const isBack = (gone: number) => workers.pids.length === 2 && !workers.pids.includes(gone);

  process.kill(first, 'SIGKILL');
  await until(() => isBack(first));
  t.match(log[0], new RegExp(`^simplenet: worker 0 \\(process ${first}\\) ended by SIGKILL: another one starts$`));
  t.ok(workers.pids.includes(second), 'the other one is the same');

  await t.rejects(ask('/throw'), 'its connection ends');
  await until(() => log.length === 2 && workers.pids.length === 2);
  t.match(log[1], /ended with code 1: another one starts/);

  await t.rejects(ask('/hang'));
  await until(() => log.length === 3 && workers.pids.length === 2);
  t.match(log[2], /was killed: it hung: another one starts/);

  const [, hoarder] = (await ask('/hoard')).split(' ');
  await until(() => isBack(Number(hoarder)));
  t.match(log[3], /has \d+ MB, more than 300 MB: another one replaces it/);
  await until(() => !isAlive(Number(hoarder)));

  const [leaver = 0] = workers.pids;
  process.kill(leaver, 'SIGTERM');
  await until(() => isBack(leaver) && !isAlive(leaver));
  t.match(log.at(-1), /was told to end: another one replaces it/);
  for (const pid of workers.pids) {
    process.kill(pid, 'SIGINT');
    process.kill(pid, 'SIGHUP');
  }
  t.match(await ask('/'), /^\d \d+$/, 'a terminal signals all processes; workers leave that to their supervisor');
});

test('restart replaces each worker without losing a request', async (t) => {
  const all = await scene(t);
  const { workers, log, ask } = all;
  const before = workers.pids;
  let isOver = false;
  const failures: unknown[] = [];
  const asking = (async () => {
    while (!isOver) await ask('/').catch((error) => failures.push(error));
  })();
  const slow = ask('/slow');
  const restarting = workers.restart();
  t.equal(workers.restart(), restarting, 'one restart at a time');
  await restarting;
  isOver = true;
  await asking;
  t.equal(await slow, 'begun and done');
  t.same(failures, []);
  t.same(
    workers.pids.filter((pid) => before.includes(pid)),
    [],
  );
  t.same(log, []);
  await until(() => !before.some(isAlive));
});

test('a module that cannot begin is the end of all, with the reason', async (t) => {
  const before = openDescriptors();
  const rows: readonly [string, RegExp, number][] = [
    ['throws', /^cannot load file:\/\/.*site\.js: TypeError: the module is broken$/, 1],
    ['says', /^what is wrong$/, 2],
    ['nothing', /has no default export/, 1],
    ['number', /^TypeError: serve needs a handler first/, 1],
    ['exits', /^worker \d ended with code 7$/, 1],
  ];
  for (const [behaviour, message, exitCode] of rows) {
    const workers = serve(site, { workers: 1, log: t.fail, workerArguments: [behaviour] });
    await t.rejects(workers.ready, { name: 'WorkerError', message, exitCode }, behaviour);
    await workers.close();
  }
  const waiting = serve(site, { workers: 1, workerStartMs: 300, log: t.fail, workerArguments: ['waits'] });
  await t.rejects(waiting.ready, /it did not serve within 0.3 s/);
  await waiting.close();
  const missing = serve(new URL('no-such-site.js', site), { workers: 1, log: t.fail });
  await t.rejects(missing.ready, /cannot load .*no-such-site.js/);
  await missing.close();
  t.same(openDescriptors(), before);
});

test('a busy port is reported at once, and leaves nothing', async (t) => {
  using taken = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  const { port } = taken.localAddress as { port: number };
  t.throws(() => serve(site, { workers: 2, port }), { code: 'EADDRINUSE' });
});

test('workers that are stopped before they serve', async (t) => {
  const stop = new AbortController();
  const workers = serve(site, { workers: 1, signal: stop.signal });
  stop.abort();
  await t.rejects(workers.ready, WorkerError);
  await workers.close();
  const never = serve(site, { workers: 1, signal: stop.signal });
  await t.rejects(never.ready, /stopped before they served/);
  await never.close();
});

test('on a Unix socket, and on a socket that is open already', async (t) => {
  const path = join(tmpdir(), `simplenet-workers-${process.pid}.sock`);
  t.teardown(() => rmSync(path, { force: true }));
  const unix = await scene(t, { workers: 1, path });
  t.equal(unix.workers.port, null);
  t.match(await unix.ask('/'), /^0 \d+$/);
  await unix.workers.close();
  t.throws(() => NetSocket.connectTo({ path }), { code: 'ENOENT' });

  const open = NetSocket.listenOn({ address: '::1', port: 0 });
  await using workers = serve(site, { workers: 1, fd: open.release() });
  await workers.ready;
  t.match(workers.url, /^http:\/\/\[::1\]:\d+$/);
});

test('the pause before the next start doubles', async (t) => {
  t.same([1, 2, 3, 4, 5].map(pauseAfter), [0, 100, 200, 400, 800]);
  t.equal(pauseAfter(8), 6_400);
  t.equal(pauseAfter(9), MAX_PAUSE_MS);
  t.equal(pauseAfter(1_000), MAX_PAUSE_MS);
});
