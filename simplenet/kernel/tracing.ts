/**
 * Tracing: every system call as a line that a person can read, beside strace or in its place.
 *
 *     recv(7, "GET / HTTP/1.1\r\nHost: local"..., 65536, 0) = 78
 *     accept4(5, 0.0.0.0:0, SOCK_NONBLOCK|SOCK_CLOEXEC) = -1 EAGAIN (resource temporarily unavailable)
 *
 * Switched on, it replaces the entries of a table of calls by ones that also write a line; switched off, it puts them
 * back, so nothing is paid for what nobody reads. The environment variable SIMPLENET_TRACE does the same from outside:
 * `1` for the lines, `time` for the time of day and the duration as well.
 *
 * Next: ../sockets/socket-filter.ts
 */

import { type Libc, libc as processLibc } from './libc.ts';
import { formatters, resultText } from './trace-formatters.ts';

export interface TraceOptions {
  /** Gets each line, without its line end. Standard error unless given. */
  readonly write?: (line: string) => void;
  /** Adds when each call began and how many seconds it took, as `strace -tt -T` does. */
  readonly time?: boolean;
  /** The table whose calls are to be traced; the process's own if none is given. */
  readonly libc?: Libc;
}

type Line = (text: string, startedAt: number, durationMs: number) => void;

/** Who reads along, for each table that is being traced. */
const readersOf = new WeakMap<Libc, Set<Line>>();

/** Traces the calls of a table from now on. Call what it returns to stop. */
export function trace(options: TraceOptions = {}): () => void {
  const table = options.libc ?? processLibc;
  const write = options.write ?? ((line: string) => void process.stderr.write(`${line}\n`));
  const isTimed = options.time ?? false;
  const reader: Line = (text, startedAt, durationMs) =>
    write(isTimed ? `${timeOfDay(startedAt)} ${text} <${(durationMs / 1000).toFixed(6)}>` : text);
  const readers = readersOf.get(table) ?? startTracing(table);
  readers.add(reader);
  return () => {
    if (readers.delete(reader) && readers.size === 0) stopTracing(table);
  };
}

function startTracing(table: Libc): Set<Line> {
  const readers = new Set<Line>();
  readersOf.set(table, readers);
  for (const name of Object.keys(formatters) as (keyof Libc)[]) traceOne(table, name, readers);
  return readers;
}

const untraced = Symbol('untraced');

function traceOne<Name extends keyof Libc>(table: Libc, name: Name, readers: ReadonlySet<Line>): void {
  const isOwn = Object.hasOwn(table, name);
  const call = table[name] as (...args: Parameters<Libc[Name]>) => number;
  const traced = (...args: Parameters<Libc[Name]>): number => {
    const startedAt = performance.timeOrigin + performance.now();
    const result = call.apply(table, args);
    const durationMs = performance.timeOrigin + performance.now() - startedAt;
    try {
      const text = `${name}(${formatters[name](args, result).join(', ')}) = ${resultText(result)}`;
      for (const reader of readers) reader(text, startedAt, durationMs);
    } catch (error) {
      // The call has been made: its result must not be lost, it may be a descriptor.
      process.nextTick(() => {
        throw error;
      });
    }
    return result;
  };
  table[name] = Object.assign(traced, { [untraced]: isOwn ? call : undefined }) as unknown as Libc[Name];
}

function stopTracing(table: Libc): void {
  readersOf.delete(table);
  for (const name of Object.keys(formatters) as (keyof Libc)[]) {
    const call = (table[name] as unknown as { [untraced]?: unknown })[untraced];
    if (call === undefined) delete (table as Partial<Libc>)[name];
    else Object.assign(table, { [name]: call });
  }
}

/** Begins tracing where the value of SIMPLENET_TRACE asks for it. Call what it returns to stop. */
export function traceFromEnvironment(value: string | undefined): () => void {
  if (value === undefined || value === '' || value === '0') return () => {};
  return trace({ time: value === 'time' });
}

function timeOfDay(epochMs: number): string {
  const micros = Math.floor((epochMs % 1) * 1000);
  return `${new Date(epochMs).toISOString().slice(11, 23)}${String(micros).padStart(3, '0')}`;
}

traceFromEnvironment(process.env.SIMPLENET_TRACE);
