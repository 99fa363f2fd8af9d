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
  /** Its number among those that got an order, from 1 on. Undefined before, and for a process that could not be started. */
  pid: number | undefined;
  connected = true;
  /** What the supervisor has sent. */
  readonly heard: ToWorker[] = [];
  killedBy: string | null = null;

  readonly #onOrder: (worker: FakeWorker) => void;

  constructor(onOrder: (worker: FakeWorker) => void) {
    super();
    this.#onOrder = onOrder;
  }

  send(message: ToWorker, callback: (error: Error | null) => void): boolean {
    this.heard.push(message);
    if (message.kind === 'start') this.#onOrder(this);
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
    this.emit('close', code, signal);
  }

  get start(): StartOrder {
    return this.heard[0] as StartOrder;
  }
}

export class FakeWorkers {
  /** In the order in which they got their orders. */
  readonly all: FakeWorker[] = [];
  /** In the order in which they were forked: those without an order, too. */
  readonly forked: FakeWorker[] = [];
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

  /** The last one that got an order. */
  get last(): FakeWorker {
    return this.all.at(-1) as FakeWorker;
  }

  /** So much time passes. */
  passMs(ms: number): Promise<void> {
    return this.#host.run(this.#host.now() + ms);
  }

  /** The one that waits for an order. */
  get spare(): FakeWorker | undefined {
    return this.forked.findLast((each) => each.heard.length === 0 && each.connected);
  }

  endAll(): void {
    for (const each of this.forked) each.ends(0);
  }

  #fork(): FakeWorker {
    if (this.forked.length >= this.most) throw new TypeError('fork refuses an argument');
    const hasProcess = !this.lacksProcesses;
    const worker = new FakeWorker(() => {
      this.all.push(worker);
      if (hasProcess) worker.pid = this.all.length;
    });
    this.forked.push(worker);
    return worker;
  }
}
