/**
 * Peers: who takes part, and how each is started.
 *
 * A peer is a program that serves the site (site.ts), writes its port to standard output, and ends when its standard input
 * does. A peer that is not installed here is no error: it is left out, with a line that says how to get it.
 *
 * Next: server-process.ts
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The root of the repository: this file runs as build/benchmarks/peers.js. */
export const root = join(import.meta.dirname, '../..');

const peersFolder = join(root, 'benchmarks/peers');

export interface Peer {
  readonly name: string;
  readonly title: string;
  /** It collects its garbage on SIGUSR2, as site.ts arranges. */
  readonly collectsOnRequest: boolean;
  /** Names of workloads it does not serve. */
  readonly without: readonly string[];
  /** The command that runs it. Throws MissingPeer where it cannot be run here. */
  prepare(temporaryFolder: string): PreparedPeer;
}

export interface PreparedPeer {
  readonly command: readonly string[];
  readonly version: string;
}

/** Its message says how to get it. */
export class MissingPeer extends Error {}

const nodeCommand = [process.execPath, '--expose-gc'];
const INSTALL = 'npm --prefix benchmarks/peers ci';

function packageVersion(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
}

function nodeServer(name: string, title: string, version: () => string): Peer {
  const program = join(import.meta.dirname, `servers/${name}.js`);
  const prepare = () => ({ command: [...nodeCommand, program], version: version() });
  return { name, title, collectsOnRequest: true, without: [], prepare };
}

function installedPeer(name: string, title: string, packageName: string): Peer {
  return {
    name,
    title,
    collectsOnRequest: true,
    without: [],
    prepare() {
      const folder = join(peersFolder, 'node_modules', packageName);
      if (!existsSync(folder)) throw new MissingPeer(INSTALL);
      return { command: [...nodeCommand, join(peersFolder, `${name}.mjs`)], version: packageVersion(folder) };
    },
  };
}

const epollServer: Peer = {
  name: 'c',
  title: 'C epoll',
  collectsOnRequest: false,
  without: ['browser', 'stream'],
  prepare(temporaryFolder) {
    const program = join(temporaryFolder, 'epoll-server');
    const source = join(root, 'benchmarks/c/epoll-server.c');
    const compiled = spawnSync('cc', ['-O2', '-o', program, source], { encoding: 'utf8' });
    if (compiled.error !== undefined) throw new MissingPeer('apt-get install gcc libc6-dev');
    if (compiled.status !== 0) throw new Error(`cc does not compile ${source}: ${compiled.stderr}`);
    return { command: [program], version: spawnSync('cc', ['-dumpfullversion'], { encoding: 'utf8' }).stdout.trim() };
  },
};

const bun: Peer = {
  name: 'bun',
  title: 'Bun.serve',
  collectsOnRequest: true,
  without: [],
  prepare() {
    // The program lies in a package of its own for each platform; the one called bun needs its install script to copy it.
    const builds = ['bun-linux-x64', 'bun-linux-x64-baseline', 'bun-linux-aarch64'].map((build) =>
      join(peersFolder, 'node_modules/@oven', build),
    );
    for (const folder of builds) {
      const program = join(folder, 'bin/bun');
      if (!existsSync(program) || spawnSync(program, ['--version']).status !== 0) continue;
      return { command: [program, join(peersFolder, 'bun.mjs')], version: packageVersion(folder) };
    }
    throw new MissingPeer(INSTALL);
  },
};

export const peers: readonly Peer[] = [
  nodeServer('simplenet', 'simplenet', () => packageVersion(root)),
  nodeServer('node', 'node:http', () => process.version.slice(1)),
  epollServer,
  bun,
  installedPeer('fastify', 'Fastify', 'fastify'),
  installedPeer('hono', 'Hono', 'hono'),
  installedPeer('express', 'Express', 'express'),
];

/** Against whom everything is measured. */
export const REFERENCE = 'node';

export const defaultPeers = ['simplenet', REFERENCE];
