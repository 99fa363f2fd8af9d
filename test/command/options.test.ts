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
  proxyProtocol: undefined,
  metrics: undefined,
  notice: 0,
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
    'site --port 1 --host ::1 --tls --spa --listing --cors --compress --log json --trust-proxy loopback --proxy-protocol optional --proxy-from 10.1.0.0/16,::1 --metrics [::1]:9100 --notice 2.5 --backend epoll --workers 2 --take-over way --trace';
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
    proxyProtocol: { mode: 'optional', from: '10.1.0.0/16,::1' },
    metrics: { host: '[::1]', port: 9100 },
    notice: 2.5,
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
    ['--notice 5s', "--notice is a number of seconds from 0 to 3600, not '5s'"],
    ['--notice 3600.5', "--notice is a number of seconds from 0 to 3600, not '3600.5'"],
    ['--port=', '--port is empty'],
    ['--unix=', '--unix is empty'],
    ['--unix a --port 1', '--unix is instead of --host and --port'],
    ['--unix a --host ::', '--unix is instead of --host and --port'],
    ['--trust-proxy', '--trust-proxy needs a value'],
    [
      '--trust-proxy 10.0.0.1/8',
      "--trust-proxy: '10.0.0.1/8' is an address inside a range: write 10.0.0.0/8, or the address alone",
    ],
    ['--proxy-protocol required', '--proxy-protocol and --proxy-from belong together'],
    ['--proxy-from loopback', '--proxy-protocol and --proxy-from belong together'],
    ['--proxy-protocol v2 --proxy-from loopback', "--proxy-protocol is required or optional, not 'v2'"],
    ['--proxy-protocol --proxy-from loopback', '--proxy-protocol needs a value'],
    ['--proxy-protocol= --proxy-from loopback', '--proxy-protocol is empty'],
    ['--proxy-protocol required --proxy-from=', '--proxy-from is empty'],
    [
      '--proxy-protocol required --proxy-from 10.0.0.0/33',
      "--proxy-from: '10.0.0.0/33': the length of its prefix does not fit the address",
    ],
    [
      '--proxy-protocol required --proxy-from balancer',
      "--proxy-from: 'balancer' is no address: write 192.0.2.1, 10.0.0.0/8, 2001:db8::/32, loopback or private",
    ],
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
  for (const name of [...Object.keys(options), 'proxyFrom', 'help', 'version'])
    t.match(USAGE, new RegExp(`^  --${dashed(name)}\\s`, 'm'));
  t.equal(target, '.');
});
