/**
 * The documents run: the commands of the pages are executed, and print what the pages say.
 *
 * A section of a page is a session: what `stays` in it runs to its end. Sections that begin with `npm start` are one session. Each session has ports and a folder of its own, so 8080 and /tmp of
 * the page become others, in the commands and in what is expected.
 *
 * Each command is a start of Node. So the lessons, docs/examples.md and docs/tcpip/, run in commands.long.ts (PAGES=all); test/examples/ runs most of the former, too.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { IoUring } from '../../simplenet/index.ts';
import { buildFolder, hasProgram, Program } from '../support/programs.ts';
import { type Block, blocksOf, commandsOf, type Mark, matches, root, shapeOf, teachingPages, textOf } from './pages.ts';
import { compileBlocks } from './typescript-blocks.ts';

/** It only ends what hangs: on a busy machine a start of the server alone can take many seconds. */
const PATIENCE_MS = 60_000;

/** The ports that the pages use. */
const pagePorts = ['8080', '9090', '8013'];
const anyPagePort = /\b(8080|9090|8013)\b/g;

/** Examples that have one of these as their default. The page need not say it; the test must. */
const defaultPorts: Readonly<Record<string, string>> = {
  'hello-server': '8080',
  'hello-client': '8080',
  'blocking-http': '8080',
  'udp-echo-server': '8080',
  'daytime-server': '8013',
  chat: '8080',
};

/** Programs of the system that a page may call. Where one is missing, its command is left out. */
const tools = ['curl', 'nc', 'echo', 'printf'];

const scripts: Readonly<Record<string, string>> = {
  start: 'server.js',
  bench: 'benchmarks/bench.js',
  fuzz: 'test/fuzz/fuzz.js',
  simulate: 'test/server-simulation/simulate.js',
};

/** What `npm` would run, without npm and without another build. */
function withoutNpm(command: string): string {
  const plain = command.replace(/^npm ci && /, '');
  if (plain.startsWith('simplenet ')) return plain.replace('simplenet', `exec node ${buildFolder}/command/main.js`);
  const example = /^((?:\w+=\S+ )*)npm run example(?: -- (\S+)(.*))?$/.exec(plain);
  if (example !== null) {
    const [, variables = '', name = '', args = ''] = example;
    const all = args === '' ? ` ${defaultPorts[name] ?? ''}` : args;
    return `${variables}exec node ${buildFolder}/examples/run.js ${name}${all}`;
  }
  const [, variables = '', name = '', args = ''] =
    /^((?:\w+=\S+ )*)npm (?:run )?([a-z]+)(?: --( .*))?$/.exec(plain) ?? [];
  const script = scripts[name];
  if (script === undefined) return plain;
  return `${variables}${name === 'start' ? 'PORT=8080 ' : ''}exec node ${buildFolder}/${script}${args}`;
}

/** Below the range from which the kernel chooses: no other test has it by chance. */
async function freePort(): Promise<string> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '::', () => server.close(() => resolve(true)));
    });
    if (isFree) return String(port);
  }
}

function isUringAllowed(): boolean {
  try {
    new IoUring({ entries: 1, completions: 2 }).close();
    return true;
  } catch {
    return false;
  }
}

interface Running {
  readonly command: string;
  readonly program: Program;
  readonly expected: string;
  readonly mark: Mark;
  readonly where: string;
}

class Session {
  readonly #t: Test;
  readonly #folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  /** By the port of the page. */
  readonly #ports: Readonly<Record<string, string>>;
  readonly #running: Running[] = [];

  static async begin(t: Test): Promise<Session> {
    const ports: Record<string, string> = {};
    for (const port of pagePorts) ports[port] = await freePort();
    return new Session(t, ports);
  }

  constructor(t: Test, ports: Readonly<Record<string, string>>) {
    this.#t = t;
    this.#ports = ports;
    t.teardown(() => rmSync(this.#folder, { recursive: true, force: true }));
  }

  async run(block: Block, compiled: (block: Block) => string): Promise<void> {
    const { mark } = block;
    const where = `${block.page}:${block.line}`;
    if (block.language === 'ts') {
      const file = compiled(block);
      writeFileSync(file, this.#withPorts(textOf(file.slice(root.length + 1))));
      const program = this.#start(`exec node ${file}`);
      this.#running.push({ command: '', program, expected: '', mark, where });
      await program.prints(/\n/);
      return;
    }
    for (const { command, output } of commandsOf(block)) {
      const expected = this.#withPorts(this.#withFolder(output));
      if (!this.#isInstalled(command)) continue;
      const toStart = this.#withPorts(withoutNpm(this.#withFolder(command)));
      const same = this.#running.find((other) => mark.stays && other.command === toStart);
      if (same !== undefined) {
        this.#compare({ ...same, expected, mark, where });
        continue;
      }
      const program = this.#start(toStart);
      const running = { command: toStart, program, expected, mark, where: `${where}: ${command}` };
      if (mark.stays) {
        this.#running.push(running);
        await this.#ready(running);
      } else {
        await program.ends();
        this.#compare(running);
      }
    }
    if (mark.askedBy !== null && this.#isInstalled(mark.askedBy)) {
      await this.#start(this.#withPorts(mark.askedBy)).ends();
    }
  }

  /** Ends what stays, and compares all that it has printed. */
  async end(): Promise<void> {
    for (const running of this.#running.reverse()) {
      if (running.expected !== '') await this.#until(running.program, () => this.#isAsExpectedSoFar(running));
      running.program.kill('SIGINT');
      await running.program.ends();
      if (running.expected !== '') this.#compare(running);
    }
  }

  #start(command: string): Program {
    const quiet = command.replace(/^curl /, 'curl -sS --max-time 20 ');
    const { PATH = '' } = process.env;
    const program = new Program('env', ['-i', `PATH=${PATH}`, 'sh', '-c', `exec 2>&1; ${quiet}`], { cwd: root });
    program.child.stdin?.end();
    this.#t.teardown(() => program.kill());
    return program;
  }

  #isInstalled(command: string): boolean {
    const [name = ''] = withoutNpm(command).split(' ');
    if (/^(exec|\w+=.*)$/.test(name)) return true;
    if (!tools.includes(name)) throw new Error(`the test does not know how to run '${command}'`);
    if (hasProgram(name)) return true;
    this.#t.comment(`left out: ${name} is not installed`);
    return false;
  }

  #withFolder(text: string): string {
    return text.replaceAll('/tmp/', `${this.#folder}/`);
  }

  #withPorts(text: string): string {
    return text.replace(anyPagePort, (port) => this.#ports[port] as string);
  }

  /** It has printed the first line that the page has of it. */
  async #ready(running: Running): Promise<void> {
    const { program, expected } = running;
    const [first = ''] = expected.split('\n');
    const sign = first === '...' ? 'Listening on' : shapeOf(first);
    await this.#until(program, () => shapeOf(program.stdout).includes(sign));
    if (shapeOf(program.stdout).includes(sign)) return;
    this.#t.fail(`${running.where} did not print '${first}': ${program.stdout}`);
  }

  async #until(program: Program, isSo: () => boolean): Promise<void> {
    const giveUpAt = performance.now() + PATIENCE_MS;
    while (!isSo() && program.child.exitCode === null && performance.now() < giveUpAt) await sleep(10);
  }

  #texts({ program, expected, mark }: Running): [actual: string, expected: string] {
    // Turns without news may come in between, and the advice about the backend depends on the machine.
    const printed = program.stdout
      .replaceAll('\r', '')
      .replace(/^\nA system call costs .*\n/m, '')
      .replace(/^epoll_wait\(\d+, \{\}, \d+, 0\) = 0\n/gm, '')
      .trimEnd();
    return mark.figuresDiffer ? [shapeOf(printed), shapeOf(expected)] : [printed, expected];
  }

  /** It has printed all that it prints before it is stopped. */
  #isAsExpectedSoFar(running: Running): boolean {
    const [actual, expected] = this.#texts(running);
    return matches(actual, expected.replace(/\nStopping\.$/, ''));
  }

  #compare(running: Running): void {
    const [actual, expected] = this.#texts(running);
    if (matches(actual, expected)) this.#t.pass(running.where);
    else this.#t.equal(actual, expected, running.where);
  }
}

const sectionOf = ({ page, section }: Block) => `${page} ${section}`;

const blocks = teachingPages.flatMap(blocksOf);

const isLesson = (page: string) => page === 'docs/examples.md' || page.startsWith('docs/tcpip/');
const takesAll = process.env.PAGES === 'all';

test('each block of commands says how it is checked', async (t) => {
  for (const { page, line, language, mark } of blocks) {
    t.ok(['console', 'ts', 'text', 'c'].includes(language), `${page}:${line} says what it is`);
    if (language === 'console') t.not(mark.kind, 'none', `${page}:${line} has a mark`);
    if (mark.kind === 'compared') t.match(textOf(mark.text), page, `${mark.text} compares ${page}:${line}`);
  }
});

test('what the pages say that a command prints is what it prints', async (t) => {
  const { compiled } = await compileBlocks(t, blocks);
  const hasUring = isUringAllowed();
  const toRun = blocks.filter(
    ({ mark, page }) => mark.kind === 'run' && (hasUring || !mark.needsUring) && (takesAll || !isLesson(page)),
  );
  const withServer = new Set(toRun.filter(({ text }) => /^\$ (npm ci && )?npm start$/m.test(text)).map(sectionOf));
  const sessions = new Map<string, Block[]>();
  for (const block of toRun) {
    const name = withServer.has(sectionOf(block)) ? 'the demonstration' : sectionOf(block);
    sessions.set(name, [...(sessions.get(name) ?? []), block]);
  }
  t.ok(sessions.size > 10);
  t.jobs = 3;
  for (const [name, parts] of sessions) {
    t.test(name, { buffered: true }, async (st) => {
      const session = await Session.begin(st);
      try {
        for (const block of parts) await session.run(block, compiled);
      } finally {
        await session.end();
      }
    });
  }
});
