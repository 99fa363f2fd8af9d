import { test } from 'tap';
import { type CommandError, WRONG_USE } from '../../command/command-error.ts';
import { parseOptions, USAGE } from '../../command/options.ts';

const defaults = {
  target: '.',
  port: undefined,
  host: undefined,
  unix: undefined,
  tls: false,
  cert: undefined,
  key: undefined,
  spa: false,
  listing: false,
  cors: false,
  compress: false,
  log: 'common',
  trustProxy: undefined,
  metrics: undefined,
  backend: undefined,
  workers: undefined,
  takeOver: undefined,
  trace: false,
};

test('without arguments: the current directory, and the defaults', async (t) => {
  t.same(parseOptions([]), defaults);
});

test('each option', async (t) => {
  const text =
    'site --port 1 --host ::1 --tls --spa --listing --cors --compress --log json --trust-proxy loopback --metrics [::1]:9100 --backend epoll --workers 2 --take-over way --trace';
  t.same(parseOptions(text.split(' ')), {
    target: 'site',
    port: '1',
    host: '::1',
    unix: undefined,
    tls: true,
    cert: undefined,
    key: undefined,
    spa: true,
    listing: true,
    cors: true,
    compress: true,
    log: 'json',
    trustProxy: 'loopback',
    metrics: { host: '[::1]', port: 9100 },
    backend: 'epoll',
    workers: '2',
    takeOver: 'way',
    trace: true,
  });
  t.same(parseOptions(['--unix', '/run/site']), { ...defaults, unix: '/run/site' });
  t.same(parseOptions(['-p', '1']), { ...defaults, port: '1' });
  t.same(parseOptions(['-p1', '-h']), 'help');
  t.same(parseOptions(['-v']), 'version');
  t.same(parseOptions(['--cert', 'a', '--key', 'b']), { ...defaults, tls: true, cert: 'a', key: 'b' });
  t.same(parseOptions(['--', '--spa']), { ...defaults, target: '--spa' });
});

test('--help and --version win over what stands beside them', async (t) => {
  t.equal(parseOptions(['a', 'b', '--help', '--version']), 'help');
  t.equal(parseOptions(['--port', '', '--version']), 'version');
});

test('what makes no sense is one sentence, and exit code 2', async (t) => {
  for (const [text, sentence] of [
    ['--prot 1', "unknown option '--prot'"],
    ['-x 1', "unknown option '-x'"],
    ['--port', '--port needs a value'],
    ['--port -1', '--port needs a value'],
    ['-p', '--port needs a value'],
    ['--unix', '--unix needs a value'],
    ['--cert a.pem', '--cert and --key belong together'],
    ['--tls --key a.pem', '--cert and --key belong together'],
    ['--spa=yes', "option '--spa' does not take an argument"],
    ['a b', "it serves one directory or module, not 'a' and 'b'"],
    ['--port=', '--port is empty'],
    ['--unix=', '--unix is empty'],
    ['--unix a --port 1', '--unix is instead of --host and --port'],
    ['--unix a --host ::', '--unix is instead of --host and --port'],
    ['--log short', "--log is one of common, json, none, not 'short'"],
  ] as const) {
    const expected = { message: `${sentence} (simplenet --help shows the options)`, exitCode: WRONG_USE };
    t.throws(() => parseOptions(text.split(' ')), expected as CommandError, text);
  }
  t.throws(() => parseOptions(['']), { message: /^the name of the directory is empty / });
});

const dashed = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

test('the usage names each option', async (t) => {
  const { target, ...options } = defaults;
  for (const name of [...Object.keys(options), 'help', 'version'])
    t.match(USAGE, new RegExp(`^  --${dashed(name)}\\s`, 'm'));
  t.equal(target, '.');
});
