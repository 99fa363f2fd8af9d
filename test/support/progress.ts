/**
 * What `npm test` prints: a line for each test file with its time as soon as it ends, and what fails as soon as it fails. When no file
 * ends for ten seconds, a line says which files run.
 *
 * Without a terminal tap prints the TAP of all files, in their order. A slow file holds back the lines of all files behind it, so a log
 * shows nothing for minutes. A React component is the one kind of reporter that tap gives its objects to; this one draws nothing.
 */

import { fileOfMark } from './rooms.ts';

/** An assertion, as tap's parser reports it. */
interface Result {
  readonly ok: boolean;
  readonly fullname: string;
  readonly diag: unknown;
  readonly skip: string | boolean;
  readonly todo: string | boolean;
  /** It only repeats the outcome of a subtest. */
  readonly closingTestPoint: boolean;
}

interface Parser {
  readonly name: string;
  on(event: 'child', listener: (child: Parser) => void): void;
  on(event: 'assert', listener: (result: Result) => void): void;
  on(event: 'extra', listener: (text: string) => void): void;
}

/** A process of tests: of one file, or of a room of files. */
interface Suite {
  readonly name: string;
  readonly parser: Parser;
  readonly results?: { readonly ok: boolean };
  readonly options: { readonly exitCode?: number | null; readonly signal?: string | null };
  once(event: 'process', listener: (process: { readonly stderr: NodeJS.ReadableStream | null }) => void): void;
}

/** The whole run. */
interface Run {
  on(event: 'subtestStart' | 'subtestEnd', listener: (suite: Suite) => void): void;
  on(event: 'complete', listener: () => void): void;
}

const QUIET_MS = 10_000;

const secondsSince = (startedAt: number) => `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`;

const indented = (text: string, columns: number) => text.trimEnd().replaceAll(/^/gm, ' '.repeat(columns));

/** The details of a failed assertion: the difference, the place, the stack. */
function asLines(diag: unknown): string[] {
  return Object.entries(diag ?? {}).map(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return indented(text.includes('\n') ? `${name}:\n${indented(text, 2)}` : `${name}: ${text}`, 12);
  });
}

/** A file whose tests run now. */
class RunningFile {
  readonly name: string;
  readonly startedAt = performance.now();
  isFailed = false;
  /** What it writes that is not TAP. It is printed if the file fails. */
  readonly output: string[] = [];

  constructor(name: string) {
    this.name = name;
  }
}

class Progress {
  readonly #startedAt = performance.now();
  readonly #running = new Map<Suite, RunningFile>();
  readonly #failed: string[] = [];
  readonly #skipped: string[] = [];
  #assertions = 0;
  readonly #alarm = setInterval(() => this.#printRunning(), QUIET_MS).unref();

  watch(run: Run): void {
    run.on('subtestStart', (suite) => this.#begin(suite));
    run.on('subtestEnd', (suite) => this.#end(suite));
    run.on('complete', () => this.#printSummary());
  }

  #begin(suite: Suite): void {
    const { name, parser } = suite;
    this.#running.set(suite, new RunningFile(name));
    const keep = (text: string | Buffer) => void this.#running.get(suite)?.output.push(String(text));
    suite.once('process', ({ stderr }) => stderr?.on('data', keep));
    parser.on('extra', keep);
    parser.on('child', (child) => this.#enterFile(suite, child.name));
    this.#listen(suite, parser);
  }

  /** A mark of a room: the file before it has ended, and the next one begins. */
  #enterFile(suite: Suite, mark: string): void {
    const name = fileOfMark(mark);
    const last = this.#running.get(suite);
    if (name === null || last === undefined) return;
    if (last.name !== suite.name) this.#printEnd(last);
    this.#running.set(suite, new RunningFile(name));
  }

  #listen(suite: Suite, parser: Parser): void {
    parser.on('child', (child) => this.#listen(suite, child));
    parser.on('assert', ({ ok, fullname, diag, skip, todo, closingTestPoint }) => {
      const file = this.#running.get(suite);
      if (file === undefined) return;
      if (!closingTestPoint) this.#assertions++;
      const title = fullname.replace(`${suite.name} > `, '');
      if (skip !== false) this.#skipped.push(`${file.name}: ${title}: ${skip}`);
      if (ok || todo !== false) return;
      file.isFailed = true;
      if (!closingTestPoint) this.#print(`NOT OK    ${file.name}`, indented(title, 10), ...asLines(diag));
    });
  }

  #end(suite: Suite): void {
    const file = this.#running.get(suite);
    if (file === undefined) return;
    const { exitCode, signal } = suite.options;
    if (signal || (exitCode && !file.isFailed)) {
      file.output.push(`the process of ${suite.name} ended with ${signal || `exit code ${exitCode}`}`);
    }
    if (suite.results?.ok === false || exitCode || signal) file.isFailed = true;
    this.#printEnd(file);
    this.#running.delete(suite);
  }

  #print(...lines: readonly string[]): void {
    console.log(lines.join('\n'));
    this.#alarm.refresh();
  }

  #printEnd({ name, startedAt, isFailed, output }: RunningFile): void {
    this.#print(`${secondsSince(startedAt).padStart(8)}  ${name}${isFailed ? ': NOT OK' : ''}`);
    if (!isFailed) return;
    this.#failed.push(name);
    if (output.length > 0) this.#print(indented(output.join(''), 12));
  }

  #printRunning(): void {
    for (const { name, startedAt } of this.#running.values()) {
      this.#print(`          ${name} has been running for ${secondsSince(startedAt)}`);
    }
  }

  #printSummary(): void {
    clearInterval(this.#alarm);
    for (const test of this.#skipped) this.#print(`skipped   ${test}`);
    for (const name of this.#failed) this.#print(`NOT OK    ${name}`);
    const outcome = this.#failed.length === 0 ? 'all files passed' : `${this.#failed.length} files failed`;
    this.#print(`${this.#assertions} assertions in ${secondsSince(this.#startedAt)}: ${outcome}`);
  }
}

const watched = new WeakSet<Run>();

// biome-ignore lint/style/noDefaultExport: tap takes the default export of a reporter.
export default function reporter({ test }: { readonly test: Run }): null {
  if (!watched.has(test)) new Progress().watch(test);
  watched.add(test);
  return null;
}
