/**
 * server.ts as a person uses it: started, talked to, misused and stopped.
 */

import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, hasProgram, Program } from './support/programs.ts';

const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  new Program(process.execPath, [join(buildFolder, 'server.js'), ...args], { env: { ...process.env, ...env } });

test('it says where it listens and what to type, and echoes', async (t) => {
  const server = start(['--port', '0']);
  t.teardown(() => server.kill());
  const [line, host, port] = await server.prints(/Echoing on 127\.0\.0\.1:\d+\. .* nc (\S+) (\d+)\n/);
  t.ok(line);
  if (hasProgram('nc')) {
    const nc = new Program('nc', ['-N', host as string, port as string]);
    nc.child.stdin?.end('hello\nworld\n');
    const { code, stdout } = await nc.ends();
    t.same([code, stdout], [0, 'hello\nworld\n']);
  } else {
    t.pass('skipped: nc is not installed');
  }
  server.kill('SIGTERM');
  t.same((await server.ends()).code, 0);
});

test('the environment says host and port too', async (t) => {
  const server = start([], { HOST: '::1', PORT: '0' });
  t.teardown(() => server.kill());
  await server.prints(/Echoing on \[::1\]:\d+\. .* nc ::1 \d+\n/);
  server.kill('SIGINT');
  t.same((await server.ends()).code, 0);
});

test('wrong use ends in one clear sentence and exit code 1', async (t) => {
  const busy = start(['--port', '0']);
  t.teardown(() => busy.kill());
  const [, port] = await busy.prints(/:(\d+)\. /);
  const cases: [string[], NodeJS.ProcessEnv, RegExp][] = [
    [['--prot', '1'], {}, /^Unknown option '--prot'/],
    [['--port'], {}, /--port/],
    [['--port', 'http'], {}, /^a port is an integer from 0 to 65535, not NaN$/],
    [['--port', '65536'], {}, /^a port is an integer from 0 to 65535, not 65536$/],
    [['--port', ''], {}, /^a port is an integer/],
    [[], { PORT: '-1' }, /^a port is an integer/],
    [['--host', 'example.org', '--port', '0'], {}, /^'example\.org' is no IPv4 or IPv6 address/],
    [['--host', '192.0.2.1', '--port', '0'], {}, /^bind EADDRNOTAVAIL: .* 192\.0\.2\.1:0 \(no network interface/],
    [['--port', port as string], {}, new RegExp(`^bind EADDRINUSE: .*127\\.0\\.0\\.1:${port} \\(another socket`)],
  ];
  for (const [args, env, pattern] of cases) {
    const { code, stderr, stdout } = await start(args, env).ends();
    t.equal(code, 1, args.join(' '));
    t.equal(stdout, '');
    t.match(stderr.trimEnd(), pattern);
    t.equal(stderr.trimEnd().split('\n').length, 1, 'one line');
  }
});

test('--help explains, --trace shows the calls', async (t) => {
  const help = await start(['--help']).ends();
  t.equal(help.code, 0);
  t.match(help.stdout, /^Usage: npm start/);
  const server = start(['--port', '0', '--trace']);
  t.teardown(() => server.kill());
  await server.prints(/Echoing/);
  t.match(server.stderr, /^listen\(\d+, 4096\) = 0$/m);
});
