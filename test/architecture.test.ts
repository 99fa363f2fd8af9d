/**
 * Which way the arrows point: a table of rooms and of what each room may import, and what no file may.
 *
 * A new arrow between rooms is a decision about the design. It fails here until somebody writes it down.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'tap';

const root = join(import.meta.dirname, '../..');

const SOCKETS_DOOR = 'simplenet/index.ts';
const HTTP_DOOR = 'http/index.ts';

/** The files of http/ that stand on nothing but each other. All of http/ may import them. */
const groundFiles = [
  'grammar',
  'status',
  'nearest-name',
  'limits',
  'route-limits',
  'http-error',
  'promises',
  'address-text',
  'gate',
  'web-socket-counts',
  'notice',
  'peers',
].map((name) => `http/${name}.ts`);
const GROUND = 'the ground of http/';

/** Room -> the rooms that its files may import. A room is a folder, or a file that has its own place. A file may import its own room. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'simplenet/kernel': [],
  'simplenet/sockets': ['simplenet/kernel'],
  'simplenet/loop': ['simplenet/sockets', 'simplenet/kernel'],
  'simplenet/epoll': ['simplenet/loop', 'simplenet/sockets', 'simplenet/kernel'],
  'simplenet/io-uring': ['simplenet/loop', 'simplenet/sockets', 'simplenet/kernel'],
  'simplenet/tcpip/link': ['simplenet/epoll', 'simplenet/loop', 'simplenet/kernel'],
  'simplenet/tcpip/ip': ['simplenet/tcpip/link', 'simplenet/kernel'],
  'simplenet/tcpip/tcp': ['simplenet/tcpip/ip', 'simplenet/kernel'],
  'simplenet/tcpip': [
    'simplenet/tcpip/tcp',
    'simplenet/tcpip/ip',
    'simplenet/tcpip/link',
    'simplenet/loop',
    'simplenet/sockets',
    'simplenet/kernel',
  ],
  'simplenet/layers': ['simplenet/loop', 'simplenet/kernel'],
  'simplenet/create-event-loop.ts': ['simplenet/epoll', 'simplenet/io-uring', 'simplenet/loop', 'simplenet/kernel'],
  'simplenet/backend-advice.ts': [
    'simplenet/create-event-loop.ts',
    'simplenet/epoll',
    'simplenet/io-uring',
    'simplenet/kernel',
  ],
  [SOCKETS_DOOR]: [
    'simplenet/backend-advice.ts',
    'simplenet/create-event-loop.ts',
    'simplenet/epoll',
    'simplenet/io-uring',
    'simplenet/loop',
    'simplenet/sockets',
    'simplenet/kernel',
    'simplenet/layers',
    'simplenet/tcpip',
    'simplenet/tcpip/link',
  ],
  [GROUND]: [],
  'http/content': [GROUND],
  'http/request': [GROUND, 'http/content', SOCKETS_DOOR],
  'http/response': [GROUND, 'http/content', SOCKETS_DOOR],
  'http/handler.ts': ['http/request', 'http/response'],
  'http/own-protocol.ts': [SOCKETS_DOOR],
  'http/error-answer.ts': [GROUND, 'http/content', 'http/handler.ts'],
  'http/handlers': [
    GROUND,
    'http/content',
    'http/handler.ts',
    'http/error-answer.ts',
    'http/request',
    'http/response',
    'http/websocket',
    SOCKETS_DOOR,
  ],
  'http/websocket': [GROUND, 'http/handler.ts', 'http/own-protocol.ts', SOCKETS_DOOR],
  'http/router': [GROUND, 'http/handler.ts', 'http/error-answer.ts', 'http/handlers'],
  'http/connection': [
    GROUND,
    'http/handler.ts',
    'http/own-protocol.ts',
    'http/error-answer.ts',
    'http/handlers',
    'http/content',
    'http/request',
    'http/response',
    SOCKETS_DOOR,
  ],
  'http/metrics': [GROUND, 'http/content', 'http/handler.ts', 'http/connection', 'http/request', SOCKETS_DOOR],
  'http/serve-options.ts': [
    GROUND,
    'http/metrics',
    'http/passed-sockets.ts',
    'http/request',
    'http/response',
    SOCKETS_DOOR,
  ],
  'http/passed-sockets.ts': [],
  'http/listening.ts': ['http/metrics', 'http/passed-sockets.ts', 'http/serve-options.ts', SOCKETS_DOOR],
  'http/tls-entrance.ts': ['http/connection', 'http/response', SOCKETS_DOOR],
  'http/https-redirect.ts': [GROUND, 'http/handler.ts'],
  'http/workers': [GROUND, 'http/metrics', 'http/listening.ts', 'http/serve-options.ts', 'http/serve.ts', SOCKETS_DOOR],
  // A program: it loads what a site will import.
  'http/workers/worker-main.ts': [
    GROUND,
    HTTP_DOOR,
    'http/workers',
    'http/serve-options.ts',
    'http/serve.ts',
    SOCKETS_DOOR,
  ],
  'http/commons.ts': [
    GROUND,
    'http/handler.ts',
    'http/handlers',
    'http/connection',
    'http/metrics',
    'http/request',
    'http/response',
    'http/serve-options.ts',
    SOCKETS_DOOR,
  ],
  'http/serve.ts': [
    GROUND,
    'http/workers',
    'http/commons.ts',
    'http/handler.ts',
    'http/handlers',
    'http/connection',
    'http/metrics',
    'http/serve-options.ts',
    'http/listening.ts',
    'http/tls-entrance.ts',
    'http/https-redirect.ts',
    SOCKETS_DOOR,
  ],
  [HTTP_DOOR]: [
    GROUND,
    'http/content',
    'http/handler.ts',
    'http/handlers',
    'http/metrics',
    'http/passed-sockets.ts',
    'http/router',
    'http/request',
    'http/response',
    'http/serve-options.ts',
    'http/serve.ts',
    'http/websocket',
    'http/workers',
  ],
  fetch: [HTTP_DOOR],
  command: [SOCKETS_DOOR, HTTP_DOOR],
  'server.ts': [SOCKETS_DOOR, HTTP_DOOR],
};

/** Programs around the library: their own files, and the front doors. */
const programs = ['examples', 'benchmarks'];
/** Times single parts of the library, so it has to reach them. */
const exceptions = ['benchmarks/micro.ts'];

/** The files of http/ that run code of simplenet/: the server, its entrance by TLS, what opens files, and workers. All others import types. */
const runsSimplenet = [
  'http/commons.ts',
  'http/serve.ts',
  'http/listening.ts',
  'http/tls-entrance.ts',
  'http/handlers/open-files.ts',
  'http/handlers/static-files.ts',
  ...[
    'worker-options',
    'shared-memory',
    'inherited',
    'questions',
    'worker-process',
    'slot',
    'supervisor',
    'worker-main',
    'hand-over',
  ].map((name) => `http/workers/${name}.ts`),
];

/** The times of files are those of the system clock. */
const FILE_CLOCK = 'http/handlers/open-files.ts';

/** The files that call koffi. ffi.ts loads it. */
const callsKoffi: Readonly<Record<string, string>> = {
  'simplenet/kernel/libc-functions.ts': 'declares the functions of libc',
  'simplenet/kernel/libc-memory.ts': 'asks for addresses',
  'simplenet/kernel/libc.ts': 'asks for addresses, and views mapped memory',
  'simplenet/kernel/this-thread.ts': 'declares the hooks that clean up after a worker',
  'simplenet/layers/openssl-functions.ts': 'declares the functions of OpenSSL',
  'simplenet/layers/openssl.ts': 'asks for addresses',
  'simplenet/layers/machine-code.ts': 'asks for the addresses of the code and its memory',
  'simplenet/loop/libuv.ts': 'polls, and declares functions of libuv',
};

/** The rooms of http/ that know time and the process. Their clock is their loop's. */
const withClock = ['http/connection', 'http/passed-sockets.ts', 'http/serve.ts', 'http/workers'];

/** Asks the process what it takes, and when it began. */
const USAGE = 'http/metrics/usage-metrics.ts';

/**
 * The one file of http/ that belongs to the process and to Node's loop: a log is written at the end of a turn, and when the process ends. No deadline of the protocol
 * is in it.
 */
const LOG_SINK = 'http/handlers/log-sink.ts';

/** Files of simplenet/ that are pure as well. */
const pureFiles = [
  ...['kernel/ip-address', 'kernel/socket-address', 'sockets/socket-filter'],
  ...['loop/write-queue', 'loop/slow-start', 'loop/deadlines', 'loop/active-clock'],
  ...['tcpip/link/ethernet-frame', 'tcpip/link/seeded-random', 'tcpip/link/pcap', 'tcpip/link/simulated-wire'],
  ...['tcpip/link/observed-link', 'tcpip/link/capture-link', 'tcpip/frame-text', 'loop/virtual-host'],
  ...['layers/client-hello', 'layers/server-names', 'layers/der', 'layers/self-signed'],
].map((name) => `simplenet/${name}.ts`);

const forbiddenModules = ['net', 'http', 'https', 'http2', 'dgram', 'tls'];

/** All TypeScript files of a folder and the folders in it, without installed packages: benchmarks/peers has some. */
function sourcesIn(folder: string): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  const ours = names.filter((name) => name.endsWith('.ts') && !name.includes('node_modules/'));
  return ours.map((name) => join(folder, name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = [
    ...text.matchAll(/^(?:import|export)\b[^;]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm),
  ];
  const required = [...text.matchAll(/createRequire\(import\.meta\.url\)\('([^']+)'\)/g)];
  return [...found, ...required].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

/** The files of this project that a file imports. */
function importedFiles(file: string): string[] {
  const ours = importsOf(file).filter((specifier) => specifier.startsWith('.'));
  return ours.map((specifier) => normalize(join(dirname(file), specifier)));
}

function roomOf(file: string): string {
  if (groundFiles.includes(file)) return GROUND;
  return file in mayImport ? file : dirname(file);
}

const library = ['server.ts', ...['simplenet', 'http', 'fetch', 'command'].flatMap(sourcesIn)];
const product = [...library, ...sourcesIn('examples')];

test('each room imports what the table allows, and the table names each room', async (t) => {
  const used = new Map<string, Set<string>>(Object.keys(mayImport).map((room) => [room, new Set()]));
  for (const file of library) {
    const room = roomOf(file);
    t.ok(room in mayImport, `${file} is in a room of the table`);
    for (const imported of importedFiles(file)) {
      const other = roomOf(imported);
      if (other === room) continue;
      used.get(room)?.add(other);
      t.ok(mayImport[room]?.includes(other), `${file} may import ${imported}`);
    }
  }
  for (const [room, others] of used) {
    const unused = (mayImport[room] as readonly string[]).filter((other) => !others.has(other));
    t.same(unused, [], `${room} is allowed no more than it uses`);
  }
});

test('imports never go round in a circle, inside a room or between rooms', async (t) => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) throw new Error(`a circle: ${[...path, file].join(' -> ')}`);
    if (done.has(file)) return;
    for (const imported of importedFiles(file)) visit(imported, [...path, file]);
    done.add(file);
  };
  const all = [...product, ...sourcesIn('benchmarks')];
  for (const file of all) t.doesNotThrow(() => visit(file, []), file);
});

test('examples and benchmarks know simplenet and http by their front doors', async (t) => {
  for (const file of programs.flatMap(sourcesIn)) {
    if (exceptions.includes(file)) continue;
    const inside = importedFiles(file).filter((imported) => /^(simplenet|http)\//.test(imported));
    t.same(
      inside.filter((imported) => imported !== SOCKETS_DOOR && imported !== HTTP_DOOR),
      [],
      file,
    );
  }
});

test('only ffi.ts loads koffi, and eight files call it', async (t) => {
  const ffi = 'simplenet/kernel/ffi.ts';
  t.ok(importsOf(ffi).includes('koffi'));
  for (const file of product) {
    if (file === ffi) continue;
    t.notOk(
      importsOf(file).some((specifier) => specifier.startsWith('koffi')),
      file,
    );
  }
  const callers = product.filter((file) => importedFiles(file).includes(ffi));
  t.same(callers.sort(), Object.keys(callsKoffi).sort());
});

test('in http/ only the server, workers and what opens files run code of simplenet', async (t) => {
  for (const file of sourcesIn('http')) {
    if (runsSimplenet.includes(file)) continue;
    t.notMatch(readFileSync(join(root, file), 'utf8'), /^(import|export) (?!type )[^;]*\/simplenet\//m, file);
  }
});

test('nothing we ship imports the modules that we are the alternative to', async (t) => {
  // As an argument of import, require and the like. 'http' alone is also the scheme of a URL.
  const patternOf = (module: string) => new RegExp(`(from|import|[\\w)]\\()\\s*['"](node:)?${module}['"]`);
  for (const file of product) {
    const text = readFileSync(join(root, file), 'utf8');
    const imported = forbiddenModules.filter((module) => patternOf(module).test(text));
    t.same(imported, [], file); // notMatch would format the whole file for a message that nobody reads
  }
});

/** The runtime dependencies, and the files that a program loads of each. */
const dependencies: Readonly<Record<string, readonly string[]>> = {
  koffi: ['index.js', 'index.cjs', 'indirect.js', 'indirect.cjs'],
  mrmime: ['index.mjs', 'index.js'],
};

test('the runtime dependencies do not either, and have none of their own', async (t) => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, object>;
  t.same(Object.keys(manifest.dependencies ?? {}), Object.keys(dependencies));
  for (const [name, files] of Object.entries(dependencies)) {
    const folder = join(root, 'node_modules', name);
    const { dependencies: theirs } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    t.same(Object.keys(theirs ?? {}), [], name);
    for (const file of files) {
      const text = readFileSync(join(folder, file), 'utf8');
      for (const module of forbiddenModules)
        t.notMatch(text, new RegExp(`['"](node:)?${module}['"]`), `${name}/${file}`);
    }
  }
});

/** The code of a file, without its comments. */
function codeOf(file: string): string {
  return readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
}

test('protocol is pure: no clock, no process and no system call', async (t) => {
  for (const file of [...sourcesIn('http'), ...pureFiles]) {
    if (file === HTTP_DOOR || file === LOG_SINK || file === USAGE || withClock.includes(roomOf(file))) continue;
    if (runsSimplenet.includes(file)) continue;
    t.notMatch(codeOf(file), /\b(libc|koffi|process|performance|setTimeout|Date\.now|new Date\(\))/, file);
  }
});

test('http/ has one clock, that of its loop, so that a simulated one is enough', async (t) => {
  for (const file of sourcesIn('http')) {
    if (file === LOG_SINK || file === FILE_CLOCK || file === USAGE) continue;
    t.notMatch(codeOf(file), /\b(performance|setTimeout|setInterval|setImmediate|Date\.now|new Date\(\))/, file);
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
    t.match(text, /^(?:#!.*\n)?\/\*\*\n \* (?:[A-Za-z/]+: |[A-Z])/, `${file} opens with what it is`);
    const next = /^ \* Next: (\S+)$/m.exec(text)?.[1];
    file = next === undefined ? undefined : normalize(join(file, '..', next));
  }
  t.equal(visited.at(-1), 'server.ts');
  t.same([...visited].sort(), [...library].sort());
});

test('the lockfile holds no download addresses', async (t) => {
  t.notMatch(readFileSync(join(root, 'package-lock.json'), 'utf8'), /"resolved"/);
});
