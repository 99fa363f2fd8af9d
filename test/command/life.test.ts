/** The command beyond one process: a socket from systemd, a successor on SIGHUP, and a second process that takes over. */

import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { Surroundings } from '../../command/life.ts';
import { run } from '../../command/run.ts';
import { NetSocket, UdpSocket } from '../../simplenet/index.ts';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';
import { until } from '../support/waiting.ts';

const main = join(buildFolder, 'command/main.js');
const folder = mkdtempSync(join(tmpdir(), 'simplenet-life-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const site = join(folder, 'site.mjs');
writeFileSync(site, 'export default (_request, response) => response.text("hello from " + process.pid);');

let places = 0;
const place = (what: string) => join(folder, `${what}-${places++}`);

/** A run inside of this process, with an environment of its own. */
class Run {
  stdout = '';
  stderr = '';
  readonly signals = new EventEmitter();
  readonly end: Promise<number>;
  isOver = false;

  constructor(args: readonly string[], more: Partial<Surroundings> = {}) {
    const surroundings = Object.assign(this.signals, {
      stdout: {
        write: (text: string) => {
          this.stdout += text;
        },
      },
      stderr: Object.assign(new EventEmitter(), {
        write: (text: string) => {
          this.stderr += text;
          return true;
        },
      }),
      execPath: process.execPath,
      argv: [process.execPath, main, ...args],
      ...more,
    });
    this.end = run(args, surroundings as unknown as Surroundings).finally(() => {
      this.isOver = true;
    });
  }

  async listening(): Promise<string> {
    await until(() => this.stdout.includes('\n') || this.isOver);
    return this.stdout.trimEnd();
  }
}

async function pidAt(url: string): Promise<number> {
  const text = await (await fetch(url, { headers: { connection: 'close' } })).text();
  return Number(/^hello from (\d+)$/.exec(text)?.[1]);
}

/** Ends a process that this one has not started itself: its number is known from a response. */
async function end(pid: number): Promise<void> {
  process.kill(pid, 'SIGTERM');
  await until(() => {
    try {
      return !process.kill(pid, 0);
    } catch {
      return true;
    }
  });
}

function manager(t: Test): { path: string; next(): string } {
  const path = place('notify');
  const socket = UdpSocket.bindTo({ path });
  t.teardown(() => socket.close());
  return { path, next: () => (socket.wait('readable', 20_000) ? `${socket.receive().bytes}` : 'nothing came') };
}

test('a second process takes over from the first', async (t) => {
  const way = place('way');
  const first = new Run([site, '--port', '0', '--log', 'none', '--take-over', way]);
  const url = await first.listening();
  t.equal(await pidAt(url), process.pid);
  const second = new Program(process.execPath, [main, site, '--log', 'none', '--take-over', way], {
    env: plainEnvironment(),
  });
  await second.prints(/\n/);
  t.equal(await first.end, 0);
  t.equal(first.stderr, 'A successor serves.\n');
  t.equal(second.stdout.trimEnd(), url, 'the same address');
  t.equal(await pidAt(url), second.child.pid);
  second.kill('SIGTERM');
  t.equal((await second.ends()).code, 0);
});

test('SIGHUP under systemd: a successor, and systemd is told', async (t) => {
  const systemd = manager(t);
  const env = { ...plainEnvironment(), NOTIFY_SOCKET: systemd.path };
  const first = new Run([site, '--port', '0', '--log', 'none'], { env });
  const url = await first.listening();
  t.equal(systemd.next(), `READY=1\nSTATUS=serving ${url}`);
  first.signals.emit('SIGHUP');
  t.match(systemd.next(), /^RELOADING=1\nMONOTONIC_USEC=\d+$/);
  t.equal(await first.end, 0);
  const [, pid = ''] = /^MAINPID=(\d+)$/.exec(systemd.next()) ?? [];
  t.equal(systemd.next(), `READY=1\nSTATUS=serving ${url}`, 'the successor tells');
  t.equal(await pidAt(url), Number(pid));
  await end(Number(pid));
  t.match(systemd.next(), /^STOPPING=1\n/);
});

test('a successor that cannot serve changes nothing', async (t) => {
  const way = place('way');
  for (const argv of [
    [process.execPath, main, site, '--no-such-option'],
    [process.execPath, '-e', 'process.kill(process.pid, 9)'],
  ]) {
    const first = new Run([site, '--port', '0', '--log', 'none', '--take-over', way], {
      argv: ['', ...argv.slice(1)],
      env: plainEnvironment(),
    });
    const url = await first.listening();
    first.signals.emit('SIGHUP');
    first.signals.emit('SIGHUP');
    await until(() => first.stderr.includes('this process goes on'));
    t.equal(first.stderr.match(/Starting a successor/g)?.length, 1);
    t.equal(await pidAt(url), process.pid);
    first.signals.emit('SIGTERM');
    t.equal(await first.end, 0);
  }
  const missing = new Run([site, '--port', '0', '--log', 'none', '--take-over', way], {
    execPath: '/no/such/program',
    env: {},
  });
  await missing.listening();
  missing.signals.emit('SIGHUP');
  await until(() => missing.stderr.includes('this process goes on: spawn /no/such/program ENOENT'));
  missing.signals.emit('SIGTERM');
  missing.signals.emit('SIGHUP');
  t.equal(await missing.end, 0);
});

test('a stop during a restart wins', async (t) => {
  const first = new Run([site, '--port', '0', '--log', 'none', '--take-over', place('way')], {
    argv: ['', '-e', 'setTimeout(() => {}, 50)'],
    env: plainEnvironment(),
  });
  await first.listening();
  first.signals.emit('SIGHUP');
  first.signals.emit('SIGTERM');
  t.equal(await first.end, 0);
});

test('when SIGHUP stops the command', async (t) => {
  for (const more of [
    {},
    { stdin: { isTTY: true }, env: { NOTIFY_SOCKET: '@nobody' } },
    { pid: 1, env: { NOTIFY_SOCKET: '@nobody' } },
  ]) {
    const only = new Run([site, '--port', '0', '--log', 'none'], more);
    await only.listening();
    only.signals.emit('SIGHUP');
    t.equal(await only.end, 0);
    t.equal(only.stderr, '');
  }
});

test('a socket that systemd has opened', async (t) => {
  const socket = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  t.teardown(() => socket.close());
  const { port } = socket.localAddress as { port: number };
  // exec keeps the process number, as systemd does.
  const script = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http exec "$@"';
  for (const more of [[], ['--workers', '1']]) {
    const args = [main, site, '--log', 'none', ...more];
    const { spawn } = await import('node:child_process');
    const child = spawn('sh', ['-c', script, 'sh', process.execPath, ...args], {
      env: plainEnvironment(),
      stdio: ['ignore', 'pipe', 'inherit', socket.fd],
    });
    const printed = await new Promise((resolve) => child.stdout?.once('data', (bytes) => resolve(`${bytes}`)));
    t.equal(printed, `http://127.0.0.1:${port}\n`);
    const pid = await pidAt(`http://127.0.0.1:${port}`);
    t.equal(pid === child.pid, more.length === 0);
    child.kill('SIGTERM');
    const code = await new Promise((resolve) => child.once('exit', resolve));
    t.equal(code, 0);
  }
  t.doesNotThrow(
    () => NetSocket.connectTo({ address: '127.0.0.1', port }).close(),
    'the socket is still open: it is not theirs',
  );
});
