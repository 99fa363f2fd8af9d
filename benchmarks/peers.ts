/**
 * Peers: the servers that take part, and how each is started.
 *
 * A peer is a program that serves the site (site.ts), writes its port to standard output, and ends when its standard input
 * ends. A peer that cannot run here is not an error: it is left out, with a line that says why, or how to get it.
 *
 * Next: server-process.ts
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileC, compilerVersion, NotCompiled, root } from './c-programs.ts';
import type { Workload } from './workloads.ts';

const peersFolder = join(root, 'benchmarks/peers');

export interface Peer {
  readonly name: string;
  readonly title: string;
  /** It collects its garbage on SIGUSR2, as site.ts arranges. */
  readonly collectsOnRequest: boolean;
  /** The names of the workloads that it does not serve. Null: all that do not name their peers. */
  readonly without: readonly string[] | null;
  /** A reference: it serves this workload in place of each other one. Null for all others. */
  readonly serves: string | null;
  /** Returns the command that runs it. Throws MissingPeer if it cannot run here. */
  prepare(temporaryFolder: string): PreparedPeer;
}

export interface PreparedPeer {
  readonly command: readonly string[];
  readonly version: string;
}

/** The message continues the title of the peer: "is not installed" and how to get it, or why it cannot run. */
export class MissingPeer extends Error {}

export function takesPart(peer: Peer, workload: Workload): boolean {
  return (
    workload.peers?.includes(peer.name) ?? (peer.serves === null && peer.without?.includes(workload.name) === false)
  );
}

const nodeCommand = [process.execPath, '--expose-gc'];
const NOT_INSTALLED = 'is not installed; get it with: npm --prefix benchmarks/peers ci';

/** For a server that must end at once. */
const ATTEMPT_MS = 15_000;

function packageVersion(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
}

const ownVersion = () => packageVersion(root);
const onLoop = (backend: string) => ['simplenet', '--backend', backend];

function nodeServer(name: string, title: string, version: () => string, args = [name]): Peer {
  const [program, ...options] = args;
  const command = [...nodeCommand, join(import.meta.dirname, `servers/${program}.js`), ...options];
  const prepare = () => ({ command, version: version() });
  return { name, title, collectsOnRequest: true, without: [], serves: null, prepare };
}

/** The same server, asked for a text. */
function asText(peer: Peer): Peer {
  return { ...peer, name: `${peer.name}-hello`, title: `${peer.title}: hello`, serves: 'hello' };
}

function installedPeer(name: string, title: string, packageName: string): Peer {
  return {
    name,
    title,
    collectsOnRequest: true,
    without: [],
    serves: null,
    prepare() {
      const folder = join(peersFolder, 'node_modules', packageName);
      if (!existsSync(folder)) throw new MissingPeer(NOT_INSTALLED);
      return { command: [...nodeCommand, join(peersFolder, `${name}.mjs`)], version: packageVersion(folder) };
    },
  };
}

/** It needs no package, but lies under peers/ beside the app that srvx serves too. */
const ownFetchPeer: Peer = {
  name: 'simplenet-fetch',
  title: 'Fetch on simplenet',
  collectsOnRequest: true,
  without: [],
  serves: null,
  prepare: () => ({ command: [...nodeCommand, join(peersFolder, 'simplenet-fetch.mjs')], version: ownVersion() }),
};

/** Built from `c/SOURCE.c`. */
function cServer(name: string, title: string, source: string): Peer {
  return {
    name,
    title,
    collectsOnRequest: false,
    without: ['browser', 'fetch-json', 'stream'],
    serves: null,
    prepare(temporaryFolder) {
      try {
        return { command: [compileC(source, temporaryFolder)], version: compilerVersion() };
      } catch (error) {
        throw error instanceof NotCompiled ? new MissingPeer(error.message) : error;
      }
    },
  };
}

/** The kernel may be too old for io_uring, or the kernel or a container may forbid it. Only an attempt shows that. */
function onlyWithUring(peer: Peer): Peer {
  const prepare = (temporaryFolder: string) => {
    const prepared = peer.prepare(temporaryFolder);
    const [program = '', ...args] = prepared.command;
    // Standard input is at its end, so a server that starts ends at once.
    const { status, stderr } = spawnSync(program, args, { input: '', encoding: 'utf8', timeout: ATTEMPT_MS });
    if (status === 0) return prepared;
    const refusal = /^.*\bio_uring_(?:setup|register)\b.*$/m.exec(stderr)?.[0];
    if (refusal === undefined) throw new Error(`${peer.title} does not start: ${stderr}`);
    throw new MissingPeer(`cannot run: this kernel is too old for it or forbids io_uring (${refusal.trim()})`);
  };
  return { ...peer, prepare };
}

const bun: Peer = {
  name: 'bun',
  title: 'Bun.serve',
  collectsOnRequest: true,
  without: [],
  serves: null,
  prepare() {
    // Each platform has a package of its own with the program; the package bun would need its install script to copy it.
    const builds = ['bun-linux-x64', 'bun-linux-x64-baseline', 'bun-linux-aarch64'].map((build) =>
      join(peersFolder, 'node_modules/@oven', build),
    );
    for (const folder of builds) {
      const program = join(folder, 'bin/bun');
      if (!existsSync(program) || spawnSync(program, ['--version']).status !== 0) continue;
      return { command: [program, join(peersFolder, 'bun.mjs')], version: packageVersion(folder) };
    }
    throw new MissingPeer(NOT_INSTALLED);
  },
};

const UWS_PACKAGE = 'node_modules/@trufflesuite/uws-js-unofficial';

/** The package has one binary for each version of Node, and none for the newer ones. */
const uws: Peer = {
  name: 'uws',
  title: 'uWebSockets.js',
  collectsOnRequest: true,
  without: ['connection'],
  serves: null,
  prepare() {
    const folder = join(peersFolder, UWS_PACKAGE);
    if (!existsSync(folder)) throw new MissingPeer(NOT_INSTALLED);
    const binary = join(folder, `binaries/uws_linux_${process.arch}_${process.versions.modules}.node`);
    const attempt = ['-e', `require(${JSON.stringify(binary)})`];
    if (spawnSync(process.execPath, attempt, { timeout: ATTEMPT_MS }).status !== 0) {
      throw new MissingPeer(
        `cannot run: its package has no binary that Node ${process.version} on ${process.arch} can load`,
      );
    }
    return { command: [...nodeCommand, join(peersFolder, 'uws.mjs'), binary], version: packageVersion(folder) };
  },
};

/**
 * nginx has no handlers: it sends a fixed text, and a file for the large response. It does not read the body of a request to which it
 * sends a fixed response, so it cannot echo.
 */
const nginx: Peer = {
  name: 'nginx',
  title: 'nginx',
  collectsOnRequest: false,
  without: ['browser', 'fetch-json', 'post', 'stream'],
  serves: null,
  prepare(temporaryFolder) {
    const { error, stderr } = spawnSync('nginx', ['-v'], { encoding: 'utf8' });
    if (error !== undefined) throw new MissingPeer('is not installed; get it with: apt-get install nginx');
    const folder = mkdtempSync(join(temporaryFolder, 'nginx-'));
    const command = [process.execPath, join(peersFolder, 'nginx.mjs'), folder];
    return { command, version: /\d+\.\d+\.\d+/.exec(stderr)?.[0] ?? 'unknown' };
  },
};

const onEpoll = nodeServer('simplenet', 'simplenet, epoll', ownVersion, onLoop('epoll'));
const onUring = onlyWithUring(nodeServer('simplenet-uring', 'simplenet, io_uring', ownVersion, onLoop('io_uring')));

export const peers: readonly Peer[] = [
  onEpoll,
  onUring,
  nodeServer('node', 'node:http', () => process.version.slice(1)),
  cServer('c', 'C epoll', 'epoll-server'),
  onlyWithUring(cServer('c-uring', 'C io_uring', 'uring-server')),
  bun,
  uws,
  nginx,
  installedPeer('fastify', 'Fastify', 'fastify'),
  installedPeer('hono', 'Hono', 'hono'),
  installedPeer('simplenet-hono', 'Hono on simplenet', 'hono'),
  ownFetchPeer,
  installedPeer('srvx', 'srvx', 'srvx'),
  installedPeer('express', 'Express', 'express'),
  { ...installedPeer('ws', 'ws on node:http', 'ws'), without: null },
  { ...cServer('c-sockets', 'C epoll', 'socket-server'), without: null },
  asText(onEpoll),
  asText(onUring),
];

/** The peer with which all others are compared, unless another one is chosen. */
export const DEFAULT_REFERENCE = 'node';

/** As fast as this design can be: if it takes part, all others are compared with it as well. */
export const LIMIT = 'c';

export const defaultPeers = ['simplenet', 'simplenet-uring', DEFAULT_REFERENCE];
