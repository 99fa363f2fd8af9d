/**
 * The successor: the same program once more, which takes the socket over from this process. So a new version is loaded, and no client notices.
 *
 * The way between them is a socket in the abstract namespace, which has no file that could be left behind. The environment of the successor names it.
 * http/workers/hand-over.ts checks who asks there.
 *
 * Next: life.ts
 */

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { HandOver, type Server, type Workers } from '../http/index.ts';
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
 * Starts the successor. `command` is how this process was started. Returns what ends it, unless it serves already: for a process that stops meanwhile, and must not leave one
 * behind that serves on.
 */
export function startSuccessor(
  heritage: Server | Workers,
  command: readonly string[],
  env: Environment,
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
  const child = spawn(program, args, { env: { ...own, [WAY]: `@${name}` }, stdio: 'inherit' });
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
