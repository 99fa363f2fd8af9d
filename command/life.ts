/**
 * The life of the command beyond one process: whose sockets it inherits, who inherits its own, and what SIGHUP means.
 *
 *     --take-over PATH    the process that waits at PATH gives its sockets; then this one waits there
 *     systemd             the sockets that it has opened, without those that the module has taken
 *     a predecessor       that has started this process on SIGHUP
 *
 * SIGHUP first reads `--cert` and `--key` again. With workers it then replaces them: their module is loaded again. Without workers it starts a successor, if the
 * command is a service: with `--take-over`, or under systemd. Process 1 of a container has no successor, because the container ends with it. In a terminal, and
 * where there is nothing to read, to replace or to start, SIGHUP stops the command, as when the terminal is closed.
 *
 * Next: run.ts
 */

import {
  HandOver,
  type Inheritance,
  type LogStream,
  type PassedSocket,
  PREDECESSOR_CLOSE,
  passedSockets,
  type Server,
  takeOver,
  Workers,
} from '../http/index.ts';
import type { Renewal } from './certificate.ts';
import { CommandError, FAILED, WRONG_USE } from './command-error.ts';
import type { NetworkInterfaces } from './network-urls.ts';
import type { CommandOptions } from './options.ts';
import type { Reporter } from './reporter.ts';
import type { Signals } from './stop.ts';
import { startSuccessor, stillOpen, WAY } from './successor.ts';
import type { Environment, Notifier } from './systemd.ts';

/** What the command needs of `process`. */
export interface Surroundings extends Signals {
  readonly env?: Environment;
  readonly pid?: number;
  /** How the program was started. */
  readonly execPath?: string;
  readonly execArgv?: readonly string[];
  readonly argv?: readonly string[];
  /** That of node:os by default. */
  readonly networkInterfaces?: NetworkInterfaces;
  readonly stdin?: { readonly isTTY?: boolean };
  readonly stdout: { write(text: string): unknown };
  readonly stderr: LogStream;
}

export interface InheritedSockets {
  /** Empty: the command opens a socket of its own. */
  readonly fds: readonly number[];
  /** Null: there is no predecessor. */
  readonly inheritance: Inheritance | null;
}

/**
 * The way to the process that has started this one to take over; undefined if none has. It leaves the environment: a `simplenet` that the module starts is no successor.
 * Sockets of systemd that the predecessor has passed on are for this process.
 */
export function takeWay(env: Environment, pid: number): string | undefined {
  const way = env[WAY]?.replace(/^@/, '\0');
  Reflect.deleteProperty(env, WAY);
  if (way !== undefined && env.LISTEN_FDS !== undefined) Reflect.set(env, 'LISTEN_PID', String(pid));
  return way;
}

/** `way` as `takeWay` returns it. */
export function inheritedSockets(
  { takeOver: path }: CommandOptions,
  way: string | undefined,
  env: Environment,
  pid: number,
): InheritedSockets {
  const inheritance = way === undefined ? inheritanceAt(path) : takeOver(way);
  if (inheritance !== null) return { fds: inheritance.fds, inheritance };
  // It was started to take over. Now that its predecessor was stopped, nobody wants another server.
  if (way !== undefined)
    throw new CommandError('the process that has started this one as its successor is gone', FAILED);
  const free = passedSockets(env, pid).filter(({ isTaken }) => !isTaken); // the module may have taken some
  return { fds: free.map(({ fd }) => fd), inheritance: null };
}

function inheritanceAt(path: string | undefined): Inheritance | null {
  try {
    return path === undefined ? null : takeOver(path);
  } catch (error) {
    if (error instanceof RangeError) throw new CommandError(`--take-over: ${error.message}`, WRONG_USE);
    throw error;
  }
}

export interface LifeOptions {
  readonly takeOver: string | undefined;
  /** Null: there are no files to read again. */
  readonly renew: Renewal | null;
  /** The sockets of systemd that the module has taken for servers of its own. */
  readonly ofModule: readonly PassedSocket[];
}

export class Life {
  /** A successor serves. */
  isTaken = false;
  /** What SIGHUP does; null: it stops the command. */
  readonly onHangUp: (() => void) | null;
  readonly #server: Server | Workers;
  readonly #takeOver: string | undefined;
  readonly #renew: Renewal | null;
  readonly #surroundings: Surroundings;
  readonly #notifier: Notifier;
  readonly #reporter: Reporter;
  #way: HandOver | null = null;
  /** It serves in the place of its predecessor. */
  #hasBegun = false;
  #isRestarting = false;
  #endSuccessor: () => void = () => {};
  readonly #ofModule: () => readonly PassedSocket[];

  constructor(
    server: Server | Workers,
    { takeOver: path, renew, ofModule }: LifeOptions,
    surroundings: Surroundings,
    notifier: Notifier,
    reporter: Reporter,
  ) {
    this.#server = server;
    this.#takeOver = path;
    this.#renew = renew;
    this.#ofModule = stillOpen(ofModule);
    this.#surroundings = surroundings;
    this.#notifier = notifier;
    this.#reporter = reporter;
    this.onHangUp = this.#hangUpOf(server);
    server.closing.addEventListener('abort', () => this.#stops(), { once: true });
  }

  /**
   * This process serves: it may have a successor, and waits for one with `--take-over PATH`. `isHeir`: its predecessor has gone, so it serves on, whatever becomes of
   * the path.
   */
  begun(isHeir: boolean): void {
    this.#hasBegun = true;
    if (this.#takeOver === undefined || this.#server.isStopping) return;
    if (this.#surroundings.pid === 1) {
      this.#reporter.said(
        'No process can take over from this one: it is process 1, and its container would end with it.',
      );
      return;
    }
    try {
      this.#way = new HandOver(this.#takeOver, this.#server, () => this.#taken());
    } catch (error) {
      if (!isHeir) throw error;
      this.#reporter.said(`No process can take over from this one: ${(error as Error).message}`);
    }
  }

  #hangUpOf(server: Server | Workers): (() => void) | null {
    const { stdin, pid } = this.#surroundings;
    if (stdin?.isTTY === true) return null;
    if (server instanceof Workers) {
      return () => {
        this.#renewCertificate();
        void this.#replaceWorkers(server);
      };
    }
    const isService = this.#takeOver !== undefined || this.#notifier.isTelling;
    if (isService && pid !== 1) {
      // With files that cannot be used, a successor would not begin.
      return () => (this.#renewCertificate() ? this.#startSuccessor() : this.#endReload(false));
    }
    return this.#renew === null ? null : () => this.#endReload(this.#renewCertificate());
  }

  /** Neither workers nor a successor follow the certificate. */
  #endReload(isRenewed: boolean): void {
    if (this.#isRestarting || this.#server.isStopping) return;
    this.#notifier.reloading();
    this.#notifier.ready(isRenewed ? 'a new certificate' : 'the old certificate');
  }

  /** Returns whether the files can be used. */
  #renewCertificate(): boolean {
    if (this.#renew === null || this.#server.isStopping) return true;
    try {
      const notes = this.#renew(this.#server);
      for (const each of ['The certificate is renewed.', ...notes]) this.#reporter.said(each);
      return true;
    } catch (error) {
      this.#reporter.said(`The certificate in use stays: ${(error as Error).message}`);
      return false;
    }
  }

  async #replaceWorkers(workers: Workers): Promise<void> {
    if (this.#isRestarting || workers.isStopping) return;
    this.#begin('Replacing the workers.');
    await workers.restart().then(
      () => this.#end('All workers are replaced.'),
      (error: Error) => this.#end(`The workers were not replaced: ${error.message}`),
    );
  }

  /** Before this process has begun, its predecessor may go on: there would be two heirs. And what a successor would load, it has just loaded. */
  #startSuccessor(): void {
    if (!this.#hasBegun || this.#isRestarting || this.#server.isStopping) return;
    this.#begin('Starting a successor.');
    const { execPath = '', execArgv = [], argv = [], env = {} } = this.#surroundings;
    const command = [execPath, ...execArgv, ...argv.slice(1)];
    this.#endSuccessor = startSuccessor(this.#server, command, env, this.#ofModule(), {
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
    this.#endSuccessor();
    if (!this.isTaken) this.#notifier.stopping();
  }
}
