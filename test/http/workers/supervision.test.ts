/** The rules of the supervisor, with workers that the test plays: who is started when, and what becomes of the others. supervisor.test.ts has processes. */

import { existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { HandOver, serve, type Workers, type WorkersOptions } from '../../../http/index.ts';
import { addUp, familyOf, type MetricFamily, type Sample } from '../../../http/metrics/metric-families.ts';
import { NOT_LAST, type ToWorker } from '../../../http/workers/messages.ts';
import { SPARE_AFTER_MS } from '../../../http/workers/supervisor.ts';
import { DEFAULT_HANG_MS } from '../../../http/workers/worker-options.ts';
import { withoutText } from '../../../http/workers/worker-process.ts';
import { receiveDescriptors } from '../../../simplenet/index.ts';
import { EMFILE, ENOMEM } from '../../../simplenet/kernel/abi.ts';
import { libc } from '../../../simplenet/kernel/libc.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { certificateFor } from '../../support/certificates.ts';
import { type FakeWorker, FakeWorkers } from '../../support/fake-workers.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';
import { until } from '../../support/waiting.ts';

interface Scene {
  readonly workers: Workers;
  readonly fakes: FakeWorkers;
  /** What was logged, without `simplenet: worker 0 `. */
  readonly log: string[];
}

function scene(t: Test, options: Partial<WorkersOptions> = {}): Scene {
  const fakes = new FakeWorkers(t);
  const log: string[] = [];
  const site = new URL('file:///site.js');
  const workers = serve(site, {
    workers: 1,
    workerHangMs: Number.POSITIVE_INFINITY,
    log: (line) => log.push(line.replace(/^simplenet: worker \d /, '')),
    ...options,
  });
  t.teardown(() => {
    const closed = workers.close();
    fakes.endAll();
    return closed;
  });
  return { workers, fakes, log };
}

/** A scene in which all workers serve. */
async function servingScene(t: Test, options: Partial<WorkersOptions> = {}): Promise<Scene> {
  const it = scene(t, options);
  for (const worker of it.fakes.all) worker.serves();
  await it.workers.ready;
  return it;
}

const stopsOf = (worker: FakeWorker) => worker.heard.filter(({ kind }) => kind === 'stop');

test('a worker that keeps ending is replaced after a pause, until one has served for 10 s', async (t) => {
  const { workers, fakes, log } = await servingScene(t);
  fakes.last.says({ kind: 'alive', rssBytes: 1, connections: 3, busy: 2 });
  t.same([workers.connectionCount, workers.busyCount], [3, 2]);
  fakes.last.ends(1);
  t.same([workers.connectionCount, workers.busyCount, workers.pids], [0, 0, []]);
  for (const pauseMs of [0, 100, 200]) {
    const { length } = fakes.all;
    await fakes.passMs(pauseMs - 1);
    t.equal(fakes.all.length, length, `not before ${pauseMs} ms`);
    await fakes.passMs(pauseMs === 0 ? 0 : 1);
    t.equal(fakes.all.length, length + 1);
    fakes.last.serves();
    await fakes.passMs(9_999);
    fakes.last.ends(null, 'SIGSEGV');
  }
  await fakes.passMs(400);
  fakes.last.serves();
  await fakes.passMs(10_000);
  fakes.last.ends(1);
  await fakes.passMs(0);
  t.equal(fakes.all.length, 6);
  t.same(log, [
    '(process 1) ended with code 1: another one starts',
    '(process 2) ended by SIGSEGV: another one starts in 0.1 s',
    '(process 3) ended by SIGSEGV: another one starts in 0.2 s',
    '(process 4) ended by SIGSEGV: another one starts in 0.4 s',
    '(process 5) ended with code 1: another one starts',
  ]);
});

test('a worker that tells itself to end each time it starts is replaced after a pause', async (t) => {
  const { workers, fakes, log } = await servingScene(t);
  for (const pauseMs of [0, 100, 200]) {
    const { length } = fakes.all;
    const leaver = fakes.last;
    leaver.says({ kind: 'leaving' });
    await fakes.passMs(pauseMs - 1);
    t.equal(fakes.all.length, length, `not before ${pauseMs} ms`);
    await fakes.passMs(pauseMs === 0 ? 0 : 1);
    t.equal(fakes.all.length, length + 1);
    leaver.ends(0);
    fakes.last.serves();
  }
  await fakes.passMs(10_000);
  fakes.last.says({ kind: 'leaving' });
  await fakes.passMs(0);
  t.equal(fakes.all.length, 5, 'at once: it has served for 10 s');
  fakes.last.says({ kind: 'leaving' });
  fakes.last.serves();
  t.same(workers.pids, [], 'one that is told to end before it serves');
  await fakes.passMs(100);
  t.equal(fakes.all.length, 6);
  t.same(log, [
    '(process 1) was told to end: another one replaces it',
    '(process 2) was told to end: another one replaces it in 0.1 s',
    '(process 3) was told to end: another one replaces it in 0.2 s',
    '(process 4) was told to end: another one replaces it',
    '(process 5) was told to end: another one replaces it in 0.1 s',
  ]);
});

test('a worker that is told to end while its successor starts has no other one', async (t) => {
  const { workers, fakes } = await servingScene(t);
  const restarting = workers.restart();
  await fakes.passMs(0);
  fakes.all[0]?.says({ kind: 'leaving' });
  await fakes.passMs(1_000);
  t.equal(fakes.all.length, 2);
  fakes.last.serves();
  await restarting;
  t.same(workers.pids, [2]);
});

test('a replacement that cannot be started, or cannot begin', async (t) => {
  const { fakes, log } = await servingScene(t);
  fakes.lacksProcesses = true;
  fakes.last.ends(1);
  await fakes.passMs(0);
  fakes.last.emit('error', new Error('spawn EAGAIN'));
  fakes.last.ends(-11); // Node may tell both
  fakes.lacksProcesses = false;
  await fakes.passMs(100);
  fakes.last.says({ kind: 'failed', message: 'the module is broken', exitCode: 1 });
  fakes.last.ends(1);
  t.same(log, [
    '(process 1) ended with code 1: another one starts',
    '(process -1) could not be started: spawn EAGAIN: another one starts in 0.1 s',
    '(process 3) cannot begin: the module is broken',
    '(process 3) ended with code 1: another one starts in 0.2 s',
  ]);
});

test('a spare replaces the next worker that ends', async (t) => {
  const { workers, fakes, log } = await servingScene(t, { workers: 2 });
  const [first, second] = fakes.all as [FakeWorker, FakeWorker];
  await fakes.passMs(SPARE_AFTER_MS - 1);
  t.equal(fakes.spare, undefined);
  await fakes.passMs(1);
  const { spare } = fakes;
  t.ok(spare);
  await fakes.passMs(10 * SPARE_AFTER_MS);
  t.equal(fakes.forked.length, 3, 'there is one');

  second.ends(null, 'SIGKILL');
  await fakes.passMs(0);
  t.equal(fakes.last, spare);
  t.same([spare?.start.index, spare?.start.options], [1, second.start.options]);
  spare?.serves();
  t.equal(workers.pids.length, 2);
  await fakes.passMs(SPARE_AFTER_MS - 1);
  first.ends(1); // before there is another spare
  await fakes.passMs(0);
  t.equal(fakes.forked.length, 4);
  t.equal(fakes.last.start.index, 0);
  fakes.last.serves();
  await fakes.passMs(SPARE_AFTER_MS);
  t.ok(fakes.spare);
  t.same(log, [
    '(process 2) ended by SIGKILL: another one starts',
    '(process 1) ended with code 1: another one starts',
  ]);
});

test('the time of a spare counts from its order', async (t) => {
  const { fakes, log } = await servingScene(t, { workerStartMs: 300 });
  await fakes.passMs(60_000);
  fakes.last.ends(1);
  await fakes.passMs(299);
  fakes.last.serves();
  await fakes.passMs(9_700);
  fakes.last.ends(1);
  t.match(log.at(-1), /another one starts in 0\.1 s/, 'it has served for less than 10 s');
});

test('a spare that ends, or is told to end, is not missed until the next worker is replaced', async (t) => {
  const { workers, fakes, log } = await servingScene(t);
  await fakes.passMs(SPARE_AFTER_MS);
  fakes.spare?.ends(1);
  await fakes.passMs(60_000);
  t.equal(fakes.forked.length, 2);
  fakes.last.ends(1);
  await fakes.passMs(0);
  fakes.last.serves();
  await fakes.passMs(SPARE_AFTER_MS);
  const { spare } = fakes;
  spare?.says({ kind: 'leaving' });
  t.equal(spare?.killedBy, 'SIGKILL');
  fakes.last.ends(1);
  await fakes.passMs(100);
  t.not(fakes.last, spare);
  t.equal(fakes.forked.length, 5);
  fakes.last.serves();
  t.equal(workers.pids.length, 1);
  t.equal(log.length, 2, 'of the workers alone');
});

test('a restart begins with processes of its own, and a stop ends the spare', async (t) => {
  const { workers, fakes } = await servingScene(t);
  await fakes.passMs(SPARE_AFTER_MS);
  const { spare: old } = fakes;
  const restarting = workers.restart();
  await fakes.passMs(0);
  t.equal(old?.killedBy, 'SIGKILL', 'it has the server from before');
  t.not(fakes.last, old);
  fakes.last.serves();
  await restarting;
  await fakes.passMs(SPARE_AFTER_MS);
  const { spare } = fakes;
  const closed = workers.close();
  t.equal(spare?.killedBy, 'SIGKILL');
  for (const each of fakes.all) each.ends(0);
  await closed;
});

test('a spare that tells that it ends when it has been dropped is no worker', async (t) => {
  const { workers, fakes, log } = await servingScene(t);
  await fakes.passMs(SPARE_AFTER_MS);
  const { spare } = fakes;
  const closed = workers.close(); // SIGTERM to all processes of a group reaches both
  spare?.says({ kind: 'leaving' });
  fakes.endAll();
  await closed;
  t.same(log, []);
});

test('a stop before there is a spare: none is started', async (t) => {
  const { workers, fakes } = await servingScene(t);
  const closed = workers.close();
  await fakes.passMs(SPARE_AFTER_MS);
  t.equal(fakes.forked.length, 1);
  fakes.endAll();
  await closed;
});

test('one that hangs is killed after as many beats as make up the time', async (t) => {
  const { fakes, log } = await servingScene(t, { workerHangMs: undefined });
  const [first] = fakes.all;
  await fakes.passMs(DEFAULT_HANG_MS - 1);
  first?.says({ kind: 'alive', rssBytes: 1, connections: 0, busy: 0 });
  await fakes.passMs(DEFAULT_HANG_MS - 2_000);
  t.equal(first?.killedBy, null);
  await fakes.passMs(2_000);
  t.equal(first?.killedBy, 'SIGKILL');
  t.same(log, ['(process 1) was killed: it hung: another one starts']);
});

test('one that grows beyond its limit is replaced, once, and goes on until its successor serves', async (t) => {
  const { fakes, log } = await servingScene(t, { workerMemoryBytes: 100 * 1024 ** 2 });
  const [first] = fakes.all as [FakeWorker];
  const has = (worker: FakeWorker, bytes: number) =>
    worker.says({ kind: 'alive', rssBytes: bytes, connections: 0, busy: 0 });
  has(first, 100 * 1024 ** 2);
  t.equal(fakes.all.length, 1, 'at the limit');
  has(first, 100 * 1024 ** 2 + 1);
  await fakes.passMs(0);
  t.equal(fakes.all.length, 2, 'above it');
  has(first, 200 * 1024 ** 2);
  t.equal(fakes.all.length, 2, 'there is one successor');
  t.same(stopsOf(first), []);
  fakes.last.serves();
  t.equal(stopsOf(first).length, 1);
  has(first, 200 * 1024 ** 2);
  t.equal(fakes.all.length, 2, 'one that leaves is not replaced again');
  t.same(log, ['(process 1) has 100 MB, more than 100 MB: another one replaces it']);
});

test('one that grows at once, again and again, is replaced after a pause, and not before all serve', async (t) => {
  const { workers, fakes, log } = scene(t, { workers: 2, workerMemoryBytes: 1 });
  const grows = (worker: FakeWorker) => worker.says({ kind: 'alive', rssBytes: 1024 ** 2, connections: 0, busy: 0 });
  const [first, second] = fakes.all as [FakeWorker, FakeWorker];
  first.serves();
  grows(first);
  t.equal(fakes.all.length, 2);
  second.serves();
  await workers.ready;
  for (const pauseMs of [0, 100, 200]) {
    const { length } = fakes.all;
    const worker = length === 2 ? first : fakes.last;
    grows(worker);
    grows(worker);
    await fakes.passMs(pauseMs - 1);
    t.equal(fakes.all.length, length, `not before ${pauseMs} ms`);
    await fakes.passMs(pauseMs === 0 ? 0 : 1);
    t.equal(fakes.all.length, length + 1);
    fakes.last.serves();
  }
  t.same(log, [
    '(process 1) has 1 MB, more than 0 MB: another one replaces it',
    '(process 3) has 1 MB, more than 0 MB: another one replaces it in 0.1 s',
    '(process 4) has 1 MB, more than 0 MB: another one replaces it in 0.2 s',
  ]);
  grows(fakes.last);
  fakes.last.ends(1);
  await fakes.passMs(800);
  t.equal(fakes.all.length, 6, 'one that ends in its pause is replaced once');
});

test('a restart does not count on a process that was started before it', async (t) => {
  const { workers, fakes } = await servingScene(t, { workerMemoryBytes: 1 });
  fakes.last.says({ kind: 'alive', rssBytes: 2, connections: 0, busy: 0 });
  await fakes.passMs(0);
  const { last: early } = fakes;
  const restarting = workers.restart();
  await fakes.passMs(0);
  t.equal(early.killedBy, 'SIGKILL');
  t.not(fakes.last, early);
  fakes.last.serves();
  await restarting;
  t.equal(workers.pids.length, 1);
});

test('after a restart that fails there is a spare again', async (t) => {
  const { workers, fakes } = await servingScene(t);
  const refused = t.rejects(workers.restart(), { message: 'the module is broken' });
  await fakes.passMs(0);
  fakes.last.says({ kind: 'failed', message: 'the module is broken', exitCode: 1 });
  fakes.last.ends(1);
  await refused;
  await fakes.passMs(SPARE_AFTER_MS);
  t.ok(fakes.spare);
});

test('one that does not serve in time is killed: the site cannot begin', async (t) => {
  const { workers, fakes, log } = scene(t, { workerStartMs: 300 });
  const refused = t.rejects(workers.ready, {
    name: 'WorkerError',
    message: 'worker 0 was killed: it did not serve within 0.3 s',
    exitCode: 1,
  });
  await fakes.passMs(299);
  t.equal(fakes.last.killedBy, null);
  await fakes.passMs(1);
  await refused;
  t.same([fakes.last.killedBy, workers.isStopping, log], ['SIGKILL', true, []]);
});

test('workers that cannot be started leave nothing behind: no socket, no memory, no process', async (t) => {
  const fakes = new FakeWorkers(t);
  fakes.most = 1;
  const path = join(tmpdir(), `simplenet-supervision-${process.pid}-none`);
  const start = () => serve(new URL('file:///site.js'), { workers: 2, path, log: t.fail });
  const before = openDescriptors();
  t.throws(start, { message: 'fork refuses an argument' });
  t.equal(fakes.last.killedBy, 'SIGKILL', 'the one that was started');
  await until(() => !fakes.last.connected);
  t.same(openDescriptors(), before);
  t.notOk(existsSync(path));
  const { memfd_create, mmap } = libc;
  t.teardown(() => Object.assign(libc, { memfd_create, mmap }));
  for (const refused of [{ memfd_create: () => -EMFILE }, { memfd_create, mmap: () => -ENOMEM }]) {
    Object.assign(libc, refused);
    t.throws(start, { code: /^(EMFILE|ENOMEM)$/ });
    t.same(openDescriptors(), before);
    t.notOk(existsSync(path));
  }
});

test('workers are ready when all serve, also if one was told to end before', async (t) => {
  const { workers, fakes, log } = scene(t, { workers: 2 });
  const [first, second] = fakes.all as [FakeWorker, FakeWorker];
  let isReady = false;
  void workers.ready.then(() => {
    isReady = true;
  });
  second.serves();
  first.says({ kind: 'leaving' });
  first.serves(); // it has begun before it leaves
  first.ends(0);
  await fakes.passMs(0);
  t.notOk(isReady);
  t.equal(fakes.all.length, 3);
  fakes.last.serves();
  await workers.ready;
  t.same(workers.pids, [3, 2]);
  t.same(log, ['(process 1) was told to end: another one replaces it']);
});

test('a successor that is told to end, or ends, is not missed: the worker goes on', async (t) => {
  const { workers, fakes, log } = await servingScene(t);
  const restarting = workers.restart();
  await fakes.passMs(0);
  fakes.last.says({ kind: 'leaving' });
  fakes.last.ends(null, 'SIGTERM');
  await t.rejects(restarting, { name: 'WorkerError', message: 'worker 0 ended by SIGTERM' });
  t.same([workers.pids, fakes.all.length, log], [[1], 2, []]);
});

test('a worker that ends while its successor starts, which fails: another one starts', async (t) => {
  const { workers, fakes } = await servingScene(t);
  const [first] = fakes.all;
  const restarting = workers.restart();
  await fakes.passMs(0);
  first?.ends(1);
  await fakes.passMs(1_000);
  t.equal(fakes.all.length, 2, 'the successor is enough');
  fakes.last.says({ kind: 'failed', message: 'broken', exitCode: 1 });
  await t.rejects(restarting, /broken/);
  await fakes.passMs(0);
  t.equal(fakes.all.length, 3);
});

test('restart waits until all serve', async (t) => {
  const { workers, fakes } = scene(t);
  const restarting = workers.restart();
  await fakes.passMs(0);
  t.equal(fakes.all.length, 1);
  fakes.last.serves();
  await fakes.passMs(0);
  t.equal(fakes.all.length, 2);
  fakes.last.serves();
  await restarting;
  t.same(workers.pids, [2]);
});

test('restart in the pause before a start, and while a worker starts', async (t) => {
  const { workers, fakes } = await servingScene(t);
  fakes.last.ends(1);
  await fakes.passMs(0);
  fakes.last.ends(1);
  const first = workers.restart();
  await fakes.passMs(1_000);
  t.equal(fakes.all.length, 3, 'the successor, and no other one after the pause');
  fakes.last.serves();
  await first;

  fakes.last.ends(1);
  await fakes.passMs(1_000);
  const starting = fakes.last;
  const second = workers.restart();
  await fakes.passMs(0);
  fakes.last.serves();
  await second;
  t.equal(starting.killedBy, 'SIGKILL', 'it would be one too many');
  t.same(workers.pids, [fakes.last.pid]);
});

test('a stop ends a restart', async (t) => {
  const { workers, fakes } = await servingScene(t, { workers: 2 });
  const restarting = workers.restart();
  await fakes.passMs(0);
  fakes.last.serves();
  const closed = workers.close();
  await t.rejects(restarting, /the workers are stopping/);
  t.equal(fakes.all.length, 3, 'the second worker has no successor');
  fakes.endAll();
  await closed;
});

test('a stop in the pause before a start: nothing starts', async (t) => {
  const before = openDescriptors();
  const { workers, fakes } = await servingScene(t);
  fakes.last.ends(1);
  const closed = workers.close();
  await fakes.passMs(1_000);
  await closed;
  t.equal(fakes.all.length, 1);
  t.same(openDescriptors(), before);
});

test('a stop finds a worker that leaves: its time is not longer for that', async (t) => {
  const { workers, fakes } = await servingScene(t);
  const { last: worker } = fakes;
  worker.says({ kind: 'leaving' });
  await fakes.passMs(8_000);
  const closed = workers.close();
  t.match(stopsOf(worker), [{ close: {}, last: { ofSite: true, ofMetrics: true } }]);
  await fakes.passMs(6_999);
  t.equal(worker.killedBy, null);
  await fakes.passMs(1);
  t.equal(worker.killedBy, 'SIGKILL', '10 s for its connections, and 5 s for itself');
  await closed;
});

test('the word of a worker that it serves crosses the stop', async (t) => {
  const once = scene(t);
  const refused = t.rejects(once.workers.ready, /stopped before they served/);
  const closed = once.workers.close();
  t.equal(once.fakes.last.killedBy, 'SIGKILL');
  once.fakes.last.serves();
  t.match(stopsOf(once.fakes.last), [{ close: { graceMs: 0 }, last: { ofSite: true } }]);
  await closed;
  await refused;

  const twice = scene(t);
  void twice.workers.close();
  void twice.workers.close({ graceMs: 0 });
  twice.fakes.last.serves();
  t.equal(stopsOf(twice.fakes.last).length, 1, 'it is told only what the second call says');
  await twice.workers.close();
});

test('a notice: the workers go on, those that end are replaced, and each hears of it when it serves', async (t) => {
  const { workers, fakes } = await servingScene(t, { workers: 2 });
  const [first, second] = fakes.all as [FakeWorker, FakeWorker];
  const noticesOf = (worker: FakeWorker) => worker.heard.filter(({ kind }) => kind === 'notice').length;
  first.ends(1);
  await fakes.passMs(0); // one that starts cannot hear of it yet
  const third = fakes.last;
  const closed = workers.close({ noticeMs: 5_000, graceMs: 3_000 });
  t.equal(workers.close({ noticeMs: 6_000 }), closed);
  t.same([workers.isStopping, workers.closing.aborted], [true, false]);
  await t.rejects(workers.restart(), /stopping/);
  t.same([first, second, third].map(noticesOf), [0, 1, 0]);
  third.serves();
  t.equal(noticesOf(third), 1);
  second.ends(1);
  await fakes.passMs(100);
  t.equal(fakes.all.length, 4, 'in its place another one starts');
  fakes.last.serves();
  t.equal(noticesOf(fakes.last), 1);
  await fakes.passMs(4_899);
  t.same([third, fakes.last].flatMap(stopsOf), []);
  await fakes.passMs(1);
  for (const worker of [third, fakes.last]) {
    t.match(stopsOf(worker), [{ close: { graceMs: 3_000, idleGraceMs: 100 }, last: { ofSite: true } }]);
  }
  t.ok(workers.closing.aborted);
  fakes.endAll();
  await closed;

  const early = scene(t);
  early.fakes.last.kill = () => true;
  void early.workers.close({ noticeMs: 5_000 });
  await fakes.passMs(0);
  t.ok(early.workers.closing.aborted, 'before they serve there is no notice');
});

test('a successor takes the sockets: no worker closes them for others, however often they are told to stop', async (t) => {
  const { workers, fakes } = await servingScene(t, { metrics: { port: 0 } });
  const path = join(tmpdir(), `simplenet-supervision-${process.pid}`);
  t.teardown(() => rmSync(path, { force: true }));
  const { last: worker } = fakes;
  let closed = Promise.resolve();
  const way = new HandOver(path, workers, () => {
    closed = workers.close();
  });
  t.teardown(() => way.close());
  const successor = NetSocket.connectTo({ path });
  await until(() => successor.wait('readable', 0));
  const [fd = -1, watchFd = -1] = receiveDescriptors(successor, Buffer.alloc(64), 3).descriptors;
  using inherited = NetSocket.adopt(fd);
  t.same(inherited.localAddress, workers.address);
  const heirs = serve(new URL('file:///site.js'), { workers: 1, metrics: { port: 0, fd: watchFd }, log: t.fail });
  t.equal(heirs.metricsUrl, workers.metricsUrl, 'a successor with workers, too');
  t.same(fakes.last.start.options.metrics, { port: 0, fd: undefined }, 'they inherit it');
  const heirsClosed = heirs.close();
  fakes.last.ends(0);
  await t.rejects(heirs.ready);
  await heirsClosed;
  successor.writeAll(Buffer.from('begun'));
  await until(() => workers.isStopping);
  void workers.close({ graceMs: 0 });
  t.match(stopsOf(worker), [{ last: NOT_LAST }, { close: { graceMs: 0 }, last: NOT_LAST }]);
  worker.ends(0);
  await closed;
  NetSocket.connectTo(workers.address).close();
  successor.close();
});

test('what a worker gets: where it listens it inherits, and tickets are the same for all', async (t) => {
  const { cert, key } = certificateFor('localhost');
  const own = Buffer.alloc(80, 7);
  const { workers, fakes } = await servingScene(t, { workers: 2, host: '::', tls: { cert, key } });
  t.match(workers.url, /^https:/);
  NetSocket.connectTo({ address: '127.0.0.1', port: workers.port as number }).close(); // `::` is IPv4, too
  const [first, second] = fakes.all.map(({ start }) => start.options) as [WorkersOptions, WorkersOptions];
  t.same(Object.keys(first), ['tls']);
  t.equal(Buffer.from(first.tls?.ticketKeys ?? []).length, 80);
  t.same(first.tls?.ticketKeys, second.tls?.ticketKeys);
  const chosen = scene(t, { tls: { cert, key, ticketKeys: own } });
  t.same(chosen.fakes.last.start.options.tls?.ticketKeys, own);
});

const toldTls = (worker: FakeWorker) =>
  worker.heard.flatMap((message) => (message.kind === 'tls' ? [message.tls.cert] : []));

test('setTls reaches each worker that serves or starts, and those that start later', async (t) => {
  const [old, renewed, other] = [1, 2, 3].map(() => certificateFor('localhost'));
  const tls = { cert: old?.cert as string, key: old?.key as string };
  const newer = { cert: renewed?.cert as string, key: renewed?.key as string };
  const { workers, fakes } = await servingScene(t, { workers: 2, tls });
  const [first, second] = fakes.all as [FakeWorker, FakeWorker];
  const restarting = workers.restart();
  await fakes.passMs(0);
  const successor = fakes.last;
  second.says({ kind: 'leaving' });
  workers.setTls(newer);
  t.same([first, second, successor].map(toldTls), [[newer.cert], [], [newer.cert]], 'not the one that leaves');
  t.same(successor.start.options.tls?.cert, tls.cert, 'the message follows its start');
  await fakes.passMs(0);
  t.same(fakes.last.start.options.tls?.cert, newer.cert);
  t.equal(Buffer.from(fakes.last.start.options.tls?.ticketKeys ?? []).length, 80);

  const refused: readonly [object, RegExp][] = [
    [{ cert: newer.cert, key: other?.key }, /^tls\.key: the key does not belong to the certificate$/],
    [{ cert: newer.cert }, /^tls needs key/],
    [{ ...newer, serverNames: () => null }, /^tls\.serverNames must be an object with workers/],
  ];
  for (const [options, message] of refused) t.throws(() => workers.setTls(options as typeof newer), { message });
  t.same(toldTls(first), [newer.cert], 'a mistake changes nothing');
  successor.serves();
  for (const each of fakes.all) each.serves();
  await fakes.passMs(0);
  for (const each of fakes.all) each.serves();
  await restarting;
  t.same(fakes.last.start.options.tls?.cert, newer.cert);
});

test('setTls of workers without TLS, and tls that makes no sense', async (t) => {
  const { cert, key } = certificateFor('localhost');
  const { workers } = await servingScene(t);
  t.throws(() => workers.setTls({ cert, key }), { message: /would need tls from their beginning/ });
  const before = openDescriptors();
  const wrong = { cert, key: certificateFor('localhost').key };
  t.throws(() => scene(t, { tls: wrong }), { message: 'tls.key: the key does not belong to the certificate' });
  t.same(openDescriptors(), before);
});

test('redirectFrom: the workers inherit one more socket', async (t) => {
  const { cert, key } = certificateFor('localhost');
  const { workers, fakes } = await servingScene(t, { tls: { cert, key }, redirectFrom: 0 });
  const { options, listeners, redirects } = fakes.last.start;
  t.same([Object.keys(options), listeners, redirects], [['tls'], 1, true]);
  t.match(workers.redirectUrl, /^http:\/\/127\.0\.0\.1:\d+$/);
  const taken = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  t.teardown(() => taken.close());
  const before = openDescriptors();
  const { port } = taken.localAddress as { port: number };
  t.throws(() => scene(t, { tls: { cert, key }, redirectFrom: port }), { code: 'EADDRINUSE' });
  t.same(openDescriptors(), before);
  const plain = await servingScene(t);
  t.same([plain.workers.redirectUrl, plain.fakes.last.start.redirects], [null, false]);
  t.same([plain.workers.metricsUrl, plain.workers.watchFd, plain.fakes.last.start.watches], [null, null, false]);
});

test('a question is answered when all have, or ended, or after a second', async (t) => {
  const { fakes } = await servingScene(t, { workers: 3 });
  const [asker, second, third] = fakes.all as [FakeWorker, FakeWorker, FakeWorker];
  const answers = () => asker.heard.filter(({ kind }) => kind === 'answers');
  asker.says({ kind: 'ask', id: 7, subject: 'pid' });
  t.match(
    [second.heard.at(-1), third.heard.at(-1)],
    [
      { kind: 'asked', id: 1 },
      { kind: 'asked', id: 1 },
    ],
  );
  third.says({ kind: 'answer', id: 1, value: 3 });
  third.says({ kind: 'answer', id: 1, value: 'twice' });
  t.same(answers(), []);
  second.says({ kind: 'answer', id: 1, value: undefined });
  t.same(answers(), [{ kind: 'answers', id: 7, values: [3] }]);

  asker.says({ kind: 'ask', id: 8, subject: 'pid' });
  second.says({ kind: 'answer', id: 2, value: 2 });
  await fakes.passMs(999);
  t.equal(answers().length, 1);
  await fakes.passMs(1);
  t.same(answers().at(-1), { kind: 'answers', id: 8, values: [2] });
  third.says({ kind: 'answer', id: 2, value: 'late' });

  asker.says({ kind: 'ask', id: 9, subject: 'pid' });
  third.ends(1);
  t.equal(answers().length, 2);
  second.ends(1);
  t.same(answers().at(-1), { kind: 'answers', id: 9, values: [] });
  asker.says({ kind: 'ask', id: 10, subject: 'pid' });
  t.same(answers().at(-1), { kind: 'answers', id: 10, values: [] }, 'there is nobody to ask');
});

const counted = (value: number): MetricFamily[] => [
  familyOf('counter', 'requests', '', [[{}, value]]),
  familyOf('gauge', 'connections', '', [[{}, 1]]),
];

test('a sum of tallies never falls: it has those of workers that are late, and of those that have ended', async (t) => {
  const { fakes } = await servingScene(t, { workers: 3 });
  const [asker, second, third] = fakes.all as [FakeWorker, FakeWorker, FakeWorker];
  const ask = (id: number) => asker.says({ kind: 'ask', id, subject: 'metrics', tally: counted(100) });
  const sum = () => {
    const last = asker.heard.findLast(({ kind }) => kind === 'answers') as Extract<ToWorker, { kind: 'answers' }>;
    return addUp(last.values as MetricFamily[][]).map(({ name, samples }) => [name, (samples[0] as Sample).value]);
  };
  ask(1);
  second.says({ kind: 'answer', id: 1, value: counted(10) });
  third.says({ kind: 'answer', id: 1, value: counted(1) });
  t.same(sum(), [
    ['requests', 11],
    ['connections', 2],
  ]);

  ask(2);
  second.says({ kind: 'answer', id: 2, value: counted(20) });
  await fakes.passMs(1_000);
  t.same(sum()[0], ['requests', 21], 'the third one is late');

  ask(3);
  third.says({ kind: 'tally', subject: 'metrics', tally: counted(5) });
  third.ends(0);
  second.says({ kind: 'answer', id: 3, value: undefined });
  t.same(sum(), [
    ['requests', 25],
    ['connections', 1],
  ]);
  fakes.last.serves();
  second.ends(null, 'SIGKILL');
  ask(4);
  t.same(sum(), [['requests', 25]]);
});

test('a worker does not run the text that its supervisor was started with', async (t) => {
  const options = ['--conditions=a', '--import', './hook.js'];
  for (const text of [
    [],
    ['-e', 'x'],
    ['-p', 'x'],
    ['-pe', 'x'],
    ['--eval', 'x'],
    ['--input-type', 'module', '-e', 'x'],
    ['--print', 'x'],
    ['--eval=x'],
    ['--print=x'],
  ]) {
    t.same(withoutText([...options, '--input-type=module', ...text]), options, text.join(' '));
  }
});
