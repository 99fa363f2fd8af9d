/**
 * Workers, as processes: they share the connections, reach each other, and are replaced when they end, hang or grow. The worst that a site can do happens to
 * one of them, and the others go on.
 */

import { rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { type Test, test } from 'tap';
import { serve, WorkerError, type Workers, type WorkersOptions } from '../../../http/index.ts';
import { MAX_PAUSE_MS, pauseAfter } from '../../../http/workers/slot.ts';
import { portOf, type SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { SelfSigned } from '../../../simplenet/layers/self-signed.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { certificateFor } from '../../support/certificates.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';
import { Program } from '../../support/programs.ts';
import { certificateAt } from '../../support/tls-clients.ts';
import { until } from '../../support/waiting.ts';
import { WebSocketClient } from '../../support/web-socket-client.ts';
import { TEXT } from '../../support/web-socket-frames.ts';

const site = new URL(`./site${import.meta.url.slice(-3)}`, import.meta.url);

/** supervision.test.ts tries the rules with workers that the test plays, and supervisor.long.ts (WORKERS=all) with processes. */
const short = process.env.WORKERS === 'all' ? false : 'in the long suite';

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

/** The workers of this test do not count as covered, whatever tap wants: without its hooks they start in half of the time. */
function uncounted(t: Test): void {
  const { execPath } = process;
  const program = join(tmpdir(), `simplenet-workers-${process.pid}.sh`);
  writeFileSync(program, `#!/bin/sh\nexec env -u NODE_OPTIONS '${execPath}' "$@"\n`, { mode: 0o755 });
  process.execPath = program;
  t.teardown(() => {
    process.execPath = execPath;
    rmSync(program);
  });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function scrape({ metricsUrl }: Workers): Promise<string> {
  const response = await fetch(`${metricsUrl}/metrics`, { headers: { Connection: 'close' } });
  return await response.text();
}

test('workers share connections evenly, and reach each other', async (t) => {
  const all = await scene(t, { metrics: { port: 0 } });
  const { workers, ask } = all;
  t.match(workers.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  t.equal(workers.pids.length, 2);
  t.equal(workers.isStopping, false);
  t.notOk(workers.closing.aborted);
  for (let i = 0; i < 100; i++) await ask('/');
  for (const count of workers.acceptedCounts) t.ok(count >= 40 && count <= 60, `${count} of 100`);
  t.same(JSON.parse(await ask('/pids')).sort(), [...workers.pids].sort(), 'each has answered');
  t.same(JSON.parse(await ask('/unknown')), []);
  const [own, ofOthers, alive] = JSON.parse(await ask('/wrong'));
  t.same([own, ofOthers], ['its own answer fails here', []]);
  t.same(alive.sort(), [...workers.pids].sort(), 'an answer that cannot be sent ends no worker');
  const counts: number[] = JSON.parse(await ask('/ask-often'));
  t.same([counts.slice(0, 100).every((count) => count === 2), counts[100]], [true, 1], '100 questions wait at most');

  const requests = async () => {
    const text = await scrape(workers);
    return Number(/^http_requests_total\{method="GET",route="\/",status="2xx"\} (\d+)$/m.exec(text)?.[1]);
  };
  let asked = 0;
  while (asked < 100) asked = await requests(); // a request counts when its worker has seen its end
  t.equal(asked, 100, 'of both workers, whichever is asked');

  const [first, second] = workers.acceptedCounts as [number, number];
  const chatting = [await WebSocketClient.open(t, workers, '/chat')];
  const areBoth = ([one, other]: readonly number[]) => one !== first && other !== second;
  while (!areBoth(workers.acceptedCounts)) chatting.push(await WebSocketClient.open(t, workers, '/chat'));
  chatting[0]?.send(TEXT, 'hello');
  for (const each of chatting) await each.until(() => each.texts.length === 1, 'the message');
  t.same(
    chatting.map(({ texts }) => texts),
    chatting.map(() => ['hello']),
    'each once, in both workers',
  );
  const text = await scrape(workers);
  for (const name of ['connections', 'opened_total', 'sent_messages_total']) {
    t.ok(text.includes(`\nwebsocket_${name} ${chatting.length}\n`), `${name} of both`);
  }
  for (const each of chatting) each.raw.destroy();

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
  const readiness = () => fetch(`${workers.metricsUrl}/readyz`, { headers: { Connection: 'close' } });
  t.equal((await readiness()).status, 200);
  const closed = workers.close({ noticeMs: 60_000 });
  while ((await readiness()).status !== 503); // when the message has come
  t.match(await ask('/'), /^\d \d+$/, 'they serve as before');
  t.same(workers.pids, pids);
  t.equal(workers.close(), closed);
  await closed;
  t.ok(workers.isStopping && workers.closing.aborted);
  for (const pid of pids) t.notOk(isAlive(pid));
  await t.rejects(workers.restart(), /stopping/);
});

test('what a worker does to itself is over in a moment, and the others go on', { skip: short }, async (t) => {
  uncounted(t);
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

test('restart replaces each worker without losing a request', { skip: short }, async (t) => {
  uncounted(t);
  const all = await scene(t);
  const { workers, log, ask } = all;
  const before = workers.pids;
  let isOver = false;
  const failures: unknown[] = [];
  const asking = (async () => {
    while (!isOver) await ask('/').catch((error) => failures.push(error));
  })();
  const slow = ask('/slow'); // it is over when its worker has been told to stop
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

async function failsToBegin(t: Test, behaviour: string, message: RegExp, exitCode: number, module = site) {
  const workers = serve(module, { workers: 1, log: t.fail, workerArguments: [behaviour] });
  await t.rejects(workers.ready, { name: 'WorkerError', message, exitCode }, behaviour);
  await workers.close();
}

test('a module that cannot begin is the end of all, with the reason', async (t) => {
  const before = openDescriptors();
  const rows: readonly [string, RegExp, number][] = [
    ['throws', /^cannot load file:\/\/.*site\.js: TypeError: the module is broken$/, 1],
    ['throws nothing', /^cannot load file:\/\/.*site\.js: it throws null$/, 1],
    ['says', /^what is wrong$/, 2],
    ['nothing', /has no default export/, 1],
  ];
  for (const row of rows) await failsToBegin(t, ...row);
  uncounted(t); // the rest runs the same lines
  await failsToBegin(t, 'number', /^TypeError: serve needs a handler first/, 1);
  await failsToBegin(t, 'exits', /^worker \d ended with code 7$/, 1);
  await failsToBegin(t, '', /cannot load .*no-such-site.js/, 1, new URL('no-such-site.js', site));
  t.same(openDescriptors(), before);
});

test('a busy port is reported at once, and leaves nothing', async (t) => {
  using taken = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  const { port } = taken.localAddress as { port: number };
  t.throws(() => serve(site, { workers: 2, port }), { code: 'EADDRINUSE' });
});

test('options that cannot be sent to another process: no worker is left', async (t) => {
  const before = openDescriptors();
  const limits = { bodyBytes: (() => 1) as unknown as number };
  t.throws(() => serve(site, { workers: 1, limits }), { message: /could not be cloned/ });
  await until(() => openDescriptors().length === before.length);
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

/** One request by TLS, which goes on with that session. */
function askSecurely(address: SocketAddress, session?: Buffer) {
  const socket = connect({
    host: (address as { address: string }).address,
    port: portOf(address),
    rejectUnauthorized: false,
    session,
  });
  let text = '';
  let latest: Buffer | undefined;
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part;
  });
  socket.on('session', (ticket) => {
    latest = ticket;
  });
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  return new Promise<{ worker: string | undefined; isReused: boolean; session: Buffer | undefined }>(
    (resolve, reject) => {
      socket.on('error', reject);
      socket.on('end', () => {
        const [, worker] = /\r\n\r\n(\d) /.exec(text) ?? [];
        resolve({ worker, isReused: socket.isSessionReused(), session: latest });
      });
    },
  );
}

test('on a Unix socket, and by TLS on sockets that are open already', async (t) => {
  const path = join(tmpdir(), `simplenet-workers-${process.pid}.sock`);
  t.teardown(() => rmSync(path, { force: true }));
  const mark = `${path}.mark`;
  t.teardown(() => rmSync(mark, { force: true }));
  const unix = await scene(t, { workers: 1, path, workerArguments: ['leaves', mark] });
  t.match(unix.log, [/was told to end: another one replaces it/], 'before it served; the next one serves');
  t.equal(unix.workers.port, null);
  t.match(await unix.ask('/'), /^0 \d+$/);
  await unix.workers.close();
  t.throws(() => NetSocket.connectTo({ path }), { code: 'ENOENT' });

  uncounted(t);
  const [open, other] = ['::1', '127.0.0.1'].map((address) => NetSocket.listenOn({ address, port: 0 })) as [
    NetSocket,
    NetSocket,
  ];
  const tls = certificateFor('localhost');
  const options = { workers: 2, fd: [open.release(), other.release()], tls, metrics: { port: 0 } };
  await using workers = serve(site, options);
  await workers.ready;
  t.match(workers.urls, [workers.url, /^https:\/\/127\.0\.0\.1:\d+$/]);
  t.match(workers.url, /^https:\/\/\[::1\]:\d+$/);
  const before = workers.acceptedCounts.reduce((sum, count) => sum + count);
  const onOther = await askSecurely({ address: '127.0.0.1', port: Number(new URL(workers.urls[1] as string).port) });
  t.match(onOther.worker, /^[01]$/, 'each worker listens on both');
  t.equal(
    workers.acceptedCounts.reduce((sum, count) => sum + count),
    before + 1,
    'they are counted together',
  );
  const first = await askSecurely(workers.address);
  let next = first;
  let resumed = 0;
  for (; next.worker === first.worker; resumed++) next = await askSecurely(workers.address, first.session);
  t.same([first.isReused, next.isReused], [false, true], 'the other worker continues the session');
  const text = await scrape(workers);
  for (const sample of ['resumed="false"} 2', `resumed="true"} ${resumed}`]) {
    t.ok(text.includes(`\ntls_handshakes_total{version="TLSv1.3",${sample}\n`), `${sample} in both`);
  }
});

test('a supervisor without any worker left lives on until the next one serves', async (t) => {
  const program = Program.script(`
    const { serve } = await import(build + '/http/index.js');
    const log = () => process.stdout.write(workers.url + '\\n'); // the worker has ended: no client reaches it any more
    const workers = serve(new URL(${JSON.stringify(site.href)}), { workers: 1, log });
    await workers.ready;
    process.kill(workers.pids[0], 'SIGKILL');
    process.once('SIGTERM', () => void workers.close());
  `);
  t.teardown(() => program.kill());
  const [url] = await program.prints(/.+(?=\n)/);
  t.match(await (await fetch(url)).text(), /^0 \d+$/);
  program.kill('SIGTERM');
  t.equal((await program.ends()).code, 0);
});

test('setTls and redirectFrom: each worker has the new certificate, and redirects', async (t) => {
  const [old, second, third] = [1, 2, 3].map(() => certificateFor('localhost')) as [SelfSigned, SelfSigned, SelfSigned];
  const log: string[] = [];
  await using workers = serve(site, { workers: 2, port: 0, redirectFrom: 0, tls: old, log: (line) => log.push(line) });
  workers.setTls(second); // before they serve
  await workers.ready;
  const meetsAlone = async ({ cert }: SelfSigned) => {
    const before = workers.acceptedCounts;
    const hasMetBoth = () => workers.acceptedCounts.every((count, i) => count > (before[i] as number));
    const met = new Set<string>();
    while (!hasMetBoth()) met.add(await certificateAt(workers.url));
    return met.size === 1 && met.has(cert);
  };
  t.ok(await meetsAlone(second), 'those that were starting');
  workers.setTls(third);
  while (!(await meetsAlone(third)));
  t.pass('those that serve');

  const redirected = () =>
    fetch(`${workers.redirectUrl}/a?b`, { redirect: 'manual', headers: { Connection: 'close' } });
  for (let times = 0; times < 4; times++) {
    const { status, headers } = await redirected();
    t.same([status, headers.get('location')], [301, `https://127.0.0.1:${workers.port}/a?b`]);
  }
  process.kill(workers.pids[0] as number, 'SIGKILL');
  await until(() => log.length === 1);
  t.equal((await redirected()).status, 301, 'the other worker has the socket, too');
  await until(() => workers.pids.length === 2);
  await workers.close();
  await t.rejects(redirected());
});

test('the pause before the next start doubles', async (t) => {
  t.same([1, 2, 3, 4, 5].map(pauseAfter), [0, 100, 200, 400, 800]);
  t.equal(pauseAfter(8), 6_400);
  t.equal(pauseAfter(9), MAX_PAUSE_MS);
  t.equal(pauseAfter(1_000), MAX_PAUSE_MS);
});
