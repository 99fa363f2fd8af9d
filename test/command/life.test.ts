/** The command beyond one process: a socket from systemd, a successor on SIGHUP, and a second process that takes over. */

import { EventEmitter, once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { Life, type Surroundings } from '../../command/life.ts';
import { createReporter } from '../../command/reporter.ts';
import { run } from '../../command/run.ts';
import { startSuccessor, stillOpen } from '../../command/successor.ts';
import { Notifier } from '../../command/systemd.ts';
import { serve } from '../../http/index.ts';
import { LEAVE_MS } from '../../http/workers/hand-over.ts';
import { NetSocket, nodeHost, UdpSocket } from '../../simplenet/index.ts';
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
  await gone(pid);
}

function gone(pid: number): Promise<void> {
  return until(() => {
    try {
      return !process.kill(pid, 0);
    } catch {
      return true;
    }
  });
}

/** Another process that waits at the way, and gives a socket to whoever connects. `then` says what it does with `successor` when that has begun. */
async function predecessor(way: string, then: string): Promise<{ program: Program; url: string }> {
  const program = Program.script(
    `
    const { NetSocket, sendDescriptors } = await import(build + '/simplenet/index.js');
    const site = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
    const listener = NetSocket.listenOn({ path: ${JSON.stringify(way)} });
    console.log('http://127.0.0.1:' + site.localAddress.port);
    const successor = listener.accept();
    const word = Buffer.alloc(64);
    ${then}
    process.stdin.once('end', () => process.exit()).resume();`,
    { env: plainEnvironment() },
  );
  const [url] = await program.prints(/^http\S+(?=\n)/);
  return { program, url };
}

const GIVES = "sendDescriptors(successor, Buffer.from('socket own'), [site.fd]);";

async function ends({ program }: { program: Program }): Promise<void> {
  program.child.stdin?.end();
  await program.ends();
}

function manager(t: Test): { path: string; next(): string; hears(): Promise<void> } {
  const path = place('notify');
  const socket = UdpSocket.bindTo({ path });
  t.teardown(() => socket.close());
  return {
    path,
    next: () => (socket.wait('readable', 20_000) ? `${socket.receive().bytes}` : 'nothing came'),
    hears: () => until(() => socket.wait('readable', 0)), // `next` waits without turns of the loop
  };
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
  await systemd.hears();
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

test('a stop during a restart wins: the successor is ended', async (t) => {
  const started = place('started');
  const script = `require('node:fs').writeFileSync(${JSON.stringify(started)}, process.pid + '.'); setInterval(() => {}, 1000)`;
  const first = new Run([site, '--port', '0', '--log', 'none', '--take-over', place('way')], {
    argv: ['', '-e', script],
    env: plainEnvironment(),
  });
  await first.listening();
  first.signals.emit('SIGHUP');
  await until(() => existsSync(started) && readFileSync(started, 'latin1').endsWith('.'));
  first.signals.emit('SIGTERM');
  t.equal(await first.end, 0);
  await gone(Number.parseInt(readFileSync(started, 'latin1'), 10));
  t.equal(first.stderr, 'Starting a successor.\n');
});

test('a stop during a restart, whenever it comes: nobody serves afterwards', async (t) => {
  const port = await freePort();
  for (const waits of [false, true]) {
    const args = [site, '--port', String(port), '--log', 'none', '--take-over', place('way')];
    const first = new Run(args, { env: plainEnvironment() });
    const url = await first.listening();
    first.signals.emit('SIGHUP');
    const way = (first.signals.listenerCount('SIGHUP') > 0 && waysOfThisProcess()) || [];
    t.equal(way.length, 1);
    if (waits) await until(() => connectionsTo(way[0] as string) > 0); // it has the socket, and begins
    first.signals.emit('SIGTERM');
    t.equal(await first.end, 0);
    await until(() => connectionsTo(way[0] as string) === 0);
    await t.rejects(fetch(url, { headers: { connection: 'close' } }));
  }
});

async function freePort(): Promise<number> {
  const server = serve(() => {});
  const { port } = server;
  await server.close();
  return port as number;
}

/** The names at which this process waits for a successor that it has started, by /proc/net/unix. */
function waysOfThisProcess(): string[] {
  const names = readFileSync('/proc/net/unix', 'latin1').matchAll(/ (@simplenet-(\d+)-[0-9a-f]+)$/gm);
  return [...new Set([...names].flatMap(([, name = '', pid]) => (Number(pid) === process.pid ? [name] : [])))];
}

/** State 03 is a connection. */
function connectionsTo(name: string): number {
  const lines = readFileSync('/proc/net/unix', 'latin1').split('\n');
  return lines.filter((line) => line.endsWith(` ${name}`) && line.split(/ +/)[5] === '03').length;
}

test('a successor whose predecessor is gone ends, and what it has started is no successor', async (t) => {
  const env = { SIMPLENET_TAKE_OVER: '@simplenet-nobody', LISTEN_FDS: '1' };
  const late = new Run([site, '--port', '0', '--log', 'none'], { env });
  t.equal(await late.end, 1);
  t.same(
    [late.stdout, late.stderr],
    ['', 'simplenet: the process that has started this one as its successor is gone\n'],
  );
  t.same(
    env,
    { LISTEN_FDS: '1', LISTEN_PID: String(process.pid) },
    'what the predecessor passes on is for this process',
  );
});

test('SIGHUP before this process serves starts nothing', async (t) => {
  const server = serve(() => {});
  let said = '';
  const reporter = createReporter('none', (text) => {
    said += text;
  });
  const surroundings = new EventEmitter() as unknown as Surroundings;
  const life = new Life(
    server,
    { takeOver: place('way'), renew: null, ofModule: [] },
    surroundings,
    new Notifier({}, 1),
    reporter,
  );
  life.onHangUp?.();
  t.equal(said, '');
  await server.close();
});

test('a signal while the predecessor is waited for', async (t) => {
  const way = place('way');
  const gives = `const watch = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
    sendDescriptors(successor, Buffer.from('socket own metrics'), [site.fd, watch.fd]);`;
  const first = await predecessor(way, `${gives} successor.read(word); successor.read(word); console.log('alone');`);
  const second = new Run([site, '--log', 'none', '--take-over', way, '--metrics', '0']);
  await until(() => second.signals.listenerCount('SIGTERM') > 0);
  second.signals.emit('SIGTERM');
  t.equal(await second.end, 0);
  t.same([second.stdout, second.stderr], ['', '']);
  await first.program.prints(/alone/);
  await ends(first);
});

test('a predecessor that does not consent goes on, and the successor ends', async (t) => {
  const way = place('way');
  for (const [then, line] of [
    [`${GIVES} successor.read(word); successor.close();`, /^simplenet: the process at .* has not consented/],
    ['successor.close();', /^simplenet: the process at .* gives its socket to another process, or to another user\n$/],
  ] as const) {
    const first = await predecessor(way, then);
    const second = new Run([site, '--log', 'none', '--take-over', way]);
    t.equal(await second.end, 1);
    t.equal(second.stdout, '');
    t.match(second.stderr, line);
    await ends(first);
    rmSync(way);
  }
});

test('a predecessor that stands still: both serve, and nobody waits at the path for a successor', async (t) => {
  const { alarm } = nodeHost;
  t.teardown(() => Object.assign(nodeHost, { alarm }));
  Object.assign(nodeHost, {
    alarm: (ms: number, ...more: [() => void, boolean?]) => alarm(ms === LEAVE_MS ? 1 : ms, ...more),
  });
  const way = place('way');
  const first = await predecessor(way, GIVES);
  const second = new Run([site, '--log', 'none', '--take-over', way]);
  t.equal(await second.listening(), first.url);
  const [one, two, end] = second.stderr.split('\n');
  t.equal(one, 'This process serves. Its predecessor has got the word but stands still: both serve until it stops.');
  t.match(two, /^No process can take over from this one: bind EADDRINUSE/);
  t.equal(end, '');
  t.equal(await pidAt(first.url), process.pid);
  second.signals.emit('SIGTERM');
  t.equal(await second.end, 0);
  await ends(first);
});

test('a path that cannot be opened: who has taken over serves, and who begins there ends', async (t) => {
  const way = place('way');
  const yes = "successor.read(word); successor.writeAll(Buffer.from('yes')); successor.close(); site.close();";
  const first = await predecessor(way, `${GIVES} ${yes}`);
  const second = new Run([site, '--log', 'none', '--take-over', way]);
  t.equal(await second.listening(), first.url);
  t.match(
    second.stderr,
    /^No process can take over from this one: bind EADDRINUSE.*\n$/,
    'the other one is still there',
  );
  t.equal(await pidAt(first.url), process.pid);
  second.signals.emit('SIGTERM');
  t.equal(await second.end, 0);
  await ends(first);
  const file = place('file');
  writeFileSync(file, '');
  const port = await freePort();
  const only = new Run([site, '--port', String(port), '--log', 'none', '--take-over', file]);
  t.equal(await only.end, 1);
  t.match(only.stderr, /^simplenet: bind EADDRINUSE.*\n$/);
  await t.rejects(fetch(`http://127.0.0.1:${port}`), 'it has closed its port');
  const long = new Run([site, '--port', '0', '--log', 'none', '--take-over', 'x'.repeat(108)]);
  t.equal(await long.end, 2);
  t.match(long.stderr, /^simplenet: --take-over: the path of a Unix socket must have at most 107 bytes, not 108/);
});

test('nobody takes over from process 1 of a container', async (t) => {
  const way = place('way');
  const only = new Run([site, '--port', '0', '--log', 'none', '--take-over', way], { pid: 1 });
  await only.listening();
  t.equal(
    only.stderr,
    'No process can take over from this one: it is process 1, and its container would end with it.\n',
  );
  t.notOk(existsSync(way));
  only.signals.emit('SIGTERM');
  t.equal(await only.end, 0);
});

test('the file of --unix stays for the successor, and goes with the last one', async (t) => {
  for (const more of [[], ['--workers', '1']]) {
    const [way, path] = [place('way'), place('unix')];
    const args = [site, '--unix', path, '--log', 'none', '--take-over', way];
    const first = new Run(args);
    t.equal(await first.listening(), `unix:${path}`);
    const second = new Program(process.execPath, [main, ...args, ...more], { env: plainEnvironment() });
    await second.prints(/\n/);
    t.equal(await first.end, 0);
    t.ok(existsSync(path));
    second.kill('SIGTERM');
    t.equal((await second.ends()).code, 0);
    t.notOk(existsSync(path), more.join(' '));
  }
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

test('a module that takes a socket of systemd for itself: the command has the others, and successors have both', async (t) => {
  const sockets = ['127.0.0.1', '127.0.0.2'].map((address) => NetSocket.listenOn({ address, port: 0 }));
  t.teardown(() => {
    for (const socket of sockets) socket.close();
  });
  const [http, admin] = sockets.map(({ localAddress }) => localAddress) as { address: string; port: number }[];
  const module = join(folder, 'with-admin.mjs');
  const lines = [
    `import { serve } from 'file://${buildFolder}/http/index.js';`,
    'serve((_request, response) => response.text("admin " + process.pid), { systemdSocket: "admin" });',
    'export default (_request, response) => response.text("site " + process.pid);',
  ];
  writeFileSync(module, lines.join('\n'));
  const args = [main, module, '--log', 'none'];
  const systemd = manager(t);
  const env = { ...plainEnvironment(), NOTIFY_SOCKET: systemd.path };
  const program = startedBySystemd(sockets, 'http:admin', args, { env });
  await program.prints(/\n/);
  t.match(systemd.next(), /^READY=1/);
  let last = program.child.pid as number;
  const answers = async () => {
    for (const [place, text] of [
      [http, 'site'],
      [admin, 'admin'],
    ] as const) {
      const url = `http://${place?.address}:${place?.port}`;
      t.equal(await (await fetch(url, { headers: { connection: 'close' } })).text(), `${text} ${last}`);
    }
  };
  await answers();
  for (let i = 0; i < 2; i++) {
    const before = last;
    process.kill(before, 'SIGHUP');
    t.match(systemd.next(), /^RELOADING=1/);
    last = Number(/^MAINPID=(\d+)$/.exec(systemd.next())?.[1]);
    t.match(systemd.next(), /^READY=1/, 'a successor, which can have one itself');
    if (i === 0 && program.child.exitCode === null) await once(program.child, 'exit');
    await gone(before);
    await answers();
  }
  await end(last);
  const withWorkers = startedBySystemd(sockets, 'http:admin', [...args, '--workers', '1'], { env: plainEnvironment() });
  const { code, stderr } = await withWorkers.ends();
  t.equal(code, 1);
  t.match(
    stderr,
    /^simplenet: cannot load .*: the sockets of systemd are for process \d+, so this one cannot take 'admin'/,
  );
});

test('how sockets of the module are passed on', async (t) => {
  const socket = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  const server = serve(() => {});
  const file = place('passed');
  const script = `const { env } = process; const { readlinkSync, writeFileSync } = require('node:fs');
    writeFileSync(${JSON.stringify(file)}, [env.LISTEN_FDS, env.LISTEN_FDNAMES, env.LISTEN_PID, readlinkSync('/proc/self/fd/3')].join());`;
  const passed = [{ name: 'admin', fd: socket.fd, isTaken: true }];
  const command = ['env', '-u', 'NODE_OPTIONS', process.execPath, '-e', script];
  const env = { ...plainEnvironment(), LISTEN_PID: '1', LISTEN_FDS: '2', LISTEN_FDNAMES: 'http:admin' };
  const reason = await new Promise((failed) =>
    startSuccessor(server, command, env, passed, { taken: () => t.fail(), failed }),
  );
  t.equal(reason, 'it ended with code 0');
  t.equal(readFileSync(file, 'latin1'), `1,admin,,${readlinkSync(`/proc/self/fd/${socket.fd}`)}`);
  socket.close();
  await server.close();
});

test('a socket that the module has closed is not passed on', async (t) => {
  const socket = NetSocket.listenOn({ address: '127.0.0.1', port: 0 });
  const passed = { name: 'admin', fd: socket.fd, isTaken: true };
  const open = stillOpen([passed, { ...passed, fd: 1_000_000 }]);
  t.same(open(), [passed]);
  socket.close();
  t.same(open(), []);
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
