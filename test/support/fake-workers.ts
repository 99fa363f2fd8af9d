/**
 * FakeWorkers: the processes that a supervisor forks, played by the test, on a clock that the test moves. So each order of events can be had, also those that
 * are rare with processes, and a minute of pauses takes no time.
 */

import childProcess from 'node:child_process';
import { EventEmitter } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import type { Test } from 'tap';
import type { FromWorker, StartOrder, ToWorker } from '../../http/workers/messages.ts';
import { nodeHost, VirtualHost } from '../../simplenet/index.ts';

/** What `fork` returns, as far as a supervisor uses it. */
export class FakeWorker extends EventEmitter {
  /** Undefined for a process that could not be started. */
  readonly pid: number | undefined;
  connected = true;
  /** What the supervisor has sent. */
  readonly heard: ToWorker[] = [];
  killedBy: string | null = null;

  constructor(pid: number | undefined) {
    super();
    this.pid = pid;
  }

  send(message: ToWorker, callback: (error: Error | null) => void): boolean {
    this.heard.push(message);
    callback(null);
    return true;
  }

  /** The end comes later, as that of a process. */
  kill(signal: NodeJS.Signals): boolean {
    this.killedBy = signal;
    setImmediate(() => this.ends(null, signal));
    return true;
  }

  says(message: FromWorker): void {
    this.emit('message', message);
  }

  serves(): void {
    this.says({ kind: 'ready' });
  }

  ends(code: number | null, signal: NodeJS.Signals | null = null): void {
    this.connected = false;
    this.emit('exit', code, signal);
  }

  get start(): StartOrder {
    return this.heard[0] as StartOrder;
  }
}

export class FakeWorkers {
  /** In the order of their starts. */
  readonly all: FakeWorker[] = [];
  /** The next ones get no process. */
  lacksProcesses = false;
  /** So many can be started; `fork` throws for the next one. */
  most = Number.POSITIVE_INFINITY;
  readonly #host = new VirtualHost();

  /** Until the end of the test. */
  constructor(t: Test) {
    const { fork } = childProcess;
    const { now, alarm } = nodeHost;
    const replace = (by: object, host: object) => {
      Object.assign(childProcess, by);
      syncBuiltinESMExports();
      Object.assign(nodeHost, host);
    };
    replace(
      { fork: () => this.#fork() },
      {
        now: () => this.#host.now(),
        alarm: (delayMs: number, callback: () => void) => this.#host.alarm(delayMs, callback),
      },
    );
    t.teardown(() => replace({ fork }, { now, alarm }));
  }

  /** The last one that was started. */
  get last(): FakeWorker {
    return this.all.at(-1) as FakeWorker;
  }

  /** So much time passes. */
  passMs(ms: number): Promise<void> {
    return this.#host.run(this.#host.now() + ms);
  }

  endAll(): void {
    for (const each of this.all) each.ends(0);
  }

  #fork(): FakeWorker {
    if (this.all.length >= this.most) throw new TypeError('fork refuses an argument');
    const worker = new FakeWorker(this.lacksProcesses ? undefined : this.all.length + 1);
    this.all.push(worker);
    return worker;
  }
}
