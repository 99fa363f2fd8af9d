/**
 * Workers: a site that several processes serve, seen by the process that starts them. It opens the listening socket and never accepts from it. So the
 * socket, and the connections that wait in its queue, outlive any worker. There may be several, from systemd.
 *
 * The socket of `redirectFrom` is one more, and all workers accept from it: one of them alone would leave that port deaf while it is replaced, and this process must
 * not be one that clients can reach.
 *
 * They are processes and not threads. A thread costs nearly as much memory (24 MB against 27), and shares its end with the others: a crash in C code, memory
 * that runs out, a system call that hangs. docs/workers.md has the measurements.
 *
 * A worker that ends, or tells that it will, is replaced at once; one that keeps ending, after a pause that doubles. A spare replaces it: a process that has loaded the server
 * and waits for its order, because loading takes ten times as long as serving a small site from then on. One that is replaced on purpose goes on until its successor serves.
 *
 * Next: ../serve.ts
 */

import { type Alarm, createTlsContext, nodeHost, type SocketAddress, type TlsOptions } from '../../simplenet/index.ts';
import { Notice } from '../notice.ts';
import { type CloseOptions, checkCloseOptions, patienceOf, urlOf } from '../serve-options.ts';
import { Inherited } from './inherited.ts';
import { type FromWorker, NOT_LAST, weightOf } from './messages.ts';
import { Questions } from './questions.ts';
import { Slot } from './slot.ts';
import {
  checkWorkerTls,
  optionsForWorkers,
  PREDECESSOR_CLOSE,
  type WorkerSettings,
  type WorkersOptions,
  withTickets,
  workerSettings,
} from './worker-options.ts';
import { beatMsFor, type WorkerOwner, WorkerProcess } from './worker-process.ts';

/** How long all have served when the next spare is started: its start takes half a second of a processor, which workers that have just begun need first. */
export const SPARE_AFTER_MS = 1_000;

/**
 * Several processes that serve one site: what `serve` returns for the URL of a module.
 *
 * ```ts
 * import { serve, type Workers } from 'simplenet/http';
 *
 * const site: Workers = serve(new URL('./site.js', import.meta.url), { port: 8080, workers: 'auto' });
 * await site.ready;
 * console.log(site.url, site.pids);
 * process.on('SIGHUP', () => void site.restart());
 * process.once('SIGTERM', () => void site.close());
 * ```
 */
export class Workers {
  /** Resolves when all workers serve. Rejects, and closes all, if one of them cannot begin. */
  readonly ready: Promise<void>;
  /** Where the workers listen, with the port that the kernel has chosen. With several sockets, the first. */
  readonly address: SocketAddress;
  /** The address for a client, as that of a Server. */
  readonly url: string;
  /** Those of all sockets. */
  readonly urls: readonly string[];
  /** Where they listen for plain HTTP, to send clients to https (`redirectFrom`); null if they do not. */
  readonly redirectUrl: string | null;
  /** Where the metrics of all are, if they have a port of their own (`metrics: { port }`); else null. */
  readonly metricsUrl: string | null;
  readonly #module: string;
  /** With the newest `tls`, for those that start later. */
  #settings: WorkerSettings;
  readonly #inherited: Inherited;
  readonly #slots: readonly Slot[];
  readonly #questions = new Questions();
  readonly #closing = new AbortController();
  /** All that have not ended, also those that drain. */
  readonly #alive = new Set<WorkerProcess>();
  /** Replaces the next worker that ends. */
  #spare: WorkerProcess | null = null;
  #sparePause: Alarm | null = null;
  #resolveReady!: () => void;
  #rejectReady!: (reason: WorkerError) => void;
  /** `ready` is settled. */
  #isReady = false;
  #restart: Promise<void> | null = null;
  /** What `close` returns. */
  readonly #closed: Promise<void>;
  #resolveClosed!: (end: Promise<void>) => void;
  readonly #notice = new Notice(
    () => nodeHost.now(),
    (delayMs, callback) => nodeHost.alarm(delayMs, callback),
  );
  /** `close` has been called. During its notice the workers go on, and those that end are replaced. */
  #isAnnounced = false;
  /** The notice is over. */
  #isEnding = false;
  #whenEmpty: (() => void) | null = null;
  #forgetSignal = () => {};

  /** @internal */
  constructor(module: URL, options: WorkersOptions) {
    const settings = workerSettings(options);
    const { signal, ...serveOptions } = settings.serve;
    if (serveOptions.tls !== undefined) createTlsContext(serveOptions.tls).close(); // throws if it makes no sense
    this.#settings = { ...settings, serve: optionsForWorkers(serveOptions) };
    this.#module = module.href;
    this.#inherited = new Inherited(serveOptions, settings.count);
    const { addresses } = this.#inherited;
    const scheme = serveOptions.tls === undefined ? 'http' : 'https';
    this.urls = addresses.map((address) => urlOf(address, scheme));
    [this.address, this.url] = [addresses[0] as SocketAddress, this.urls[0] as string];
    const { redirect, watch } = this.#inherited;
    this.redirectUrl = redirect && urlOf(redirect.localAddress, 'http');
    this.metricsUrl = watch && urlOf(watch.localAddress, 'http');
    this.#slots = this.#inherited.shares.map((share, index) => new Slot(index, share));
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    try {
      for (const slot of this.#slots) slot.worker = this.#start(slot);
    } catch (error) {
      this.#isEnding = true; // the end of those that have started is no news
      for (const worker of this.#alive) worker.kill('another one could not be started');
      this.#inherited.removeFile();
      this.#inherited.close();
      throw error;
    }
    if (signal !== undefined) this.#stopWith(signal);
  }

  /** The port on which they listen; null on a Unix socket. */
  get port(): number | null {
    return 'port' in this.address ? this.address.port : null;
  }

  /** Whether `close` has been called: the workers will stop (`noticeMs`), are stopping, or have stopped. */
  get isStopping(): boolean {
    return this.#isAnnounced;
  }

  /** Aborted when the workers begin to stop, after the notice of `close`. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** The processes that serve now. */
  get pids(): readonly number[] {
    return this.#slots.flatMap(({ worker }) => (worker?.state === 'serving' ? [worker.pid] : []));
  }

  /** Open connections of all workers, as they have told lately. */
  get connectionCount(): number {
    return this.#sum('connections');
  }

  /** Connections with a request or its response under way, as the workers have told lately. */
  get busyCount(): number {
    return this.#sum('busy');
  }

  /** How many connections each worker has accepted, in the order of their places; a successor continues the count of its place. */
  get acceptedCounts(): readonly number[] {
    return this.#slots.map(({ share }) => share.count);
  }

  /**
   * Replaces all workers, one after the other, for example to load a new version of the module. Each goes on until its successor serves. Rejects if a successor
   * cannot begin; the workers that have not been replaced then go on. A call during a restart returns the same promise. Before all serve, it waits for that.
   */
  restart(): Promise<void> {
    if (this.isStopping) return Promise.reject(new Error('the workers are stopping'));
    this.#restart ??= this.ready
      .then(() => this.#replaceAll())
      .finally(() => {
        this.#restart = null;
      });
    return this.#restart;
  }

  /**
   * As `setTls` of a Server, for all workers and for those that start later. Throws if something does not fit together, and then changes nothing. A worker
   * uses the new certificates as soon as it has read the message.
   */
  setTls(options: TlsOptions): void {
    checkWorkerTls(options);
    const { serve } = this.#settings;
    if (serve.tls === undefined) throw new Error('these workers have no TLS: they would need tls from their beginning');
    createTlsContext(options).close();
    const tls = withTickets(options);
    this.#settings = { ...this.#settings, serve: { ...serve, tls } };
    for (const worker of this.#alive) {
      if (worker.state === 'starting' || worker.state === 'serving') worker.channel.order({ kind: 'tls', tls });
    }
  }

  /**
   * Stops all workers with grace, as `close` of a Server does. Resolves when the last one has ended. A second call can shorten `noticeMs` and `graceMs`. Before they serve, there is no
   * notice: nobody sends them clients.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkCloseOptions(options);
    if (this.#isEnding) {
      for (const worker of this.#alive) worker.stop(options, this.#inherited.lastUse);
      return this.#closed;
    }
    const patience = patienceOf(options);
    const noticeMs = this.#isReady ? patience.noticeMs : 0;
    if (!this.#isAnnounced && noticeMs > 0) this.#announce();
    this.#isAnnounced = true;
    this.#notice.give({ ...patience, noticeMs }, ({ graceMs, idleGraceMs }) => {
      this.#resolveClosed(this.#end({ graceMs, idleGraceMs }));
    });
    return this.#closed;
  }

  /** As `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * The listening sockets, for another process (`sendDescriptors`).
   * @internal
   */
  get listenerFds(): readonly number[] {
    return this.#inherited.listenerFds;
  }

  /** @internal */
  get watchFd(): number | null {
    return this.#inherited.watch?.fd ?? null;
  }

  /**
   * Set before `close` if another process goes on listening on the sockets.
   * @internal
   */
  get isShared(): boolean {
    return this.#inherited.isShared;
  }

  /** @internal */
  set isShared(isShared: boolean) {
    this.#inherited.isShared = isShared;
  }

  /** @internal */
  set isWatchShared(isShared: boolean) {
    this.#inherited.isWatchShared = isShared;
  }

  #start(slot: Slot, worker = this.#fork()): WorkerProcess {
    const { count, hangMs, serve } = this.#settings;
    worker.begin({
      kind: 'start',
      index: slot.index,
      count,
      listeners: this.listenerFds.length,
      redirects: this.#inherited.redirect !== null,
      watches: this.#inherited.watch !== null,
      module: this.#module,
      options: serve,
      beatMs: beatMsFor(hangMs),
    });
    return worker;
  }

  #fork(): WorkerProcess {
    const { args, startMs } = this.#settings;
    const setup = { args, startMs, inherited: this.#inherited };
    const worker = new WorkerProcess(setup, this.#owner);
    this.#alive.add(worker);
    return worker;
  }

  /** A spare that ends is missing until the next worker is replaced, so a machine that kills it does not see it started again and again. */
  #prepareSpare(): void {
    this.#sparePause?.cancel();
    this.#sparePause = nodeHost.alarm(SPARE_AFTER_MS, () => {
      this.#spare ??= this.#fork();
    });
  }

  #dropSpare(): void {
    this.#spare?.kill('it is not needed');
    this.#spare = null;
  }

  readonly #owner: WorkerOwner = {
    ready: (worker) => this.#serves(worker),
    failed: (worker, message, exitCode) => this.#failed(worker, message, exitCode),
    alive: (worker) => this.#checkMemory(worker),
    leaving: (worker) => this.#leaves(worker),
    said: (worker, message) => this.#said(worker, message),
    ended: (worker, how) => this.#ended(worker, how),
    silent: (worker) => this.#questions.tallies.ended(worker),
  };

  #slotOf(worker: WorkerProcess): Slot {
    return this.#slots[worker.index] as Slot;
  }

  /** For those that serve. One that starts later hears it when it serves. */
  #announce(): void {
    for (const worker of this.#alive) if (worker.state === 'serving') worker.channel.order({ kind: 'notice' });
  }

  #serves(worker: WorkerProcess): void {
    const slot = this.#slotOf(worker);
    if (this.#isEnding) {
      worker.stop({ graceMs: 0 }, this.#inherited.lastUse);
      return;
    }
    if (this.#isAnnounced) worker.channel.order({ kind: 'notice' });
    if (worker === slot.successor) {
      const old = slot.worker;
      slot.worker = worker;
      slot.successor = null;
      if (old?.state === 'serving') old.stop(PREDECESSOR_CLOSE, NOT_LAST);
      else if (old?.state === 'starting') old.kill('its successor serves already');
      slot.whenReplaced?.(null);
    }
    if (!this.#slots.every((each) => each.worker?.state === 'serving')) return;
    this.#prepareSpare();
    if (this.#isReady) return;
    this.#isReady = true;
    this.#resolveReady();
  }

  /** Before all have begun, a worker that cannot begin is the end of all: the module is wrong, and a person waits for an answer. */
  #failed(worker: WorkerProcess, message: string, exitCode: number): void {
    if (!this.#isReady) {
      if (this.#isEnding) return;
      this.#rejectReady(new WorkerError(message, exitCode));
      this.#isReady = true; // the promise is settled
      void this.close({ graceMs: 0 });
    } else if (worker === this.#slotOf(worker).successor) {
      this.#successorFailed(this.#slotOf(worker), message);
    } else {
      this.#log(worker, `cannot begin: ${message}`);
    }
  }

  #successorFailed(slot: Slot, message: string): void {
    slot.successor = null;
    slot.whenReplaced?.(message);
    if (slot.worker === null && !this.#isEnding) this.#startAgain(slot);
  }

  #checkMemory(worker: WorkerProcess): void {
    const { memoryBytes } = this.#settings;
    const slot = this.#slotOf(worker);
    const { rssBytes } = worker.vitals;
    if (rssBytes <= memoryBytes || worker !== slot.worker || !this.#isReady || this.#isEnding) return;
    if (slot.successor !== null || slot.isPausing) return;
    const when = inTime(slot.countEnding(worker));
    this.#log(worker, `has ${toMB(rssBytes)} MB, more than ${toMB(memoryBytes)} MB: another one replaces it${when}`);
    slot.afterPause(() => {
      slot.successor = this.#start(slot);
    });
  }

  /** Who has told it to end is not known: a person, or its own code at each start. So it counts as one that has ended. */
  #leaves(worker: WorkerProcess): void {
    if (worker.index < 0) {
      // A signal to all processes of a group reaches the spare as well. It may have been dropped before its word comes.
      if (worker === this.#spare) this.#dropSpare();
      return;
    }
    const slot = this.#slotOf(worker);
    if (worker !== slot.worker || this.#isEnding) return;
    slot.worker = null;
    slot.share.leave();
    this.#replaceEnded(slot, worker, 'was told to end: another one replaces it');
  }

  #said(worker: WorkerProcess, message: FromWorker): void {
    if (message.kind === 'tell') {
      const { subject, message: told } = message;
      const bytes = weightOf(told);
      for (const each of this.#othersThan(worker)) each.channel.offer({ kind: 'told', subject, message: told }, bytes);
    } else if (message.kind === 'ask') {
      this.#questions.ask(worker, message, this.#othersThan(worker));
    } else if (message.kind === 'answer') {
      this.#questions.answered(worker, message.id, message.value);
    } else if (message.kind === 'tally') {
      this.#questions.tallies.note(worker, message.subject, message.tally);
    }
  }

  #othersThan(worker: WorkerProcess): readonly WorkerProcess[] {
    return [...this.#alive].filter((each) => each !== worker && each.state === 'serving');
  }

  #ended(worker: WorkerProcess, how: string): void {
    this.#alive.delete(worker);
    if (worker === this.#spare) this.#spare = null;
    else if (worker.index >= 0) this.#workerEnded(worker, how);
    if (this.#alive.size === 0) this.#whenEmpty?.();
  }

  #workerEnded(worker: WorkerProcess, how: string): void {
    this.#questions.ended(worker);
    const slot = this.#slotOf(worker);
    if (worker === slot.successor) {
      this.#successorFailed(slot, `worker ${worker.index} ${how}`);
    } else if (worker === slot.worker) {
      slot.worker = null;
      slot.share.leave();
      if (!this.#isReady) this.#failed(worker, `worker ${worker.index} ${how}`, 1);
      else if (!this.#isEnding) this.#replaceEnded(slot, worker, `${how}: another one starts`);
    }
  }

  #replaceEnded(slot: Slot, worker: WorkerProcess, how: string): void {
    this.#log(worker, `${how}${inTime(slot.countEnding(worker))}`);
    if (slot.successor === null) this.#startAgain(slot);
  }

  #startAgain(slot: Slot): void {
    slot.afterPause(() => {
      const spare = this.#spare ?? undefined;
      this.#spare = null;
      slot.worker = this.#start(slot, spare);
    });
  }

  async #replaceAll(): Promise<void> {
    this.#dropSpare(); // it has loaded the server, which may be a new one now
    for (const slot of this.#slots) {
      const failure = await this.#replace(slot);
      if (failure === null) continue;
      if (!this.#isEnding) this.#prepareSpare();
      throw new WorkerError(failure, 1);
    }
  }

  /** Resolves with the reason if there is no successor. */
  #replace(slot: Slot): Promise<string | null> {
    if (this.#isEnding) return Promise.resolve('the workers are stopping');
    slot.cancelPause();
    slot.successor?.kill('a restart begins'); // it may have loaded the module as it was before
    return new Promise((resolve) => {
      slot.whenReplaced = (failure) => {
        slot.whenReplaced = null;
        resolve(failure);
      };
      slot.successor = this.#start(slot);
    });
  }

  async #end(options: CloseOptions): Promise<void> {
    this.#isEnding = true;
    this.#forgetSignal();
    this.#inherited.removeFile();
    for (const slot of this.#slots) slot.cancelPause();
    this.#sparePause?.cancel();
    this.#dropSpare();
    for (const worker of this.#alive) {
      if (worker.state === 'starting') worker.kill('the workers are stopping');
      else worker.stop(options, this.#inherited.lastUse);
    }
    await null; // `close` has returned: what hears of it may call it again
    this.#closing.abort(new Error('the workers are stopping'));
    if (!this.#isReady) {
      this.ready.catch(() => {}); // the program has stopped them itself, so it need not be told
      this.#rejectReady(new WorkerError('the workers were stopped before they served', 1));
    }
    if (this.#alive.size > 0) {
      await new Promise<void>((resolve) => {
        this.#whenEmpty = resolve;
      });
    }
    this.#inherited.close();
  }

  #stopWith(signal: AbortSignal): void {
    const stop = () => void this.close();
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    this.#forgetSignal = () => signal.removeEventListener('abort', stop);
  }

  #sum(what: 'connections' | 'busy'): number {
    return this.#slots.reduce((sum, { worker }) => sum + (worker?.vitals[what] ?? 0), 0);
  }

  #log(worker: WorkerProcess, what: string): void {
    this.#settings.log(`simplenet: worker ${worker.index} (process ${worker.pid}) ${what}`);
  }
}

/**
 * Why workers could not begin: one sentence, and the exit code that a program may end with.
 *
 * ```ts
 * import { serve, WorkerError } from 'simplenet/http';
 *
 * try {
 *   await serve(new URL('./site.js', import.meta.url), { workers: 2 }).ready;
 * } catch (error) {
 *   if (!(error instanceof WorkerError)) throw error;
 *   console.error(error.message);
 *   process.exit(error.exitCode);
 * }
 * ```
 */
export class WorkerError extends Error {
  /** 1, or the `exitCode` of the error that the module has thrown. */
  readonly exitCode: number;

  /** @internal */
  constructor(message: string, exitCode: number) {
    super(message);
    this.name = 'WorkerError';
    this.exitCode = exitCode;
  }
}

function inTime(pauseMs: number): string {
  return pauseMs === 0 ? '' : ` in ${pauseMs / 1_000} s`;
}

function toMB(bytes: number): number {
  return Math.round(bytes / 1024 ** 2);
}
