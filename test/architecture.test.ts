/**
 * Which way the arrows point: a table of what each file may import, and what nobody may.
 *
 * A new import between files is a decision about the design. It fails here until somebody writes it down.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { test } from 'tap';

const root = join(import.meta.dirname, '../..');

/** File -> the files of this project that it may import. Node's own modules are judged separately. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'simplenet/abi.ts': [],
  'simplenet/ffi.ts': [],
  'simplenet/true-bytes.ts': [],
  'simplenet/libc.ts': ['abi', 'ffi', 'true-bytes'],
  'simplenet/system-error.ts': ['socket-address'],
  'simplenet/interruption.ts': ['abi'],
  'simplenet/setbacks.ts': ['abi'],
  'simplenet/ip-address.ts': [],
  'simplenet/socket-address.ts': ['abi', 'ip-address'],
  'simplenet/socket-filter.ts': ['abi'],
  'simplenet/socket-options.ts': ['abi', 'socket-filter'],
  'simplenet/this-thread.ts': ['ffi'],
  'simplenet/descriptor.ts': ['libc', 'this-thread'],
  'simplenet/socket.ts': [
    'abi',
    'libc',
    'system-error',
    'interruption',
    'socket-address',
    'socket-filter',
    'socket-options',
    'descriptor',
  ],
  'simplenet/net-socket.ts': [
    'abi',
    'libc',
    'system-error',
    'interruption',
    'socket-address',
    'socket-options',
    'socket',
  ],
  'simplenet/udp-socket.ts': ['abi', 'libc', 'system-error', 'interruption', 'socket-address', 'socket'],
  'simplenet/socket-file.ts': ['libc', 'system-error', 'socket-address', 'net-socket'],
  'simplenet/epoll.ts': ['abi', 'libc', 'system-error', 'interruption', 'descriptor'],
  'simplenet/event-loop.ts': ['system-error', 'socket-address', 'socket-options', 'net-socket', 'host'],
  'simplenet/host.ts': [],
  'simplenet/node-host.ts': ['ffi', 'system-error', 'this-thread', 'host'],
  'simplenet/active-clock.ts': [],
  'simplenet/deadlines.ts': ['active-clock', 'host'],
  'simplenet/output-watch.ts': ['deadlines', 'event-loop'],
  'simplenet/turn-budget.ts': ['host'],
  'simplenet/write-queue.ts': ['abi', 'true-bytes'],
  'simplenet/slow-start.ts': [],
  'simplenet/socket-loop.ts': [
    'abi',
    'libc',
    'socket-address',
    'socket-options',
    'socket',
    'net-socket',
    'udp-socket',
    'socket-file',
    'setbacks',
    'system-error',
    'event-loop',
    'host',
    'active-clock',
    'deadlines',
    'starvation',
    'turn-budget',
  ],
  'simplenet/starvation.ts': ['abi', 'libc', 'system-error', 'socket-address', 'descriptor', 'net-socket', 'host'],
  'simplenet/socket-stream.ts': [
    'interruption',
    'abi',
    'system-error',
    'socket-address',
    'net-socket',
    'event-loop',
    'host',
    'deadlines',
    'output-watch',
    'setbacks',
    'socket-loop',
    'true-bytes',
  ],
  'simplenet/epoll-stream.ts': [
    'abi',
    'system-error',
    'socket-address',
    'net-socket',
    'epoll',
    'event-loop',
    'setbacks',
    'write-queue',
    'socket-loop',
    'socket-stream',
  ],
  'simplenet/socket-listener.ts': [
    'host',
    'socket-filter',
    'abi',
    'system-error',
    'socket-address',
    'net-socket',
    'event-loop',
    'slow-start',
    'starvation',
    'socket-loop',
  ],
  'simplenet/epoll-listener.ts': ['abi', 'system-error', 'socket-listener', 'epoll-stream'],
  'simplenet/socket-udp-port.ts': [
    'abi',
    'system-error',
    'interruption',
    'socket-address',
    'udp-socket',
    'socket-file',
    'event-loop',
    'host',
    'setbacks',
    'slow-start',
    'socket-loop',
    'epoll-stream',
  ],
  'simplenet/epoll-loop.ts': [
    'abi',
    'libc',
    'system-error',
    'socket-address',
    'socket',
    'net-socket',
    'udp-socket',
    'socket-file',
    'epoll',
    'event-loop',
    'host',
    'socket-loop',
    'epoll-stream',
    'epoll-listener',
    'socket-udp-port',
  ],
  'simplenet/io-uring.ts': ['abi', 'libc', 'system-error', 'setbacks', 'descriptor'],
  'simplenet/buffer-ring.ts': ['abi', 'io-uring'],
  'simplenet/send-memory.ts': ['libc', 'true-bytes'],
  'simplenet/uring-stream.ts': [
    'event-loop',
    'abi',
    'system-error',
    'setbacks',
    'socket-address',
    'io-uring',
    'buffer-ring',
    'send-memory',
    'write-queue',
    'socket-loop',
    'socket-stream',
  ],
  'simplenet/uring-readiness.ts': ['abi', 'io-uring'],
  'simplenet/uring-listener.ts': [
    'abi',
    'net-socket',
    'socket-loop',
    'socket-listener',
    'uring-stream',
    'uring-readiness',
  ],
  'simplenet/uring-udp-port.ts': [
    'abi',
    'udp-socket',
    'socket-file',
    'event-loop',
    'socket-udp-port',
    'uring-stream',
    'uring-readiness',
  ],
  'simplenet/uring-loop.ts': [
    'libc',
    'socket-address',
    'net-socket',
    'udp-socket',
    'socket-file',
    'event-loop',
    'host',
    'io-uring',
    'buffer-ring',
    'send-memory',
    'socket-loop',
    'uring-stream',
    'uring-listener',
    'uring-udp-port',
  ],
  'simplenet/create-event-loop.ts': [
    'libc',
    'system-error',
    'event-loop',
    'node-host',
    'socket-loop',
    'epoll-loop',
    'uring-loop',
    'tracing',
  ],
  'simplenet/open-file-limit.ts': ['abi', 'libc', 'system-error'],
  'simplenet/tracing.ts': ['abi', 'libc', 'system-error', 'socket-address'],
  'http/grammar.ts': [],
  'http/status.ts': [],
  'http/limits.ts': [],
  'http/http-error.ts': [],
  'http/promises.ts': [],
  'http/byte-run.ts': ['grammar'],
  'http/field-parser.ts': ['grammar', 'byte-run'],
  'http/head-parser.ts': ['grammar', 'limits', 'byte-run', 'field-parser'],
  'http/header-list.ts': ['grammar'],
  'http/request-head.ts': ['grammar', 'http-error', 'field-parser', 'head-parser', 'body-framing'],
  'http/body-framing.ts': ['grammar'],
  'http/body-decoder.ts': ['grammar', 'limits', 'http-error', 'field-parser', 'header-list'],
  'http/json-nesting.ts': [],
  'http/form-fields.ts': [],
  'http/body-memory.ts': ['../simplenet/host'],
  'http/request-body.ts': [
    'limits',
    'http-error',
    'header-list',
    'body-decoder',
    'body-memory',
    'pending-input',
    'promises',
    'json-nesting',
    'form-fields',
  ],
  'http/http-request.ts': [
    '../simplenet/socket-address',
    '../simplenet/net-socket',
    'header-list',
    'request-head',
    'request-body',
  ],
  'http/date-field.ts': [],
  'http/plain-heads.ts': ['status'],
  'http/latin1.ts': [],
  'http/output-buffer.ts': ['../simplenet/event-loop', 'grammar', 'latin1'],
  'http/plain-bytes.ts': [],
  'http/response-writer.ts': ['../simplenet/event-loop', 'grammar', 'status', 'plain-bytes', 'promises'],
  'http/handler.ts': ['http-request', 'response-writer'],
  'http/path.ts': ['http-error'],
  'http/route-pattern.ts': [],
  'http/route-tree.ts': ['handler', 'path', 'route-pattern'],
  'http/router.ts': ['handler', 'path', 'route-pattern', 'route-tree', 'promises'],
  'http/pending-input.ts': [],
  'http/body-clock.ts': ['limits'],
  'http/context-factory.ts': [],
  'http/connection.ts': [
    '../simplenet/socket-address',
    '../simplenet/net-socket',
    '../simplenet/event-loop',
    'grammar',
    'status',
    'limits',
    'http-error',
    'field-parser',
    'head-parser',
    'request-head',
    'body-framing',
    'body-decoder',
    'body-memory',
    'request-body',
    'http-request',
    'plain-heads',
    'latin1',
    'output-buffer',
    'response-writer',
    'handler',
    'pending-input',
    'promises',
    'body-clock',
    'handover',
  ],
  'http/handover.ts': ['../simplenet/event-loop', '../simplenet/system-error', 'pending-input'],
  'http/serve.ts': [
    '../simplenet/socket-address',
    '../simplenet/socket-options',
    '../simplenet/system-error',
    '../simplenet/net-socket',
    '../simplenet/event-loop',
    '../simplenet/create-event-loop',
    'limits',
    'head-parser',
    'http-request',
    'date-field',
    'plain-heads',
    'output-buffer',
    'body-memory',
    'handler',
    'context-factory',
    'connection',
  ],
  'server.ts': ['http/index', 'simplenet/index'],
};

/** The front door of a folder names whatever it likes of that folder. */
const frontDoors = ['simplenet/index.ts', 'http/index.ts'];

const pureFiles = [
  ...['ip-address', 'socket-address', 'socket-filter', 'write-queue', 'slow-start', 'deadlines'].map(
    (name) => `simplenet/${name}`,
  ),
  ...['grammar', 'status', 'limits', 'http-error', 'field-parser', 'head-parser', 'header-list', 'request-head'],
  ...[
    'body-framing',
    'body-decoder',
    'request-body',
    'http-request',
    'output-buffer',
    'plain-bytes',
    'response-writer',
  ],
  ...['handler', 'path', 'route-pattern', 'route-tree', 'router', 'pending-input', 'body-clock', 'promises'],
].map((name) => (name.includes('/') ? name : `http/${name}`));

const forbiddenModules = ['net', 'http', 'https', 'http2', 'dgram', 'tls'];

function sourcesIn(folder: string): string[] {
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = [
    ...text.matchAll(/^(?:import|export)\b[^;]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm),
  ];
  const required = [...text.matchAll(/createRequire\(import\.meta\.url\)\('([^']+)'\)/g)];
  return [...found, ...required].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

function isOurs(specifier: string): boolean {
  return specifier.startsWith('.');
}

const product = [
  'server.ts',
  ...['simplenet', 'http', 'examples', 'examples/dns', 'examples/socketd', 'examples/support'].flatMap(sourcesIn),
];

test('each file imports what the table allows, and the table names each file', async (t) => {
  const ruled = [...sourcesIn('simplenet'), ...sourcesIn('http'), 'server.ts'].filter(
    (file) => !frontDoors.includes(file),
  );
  t.same(Object.keys(mayImport).sort(), ruled.sort());
  for (const [file, allowed] of Object.entries(mayImport)) {
    const folder = file.includes('/') ? file.slice(0, file.indexOf('/')) : '.';
    const actual = importsOf(file).filter(isOurs);
    const wanted = actual.map((specifier) => normalize(join(folder, specifier)).replace(/\.ts$/, ''));
    const permitted = new Set(allowed.map((name) => normalize(join(folder, name))));
    t.same(
      [...new Set(wanted)].filter((name) => !permitted.has(name)),
      [],
      `${file} imports nothing else`,
    );
    t.same(
      [...permitted].filter((name) => !wanted.includes(name)),
      [],
      `${file} is allowed no more than it uses`,
    );
  }
});

test('imports never go round in a circle', async (t) => {
  const below = new Map(Object.entries(mayImport));
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) throw new Error(`a circle: ${[...path, file].join(' -> ')}`);
    for (const name of below.get(file) ?? []) visit(`${normalize(join(file, '..', name))}.ts`, [...path, file]);
  };
  for (const file of below.keys()) t.doesNotThrow(() => visit(file, []), file);
});

test('the examples know simplenet and http by their front doors', async (t) => {
  const examples = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' });
  for (const name of examples.filter((name) => name.endsWith('.ts'))) {
    const file = join('examples', name);
    const inside = importsOf(file).filter((specifier) => /\/(simplenet|http)\/(?!index\.ts$)/.test(specifier));
    t.same(inside, [], file);
  }
});

test('only ffi.ts loads koffi', async (t) => {
  for (const file of product) {
    if (file === 'simplenet/ffi.ts') continue;
    t.notOk(
      importsOf(file).some((specifier) => specifier.startsWith('koffi')),
      file,
    );
  }
  t.ok(importsOf('simplenet/ffi.ts').includes('koffi'));
});

test('in http/ only serve.ts runs code of simplenet', async (t) => {
  for (const file of sourcesIn('http')) {
    if (file === 'http/serve.ts') continue;
    t.notMatch(readFileSync(join(root, file), 'utf8'), /^import (?!type )[^;]*'\.\.\/simplenet/m, file);
  }
});

test('nothing we ship imports the modules that we are the alternative to', async (t) => {
  for (const file of product) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const module of forbiddenModules) {
      t.notMatch(text, new RegExp(`['"](node:)?${module}['"]`), `${file} and ${module}`);
    }
  }
});

test('koffi, the one runtime dependency, does not either', async (t) => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, object>;
  t.same(Object.keys(manifest.dependencies ?? {}), ['koffi']);
  const folder = join(root, 'node_modules/koffi');
  const koffi = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { dependencies?: object };
  t.same(Object.keys(koffi.dependencies ?? {}), []);
  for (const file of ['index.js', 'index.cjs', 'indirect.js', 'indirect.cjs']) {
    const text = readFileSync(join(folder, file), 'utf8');
    for (const module of forbiddenModules) t.notMatch(text, new RegExp(`['"](node:)?${module}['"]`), file);
  }
});

test('pure files know no clock, no process and no system call', async (t) => {
  for (const name of pureFiles) {
    const text = readFileSync(join(root, `${name}.ts`), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
    t.notMatch(text, /\b(libc|koffi|process|performance|setTimeout|new Date|Date\.)\b/, name);
  }
});

test('http/ has one clock, that of its loop, so that a simulated one is enough', async (t) => {
  for (const file of sourcesIn('http')) {
    const text = readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
    t.notMatch(text, /\b(performance|setTimeout|setInterval|setImmediate|Date\.now|new Date\(\))/, file);
  }
});

test('the reading tour starts in the README, visits every file and ends at server.ts', async (t) => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const start = /The tour starts at\s\[`([^`]+)`\]/.exec(readme)?.[1];
  const visited: string[] = [];
  let file: string | undefined = start;
  while (file !== undefined && !visited.includes(file)) {
    visited.push(file);
    const text = readFileSync(join(root, file), 'utf8');
    t.match(text, /^\/\*\*\n \* [A-Za-z/]+: |^\/\*\*\n \* [A-Z]/, `${file} opens with what it is`);
    const next = /^ \* Next: (\S+)$/m.exec(text)?.[1];
    file = next === undefined ? undefined : normalize(join(file, '..', next));
  }
  t.equal(visited.at(-1), 'server.ts');
  const all = ['server.ts', ...sourcesIn('simplenet'), ...sourcesIn('http')];
  t.same([...visited].sort(), all.sort());
});

test('the lockfile holds no download addresses', async (t) => {
  t.notMatch(readFileSync(join(root, 'package-lock.json'), 'utf8'), /"resolved"/);
});
