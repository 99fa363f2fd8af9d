/**
 * A balancer of deploy/ with instances behind it, all on an address of their own: so the ports are those of the files, and no other test has them.
 */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildFolder, missing, Program, plainEnvironment } from '../support/programs.ts';

/** 127.0.0.0/8 is this machine (RFC 1122 section 3.2.1.3). A process has 64 of these addresses. */
const { pid } = process;
let addresses = 0;
export const ownAddress = () => `127.${64 + ((pid >> 10) & 63)}.${(pid >> 2) & 255}.${((pid & 3) << 6) | ++addresses}`;

/**
 * What an instance serves, and nothing that a site of anybody else would not have: who it takes its client for. It prints `+` and the id of each request, before anything else
 * happens to it.
 */
const SITE = `
  import { writeSync } from 'node:fs';
  import { Router } from '${buildFolder}/http/index.js';
  const site = new Router();
  const isReleased = new Promise((resolve) => process.stdin.once('data', resolve).unref());
  for (const [path, before] of [['/', null], ['/held', isReleased]]) {
    site.all(path, async (request, response) => {
      writeSync(1, '+' + request.headers.get('x-id') + '\\n');
      if (before !== null) await before;
      response.json({
        pid: process.pid, client: request.clientAddress, port: request.remotePort, scheme: request.scheme, url: request.url, headers: Object.fromEntries(request.headers),
      });
    });
  }
  export default site;
`;

/** How a program is started with a file of deploy/. */
export interface BalancerKind {
  readonly command: string;
  readonly args: (path: string) => readonly string[];
  readonly file: string;
}

export const haproxy: BalancerKind = {
  command: 'haproxy',
  args: (path) => ['-db', '-f', path],
  file: 'haproxy.cfg',
};

/** Debian has the module for TCP in a package of its own, libnginx-mod-stream. */
const hasStream = existsSync('/usr/lib/nginx/modules/ngx_stream_module.so');

export const nginx: BalancerKind = {
  command: 'nginx',
  args: (path) => ['-c', path, '-g', `daemon off; pid ${path}.pid; error_log stderr;`],
  file: 'nginx.conf',
};

/** With the reason why tests of it are skipped. */
export const balancers = [
  { name: 'HAProxy', ...haproxy, skip: missing('haproxy') },
  { name: 'nginx', ...nginx, skip: missing('nginx') || (hasStream ? false : 'nginx has no module for TCP') },
] as const;

export class Balancer {
  readonly address = ownAddress();
  readonly folder = mkdtempSync('/tmp/simplenet-e2e-');
  readonly #kind: BalancerKind;
  readonly #programs = new Set<Program>();
  readonly #commands = new Set<Program>();

  constructor(kind: BalancerKind = haproxy) {
    this.#kind = kind;
    writeFileSync(join(this.folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(this.folder, 'site.js'), SITE);
  }

  /** The file of deploy/, at the address of this test. */
  get #text(): string {
    return readFileSync(join(buildFolder, '../deploy', this.#kind.file), 'utf8').replaceAll('127.0.0.1', this.address);
  }

  /** Starts it as the header of the file says, word for word. Resolves when it listens. */
  async instance(port: number): Promise<Program> {
    const [, typed = ''] = new RegExp(`^#   simplenet (.* --port ${port}\\b.*)$`, 'm').exec(this.#text) ?? [];
    if (typed === '') throw new Error(`${this.#kind.file} does not say how the instance at port ${port} is started`);
    const program = this.command(typed.split(' '));
    await program.prints(/^https?:/m);
    return program;
  }

  /** The command `simplenet`, in the folder of the site. */
  command(args: readonly string[]): Program {
    const options = { env: plainEnvironment(), cwd: this.folder };
    const program = new Program(process.execPath, [join(buildFolder, 'command/main.js'), ...args], options);
    this.#commands.add(program);
    return program;
  }

  /** Resolves when its port 8080 is open. `edited` changes the file, for what a test wants otherwise. */
  async start(edited = (text: string) => text): Promise<Program> {
    const { command, args, file } = this.#kind;
    const path = join(this.folder, file);
    writeFileSync(path, edited(this.#text));
    const program = this.add(new Program(command, args(path), { cwd: this.folder }));
    while (!(await isOpen(this.address, 8080))) {
      if (program.child.exitCode !== null) throw new Error(JSON.stringify(await program.ends()));
      await sleep(10);
    }
    return program;
  }

  /** It ends when the balancer is closed. */
  add(program: Program): Program {
    this.#programs.add(program);
    return program;
  }

  get url(): string {
    return `http://${this.address}:8080`;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#programs].map(end));
    for (const command of this.#commands) command.kill(); // nothing waits for the rest of its notice
    await Promise.all([...this.#commands].map((command) => command.ends()));
    rmSync(this.folder, { recursive: true });
  }
}

/** With SIGTERM first, because nginx ends its workers then. */
async function end(program: Program): Promise<void> {
  program.kill('SIGTERM');
  const killing = setTimeout(() => program.kill(), 5_000);
  await program.ends();
  clearTimeout(killing);
}

function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
