/**
 * WorkerProcess: one worker, seen by its supervisor.
 *
 *     starting --ready--> serving --stop, or it leaves--> leaving --its end--> ended
 *         `----------------------`---------its end---------------------------->'
 *
 * A worker gives a sign of life at each beat. Beats that fail to come are counted, and not the time since the last one: while the whole machine or the supervisor
 * stands still, no beat is due either. One that hangs is killed: SIGKILL also ends a thread that computes or waits in a system call.
 *
 * Next: slot.ts
 */

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Alarm, nodeHost } from '../../simplenet/index.ts';
import type { CloseOptions } from '../serve-options.ts';
import type { Inherited } from './inherited.ts';
import { Channel, type FromWorker, type LastUse, type StartOrder, type ToWorker, type Vitals } from './messages.ts';

const WORKER_PROGRAM = fileURLToPath(
  new URL(`./worker-main${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`, import.meta.url),
);

/** So many beats may fail to come. */
const MAX_MISSED_BEATS = 4;

/** How long a worker may take to end once the grace of its connections is over. */
const END_MS = 5_000;

const DEFAULT_GRACE_MS = 10_000;

export interface WorkerOwner {
  ready(worker: WorkerProcess): void;
  /** It could not begin to serve. It ends by itself. */
  failed(worker: WorkerProcess, message: string, exitCode: number): void;
  alive(worker: WorkerProcess): void;
  /** It stops by itself, with grace. */
  leaving(worker: WorkerProcess): void;
  said(worker: WorkerProcess, message: FromWorker): void;
  /** `how`: `ended with code 1`, `was killed: it hung`. */
  ended(worker: WorkerProcess, how: string): void;
  /** It has ended, and what it had said before has been heard. */
  silent(worker: WorkerProcess): void;
}

export interface WorkerSetup {
  readonly args: readonly string[];
  readonly inherited: Inherited;
  readonly startMs: number;
}

export class WorkerProcess {
  /** Of its place; -1 while it is a spare. */
  index = -1;
  readonly channel: Channel<ToWorker>;
  /** When it got its order. */
  startedAt = Number.POSITIVE_INFINITY;
  state: 'spare' | 'starting' | 'serving' | 'leaving' | 'ended' = 'spare';
  vitals: Vitals = { rssBytes: 0, connections: 0, busy: 0 };
  readonly #child: ChildProcess;
  readonly #owner: WorkerOwner;
  readonly #startMs: number;
  #beatMs = Number.POSITIVE_INFINITY;
  #alarm: Alarm | null = null;
  #missedBeats = 0;
  /** Why the supervisor has killed it. */
  #reason: string | null = null;

  constructor(setup: WorkerSetup, owner: WorkerOwner) {
    const { args, inherited, startMs } = setup;
    this.#owner = owner;
    this.#startMs = startMs;
    this.#child = fork(WORKER_PROGRAM, args, {
      execArgv: withoutText(process.execArgv),
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...inherited.all],
    });
    this.channel = new Channel<ToWorker>(this.#child);
    this.#child.on('message', (message) => this.#heard(message as FromWorker));
    this.#child.on('exit', (code, signal) =>
      this.#ended(signal === null ? `ended with code ${code}` : `ended by ${signal}`),
    );
    this.#child.on('close', () => this.#owner.silent(this)); // 'exit' may come before its last messages
    this.#child.on('error', (error) => this.#ended(`could not be started: ${error.message}`));
  }

  /** Called once. Until then it is a spare: it has loaded the server, and nothing of the site. */
  begin(order: StartOrder): void {
    this.index = order.index;
    this.startedAt = nodeHost.now();
    this.state = 'starting';
    this.#beatMs = order.beatMs;
    this.#alarm = nodeHost.alarm(this.#startMs, () => this.kill(`it did not serve within ${this.#startMs / 1_000} s`));
    try {
      this.channel.order(order);
    } catch (error) {
      this.kill('its options cannot be sent'); // such as a function
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Ends with grace. */
  stop(close: CloseOptions, last: LastUse): void {
    this.channel.order({ kind: 'stop', close, last });
    if (this.state === 'leaving' && close.graceMs !== 0) return;
    this.#leave(close.graceMs ?? DEFAULT_GRACE_MS);
  }

  /** SIGKILL. */
  kill(reason: string): void {
    this.#reason ??= reason;
    this.#child.kill('SIGKILL');
  }

  #leave(graceMs: number): void {
    this.state = 'leaving';
    this.#alarm?.cancel();
    this.#alarm = nodeHost.alarm(graceMs + END_MS, () => this.kill('it did not end'));
  }

  #heard(message: FromWorker): void {
    if (message.kind === 'ready') {
      if (this.state !== 'starting') return;
      this.state = 'serving';
      this.#alarm?.cancel();
      this.#awaitBeat();
      this.#owner.ready(this);
    } else if (message.kind === 'failed') {
      this.#leave(0); // it ends by itself, and has perhaps not written all that it has to say
      this.#owner.failed(this, message.message, message.exitCode);
    } else if (message.kind === 'alive') {
      this.#missedBeats = 0;
      this.vitals = message;
      this.#owner.alive(this);
    } else if (message.kind === 'leaving') {
      if (this.state === 'serving') this.#leave(DEFAULT_GRACE_MS);
      this.#owner.leaving(this);
    } else {
      this.#owner.said(this, message);
    }
  }

  #awaitBeat(): void {
    this.#alarm = nodeHost.alarm(this.#beatMs, () => {
      this.#missedBeats++;
      if (this.#missedBeats > MAX_MISSED_BEATS) this.kill('it hung');
      else this.#awaitBeat();
    });
  }

  #ended(how: string): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.#alarm?.cancel();
    this.#owner.ended(this, this.#reason === null ? how : `was killed: ${this.#reason}`);
  }
}

/** The options of this process, without the text that it may run instead of a file (`node -e`): a worker would run it as well, and start workers of its own. */
export function withoutText(execArgv: readonly string[]): string[] {
  const isText = (each: string | undefined) => /^(-e|-p|-pe|--eval|--print|--input-type)$/.test(each ?? '');
  return execArgv.filter(
    (each, i) => !isText(each) && !isText(execArgv[i - 1]) && !/^--(eval|print|input-type)\b/.test(each),
  );
}

/** How often a worker gives a sign, so that one that hangs is found in `hangMs`. */
export function beatMsFor(hangMs: number): number {
  return hangMs / (MAX_MISSED_BEATS + 1);
}
