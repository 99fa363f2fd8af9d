import { EventEmitter, once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import type { Surroundings } from '../../command/life.ts';
import { USAGE } from '../../command/options.ts';
import { run } from '../../command/run.ts';
import { abi, NetSocket } from '../../simplenet/index.ts';
import { libc } from '../../simplenet/kernel/libc.ts';
import { certificateFor, encryptedKey } from '../support/certificates.ts';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';

const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const site = join(folder, 'site.mjs');
const SITE = `export default (request, response) => {
  if (request.path === '/error') throw new Error('of the handler');
  if (request.path === '/exit') process.exit(3);
  response.text('hello');
};`;
writeFileSync(site, SITE);

/** A run of the command inside of this process. */
class Run {
  stdout = '';
  stderr = '';
  readonly #signals = new EventEmitter();
  readonly end: Promise<number>;
  #isOver = false;

  constructor(args: readonly string[], firstPort?: number, more: Partial<Surroundings> = {}) {
    const surroundings = Object.assign(this.#signals, {
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
      ...more,
    });
    this.end = run(args, surroundings as unknown as Surroundings, firstPort).finally(() => {
      this.#isOver = true;
    });
  }

  /** The URL, when it listens. */
  async listening(): Promise<string> {
    await until(() => this.stdout.includes('\n') || this.#isOver);
    return this.stdout.trimEnd();
  }

  /** It heeds signals, and may not serve yet. */
  stoppable(): Promise<void> {
    return until(() => this.#signals.listenerCount('SIGTERM') > 0);
  }

  signal(name: NodeJS.Signals): void {
    this.#signals.emit(name);
  }

  stop(): Promise<number> {
    this.signal('SIGINT');
    return this.end;
  }
}

test('--help and --version are on standard output', async (t) => {
  const help = new Run(['--help']);
  t.same([await help.end, help.stdout, help.stderr], [0, USAGE, '']);
  const version = new Run(['--version']);
  const manifest = JSON.parse(readFileSync(join(buildFolder, '../package.json'), 'utf8')) as { version: string };
  t.same([await version.end, version.stdout, version.stderr], [0, `${manifest.version}\n`, '']);
});

test('standard output is one line, the URL', async (t) => {
  const server = new Run([site, '--port', '0']);
  const url = await server.listening();
  t.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  t.equal(await (await fetch(url)).text(), 'hello');
  await until(() => server.stderr.includes('GET / ')); // a line is written at the end of its turn
  t.equal(await server.stop(), 0);
  t.equal(server.stdout, `${url}\n`);
  t.match(server.stderr, `simplenet serves the module ${site} `);
  t.match(server.stderr, `  Local    ${url} `);
  t.notMatch(server.stderr, 'Network');
  t.match(server.stderr, /╯\n127\.0\.0\.1 - - \[.*\] "GET \/ HTTP\/1\.1" 200 \d+\nStopping\.\n$/);
});

test('without a port: the first, or the next free one, and it says so', async (t) => {
  const busy = createServer().listen(0, '127.0.0.1');
  await once(busy, 'listening');
  const { port } = busy.address() as AddressInfo;
  const second = new Run([site], port);
  const url = await second.listening();
  const taken = Number(new URL(url).port);
  t.ok(taken > port && taken < port + 20, `${taken} instead of ${port}`);
  t.match(second.stderr, `Port ${port} is busy, so it is ${taken}.\n`);
  await second.stop();
  busy.close();
  await once(busy, 'close');
  const first = new Run([site], port);
  t.equal(await first.listening(), `http://127.0.0.1:${port}`);
  t.notMatch(first.stderr, 'busy');
  await first.stop();
});

test('a port that was named and is busy is an error', async (t) => {
  const busy = createServer().listen(0, '127.0.0.1');
  await once(busy, 'listening');
  const { port } = busy.address() as AddressInfo;
  const second = new Run([site, '--port', String(port)]);
  t.equal(await second.end, 1);
  t.equal(second.stdout, '');
  t.match(second.stderr, new RegExp(`^simplenet: bind EADDRINUSE: .*:${port} \\(another socket .*\\)\n$`));
  busy.close();
});

test('--unix listens on a file, and removes it', async (t) => {
  const path = join(folder, 'socket');
  const server = new Run([site, '--unix', path, '--log', 'none']);
  t.equal(await server.listening(), `unix:${path}`);
  const client = NetSocket.connectTo({ path });
  client.close();
  t.ok(existsSync(path));
  t.equal(await server.stop(), 0);
  t.notOk(existsSync(path));
  t.equal(server.stderr, '');
});

test('--tls: HTTPS with a certificate for development, whose fingerprint is in the box', async (t) => {
  const { XDG_CACHE_HOME: before } = process.env;
  process.env.XDG_CACHE_HOME = join(folder, 'cache');
  t.teardown(() => {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
  });
  const server = new Run([site, '--port', '0', '--tls']);
  const url = await server.listening();
  t.match(url, /^https:\/\/127\.0\.0\.1:\d+$/);
  await until(() => server.stderr.includes('Ctrl-C'));
  const asked = request(url, { rejectUnauthorized: false, agent: false }).end();
  const [response] = await once(asked, 'response');
  const { fingerprint256 } = response.socket.getPeerCertificate();
  t.equal(String(await once(response, 'data')), 'hello');
  const shown = [...server.stderr.matchAll(/(?:[0-9A-F]{2}:){15}[0-9A-F]{2}/g)].map(([half]) => half);
  t.equal(shown.join(':'), fingerprint256);
  await server.stop();
});

test('--cert and --key: those of files', async (t) => {
  const [mine, other] = [certificateFor('127.0.0.1'), certificateFor('127.0.0.1')];
  const [cert, key, wrong] = [join(folder, 'cert.pem'), join(folder, 'key.pem'), join(folder, 'wrong.pem')];
  writeFileSync(cert, mine.cert);
  writeFileSync(key, mine.key);
  writeFileSync(wrong, other.key);
  const server = new Run([site, '--port', '0', '--cert', cert, '--key', key]);
  const asked = request(await server.listening(), { ca: mine.cert, agent: false }).end();
  const [response] = await once(asked, 'response');
  t.equal(String(await once(response, 'data')), 'hello');
  await server.stop();
  t.notMatch(server.stderr, /SHA-256/);
  const failed = async (...args: string[]) => {
    const run = new Run([site, '--port', '0', ...args]);
    return [await run.end, run.stderr];
  };
  const encrypted = join(folder, 'encrypted.pem');
  writeFileSync(encrypted, encryptedKey);
  t.same(await failed('--cert', cert, '--key', encrypted), [
    2,
    `simplenet: --key: it is encrypted, and there is no passphrase (openssl pkey -in ${encrypted} -out FILE decrypts it)\n`,
  ]);
  t.same(await failed('--cert', cert, '--key', wrong), [
    2,
    'simplenet: --key: the key does not belong to the certificate\n',
  ]);
  t.same(await failed('--cert', cert, '--key', join(folder, 'none')), [
    1,
    `simplenet: --key ${folder}/none: there is no such file\n`,
  ]);
  t.same(await failed('--cert', folder, '--key', key), [1, `simplenet: --cert ${folder}: it is a directory\n`]);
});

test('--proxy-protocol: the client is the one that the header names, with workers too', async (t) => {
  const client = join(folder, 'client.mjs');
  writeFileSync(client, 'export default ({ clientAddress }, response) => response.text(clientAddress);');
  const ask = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
  const header = 'PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n';
  for (const [mode, more] of [
    ['required', []],
    ['optional', ['--workers', '1']],
  ] as const) {
    const args = ['--proxy-protocol', mode, '--proxy-from', 'loopback', ...more];
    const run = new Run([client, '--port', '0', '--log', 'none', ...args]);
    const { port } = new URL(await run.listening());
    const answerTo = async (bytes: string) => {
      const raw = new RawClient(Number(port)).write(bytes);
      await raw.ended();
      return raw.text.split('\r\n\r\n')[1];
    };
    t.equal(await answerTo(header + ask), '192.0.2.1');
    t.equal(await answerTo(ask), mode === 'optional' ? '127.0.0.1' : undefined, mode);
    t.equal(await run.stop(), 0);
  }
});

test('a wildcard address has a URL for this machine', async (t) => {
  const server = new Run([site, '--port', '0', '--host', '0.0.0.0']);
  const url = await server.listening();
  t.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  await server.stop();
});

test('the network cards are asked for a wildcard address that is shown, and may be out of reach', async (t) => {
  let asked = 0;
  const networkInterfaces = () => {
    asked++;
    throw new Error('uv_interface_addresses returned Unknown system error 97');
  };
  for (const [host, log, count] of [
    ['0.0.0.0', 'common', 1],
    ['0.0.0.0', 'json', 2],
    ['0.0.0.0', 'none', 2],
    ['127.0.0.1', 'common', 2],
  ] as const) {
    const server = new Run([site, '--port', '0', '--host', host, '--log', log], undefined, { networkInterfaces });
    t.match(await server.listening(), /^http:/);
    t.equal(asked, count, `${host} ${log}`);
    t.equal(await server.stop(), 0);
    t.notMatch(server.stderr, /Network|http:\/\/0/);
  }
});

test('--log json: each line is an object, errors of handlers too', async (t) => {
  const server = new Run([site, '--port', '0', '--log', 'json']);
  const url = await server.listening();
  t.equal((await fetch(`${url}/error`)).status, 500);
  await until(() => server.stderr.includes('"status":500'));
  await server.stop();
  const lines = server.stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(lines, [
    { event: 'started', serves: `the module ${site}`, url },
    { event: 'error', method: 'GET', path: '/error', error: /^Error: of the handler\n/ },
    { method: 'GET', path: '/error', status: 500 },
    { event: 'stopping', waitingFor: 0 },
  ]);
});

test('--trace shows the calls, until the end', async (t) => {
  const server = new Run([site, '--port', '0', '--trace', '--log', 'none']);
  await server.listening();
  t.match(server.stderr, /^listen\(\d+, \d+\) = 0$/m);
  await server.stop();
  const { stderr } = server;
  NetSocket.listenOn({ address: '127.0.0.1', port: 0 }).close();
  t.equal(server.stderr, stderr);
});

test('what cannot be is one line: 2 for wrong use, 1 for the rest', async (t) => {
  for (const [args, exitCode, line] of [
    [['--prot'], 2, "unknown option '--prot' (simplenet --help shows the options)"],
    [[site, '--port', '65536'], 2, "a port is an integer from 0 to 65535, not '65536'"],
    [[site, '--backend', 'kqueue'], 2, /^a backend is one of .*, not 'kqueue'$/],
    [[site, '--host', 'example.org'], 2, /^'example\.org' is not an IPv4 or IPv6 address/],
    [['./nowhere'], 1, "there is no directory or module './nowhere'"],
    [[site, '--spa'], 2, `--spa is for a directory, and '${site}' is a file`],
    [[site, '--listing'], 2, `--listing is for a directory, and '${site}' is a file`],
    [[`${site}/nowhere`], 1, /^cannot read '.*nowhere': ENOTDIR/],
    [[site, '--unix', join(folder, 'no/socket')], 1, /^bind ENOENT: /],
  ] as const) {
    const wrong = new Run(args);
    t.equal(await wrong.end, exitCode, args.join(' '));
    t.equal(wrong.stdout, '');
    const [, text = ''] = /^simplenet: (.*)\n$/.exec(wrong.stderr) ?? [];
    if (typeof line === 'string') t.equal(text, line);
    else t.match(text, line);
  }
});

test('an error of this code is not hidden', async (t) => {
  const failure = new Error('of this code');
  const write = () => {
    throw failure;
  };
  await t.rejects(run(['--help'], { stdout: { write } } as unknown as Surroundings), failure);
});

test('workers serve, and SIGHUP replaces them', async (t) => {
  const run = new Run([site, '--workers', '1', '--port', '0', '--log', 'json']);
  const url = await run.listening();
  t.equal(await (await fetch(`${url}/`, { headers: { connection: 'close' } })).text(), 'hello');
  run.signal('SIGHUP');
  run.signal('SIGHUP');
  await until(() => run.stderr.includes('All workers are replaced.'));
  t.equal(run.stderr.match(/Replacing the workers/g)?.length, 1, 'one restart at a time');
  writeFileSync(site, 'export default 5;');
  run.signal('SIGHUP');
  await until(() => run.stderr.includes('The workers were not replaced: '));
  writeFileSync(site, SITE);
  t.equal(await (await fetch(`${url}/`, { headers: { connection: 'close' } })).text(), 'hello', 'the old ones go on');
  await t.rejects(fetch(`${url}/exit`));
  await until(() => /worker 0 \(process \d+\) ended with code 3: another one starts/.test(run.stderr));
  t.equal(await run.stop(), 0);
});

test('workers that cannot begin end the command with their sentence', async (t) => {
  const broken = join(folder, 'broken.mjs');
  writeFileSync(broken, 'throw new TypeError("I am broken")');
  const run = new Run([broken, '--workers', '1', '--port', '0']);
  t.equal(await run.end, 1);
  t.match(run.stderr, /^simplenet: cannot load '.*broken\.mjs': TypeError: I am broken, at .*\n$/);
  const directory = new Run([folder, '--workers', '0', '--port', '0']);
  t.equal(await directory.end, 2);
  t.match(directory.stderr, /^simplenet: --workers must be an integer from 1 to 256, or 'auto', not 0\n$/);
  const word = new Run([site, '--workers', 'atuo', '--port', '0']);
  t.equal(await word.end, 2);
  t.match(word.stderr, /--workers is a number or 'auto', not 'atuo'/);
  for (const [args, line] of [
    [['--workers', '1.5'], "--workers must be an integer from 1 to 256, or 'auto', not '1.5'"],
    [['--workers=-1'], "--workers must be an integer from 1 to 256, or 'auto', not '-1'"],
    [['--workers', '1', '--backend', 'foo'], "a backend is one of epoll, auto, io_uring, not 'foo'"],
  ] as const) {
    const wrong = new Run([site, '--port', '0', ...args]);
    t.equal(await wrong.end, 2);
    t.equal(wrong.stderr, `simplenet: ${line}\n`);
  }
});

test('an event loop that the kernel forbids is one line, with workers too', async (t) => {
  const { io_uring_setup } = libc;
  t.teardown(() => Object.assign(libc, { io_uring_setup }));
  Object.assign(libc, { io_uring_setup: () => -abi.EPERM });
  for (const more of [[], ['--workers', '1']]) {
    const run = new Run([site, '--port', '0', '--backend', 'io_uring', ...more]);
    t.equal(await run.end, 1);
    t.match(run.stderr, /^simplenet: the io_uring backend is not available: .*\n$/);
  }
});

test('a signal before the workers serve is a signal', async (t) => {
  const slow = join(folder, 'slow.mjs');
  writeFileSync(slow, 'await new Promise((resolve) => setTimeout(resolve, 60_000)); export default () => {};');
  const run = new Run([slow, '--workers', '1', '--port', '0', '--log', 'none']);
  await run.stoppable();
  run.signal('SIGTERM');
  t.same([await run.end, run.stdout, run.stderr], [0, '', '']);
});

test('a worker outlives the reader of its output', async (t) => {
  const talks = join(folder, 'talks.mjs');
  const lines = [
    'export default (_request, response) => {',
    "  process.stdout.write('a request');",
    '  response.text(String(process.pid));',
    '};',
  ];
  writeFileSync(talks, lines.join('\n'));
  const args = [join(buildFolder, 'command/main.js'), talks, '--workers', '1', '--port', '0', '--log', 'none'];
  const program = new Program(process.execPath, args, { env: plainEnvironment() });
  const [, url = ''] = await program.prints(/^(http\S+)\n/);
  program.child.stdout?.destroy();
  const pids = new Set<string>();
  for (let i = 0; i < 5; i++) pids.add(await (await fetch(url, { headers: { connection: 'close' } })).text());
  t.equal(pids.size, 1);
  program.kill('SIGTERM');
  const { code, stderr } = await program.ends();
  t.same([code, stderr], [0, '']);
});

test('--metrics: on a port of their own, which may be busy or make no sense', async (t) => {
  const run = new Run([site, '--port', '0', '--metrics', '0']);
  t.match(await run.listening(), /^http:/);
  run.signal('SIGINT');
  t.equal(await run.end, 0);
  const busy = createServer().listen(0, '127.0.0.1');
  t.teardown(() => busy.close());
  await once(busy, 'listening');
  const { port } = busy.address() as AddressInfo;
  const refused = new Run([site, '--metrics', `127.0.0.1:${port}`]);
  t.equal(await refused.end, 1);
  t.match(refused.stderr, new RegExp(`EADDRINUSE.*${port}`));
  const wrong = new Run([site, '--metrics', '65536']);
  t.equal(await wrong.end, 2);
  t.match(wrong.stderr, /--metrics must be an integer from 0 to 65535, not 65536/);
  const text = new Run([site, '--metrics', 'x']);
  t.equal(await text.end, 2);
  t.match(text.stderr, /--metrics is a port, or an address and a port, not 'x'/);
});
