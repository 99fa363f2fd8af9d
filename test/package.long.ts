/**
 * The package as others get it: packed, installed in a folder of its own, compiled against by a program with each way to resolve modules,
 * run, and judged by publint and are-the-types-wrong. Nothing is fetched: its dependencies come from our own node_modules.
 */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { type Test, test } from 'tap';
import { Stopwatch } from './support/machine-time.ts';
import { buildFolder, Program } from './support/programs.ts';

const root = join(buildFolder, '..');
const modules = join(root, 'node_modules');

async function run(t: Test, folder: string, command: string, ...args: string[]): Promise<string> {
  const { PATH = '', HOME = '' } = process.env; // without what tap and npm slip into the environment of their children
  const { code, stdout, stderr } = await new Program('env', ['-i', `PATH=${PATH}`, `HOME=${HOME}`, command, ...args], {
    cwd: folder,
  }).ends();
  t.equal(code, 0, `${command} ${args.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

const folder = mkdtempSync(join(tmpdir(), 'simplenet-package-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
let tarball = '';

/** A program of somebody who uses the package. It is compiled with our declarations checked (`skipLibCheck: false`). */
const program = `
import { createEventLoop, type Stream, SystemError } from 'simplenet';
import { PROTOCOL_MARKER, type ServerContext, serve as serveContexts } from 'simplenet/fetch';
import { type Handler, HttpError, Router, type ServeOptions, type Server, serve } from 'simplenet/http';

const hello: Handler<{ name: string }> = ({ params }, response) => response.text(\`Hello, \${params.name}!\\n\`);
const router = new Router();
router.get('/hello/:name', hello);
router.post('/json', async (request, response) => response.json({ received: await request.json() }));
router.get('/never', () => {
  throw new HttpError(403, 'no');
});
const options: ServeOptions = { hostname: process.env.HOST, port: process.env.PORT, limits: { bodyBytes: 1_000 } };
const server: Server = serve(router, options);
const port: number | null = server.port;
export const echo = (stream: Stream, bytes: Uint8Array): boolean => stream.write(bytes);
export const tools = [createEventLoop, SystemError, port];
const response = await fetch(new URL('/hello/package', server.url));
console.log(await response.text());
await server.close();
const app = { [PROTOCOL_MARKER]: 1, fetch: (ctx: ServerContext) => new Response(new URL(ctx.request.url).pathname) };
const contexts = serveContexts(app, { hostname: '127.0.0.1', port: 0 });
for (const { address } of contexts) console.log(await (await fetch(\`http://127.0.0.1:\${address.port}/door\`)).text());
await contexts.close();
// @ts-expect-error -- what a server offers its connections is not for programs.
export const internal = server.commons;
`;

test('it is packed and installed, and what its maps name is in it', async (t) => {
  await run(t, root, 'npm', 'pack', '--silent', '--ignore-scripts', '--pack-destination', folder); // `npm test` has built it
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '');
  const local = Object.fromEntries(
    ['koffi', 'mrmime', '@types/node', 'undici-types'].map((name) => [name, `file:${modules}/${name}`]),
  );
  const manifest = { private: true, type: 'module', dependencies: { ...local, simplenet: `file:${tarball}` } };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  await run(t, folder, 'npm', 'install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts', '--omit=optional');
  const installed = join(folder, 'node_modules/simplenet');
  const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
  const maps = files.filter((name) => name.endsWith('.d.ts.map'));
  t.ok(maps.length > 50, `${maps.length} declaration maps`);
  for (const map of maps) {
    const { sources } = JSON.parse(readFileSync(join(installed, map), 'utf8')) as { sources: string[] };
    for (const source of sources) t.ok(existsSync(join(installed, dirname(map), source)), `${map}: ${source}`);
  }
  t.notOk(
    files.some((name) => /^(test|benchmarks|examples)\b/.test(name)),
    'neither tests nor examples are in it',
  );
});

test('a program compiles with each way to resolve modules, and runs', async (t) => {
  writeFileSync(join(folder, 'program.ts'), program);
  const tsc = join(modules, 'typescript/bin/tsc');
  for (const [resolution, module] of [
    ['nodenext', 'nodenext'],
    ['node16', 'node16'],
    ['bundler', 'esnext'],
  ] as const) {
    const flags = ['--strict', '--skipLibCheck', 'false', '--exactOptionalPropertyTypes', '--target', 'es2022'];
    const how = ['--module', module, '--moduleResolution', resolution, '--types', 'node', '--outDir', resolution];
    await run(t, folder, process.execPath, tsc, ...flags, ...how, 'program.ts');
    t.equal(await run(t, folder, process.execPath, join(resolution, 'program.js')), 'Hello, package!\n\n/door\n');
  }
});

/** What a person waits for without noticing. */
const PROMPT_MS = 1_000;
/** The best counts: other processes can only add to it. */
const STARTS = 5;

/** How long the main thread of a process has run: the least that its start takes on any machine. */
function workedMs(pid: number): number {
  const [nanoseconds] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ');
  return Number(nanoseconds) / 1e6;
}

test('the command listens in less than a second', async (t) => {
  writeFileSync(join(folder, 'site.mjs'), 'export default { fetch: () => new Response("hello") };');
  const { PATH = '' } = process.env;
  for (const [target, path, text] of [
    ['site.mjs', '/', 'hello'],
    ['.', '/site.mjs', readFileSync(join(folder, 'site.mjs'), 'utf8')],
  ] as const) {
    const times: number[] = [];
    for (let i = 0; i < STARTS; i++) {
      const args = ['-i', `PATH=${PATH}`, 'node_modules/.bin/simplenet', target, '--port', '0'];
      const command = new Program('env', args, { cwd: folder });
      const stopwatch = new Stopwatch(command.child.pid);
      t.teardown(() => command.kill());
      const [url] = await command.prints(/^http:\S+/);
      times.push(Math.max(stopwatch.stop().fairMs, workedMs(command.child.pid as number)));
      t.equal(await (await fetch(url + path)).text(), text);
      command.kill('SIGINT');
      t.equal((await command.ends()).code, 0);
    }
    t.ok(Math.min(...times) < PROMPT_MS, `${target}: ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  }
});

test('publint and are-the-types-wrong have nothing to say', async (t) => {
  const bytes = new Uint8Array(readFileSync(tarball));
  const { messages } = await publint({ strict: true, pack: { tarball: bytes.buffer } });
  t.same(messages, []);
  const analysis = await checkPackage(createPackageFromTarballData(bytes));
  const problems = analysis.types === false ? ['no types'] : analysis.problems;
  // It is a package of ES modules: `require` of it works from Node 20.19 on, and TypeScript's `node16` does not believe that.
  t.same(
    problems.filter((problem) => typeof problem === 'string' || problem.kind !== 'CJSResolvesToESM'),
    [],
  );
});
