/**
 * A balancer of deploy/ with instances behind it, all on an address of their own: so the ports are those of the files, and no other test has them.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServeOptions } from '../../http/index.ts';
import { buildFolder, Program } from '../support/programs.ts';

/** 127.0.0.0/8 is this machine (RFC 1122 section 3.2.1.3). A process has 64 of these addresses. */
const { pid } = process;
let addresses = 0;
const ownAddress = () => `127.${64 + ((pid >> 10) & 63)}.${(pid >> 2) & 255}.${((pid & 3) << 6) | ++addresses}`;

/** What an instance answers: who it takes its client for. */
const site = (options: ServeOptions) => `
  const { Router, serve } = await import(build + '/http/index.js');
  const site = new Router();
  site.get('/readyz', (request, response) => response.text('ready\\n'));
  site.get('/', (request, response) => response.json({
    pid: process.pid, client: request.clientAddress, port: request.remotePort, scheme: request.scheme, url: request.url, headers: Object.fromEntries(request.headers),
  }));
  const server = serve(site, ${JSON.stringify(options)});
  process.once('SIGTERM', () => server.close());
  console.log(server.url);
`;

export class Balancer {
  readonly address = ownAddress();
  readonly #folder = mkdtempSync('/tmp/simplenet-e2e-');
  readonly #programs = new Set<Program>();

  /** Resolves when the instance listens. */
  async instance(port: number, options: ServeOptions = {}): Promise<Program> {
    const program = Program.script(site({ host: this.address, port, trustProxy: 'loopback', ...options }));
    this.#programs.add(program);
    await program.prints(/^https?:/m);
    return program;
  }

  /** Starts a program with a file of deploy/, and resolves when its port 8080 is open. */
  async start(command: string, args: (path: string) => readonly string[], file: string): Promise<Program> {
    const path = join(this.#folder, file);
    const text = readFileSync(join(buildFolder, '../deploy', file), 'utf8');
    writeFileSync(path, text.replaceAll('127.0.0.1', this.address));
    const program = new Program(command, args(path), { cwd: this.#folder });
    this.#programs.add(program);
    while (!(await isOpen(this.address, 8080))) {
      if (program.child.exitCode !== null) throw new Error(JSON.stringify(await program.ends()));
      await sleep(10);
    }
    return program;
  }

  get url(): string {
    return `http://${this.address}:8080`;
  }

  async close(): Promise<void> {
    for (const program of this.#programs) {
      program.kill('SIGTERM'); // nginx ends its workers then
      const killing = setTimeout(() => program.kill(), 5_000);
      await program.ends();
      clearTimeout(killing);
    }
    rmSync(this.#folder, { recursive: true });
  }
}

function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
