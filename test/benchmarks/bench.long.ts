/** The benchmark as a whole, for a few seconds: does it start, measure, write and clean up? */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { MissingPeer, type Peer, peers, takesPart } from '../../benchmarks/peers.ts';
import type { Results } from '../../benchmarks/results.ts';
import { checkWork } from '../../benchmarks/same-work.ts';
import { ServerProcess } from '../../benchmarks/server-process.ts';
import { writeFiles } from '../../benchmarks/site.ts';
import { writeCertificate } from '../../benchmarks/tls-load.ts';
import { type Workload, workloads } from '../../benchmarks/workloads.ts';
import { buildFolder, Program } from '../support/programs.ts';

// tap's hooks would run in every server as well, and be measured with it.
const { PATH = '', HOME = '' } = process.env;
const bench = (tmp: string, ...args: string[]) =>
  new Program(process.execPath, [join(buildFolder, 'benchmarks/bench.js'), ...args], {
    env: { PATH, HOME, TMPDIR: tmp },
  });

test('a quick run measures three servers and writes what it found', async (t) => {
  const output = t.testdir();
  const run = bench(t.testdirName, '--quick', '--load', 'own', '--seconds', '0.3', '--output', output);
  t.teardown(() => run.kill('SIGTERM'));
  const { code, stdout, stderr } = await run.ends();
  t.equal(code, 0, stderr);
  t.match(stdout, /simplenet, epoll +[\d.]+ +[\d.]+ /);
  t.match(stderr, 'hello, cycle 1 of 1: node:http');
  const results = JSON.parse(readFileSync(join(output, 'latest.json'), 'utf8')) as Results;
  t.match(results, { load: /our own generator/, rounds: 1, seconds: 0.3, machine: { node: process.version } });
  const [hello] = results.workloads;
  t.same(
    hello?.peers.map(({ peer }) => peer),
    ['simplenet', 'simplenet-uring', 'node'],
  );
  for (const { rounds, summary, remarks } of hello?.peers ?? []) {
    t.same(remarks, []);
    t.match(rounds, [{ errors: 0, refused: 0 }]);
    t.ok((summary.figure?.median ?? 0) > 0 && (summary.requestsPerSecond?.median ?? 0) > 100);
  }
  t.same(readdirSync(output).sort(), ['latest.json', 'latest.md', 'latest.svg'], 'and leaves nothing else behind');
});

for (const peer of peers.filter(({ name }) => ['c', 'c-uring', 'uws', 'nginx', 'ws', 'c-sockets'].includes(name))) {
  test(`${peer.title} does the work of all its workloads`, async (t) => {
    const folder = t.testdir();
    const prepared = preparedOrReason(peer, folder);
    if (typeof prepared === 'string') return void t.pass(`skipped: ${peer.title} ${prepared}`);
    const secure = (each: Workload) => each.tls !== null;
    for (const tlsFile of [null, writeCertificate(folder)]) {
      const own = workloads.filter((each) => takesPart(peer, each) && secure(each) === (tlsFile !== null));
      if (own.length === 0) continue;
      const server = await ServerProcess.start(peer, prepared.command, writeFiles(folder), tlsFile, undefined);
      t.teardown(() => server.stop());
      for (const workload of own) t.equal(await checkWork(server.port, workload), null, workload.name);
    }
  });
}

function preparedOrReason(peer: Peer, folder: string) {
  try {
    return peer.prepare(folder);
  } catch (error) {
    if (error instanceof MissingPeer) return error.message;
    throw error;
  }
}

test('WebSockets echo, publish and are idle', async (t) => {
  const output = t.testdir();
  const run = bench(
    t.testdirName,
    ...['--quick', '--peers', 'simplenet', '--workload', 'ws-echo,ws-broadcast,ws-idle'],
    ...['--seconds', '0.2', '--output', output],
  );
  t.teardown(() => run.kill('SIGTERM'));
  const { code, stderr } = await run.ends();
  t.equal(code, 0, stderr);
  const results = JSON.parse(readFileSync(join(output, 'latest.json'), 'utf8')) as Results;
  if (results.skipped.length > 0) return void t.pass(`skipped: ${results.skipped[0]}`);
  t.match(results.load, /socket-load/);
  t.same(
    results.workloads.map(({ peers }) =>
      peers.map(({ rounds, remarks }) => [rounds.length, rounds[0]?.errors, remarks]),
    ),
    [[[1, 0, []]], [[1, 0, []]], [[1, 0, []]]],
  );
});

test('a wrong flag is one sentence', async (t) => {
  const { code, stdout, stderr } = await bench(t.testdir(), '--peers', 'netty').ends();
  t.same([code, stdout], [1, '']);
  t.match(stderr, /^--peers knows all, simplenet, simplenet-uring, node, [^\n]*, but not 'netty'\n$/);
});

test('a signal ends the run, its children and its temporary folder', async (t) => {
  const folder = t.testdir();
  const run = bench(folder, '--peers', 'node', '--load', 'own', '--output', folder);
  run.child.stderr?.once('data', () => setTimeout(() => run.kill('SIGINT'), 500));
  const { code } = await run.ends(); // its pipes close when the last process that holds them is gone
  t.equal(code, 130);
  t.same(readdirSync(folder), []);
});

test('the lockfile of the peers holds no download addresses', async (t) => {
  const lockfile = readFileSync(join(buildFolder, '../benchmarks/peers/package-lock.json'), 'utf8');
  t.notMatch(lockfile, /"resolved"/);
});

test('twice as many requests as a server can answer: with loopDelayMs the rest is turned away, and what is served is served in time', async (t) => {
  const run = new Program(process.execPath, [join(buildFolder, 'benchmarks/overload.js'), '--seconds', '1'], {
    env: { PATH, HOME, TMPDIR: t.testdir() },
  });
  t.teardown(() => run.kill('SIGTERM'));
  const { code, stdout, stderr } = await run.ends();
  t.equal(code, 0, stderr);
  const [, served, turnedAway] =
    /^simplenet, loopDelayMs 100: .* (\d+) served at all, .* (\d+) turned away$/m.exec(stdout) ?? [];
  t.ok(Number(served) > 0 && Number(turnedAway) > 0, stdout);
});

test('one process, one worker, two, and metrics: what a request costs in each', async (t) => {
  const program = join(buildFolder, 'benchmarks/workers.js');
  const run = new Program(process.execPath, [program, '--cycles', '1', '--seconds', '0.2', '--connections', '8'], {
    env: { PATH, HOME, TMPDIR: t.testdir() },
  });
  t.teardown(() => run.kill('SIGTERM'));
  const { code, stdout, stderr } = await run.ends();
  t.equal(code, 0, stderr);
  t.match(stdout, /^one process: [\d.]+ us$/m);
  t.match(stdout, /^one worker: [\d.]+ us, [\d.]+ \([\d.]+ to [\d.]+\) of one process$/m);
  t.match(stdout, /^two workers: [\d.]+ us, .* of one worker$/m);
  t.match(stdout, /^with metrics: [\d.]+ us, .* of one process$/m);
});
