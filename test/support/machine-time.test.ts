/** Machine time: a process that has no core, and one that has: only what is not the machine's fault is counted. */

import { spawn } from 'node:child_process';
import { pbkdf2Sync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { cpuMsOf, Stopwatch, waitedMs } from './machine-time.ts';
import { plainEnvironment } from './programs.ts';

function busy(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

test('time that this process used or slept counts, on the wall and off it', async (t) => {
  const watch = new Stopwatch();
  const waitedBefore = waitedMs(process.pid);
  busy(50);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { wallMs, fairMs } = watch.stop();
  const waited = waitedMs(process.pid) - waitedBefore;
  t.ok(wallMs >= 99, `${wallMs} ms`);
  t.ok(
    fairMs <= wallMs && fairMs >= wallMs - waited - 1,
    `${fairMs} of ${wallMs} ms, ${waited} of them without a core`,
  );
});

test('time for which another process had no core does not count, even after it has ended', async (t) => {
  const source = 'for (const end = performance.now() + 300; performance.now() < end; );';
  const core = /^Cpus_allowed_list:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] as string;
  // Both are pinned to one core, so one of them always waits, on any machine.
  const rivals = [0, 1].map(() =>
    spawn('taskset', ['-c', core, process.execPath, '-e', source], { env: plainEnvironment(), stdio: 'ignore' }),
  );
  const watch = new Stopwatch(...rivals.map(({ pid }) => pid));
  await Promise.all(rivals.map((rival) => once(rival, 'close')));
  const { wallMs, fairMs } = watch.stop();
  t.ok(wallMs >= 300, `${wallMs} ms`);
  if (waitedMs(process.pid) === 0) t.pass('skipped: this kernel does not count');
  else t.ok(wallMs - fairMs > 50, `${fairMs.toFixed(0)} of ${wallMs.toFixed(0)} ms`);
});

test('the processor time of work that sleeps is next to nothing, of work that computes it is all', async (t) => {
  const sleeping = await cpuMsOf(() => new Promise((resolve) => setTimeout(resolve, 300)));
  t.ok(sleeping < 200, `${sleeping} ms`);
  const working = await cpuMsOf(() => void pbkdf2Sync('password', 'salt', 100_000, 64, 'sha512'));
  t.ok(working > 5, `${working} ms`);
});

test('a process that is no more has waited for nothing', async (t) => {
  t.equal(waitedMs(2 ** 30), 0);
});
