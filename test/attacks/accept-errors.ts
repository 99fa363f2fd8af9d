/**
 * accept4(2) that fails again and again: a firewall that forbids every connection (EPERM), a protocol error (EPROTO), and a kernel that
 * reports a listener and then has nothing (EAGAIN). The listener stays readable, so a loop that just tries again burns a core.
 *
 * No test can set up such a firewall, so the table of system calls of the attacked process answers in the kernel's place.
 *
 * Next: run.ts
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { Stopwatch } from '../support/machine-time.ts';
import { Program } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import type { Attack, AttackOptions, Finding } from './attack.ts';

const ERRORS = { short: ['EPERM', 'EIO', 'EAGAIN'], full: ['EPERM', 'EPROTO', 'EIO', 'EAGAIN', 'EINTR'] } as const;

/** What the first errors cost, until the listener rests, does not count: it is a matter of milliseconds, once. */
const BEGINNING_MS = 200;

/** While errors last, such a server may use this share of a core. */
const MAX_CPU_PERCENT = 5;

/** After the last error, a client must be served within that time. */
const MAX_RECOVERY_MS = 1_000;

const site = (backend: string) => `
  import { constants } from 'node:os';
  const { serve } = await import(build + '/http/index.js');
  const { libc } = await import(build + '/simplenet/index.js');
  const { accept4 } = libc;
  const server = serve((request, response) => response.text('hello'), { backend: '${backend}' });
  const cpuMs = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1_000; };
  process.stdin.setEncoding('utf8').on('data', (name) => {
    const errno = constants.errno[name.trim()];
    libc.accept4 = errno === undefined ? accept4 : () => -errno;
    console.log('cpu ' + cpuMs() + ' ' + name.trim());
  });
  process.stdin.on('end', () => process.exit());
  console.log('listening on ' + server.address.port);`;

/** From now on accept4 answers that, or what the kernel answers. Tells how much CPU time the process has used so far. */
async function switchTo(program: Program, name: string): Promise<number> {
  const seen = program.stdout.length;
  program.child.stdin?.write(`${name}\n`);
  await program.prints(new RegExp(`^[^]{${seen}}cpu [\\d.]+ ${name}\n`));
  return Number(/cpu ([\d.]+) \w+\n$/.exec(program.stdout)?.[1]);
}

async function run({ backend, size }: AttackOptions): Promise<readonly Finding[]> {
  const program = Program.script(site(backend));
  const findings: Finding[] = [];
  try {
    const [, port] = await program.prints(/listening on (\d+)\n/);
    for (const name of ERRORS[size]) {
      await switchTo(program, name);
      const client = new RawClient(Number(port)).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      await client.connected();
      await sleep(BEGINNING_MS);
      const cpuBefore = await switchTo(program, name);
      const startedAt = performance.now();
      await sleep(size === 'short' ? 1_000 : 10_000);
      const cpu = (await switchTo(program, 'none')) - cpuBefore;
      const percent = (cpu / (performance.now() - startedAt)) * 100;
      findings.push({ what: `${name}: % of a core`, value: Number(percent.toFixed(1)), atMost: MAX_CPU_PERCENT });
      const watch = new Stopwatch(program.child.pid);
      await client.until(() => client.answers === 1, 'the answer');
      const recoveryMs = Math.round(watch.stop().fairMs);
      findings.push({
        what: `${name}: ms until a client is served again`,
        value: recoveryMs,
        atMost: MAX_RECOVERY_MS,
      });
      client.destroy();
    }
    return findings;
  } finally {
    program.kill();
  }
}

export const attack: Attack = {
  title: 'accept4 fails again and again: a firewall that forbids all, or a kernel that cries wolf',
  run,
};
