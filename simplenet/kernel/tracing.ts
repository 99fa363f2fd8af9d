/**
 * Tracing: writes each system call as a readable line. Use it beside strace, or where strace is not allowed.
 *
 *     recv(7, "GET / HTTP/1.1\r\nHost: localhost:"..., 65536, 0) = 78
 *     accept4(5, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC) = -1 EAGAIN (resource temporarily unavailable)
 *
 * `trace` replaces the entries of a table of calls by functions that also write a line. Stopping it puts the old entries back, so
 * tracing costs nothing while it is off. The environment variable SIMPLENET_TRACE switches it on at the start: `1` writes the
 * lines, `time` adds the time of day and the duration.
 *
 * A table of other C functions may join (`joinTrace`): ../layers/openssl.ts does so when TLS is used for the first time.
 *
 * Next: call-counts.ts
 */

import { type Libc, libc as processLibc } from './libc.ts';
import { formatters, resultText } from './trace-formatters.ts';

/**
 * The options of `trace`.
 *
 * ```ts
 * import { appendFileSync } from 'node:fs';
 * import { type TraceOptions, trace } from 'simplenet';
 *
 * const options: TraceOptions = { time: true, write: (line) => appendFileSync('calls.log', `${line}\n`) };
 * trace(options);
 * ```
 */
export interface TraceOptions {
  /** Gets each line, without its line end. Standard error unless given. */
  readonly write?: (line: string) => void;
  /** Adds when each call began and how many seconds it took, as `strace -tt -T` does. */
  readonly time?: boolean;
  /** The table whose calls are traced; by default the process's own. */
  readonly libc?: Libc;
}

type LineWriter = (text: string, startedAt: number, durationMs: number) => void;

/** A table of functions, and how a trace prints a call of each. */
interface Traceable {
  readonly table: object;
  readonly names: readonly string[];
  readonly describe: (name: string, args: readonly unknown[], result: unknown) => string;
}

/** The writers of each table that is being traced. */
const writersOf = new WeakMap<object, Set<LineWriter>>();

/** Tables that are traced whenever the process's own table of system calls is. */
const companions: Traceable[] = [];

/** From now on a trace of the process shows the calls of this table, too. */
export function joinTrace(companion: Traceable): void {
  companions.push(companion);
  const writers = writersOf.get(processLibc);
  if (writers !== undefined) startTracing(companion, writers);
}

const asTraceable = (table: Libc): Traceable => ({
  table,
  names: Object.keys(formatters),
  describe: describeSystemCall,
});

function describeSystemCall(name: string, args: readonly unknown[], result: unknown): string {
  const format = formatters[name as keyof Libc] as (args: readonly unknown[], result: number) => readonly unknown[];
  return `${name}(${format(args, result as number).join(', ')}) = ${resultText(result as number)}`;
}

/**
 * Traces the calls of a table from now on. Returns a function that stops it.
 *
 * ```ts
 * import { NetSocket, trace } from 'simplenet';
 *
 * const stop = trace(); // to standard error
 * NetSocket.listenOn({ address: '127.0.0.1', port: 0 }).close(); // socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 21, ...
 * stop();
 * ```
 */
export function trace(options: TraceOptions = {}): () => void {
  const table = options.libc ?? processLibc;
  const write = options.write ?? ((line: string) => void process.stderr.write(`${line}\n`));
  const isTimed = options.time ?? false;
  const writer: LineWriter = (text, startedAt, durationMs) =>
    write(isTimed ? `${timeOfDay(startedAt)} ${text} <${(durationMs / 1000).toFixed(6)}>` : text);
  const writers = writersOf.get(table) ?? startAll(table);
  writers.add(writer);
  return () => {
    if (writers.delete(writer) && writers.size === 0) stopAll(table);
  };
}

export function isTraced(table: Libc): boolean {
  return writersOf.has(table);
}

function tracedWith(table: Libc): readonly Traceable[] {
  return table === processLibc ? [asTraceable(table), ...companions] : [asTraceable(table)];
}

function startAll(table: Libc): Set<LineWriter> {
  const writers = new Set<LineWriter>();
  for (const traceable of tracedWith(table)) startTracing(traceable, writers);
  return writers;
}

function stopAll(table: Libc): void {
  for (const traceable of tracedWith(table)) stopTracing(traceable);
}

function startTracing(traceable: Traceable, writers: Set<LineWriter>): void {
  writersOf.set(traceable.table, writers);
  for (const name of traceable.names) traceOne(traceable, name, writers);
}

const untraced = Symbol('untraced');

type Call = (...args: unknown[]) => unknown;

function traceOne({ table, describe }: Traceable, name: string, writers: ReadonlySet<LineWriter>): void {
  const calls = table as Record<string, Call>;
  const isOwn = Object.hasOwn(table, name);
  const call = calls[name] as Call;
  const traced = (...args: unknown[]): unknown => {
    const startedAt = performance.timeOrigin + performance.now();
    const result = call.apply(table, args);
    const durationMs = performance.timeOrigin + performance.now() - startedAt;
    try {
      const text = describe(name, args, result);
      for (const writer of writers) writer(text, startedAt, durationMs);
    } catch (error) {
      // The call has been made, and its result may be a descriptor, so the caller must get it.
      process.nextTick(() => {
        throw error;
      });
    }
    return result;
  };
  calls[name] = Object.assign(traced, { [untraced]: isOwn ? call : undefined });
}

function stopTracing({ table, names }: Traceable): void {
  writersOf.delete(table);
  const calls = table as Record<string, Call>;
  for (const name of names) {
    const call = (calls[name] as unknown as { [untraced]?: Call })[untraced];
    if (call === undefined) delete calls[name];
    else calls[name] = call;
  }
}

/** Starts tracing if the value of SIMPLENET_TRACE asks for it. Returns a function that stops it. */
export function traceFromEnvironment(value: string | undefined): () => void {
  if (value === undefined || value === '' || value === '0') return () => {};
  return trace({ time: value === 'time' });
}

function timeOfDay(epochMs: number): string {
  const micros = Math.floor((epochMs % 1) * 1000);
  return `${new Date(epochMs).toISOString().slice(11, 23)}${String(micros).padStart(3, '0')}`;
}

traceFromEnvironment(process.env.SIMPLENET_TRACE);
