/**
 * The successor: the same program once more, which takes the socket over from this process. So a new version is loaded, and no client notices.
 *
 * The way between them is a socket in the abstract namespace, which has no file that could be left behind. The environment of the successor names it.
 * http/workers/hand-over.ts checks who asks there.
 *
 * Sockets of systemd that the module has taken do not go that way, because the command does not know what they are for. The successor gets them as systemd would pass them, and its
 * module takes them again.
 *
 * Next: life.ts
 */

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { HandOver, type PassedSocket, type Server, type Workers } from '../http/index.ts';
import { type Environment, OWN_VARIABLES } from './systemd.ts';

/** Names the way to the predecessor. */
export const WAY = 'SIMPLENET_TAKE_OVER';

const RANDOM_BYTES = 16;

export interface SuccessorEvents {
  /** It serves. */
  taken(pid: number): void;
  /** It has ended before it served: this process goes on. */
  failed(reason: string): void;
}

/**
 * The sockets of the module that are still open: what it returns is to be called when the successor starts. The module may have closed one, whose number may then be that of
 * another file.
 */
export function stillOpen(sockets: readonly PassedSocket[]): () => readonly PassedSocket[] {
  const known = sockets.map((socket) => ({ socket, file: fileAt(socket.fd) }));
  return () => known.flatMap(({ socket, file }) => (file !== null && fileAt(socket.fd) === file ? [socket] : []));
}

/** `socket:[4711]`; null if nothing is open there. */
function fileAt(fd: number): string | null {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return null;
  }
}

/**
 * Starts the successor. `command` is how this process was started, `passed` are the sockets of systemd that its module takes. Returns what ends it, unless it serves already: for a process that stops meanwhile, and must not leave one
 * behind that serves on.
 */
export function startSuccessor(
  heritage: Server | Workers,
  command: readonly string[],
  env: Environment,
  passed: readonly PassedSocket[],
  events: SuccessorEvents,
): () => void {
  const name = `simplenet-${process.pid}-${randomBytes(RANDOM_BYTES).toString('hex')}`;
  const [program = '', ...args] = command;
  const own = Object.fromEntries(Object.entries(env).filter(([each]) => !OWN_VARIABLES.includes(each)));
  let isTaken = false;
  const way = new HandOver(`\0${name}`, heritage, () => {
    isTaken = true;
    events.taken(child.pid as number);
  });
  const child = spawn(program, args, {
    env: { ...own, ...variablesOf(passed), [WAY]: `@${name}` },
    stdio: ['inherit', 'inherit', 'inherit', ...passed.map(({ fd }) => fd)],
  });
  const failed = (reason: string) => {
    if (isTaken) return;
    way.close();
    events.failed(reason);
  };
  child.once('exit', (code, signal) =>
    failed(signal === null ? `it ended with code ${code}` : `it ended by ${signal}`),
  );
  child.once('error', (error) => failed(error.message));
  return () => {
    if (isTaken) return;
    way.close(); // first: from now on it cannot take over
    child.kill('SIGTERM');
  };
}

/** As systemd says it, but for LISTEN_PID: the number of the successor is not known yet, so `takeWay` adds it there. */
function variablesOf(passed: readonly PassedSocket[]): Record<string, string> {
  if (passed.length === 0) return {};
  return { LISTEN_FDS: String(passed.length), LISTEN_FDNAMES: passed.map(({ name }) => name).join(':') };
}
