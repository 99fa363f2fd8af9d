/** The command beyond one process: a socket from systemd, a successor on SIGHUP, and a second process that takes over. */

import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { Surroundings } from '../../command/life.ts';
import { run } from '../../command/run.ts';
import { NetSocket, UdpSocket } from '../../simplenet/index.ts';
import type { SelfSigned } from '../../simplenet/layers/self-signed.ts';
import { certificateFor, encryptedKey } from '../support/certificates.ts';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';
import { startedBySystemd } from '../support/systemd.ts';
import { certificateAt } from '../support/tls-clients.ts';
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

test('the port of the metrics goes to the successor, too', async (t) => {
  const way = place('way');
  const watch = `127.81.${(process.pid >> 8) & 255}.${process.pid & 255}:9100`; // no other test has that address
  const args = [site, '--log', 'none', '--take-over', way, '--metrics', watch];
  const first = new Run([...args, '--port', '0']);
  await first.listening();
  const second = new Program(process.execPath, [main, ...args], { env: plainEnvironment() });
  await second.prints(/\n/);
  t.equal(await first.end, 0);
  t.equal((await fetch(`http://${watch}/readyz`)).status, 200);
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
  const files = certificateFiles();
  files.renew();
  for (const more of [
    {},
    { stdin: { isTTY: true }, env: { NOTIFY_SOCKET: '@nobody' } },
    { pid: 1, env: { NOTIFY_SOCKET: '@nobody' } },
    { stdin: { isTTY: true }, args: files.args },
  ]) {
    const { args = [], ...surroundings } = more as { args?: string[] };
    const only = new Run([site, '--port', '0', '--log', 'none', ...args], surroundings);
    await only.listening();
    only.signals.emit('SIGHUP');
    t.equal(await only.end, 0);
    t.equal(only.stderr, '');
  }
});

/** Files with a certificate, which can be renewed, and what names them to the command. */
function certificateFiles(): { args: string[]; keyFile: string; renew(): SelfSigned } {
  const [certFile, keyFile] = [place('cert'), place('key')];
  const renew = () => {
    const made = certificateFor('127.0.0.1');
    writeFileSync(certFile, made.cert);
    writeFileSync(keyFile, made.key);
    return made;
  };
  return { args: ['--cert', certFile, '--key', keyFile], keyFile, renew };
}

test('SIGHUP reads a renewed certificate, and what cannot be used is one line', async (t) => {
  const systemd = manager(t);
  const { args, keyFile, renew } = certificateFiles();
  const old = renew();
  const env = { NOTIFY_SOCKET: systemd.path }; // of a container, whose process 1 has no successor
  const only = new Run([site, '--port', '0', '--log', 'none', ...args], { pid: 1, env });
  const url = await only.listening();
  t.match(systemd.next(), /^READY=1\n/);
  t.equal(await certificateAt(url), old.cert);
  const renewed = renew();
  only.signals.emit('SIGHUP');
  t.equal(await certificateAt(url), renewed.cert);
  t.match(systemd.next(), /^RELOADING=1\n/);
  t.equal(systemd.next(), 'READY=1\nSTATUS=a new certificate');
  writeFileSync(keyFile, certificateFor('127.0.0.1').key);
  only.signals.emit('SIGHUP');
  writeFileSync(keyFile, encryptedKey);
  only.signals.emit('SIGHUP');
  rmSync(keyFile);
  only.signals.emit('SIGHUP');
  t.equal(await certificateAt(url), renewed.cert);
  t.match(systemd.next(), /^RELOADING=1\n/);
  t.equal(systemd.next(), 'READY=1\nSTATUS=the old certificate');
  const advice = `openssl pkey -in ${keyFile} -out FILE decrypts it`;
  t.same(only.stderr.split('\n'), [
    'The certificate is renewed.',
    'The certificate in use stays: --key: the key does not belong to the certificate',
    `The certificate in use stays: --key: it is encrypted, and there is no passphrase (${advice})`,
    `The certificate in use stays: --key ${keyFile}: there is no such file`,
    '',
  ]);
  only.signals.emit('SIGTERM');
  only.signals.emit('SIGHUP');
  t.equal(await only.end, 0);
});

test('SIGHUP with workers: those that replace them have the renewed certificate, or the old one if it is wrong', async (t) => {
  const { args, keyFile, renew } = certificateFiles();
  renew();
  const all = new Run([site, '--port', '0', '--log', 'none', '--workers', '1', ...args]);
  const url = await all.listening();
  const renewed = renew();
  all.signals.emit('SIGHUP');
  const reloads = () => all.stderr.match(/All workers are replaced|were not replaced/g)?.length ?? 0;
  await until(() => reloads() === 1);
  t.equal(await certificateAt(url), renewed.cert);
  writeFileSync(keyFile, 'nothing');
  all.signals.emit('SIGHUP');
  await until(() => reloads() === 2);
  t.equal(await certificateAt(url), renewed.cert);
  t.match(
    all.stderr,
    /^The certificate is renewed\.\nReplacing .*\nAll .*\nThe certificate in use stays: --key: .*\nRepl/,
  );
  all.signals.emit('SIGTERM');
  t.equal(await all.end, 0);
});

test('SIGHUP of a service: without a certificate that can be used there is no successor', async (t) => {
  const { args, keyFile, renew } = certificateFiles();
  const { cert } = renew();
  const first = new Run([site, '--port', '0', '--log', 'none', '--take-over', place('way'), ...args]);
  const url = await first.listening();
  writeFileSync(keyFile, '');
  first.signals.emit('SIGHUP');
  t.match(first.stderr, /^The certificate in use stays: --key: .*\n$/);
  t.equal(await certificateAt(url), cert);
  first.signals.emit('SIGTERM');
  t.equal(await first.end, 0);
});

test('a module that takes a socket of systemd for itself: the command has the others', async (t) => {
  const sockets = ['127.0.0.1', '127.0.0.2'].map((address) => NetSocket.listenOn({ address, port: 0 }));
  t.teardown(() => {
    for (const socket of sockets) socket.close();
  });
  const [http, admin] = sockets.map(({ localAddress }) => localAddress) as { address: string; port: number }[];
  const module = join(folder, 'with-admin.mjs');
  const lines = [
    `import { serve } from 'file://${buildFolder}/http/index.js';`,
    'serve((_request, response) => response.text("admin"), { systemdSocket: "admin" });',
    'export default (_request, response) => response.text("site");',
  ];
  writeFileSync(module, lines.join('\n'));
  const args = [main, module, '--log', 'none'];
  const program = startedBySystemd(sockets, 'http:admin', args, { env: plainEnvironment() });
  await program.prints(/\n/);
  for (const [place, text] of [
    [http, 'site'],
    [admin, 'admin'],
  ] as const) {
    const url = `http://${place?.address}:${place?.port}`;
    t.equal(await (await fetch(url, { headers: { connection: 'close' } })).text(), text);
  }
  program.kill('SIGTERM');
  t.equal((await program.ends()).code, 0);
});

test('sockets that systemd has opened: all are served, by workers too, and a successor gets them', async (t) => {
  const sockets = ['127.0.0.1', '127.0.0.2'].map((address) => NetSocket.listenOn({ address, port: 0 }));
  t.teardown(() => {
    for (const socket of sockets) socket.close();
  });
  const urls = sockets.map(({ localAddress }) => {
    const { address, port } = localAddress as { address: string; port: number };
    return `http://${address}:${port}`;
  });
  for (const more of [[], ['--workers', '1']]) {
    const systemd = manager(t);
    const env = { ...plainEnvironment(), NOTIFY_SOCKET: systemd.path };
    const program = startedBySystemd(sockets, 'http:http', [main, site, '--log', 'none', ...more], { env });
    await program.prints(/\n/);
    t.equal(program.stdout, `${urls[0]}\n`, 'one line, whatever the number of sockets');
    t.equal(systemd.next(), `READY=1\nSTATUS=serving ${urls.join(' ')}`);
    const pids = await Promise.all(urls.map(pidAt));
    t.equal(pids[0], pids[1]);
    t.equal(pids[0] === program.child.pid, more.length === 0);
    program.kill('SIGHUP');
    t.match(systemd.next(), /^RELOADING=1\n/);
    let last = program.child.pid as number;
    if (more.length === 0) {
      const [, pid = ''] = /^MAINPID=(\d+)$/.exec(systemd.next()) ?? [];
      if (program.child.exitCode === null) await once(program.child, 'exit'); // its pipes are the successor's as well
      t.equal(program.child.exitCode, 0);
      last = Number(pid);
      t.equal(systemd.next(), `READY=1\nSTATUS=serving ${urls.join(' ')}`, 'the successor');
    } else {
      t.equal(systemd.next(), 'READY=1\nSTATUS=All workers are replaced.');
    }
    let later = pids;
    while (later.includes(pids[0] as number)) later = await Promise.all(urls.map(pidAt)); // it drains, and may accept what comes at once
    t.equal(later[0], later[1]);
    t.equal(later[0] === last, more.length === 0);
    await end(last);
  }
  for (const { localAddress } of sockets) {
    t.doesNotThrow(() => NetSocket.connectTo(localAddress).close(), 'it is still open: it is not theirs');
  }
});
