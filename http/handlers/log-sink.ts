/**
 * LogSink: takes lines of a log, and writes those of one turn of the loop together.
 *
 *     a file or a descriptor   write(2), which blocks while the disk does, as every log does. A pipe that is non-blocking and full is tried again
 *     a stream                 waits for its `drain`
 *     a function               gets the text
 *
 * What cannot be written yet waits, up to `maxQueuedBytes`. Lines above that are dropped, because a server must not stop when its log is not read, and
 * one line says how many. An error of the sink drops what waits, is a warning of the process, and the next turn tries again.
 *
 * Nothing is lost when the process ends: what waits is written at `exit`, which also follows process.exit() and an uncaught exception. SIGTERM, SIGINT and SIGHUP
 * would end the process without that event. So they are listened to; if the program does not listen itself, the signal is sent again with its usual effect. Only SIGKILL and an abort lose
 * the lines of the last turn, and a stream that writes later loses at process.exit() what it has taken.
 *
 * Next: access-log.ts
 */

import { closeSync, openSync, writeSync } from 'node:fs';

/**
 * A stream as a log needs it: `process.stdout`, or any `Writable` of Node.
 *
 * ```ts
 * import { createGzip } from 'node:zlib';
 * import { accessLog, type LogStream, Router, serve } from 'simplenet/http';
 *
 * const packed: LogStream = createGzip();
 * serve(new Router(), { onDone: accessLog({ to: packed }) });
 * ```
 */
export interface LogStream {
  /** Returns false if it has enough until `drain`. */
  write(text: string): boolean;
  /** Of `drain` and `error`. */
  on(event: string, listener: (error: Error) => void): unknown;
  /** Takes a listener back. */
  off(event: string, listener: (error: Error) => void): unknown;
}

/**
 * Where a log goes: the path of a file, a descriptor, a stream, or a function that gets the lines of a turn.
 *
 * ```ts
 * import { accessLog, type LogTarget, Router, serve } from 'simplenet/http';
 *
 * const file: LogTarget = '/var/log/site.log';
 * serve(new Router(), { onDone: accessLog({ to: file }) });
 * ```
 */
export type LogTarget = string | number | LogStream | ((lines: string) => void);

const RETRY_MS = 10;

/** How long the end of the process waits for a full pipe, in steps of PAUSE_MS. */
const EXIT_WAIT_MS = 1_000;
const PAUSE_MS = 5;

/** A log names clients, so other users of the machine do not read it. */
const FILE_MODE = 0o640;

export interface LogSinkOptions {
  readonly to: LogTarget;
  readonly maxQueuedBytes: number;
  readonly signals: boolean;
  /** The line that says how many are missing. */
  readonly gap: (count: number) => string;
}

export class LogSink {
  readonly #options: LogSinkOptions;
  readonly #target: Target;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #isScheduled = false;
  #isClosed = false;
  #hasWarned = false;
  #retry: NodeJS.Timeout | null = null;

  constructor(options: LogSinkOptions) {
    this.#options = options;
    this.#target = targetOf(options.to, this);
    watchForExit(this, options.signals);
  }

  /** The line is printable ASCII, so its length is that of its bytes. */
  write(line: string): void {
    if (this.#isClosed) return;
    if (this.#waitingBytes + line.length > this.#options.maxQueuedBytes) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    this.#schedule();
  }

  /** Writes what waits, as far as the target takes it. */
  flush(isLast = false): void {
    if (this.#waitingBytes === 0 && this.#dropped === 0) return;
    if (!isLast && !this.#target.isReady) return;
    const dropped = this.#dropped;
    const text = this.#waiting.join('') + (dropped === 0 ? '' : this.#options.gap(dropped));
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#dropped = 0;
    try {
      const rest = this.#target.write(text, isLast);
      if (rest !== '') this.#keep(rest);
      this.#hasWarned = false;
    } catch (error) {
      this.#dropped = dropped + text.split('\n').length - 1 - Math.sign(dropped);
      this.warn(error);
    }
  }

  /** Opens the file again, after another program has renamed it. */
  reopen(): void {
    this.flush();
    this.#target.reopen();
  }

  close(): void {
    if (this.#isClosed) return;
    this.flush(true);
    this.#isClosed = true;
    forget(this);
    this.#target.close();
  }

  /** Once, until a write succeeds again: a full disk would warn at each turn. */
  warn(error: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    process.emitWarning(`the access log cannot be written: ${String(error)}`);
  }

  #keep(rest: string): void {
    this.#waiting.unshift(rest);
    this.#waitingBytes += rest.length;
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      this.flush();
    }, RETRY_MS).unref();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }
}

interface Target {
  /** It takes more now. */
  readonly isReady: boolean;
  /** Returns what it has not taken. At the end of the process it waits for a while. */
  write(text: string, isLast: boolean): string;
  reopen(): void;
  close(): void;
}

function targetOf(to: LogTarget, sink: LogSink): Target {
  if (typeof to === 'string') return new FileTarget(to);
  if (typeof to === 'function') return new FunctionTarget(to);
  if (typeof to === 'number' && Number.isInteger(to) && to >= 0) return new DescriptorTarget(to);
  if (typeof (to as Partial<LogStream> | null)?.write === 'function') return new StreamTarget(to as LogStream, sink);
  throw new TypeError('a log goes to a path, a descriptor, a stream or a function');
}

function notReopened(): never {
  throw new Error('only a log that goes to a path can be reopened');
}

class DescriptorTarget implements Target {
  readonly isReady = true;
  protected fd: number;
  /** The last byte that was written is within a line. */
  #isMidLine = false;
  /** The rest of that line is lost. */
  #hasCutLine = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  write(text: string, isLast: boolean): string {
    const deadline = isLast ? EXIT_WAIT_MS / PAUSE_MS : 0;
    let rest = this.#hasCutLine ? `\n${text}` : text;
    this.#hasCutLine = false;
    for (let pauses = 0; rest !== ''; ) {
      try {
        const count = writeSync(this.fd, rest);
        this.#isMidLine = rest[count - 1] !== '\n';
        rest = rest.slice(count); // ASCII: a byte is a character
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
          this.#hasCutLine = this.#isMidLine;
          throw error;
        }
        if (pauses++ >= deadline) break;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
      }
    }
    return rest;
  }

  reopen(): void {
    notReopened();
  }

  close(): void {} // it belongs to the program
}

class FileTarget extends DescriptorTarget {
  readonly #path: string;

  constructor(path: string) {
    super(openSync(path, 'a', FILE_MODE));
    this.#path = path;
  }

  override reopen(): void {
    const old = this.fd;
    this.fd = openSync(this.#path, 'a', FILE_MODE);
    closeSync(old);
  }

  override close(): void {
    closeSync(this.fd);
  }
}

class FunctionTarget implements Target {
  readonly isReady = true;
  readonly #take: (lines: string) => void;

  constructor(take: (lines: string) => void) {
    this.#take = take;
  }

  write(text: string): string {
    this.#take(text);
    return '';
  }

  reopen(): void {
    notReopened();
  }

  close(): void {}
}

class StreamTarget implements Target {
  readonly #stream: LogStream;
  readonly #sink: LogSink;
  isReady = true;
  /** Since the last `drain`, which alone says that the stream works. */
  #hasFailed = false;

  constructor(stream: LogStream, sink: LogSink) {
    this.#stream = stream;
    this.#sink = sink;
    stream.on('drain', this.#drained);
    stream.on('error', this.#failed);
  }

  readonly #drained = (): void => {
    this.isReady = true;
    this.#hasFailed = false;
    this.#sink.flush();
  };

  /** Without a listener the error would end the process. A stream that has failed does not drain, so the next turn tries again. */
  readonly #failed = (error: Error): void => {
    this.isReady = true;
    if (!this.#hasFailed) this.#sink.warn(error);
    this.#hasFailed = true;
  };

  write(text: string): string {
    this.isReady = this.#stream.write(text);
    return '';
  }

  reopen(): void {
    notReopened();
  }

  close(): void {
    this.#stream.off('drain', this.#drained);
    this.#stream.off('error', this.#failed);
  }
}

// The end of the process.

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

const watched = new Set<LogSink>();
const watchedForSignals = new Set<LogSink>();

function watchForExit(sink: LogSink, signals: boolean): void {
  if (watched.size === 0) process.on('exit', flushAll);
  watched.add(sink);
  if (!signals) return;
  // In front of the listeners of the program: one that is called once is then still counted.
  if (watchedForSignals.size === 0) for (const signal of SIGNALS) process.prependListener(signal, passOn);
  watchedForSignals.add(sink);
}

function forget(sink: LogSink): void {
  if (watched.delete(sink) && watched.size === 0) process.off('exit', flushAll);
  if (watchedForSignals.delete(sink) && watchedForSignals.size === 0) {
    for (const signal of SIGNALS) process.off(signal, passOn);
  }
}

function flushAll(): void {
  for (const sink of watched) sink.flush(true);
}

/**
 * The library signal-exit, which many programs contain, sends the signal again as well, if nobody else listens. With this listener in the list, each of the two would wait
 * for the other, and the process would not end. So it leaves the list while the others run, and comes back if the process goes on.
 */
function passOn(signal: NodeJS.Signals): void {
  flushAll();
  process.off(signal, passOn);
  if (process.listenerCount(signal) === 0) {
    process.kill(process.pid, signal);
    return;
  }
  setImmediate(() => {
    if (watchedForSignals.size > 0) process.prependListener(signal, passOn);
  });
}
