/**
 * The life of the command beyond one process: whose socket it inherits, who inherits its own, and what SIGHUP means.
 *
 *     --take-over PATH    the process that waits at PATH gives its socket; then this one waits there
 *     systemd             the first socket that it has opened
 *     a predecessor       that has started this process on SIGHUP
 *
 * SIGHUP with workers replaces them: their module is loaded again. Without workers it starts a successor, if the command is a service: with `--take-over`, or
 * under systemd. In all other cases it stops the command, as when a terminal is closed. Process 1 of a container has no successor, because the
 * container ends with it.
 *
 * Next: run.ts
 */

import { HandOver, type LogStream, PREDECESSOR_CLOSE, type Server, takeOver, Workers } from '../http/index.ts';
import type { CommandOptions } from './options.ts';
import type { Reporter } from './reporter.ts';
import type { Signals } from './stop.ts';
import { startSuccessor, WAY } from './successor.ts';
import { type Environment, type Notifier, passedSockets } from './systemd.ts';

/** What the command needs of `process`. */
export interface Surroundings extends Signals {
  readonly env?: Environment;
  readonly pid?: number;
  /** How the program was started. */
  readonly execPath?: string;
  readonly execArgv?: readonly string[];
  readonly argv?: readonly string[];
  readonly stdin?: { readonly isTTY?: boolean };
  readonly stdout: { write(text: string): unknown };
  readonly stderr: LogStream;
}

export interface InheritedSocket {
  /** Undefined: the command opens a socket of its own. */
  readonly fd: number | undefined;
  /** Tells the predecessor, if there is one, that this process serves. */
  begun(): Promise<void>;
}

export function inheritedSocket({ takeOver: path }: CommandOptions, env: Environment, pid: number): InheritedSocket {
  const way = env[WAY]?.replace(/^@/, '\0') ?? path;
  const inheritance = way === undefined ? null : takeOver(way);
  if (inheritance !== null) return inheritance;
  const [passed] = passedSockets(env, pid);
  return { fd: passed?.fd, begun: () => Promise.resolve() };
}

export class Life {
  /** A successor serves. */
  isTaken = false;
  /** What SIGHUP does; null: it stops the command. */
  readonly onHangUp: (() => void) | null;
  readonly #server: Server | Workers;
  readonly #takeOver: string | undefined;
  readonly #surroundings: Surroundings;
  readonly #notifier: Notifier;
  readonly #reporter: Reporter;
  #way: HandOver | null = null;
  #isRestarting = false;

  constructor(
    server: Server | Workers,
    { takeOver: path }: CommandOptions,
    surroundings: Surroundings,
    notifier: Notifier,
    reporter: Reporter,
  ) {
    this.#server = server;
    this.#takeOver = path;
    this.#surroundings = surroundings;
    this.#notifier = notifier;
    this.#reporter = reporter;
    this.onHangUp = this.#restartOf(server);
    server.closing.addEventListener('abort', () => this.#stops(), { once: true });
  }

  /** With `--take-over PATH`. */
  waitForSuccessor(): void {
    if (this.#takeOver === undefined || this.#server.isStopping) return;
    this.#way = new HandOver(this.#takeOver, this.#server, () => this.#taken());
  }

  #restartOf(server: Server | Workers): (() => void) | null {
    const { stdin, pid } = this.#surroundings;
    if (stdin?.isTTY === true) return null;
    if (server instanceof Workers) return () => void this.#replaceWorkers(server);
    const isService = this.#takeOver !== undefined || this.#notifier.isTelling;
    return isService && pid !== 1 ? () => this.#startSuccessor() : null;
  }

  async #replaceWorkers(workers: Workers): Promise<void> {
    if (this.#isRestarting || workers.isStopping) return;
    this.#begin('Replacing the workers.');
    await workers.restart().then(
      () => this.#end('All workers are replaced.'),
      (error: Error) => this.#end(`The workers were not replaced: ${error.message}`),
    );
  }

  #startSuccessor(): void {
    if (this.#isRestarting || this.#server.isStopping) return;
    this.#begin('Starting a successor.');
    const { execPath = '', execArgv = [], argv = [], env = {} } = this.#surroundings;
    startSuccessor(this.#server, [execPath, ...execArgv, ...argv.slice(1)], env, {
      taken: (pid) => {
        this.#notifier.mainPid(pid);
        this.#taken();
      },
      failed: (reason) => this.#end(`The successor does not serve, so this process goes on: ${reason}`),
    });
  }

  #begin(what: string): void {
    this.#isRestarting = true;
    this.#notifier.reloading();
    this.#reporter.said(what);
  }

  #end(what: string): void {
    this.#isRestarting = false;
    if (this.#server.isStopping) return;
    this.#notifier.ready(what);
    this.#reporter.said(what);
  }

  #taken(): void {
    this.isTaken = true;
    this.#way?.close();
    this.#reporter.said('A successor serves.');
    void this.#server.close(PREDECESSOR_CLOSE);
  }

  #stops(): void {
    this.#way?.close();
    if (!this.isTaken) this.#notifier.stopping();
  }
}
