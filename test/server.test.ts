/**
 * server.ts as a person uses it: started, asked with curl as it says itself, misused and stopped.
 */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { readPcap } from '../simplenet/tcpip/link/pcap.ts';
import { certificateFor } from './support/certificates.ts';
import { besideProcess, inNamespace, noTapNamespace } from './support/network-namespace.ts';
import { buildFolder, hasProgram, type Outcome, Program } from './support/programs.ts';
import { certificateAt } from './support/tls-clients.ts';

/** What `--help` prints. */
const USAGE_LINES = 17;

const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  new Program(process.execPath, [join(buildFolder, 'server.js'), ...args], { env: { ...process.env, ...env } });

const curl = (args: readonly string[]): Promise<Outcome> =>
  new Program('curl', ['-sS', '--max-time', '20', ...args], { cwd: join(buildFolder, '..') }).ends();

async function startOnAnyPort(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<[Program, string]> {
  const server = start(['--port', '0', ...args], env);
  const [, url] = await server.prints(/Listening on (http:\/\/\S+:\d+)\. In another terminal, type:\n/);
  return [server, url as string];
}

/**
 * The server once for each of these, in one process, since Node takes longer to start than server.ts to refuse. The process ends by itself:
 * nothing that was refused has left anything open.
 */
async function startTogether(
  runs: readonly (readonly [args: readonly string[], env: NodeJS.ProcessEnv])[],
): Promise<Pick<Outcome, 'code' | 'stdout' | 'stderr'>[]> {
  const program = Program.script(`
    import { format } from 'node:util';
    const { log, error } = console;
    const inherited = { ...process.env };
    for (const [i, [args, env]] of ${JSON.stringify(runs)}.entries()) {
      process.argv = [process.execPath, ...args]; // with --eval there is no file of a program
      process.env = { ...inherited, ...env };
      process.exitCode = 0;
      const written = { stdout: '', stderr: '' };
      console.log = (...values) => void (written.stdout += format(...values) + '\\n');
      console.error = (...values) => void (written.stderr += format(...values) + '\\n');
      await import(build + '/server.js?' + i);
      log(JSON.stringify({ code: process.exitCode, ...written }));
    }
    process.exitCode = 0;`);
  const { code, stdout, stderr } = await program.ends();
  if (code !== 0) throw new Error(`it ended with ${code}: ${stderr}`);
  const lines = stdout.trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Pick<Outcome, 'code' | 'stdout' | 'stderr'>);
}

test('--workers serves with several processes', async (t) => {
  const [server, url] = await startOnAnyPort(['--workers', '2']);
  t.teardown(() => server.kill());
  t.equal(
    await (await fetch(`${url}/hello/workers`, { headers: { connection: 'close' } })).text(),
    'Hello, workers!\n',
  );
  server.kill('SIGTERM');
  t.same((await server.ends()).code, 0);
});

test('the curl lines that it prints work', async (t) => {
  const [server, url] = await startOnAnyPort();
  t.teardown(() => server.kill());
  await server.prints(/\/slow\n/);
  const lines = [...server.stdout.matchAll(/^ {2}curl (.*)$/gm)].map((match) => (match[1] as string).split(' '));
  t.equal(lines.length, 3);
  if (!hasProgram('curl')) {
    t.pass('skipped: curl is not installed');
    return;
  }
  const outputs = await Promise.all(lines.map((args) => curl(args)));
  const manifest = readFileSync(join(buildFolder, '../package.json'));
  const sha256 = createHash('sha256').update(manifest).digest('hex');
  t.same(
    outputs.map(({ stdout }) => stdout),
    ['Hello, world!\n', JSON.stringify({ bytes: manifest.length, sha256 }), '5...\n4...\n3...\n2...\n1...\nDone.\n'],
  );
  t.match((await curl([`${url}/`])).stdout, /^Hello from raw system calls\.\n$/);
  t.equal((await curl(['--json', '{"a":[1,2]}', `${url}/json`])).stdout, '{"received":{"a":[1,2]}}');
  // curl --json accepts JSON, so the error is JSON as well.
  t.match(
    (await curl(['--json', '{"a":', '-i', `${url}/json`])).stdout,
    /^HTTP\/1\.1 400 [\s\S]*not valid JSON: it ends too early at line 1, column 6"\}$/,
  );
  const seen = JSON.parse((await curl(['-X', 'PATCH', '-H', 'X-Odd: 1', `${url}/request?a=b`])).stdout);
  t.match(seen, {
    method: 'PATCH',
    path: '/request',
    query: { a: 'b' },
    httpVersion: '1.1',
    remoteAddress: '127.0.0.1',
  });
  t.ok((seen.headers as string[][]).some(([name, value]) => name === 'X-Odd' && value === '1'));
  t.match((await curl(['-i', `${url}/error`])).stdout, /^HTTP\/1\.1 500 [\s\S]*Internal Server Error\n$/);
  t.match(server.stderr, /this error is deliberate/);
  t.match((await curl(['-i', `${url}/nowhere`])).stdout, /^HTTP\/1\.1 404 /);
  t.match((await curl(['-i', '-X', 'DELETE', url])).stdout, /^HTTP\/1\.1 405 [\s\S]*Allow: GET, HEAD, OPTIONS\r\n/);
});

test('--tls: the curl lines trust the certificate that it has made', async (t) => {
  const folder = t.testdir();
  const server = start(['--port', '0', '--tls'], { XDG_CACHE_HOME: folder });
  t.teardown(() => server.kill());
  await server.prints(/SHA-256: (?:[0-9A-F]{2}:){31}[0-9A-F]{2}\n/);
  const [, args = ''] = /^ {2}curl (--cacert .*\/hello\/world)$/m.exec(server.stdout) ?? [];
  t.match(args, `--cacert ${folder}/simplenet/development-certificate.pem https://127.0.0.1:`);
  if (hasProgram('curl')) {
    t.equal((await curl(args.split(' '))).stdout, 'Hello, world!\n');
    t.match((await curl(['-i', ...args.split(' ')])).stdout, /^Strict-Transport-Security: max-age=31536000/m);
  }
  const key = join(folder, 'simplenet', 'development-certificate.pem');
  const own = start(['--port', '0', '--cert', key, '--key', key]);
  t.teardown(() => own.kill());
  await own.prints(/\n {2}curl https:\/\/127\.0\.0\.1:\d+\/hello\/world\n/);
});

test('SIGHUP reads --cert and --key again, also for workers', async (t) => {
  const folder = t.testdir();
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const renew = () => {
    const made = certificateFor('127.0.0.1');
    writeFileSync(certFile, made.cert);
    writeFileSync(keyFile, made.key);
    return made.cert;
  };
  const old = renew();
  const starts = [[], ['--workers', '1']].map(async (more) => {
    const server = start(['--port', '0', '--cert', certFile, '--key', keyFile, ...more]);
    t.teardown(() => server.kill());
    const [, url = ''] = await server.prints(/Listening on (https:\/\/\S+:\d+)\./);
    await server.prints(/\/slow\n/);
    t.equal(await certificateAt(url), old);
    return { server, url };
  });
  const all = await Promise.all(starts);
  const renewed = renew();
  for (const { server } of all) server.kill('SIGHUP');
  for (const { url } of all) while ((await certificateAt(url)) !== renewed);
  rmSync(keyFile);
  for (const { server, url } of all) {
    server.kill('SIGHUP');
    while (!server.stderr.includes('\n')) await once(server.child.stderr as NodeJS.ReadableStream, 'data');
    t.match(server.stderr, /^The certificate in use stays: ENOENT.*\n$/);
    t.equal(await certificateAt(url), renewed);
    server.kill('SIGTERM');
    t.equal((await server.ends()).code, 0);
  }
});

test('--tls without a place to keep the certificate', async (t) => {
  const folder = t.testdir({ file: '' });
  const server = start(['--port', '0', '--tls'], { XDG_CACHE_HOME: join(folder, 'file') });
  t.teardown(() => server.kill());
  await server.prints(/\n {2}curl -k https:[\s\S]*\nIt is for this run alone: ENOTDIR/);
});

test('[::1] is an address, and an empty variable of the environment is as if absent', async (t) => {
  const server = start(['--host', '[::1]', '--port', '0'], { SIMPLENET_BACKEND: '', HOST: '' });
  t.teardown(() => server.kill());
  await server.prints(/Listening on http:\/\/\[::1\]:\d+\. /);
});

test('the environment says host and port too', async (t) => {
  const server = start([], { HOST: '::1', PORT: '0' });
  t.teardown(() => server.kill());
  await server.prints(/Listening on http:\/\/\[::1\]:\d+\. /);
  server.kill('SIGINT');
  t.same((await server.ends()).code, 0);
});

const onTap = ['--tap', 'tap0', '--address', '10.9.0.2/24'];

test('wrong use ends in one clear sentence and exit code 1', async (t) => {
  const [busy, url] = await startOnAnyPort();
  t.teardown(() => busy.kill());
  const { port } = new URL(url);
  const cases: [string[], NodeJS.ProcessEnv, RegExp][] = [
    [['--prot', '1'], {}, /^Unknown option '--prot'$/],
    [['--port'], {}, /^Option '--port <value>' argument missing$/],
    [['extra'], {}, /^Unexpected argument 'extra'/],
    [['--port', 'http'], {}, /^a port is an integer from 0 to 65535, not 'http'$/],
    [['--port', ''], {}, /^--port is empty$/],
    [['--port', '65536'], {}, /^a port is an integer from 0 to 65535, not '65536'$/],
    [[], { PORT: '-1' }, /^a port is an integer from 0 to 65535, not '-1'$/],
    [['--backend', 'kqueue'], {}, /^a backend is one of epoll, auto, io_uring, not 'kqueue'$/],
    [['--host', 'example.org', '--port', '0'], {}, /^'example\.org' is not an IPv4 or IPv6 address/],
    [['--host', '192.0.2.1', '--port', '0'], {}, /^bind EADDRNOTAVAIL: .* 192\.0\.2\.1:0 \(no network interface/],
    [['--address', '10.9.0.2/24'], {}, /^--address is for a network of its own, so it needs --tap$/],
    [['--gateway', '10.9.0.1'], {}, /^--gateway is for a network of its own, so it needs --tap$/],
    [['--pcap', 'frames.pcap'], {}, /^--pcap is for a network of its own, so it needs --tap$/],
    [['--cert', 'cert.pem'], {}, /^--cert and --key belong together$/],
    [['--tap', 'tap0'], {}, /^--tap needs --address, such as 10\.9\.0\.2\/24$/],
    [[...onTap, '--host', '10.9.0.2'], {}, /^--host is an address of the kernel: with --tap it is --address$/],
    [[...onTap, '--workers', '2'], {}, /^--workers share a socket of the kernel: with --tap there is none$/],
    [['--workers', '0', '--port', '0'], {}, /^workers must be an integer from 1 to 256, or 'auto', not 0$/],
    [[...onTap, '--backend', 'epoll'], {}, /^--backend is a loop of the kernel: with --tap there is none to choose$/],
    [['--tap', 'a/b', '--address', '10.9.0.2/24'], {}, /^a network interface has a name of 1 to 15 bytes/],
    [['--port', port], {}, new RegExp(`^bind EADDRINUSE: .*127\\.0\\.0\\.1:${port} \\(another socket`)],
  ];
  const together = await startTogether(cases.map(([args, env]) => [args, env]));
  // The first and the last one are processes of their own: the shape of all, and the one in which the kernel refuses.
  const [first, last] = [cases.at(0), cases.at(-1)] as [(typeof cases)[number], (typeof cases)[number]];
  const alone = await Promise.all([first, last].map(([args, env]) => start(args, env).ends()));
  t.same(
    alone.map(({ code, stderr, stdout }) => ({ code, stderr, stdout })),
    [together.at(0), together.at(-1)],
  );
  for (const [i, { code, stderr, stdout }] of together.entries()) {
    const [args, , pattern] = cases[i] as (typeof cases)[number];
    t.equal(code, 1, args.join(' '));
    t.equal(stdout, '');
    const [sentence = '', ...rest] = stderr.trimEnd().split('\n');
    t.match(sentence, pattern);
    // Who mistypes an option sees which there are. All other mistakes are one line.
    t.equal(rest.length, /option|argument/i.test(sentence) ? USAGE_LINES + 1 : 0, sentence);
  }
});

test('SIGTERM lets an answer under way be completed, a second SIGINT does not', async (t) => {
  for (const [signals, isComplete] of [
    [['SIGTERM'], true],
    [['SIGINT', 'SIGINT'], false],
  ] as [NodeJS.Signals[], boolean][]) {
    const [server, url] = await startOnAnyPort();
    t.teardown(() => server.kill());
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
    let text = '';
    socket.setEncoding('latin1').on('data', (piece: string) => {
      text += piece;
      // The second signal only after the first has been heard.
      if (/4\.\.\./.test(piece)) server.kill(signals[0]);
      if (/3\.\.\./.test(piece) && signals.length > 1) server.kill(signals[1]);
    });
    const { code } = await server.ends();
    t.equal(code, isComplete ? 0 : 130);
    t.equal(/Done\.\n\r\n0\r\n\r\n$/.test(text), isComplete);
    socket.destroy();
  }
});

test('--help explains, --trace shows the calls', async (t) => {
  const help = await start(['--help']).ends();
  t.equal(help.code, 0);
  t.match(help.stdout, /^Usage: npm start/);
  const [server] = await startOnAnyPort(['--trace']);
  t.teardown(() => server.kill());
  t.match(server.stderr, /^listen\(\d+, 4096\) = 0$/m);
});

/** The server of `--tap` in a network namespace, where the commands that it prints are typed. */
async function serverOnTap(
  args: readonly string[],
): Promise<[server: Program, type: (commands: string) => Promise<Outcome>]> {
  const [command, ...options] = inNamespace;
  const program = [process.execPath, join(buildFolder, 'server.js'), ...onTap, ...args];
  const server = new Program(command, [...options, ...program]);
  await server.prints(/\/slow\n/);
  const type = (commands: string) => {
    const [nsenter, args] = besideProcess(server.child.pid as number, ['sh', '-ec', commands]);
    return new Program(nsenter, args, { cwd: join(buildFolder, '..') }).ends();
  };
  return [server, type];
}

/** The lines that can be typed. */
function commandsIn(text: string): string[] {
  return [...text.matchAll(/^ {2}((?:ip|curl) .*)$/gm)].map((match) => match[1] as string);
}

test('--tap with a certificate: HTTPS on a stack of its own', { skip: noTapNamespace() }, async (t) => {
  if (!hasProgram('curl')) return void t.pass('skipped: curl is not installed');
  const { cert, key } = certificateFor('10.9.0.2');
  const folder = t.testdir({ 'cert.pem': cert, 'key.pem': key });
  const [server, type] = await serverOnTap([
    '--port',
    '443',
    '--cert',
    `${folder}/cert.pem`,
    '--key',
    `${folder}/key.pem`,
  ]);
  t.teardown(() => server.kill());
  await server.prints(/ip tuntap .*\n/);
  const [hello = '', , , address, up] = commandsIn(server.stdout);
  t.match(hello, 'curl https://10.9.0.2:443/hello/world');
  const { stdout, stderr } = await type([address, up, `${hello} -sS --cacert ${folder}/cert.pem`].join('\n'));
  t.equal(stdout, 'Hello, world!\n', stderr);
  server.kill('SIGTERM');
  t.equal((await server.ends()).code, 0);
});

test('--tap serves on a stack of its own, and what it prints makes Linux reach it', {
  skip: noTapNamespace(),
}, async (t) => {
  if (!hasProgram('curl')) return void t.pass('skipped: curl is not installed');
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-server-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'frames.pcap');
  const [server, type] = await serverOnTap(['--pcap', file, '--trace']);
  t.teardown(() => server.kill());
  await server.prints(/ip tuntap .*\n/);
  const commands = commandsIn(server.stdout);
  t.same(
    commands.map((line) => line.split(' ').slice(0, 2).join(' ')),
    ['curl http://10.9.0.2:80/hello/world', 'curl -T', 'curl -N', 'ip addr', 'ip link', 'ip tuntap'],
  );
  const [hello, upload, , address, up] = commands;
  const { stdout, stderr } = await type([address, up, `${hello} -sS`, `${upload} -sS`].join('\n'));
  t.match(stdout, /^Hello, world!\n\{"bytes":\d+,"sha256":"[0-9a-f]{64}"\}$/, stderr);
  server.kill('SIGTERM');
  t.equal((await server.ends()).code, 0);
  for (const line of [
    /^ARP, Reply 10\.9\.0\.2 is-at 02:00:0a:09:00:02, length 28$/m,
    /^IP 10\.9\.0\.2\.80 > 10\.9\.0\.1\.\d+: Flags \[S\.\], seq /m,
    /^10\.9\.0\.1:\d+ onData\("GET \/hello\/world HTTP\/1\.1\\r\\n/m,
    /^10\.9\.0\.1:\d+ write\("HTTP\/1\.1 200 OK\\r\\n/m,
  ]) {
    t.match(server.stderr, line);
  }
  const frames = readPcap(readFileSync(file)) ?? [];
  t.ok(frames.length > 10, `${frames.length} frames`);
});

test('--tap without the right to do so is one sentence, which says what helps', {
  skip: noTapNamespace(),
}, async (t) => {
  const withoutRights = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin', '--'];
  if (process.getuid?.() !== 0) withoutRights.length = 0;
  else if (!hasProgram('setpriv')) return void t.pass('skipped: setpriv is not installed');
  const [program = '', ...args] = [...withoutRights, process.execPath, join(buildFolder, 'server.js'), ...onTap];
  const { code, stdout, stderr } = await new Program(program, args).ends();
  t.equal(code, 1);
  t.equal(stdout, '');
  t.equal(
    stderr,
    '--tap tap0 takes root or CAP_NET_ADMIN: examples/with-tap.sh gives a command both, and a network of its own\n',
  );
});
