/** LogSink: one write a turn, sinks that are slow or broken, and the end of the process. */

import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { LogSink, type LogTarget } from '../../../http/handlers/log-sink.ts';
import { Program, plainEnvironment } from '../../support/programs.ts';
import { until } from '../../support/waiting.ts';

const gap = (count: number) => `dropped ${count}\n`;

function sinkTo(t: Test, to: LogTarget, maxQueuedBytes = 1_000): LogSink {
  const sink = new LogSink({ to, maxQueuedBytes, signals: true, gap });
  t.teardown(() => sink.close());
  return sink;
}

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('the lines of a turn are one write', async (t) => {
  const writes: string[] = [];
  const sink = sinkTo(t, (text) => writes.push(text));
  sink.write('a\n');
  sink.write('b\n');
  t.same(writes, []);
  await nextTurn();
  t.same(writes, ['a\nb\n']);
  await nextTurn();
  sink.write('c\n');
  sink.flush();
  t.same(writes, ['a\nb\n', 'c\n'], 'at once, on request');
  await nextTurn();
  t.equal(writes.length, 2, 'nothing is written twice');
  sink.write('d\n');
  sink.close();
  sink.close();
  sink.write('e\n');
  await nextTurn();
  t.same(writes, ['a\nb\n', 'c\n', 'd\n'], 'closed: what waits is written, and what comes later is not');
});

test('maxQueuedBytes, and one more', async (t) => {
  const writes: string[] = [];
  const sink = sinkTo(t, (text) => writes.push(text), 10);
  sink.write('12345\n');
  sink.write('123\n');
  await nextTurn();
  t.same(writes, ['12345\n123\n'], '10 bytes');
  sink.write('12345\n');
  for (let i = 0; i < 3; i++) sink.write('1234\n');
  sink.write('123\n');
  await nextTurn();
  t.equal(writes[1], '12345\n123\ndropped 3\n');
});

test('a file, and after its renaming another', async (t) => {
  const path = join(folderOf(t), 'access.log');
  const sink = sinkTo(t, path);
  sink.write('a\n');
  await nextTurn();
  t.equal(statSync(path).mode & 0o007, 0, 'not for other users');
  renameSync(path, `${path}.1`);
  sink.write('b\n');
  sink.reopen();
  sink.write('c\n');
  await nextTurn();
  t.same([readFileSync(`${path}.1`, 'utf8'), readFileSync(path, 'utf8')], ['a\nb\n', 'c\n']);
  t.throws(() => sinkTo(t, join(path, 'none')), { code: 'ENOTDIR' });
});

test('only a file can be reopened', async (t) => {
  const fd = openSync('/dev/null', 'w');
  t.teardown(() => closeSync(fd));
  for (const to of [fd, new PassThrough(), () => {}]) t.throws(() => sinkTo(t, to).reopen(), /path/);
  for (const to of [-1, 1.5, {}, null, undefined]) t.throws(() => sinkTo(t, to as number), { name: 'TypeError' });
});

test('a stream that has enough is left alone until it drains', async (t) => {
  class Slow extends EventEmitter {
    readonly writes: string[] = [];
    write(text: string): boolean {
      this.writes.push(text);
      return false;
    }
  }
  const stream = new Slow();
  const sink = sinkTo(t, stream, 4);
  sink.write('a\n');
  await nextTurn();
  for (const line of ['b\n', 'c\n', 'd\n']) sink.write(line);
  await nextTurn();
  t.same(stream.writes, ['a\n']);
  stream.emit('drain');
  t.same(stream.writes, ['a\n', 'b\nc\ndropped 1\n']);
  sink.write('e\n');
  sink.close();
  t.equal(stream.writes[2], 'e\n', 'at its end it gets what waits');
  t.equal(stream.listenerCount('drain') + stream.listenerCount('error'), 0);
});

/** The warnings of the process while the test runs. */
function warningsIn(t: Test): Error[] {
  const warnings: Error[] = [];
  const listener = (warning: Error) => warnings.push(warning);
  process.on('warning', listener);
  t.teardown(() => process.off('warning', listener));
  return warnings;
}

test('a stream that breaks is a warning, and not the end of the process', async (t) => {
  const warnings = warningsIn(t);
  const stream = new PassThrough();
  const sink = sinkTo(t, stream);
  sink.write('a\n');
  stream.destroy(new Error('broken'));
  await once(process, 'warning');
  t.match(warnings[0]?.message, /the access log cannot be written: Error: broken/);
});

test('a stream that fails and does not drain is tried again at the next turn, and warns once', async (t) => {
  const warnings = warningsIn(t);
  const writes: string[] = [];
  const stream = Object.assign(new EventEmitter(), {
    write: (text: string) => {
      writes.push(text);
      process.nextTick(() => stream.emit('error', new Error('no space')));
      return false; // as process.stderr on a full disk
    },
  });
  const sink = sinkTo(t, stream);
  for (const line of ['a\n', 'b\n', 'c\n']) {
    sink.write(line);
    await nextTurn();
    await nextTurn();
  }
  t.same(writes, ['a\n', 'b\n', 'c\n']);
  t.equal(warnings.length, 1);
  stream.emit('drain');
  sink.write('d\n');
  await nextTurn();
  await nextTurn();
  t.equal(warnings.length, 2, 'it had drained');
});

test('an error of the sink warns once, and its lines are counted', async (t) => {
  const warnings = warningsIn(t);
  const writes: string[] = [];
  let fails = true;
  const sink = sinkTo(t, (text) => {
    if (fails) throw new Error('disk full');
    writes.push(text);
  });
  for (const lines of [2, 1]) {
    for (let i = 0; i < lines; i++) sink.write('a\n');
    sink.flush();
  }
  await once(process, 'warning');
  fails = false;
  sink.write('b\n');
  sink.flush();
  t.same(writes, ['b\ndropped 3\n']);
  await nextTurn();
  t.equal(warnings.length, 1);
  fails = true;
  sink.write('c\n');
  sink.flush();
  await once(process, 'warning');
  t.equal(warnings.length, 2, 'it had worked again');
  fails = false;
});

/** A pipe that takes 64 KiB, then says EAGAIN. */
function pipeIn(t: Test): number {
  const path = join(folderOf(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => closeSync(fd));
  return fd;
}

function readAll(fd: number): string {
  const buffer = Buffer.alloc(1_000_000);
  let text = '';
  try {
    for (;;) text += buffer.toString('latin1', 0, readSync(fd, buffer));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
  return text;
}

test('a pipe that is full is tried again, and no line is torn or lost', async (t) => {
  const fd = pipeIn(t);
  const sink = sinkTo(t, fd, 1_000_000);
  const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`);
  for (const line of lines) sink.write(line);
  await nextTurn();
  sink.flush();
  let text = '';
  await until(() => {
    text += readAll(fd);
    return text.length === lines.join('').length;
  });
  t.ok(text === lines.join(''));
});

test('at the end of the process a pipe that stays full is waited for, but not without end', async (t) => {
  const fd = pipeIn(t);
  const sink = new LogSink({ to: fd, maxQueuedBytes: 1_000_000, signals: false, gap });
  sink.write('x'.repeat(100_000));
  sink.close();
  t.equal(readAll(fd).length, 65_536);
});

test('after an error in the middle of a line the next one begins on a line of its own', async (t) => {
  warningsIn(t);
  const path = join(folderOf(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const first = reader();
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  t.teardown(() => closeSync(fd));
  const sink = sinkTo(t, fd, 1_000_000);
  sink.write(`${'x'.repeat(70_000)}\n`);
  sink.flush();
  closeSync(first);
  sink.flush(); // EPIPE
  const second = reader();
  t.teardown(() => closeSync(second));
  t.match(readAll(second), /^x+$/);
  sink.write('next\n');
  sink.flush();
  t.equal(readAll(second), '\nnext\ndropped 1\n');
});

const start = `
const { accessLog } = await import(build + '/http/index.js');
const log = accessLog({ format: 'json' });
const outcome = { method: 'GET', path: '/a', route: null, status: 200, bytesIn: 1, bytesOut: 1, startedAt: 0 };
const write = () => log({ ...outcome, firstByteMs: 1, durationMs: 1, clientGone: false, error: null, request: null });
`;

async function endOf(t: Test, text: string, signal?: NodeJS.Signals) {
  const program = Program.script(start + text, { env: plainEnvironment() });
  t.teardown(() => program.kill());
  if (signal !== undefined) {
    await program.prints(/ready\n/);
    program.kill(signal);
  }
  const { code, signal: endedBy, stdout } = await program.ends();
  return [code, endedBy, stdout.split('\n').filter((line) => line.startsWith('{')).length];
}

test('nothing is lost at process.exit, at an uncaught exception and at the last turn', async (t) => {
  t.same(await endOf(t, 'write(); write(); process.exit(3);'), [3, null, 2]);
  t.same(await endOf(t, 'setTimeout(() => { write(); throw new Error("broken"); });'), [1, null, 1]);
  t.same(await endOf(t, 'write(); Promise.reject(new Error("unheard"));'), [1, null, 1]);
  t.same(await endOf(t, 'write(); log.close(); write();'), [0, null, 1]);
});

/** A line is written in the same turn in which the signal comes: the turn is over when the process has got it. */
const busy = `
setInterval(() => {}, 1_000);
console.log('ready');
process.on('SIGUSR2', () => {});
const until = Date.now() + 300;
write();
while (Date.now() < until);
`;

test('a signal ends the process as it would without a log, after the lines are written', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    t.same(await endOf(t, busy, signal), [null, signal, 1], signal);
  }
});

test('a program that listens to a signal decides itself, also if it listens once', async (t) => {
  const own = (how: string) => `process.${how}('SIGTERM', () => { write(); setTimeout(() => process.exit(7), 20); });`;
  t.same(await endOf(t, own('on') + busy, 'SIGTERM'), [7, null, 2]);
  t.same(await endOf(t, own('once') + busy, 'SIGTERM'), [7, null, 2]);
});

test('a library that sends the signal again if it listens alone does so', async (t) => {
  const library = `
    const again = () => {
      if (process.listenerCount('SIGTERM') > 1) return;
      process.off('SIGTERM', again);
      process.kill(process.pid, 'SIGTERM');
    };
    process.on('SIGTERM', again);
  `;
  t.same(await endOf(t, library + busy, 'SIGTERM'), [null, 'SIGTERM', 1]);
});

test('the listeners of a log: one for each signal, until the last log is closed', async (t) => {
  const others = process.rawListeners('SIGTERM') as (() => void)[];
  process.removeAllListeners('SIGTERM');
  t.teardown(() => {
    for (const other of others) process.on('SIGTERM', other);
  });
  const kill = t.capture(process, 'kill', () => true);
  const writes: string[] = [];
  const options = { to: (text: string) => writes.push(text), maxQueuedBytes: 10, signals: true, gap };
  const sinks = [new LogSink(options), new LogSink(options)];
  t.equal(process.listenerCount('SIGTERM'), 1);
  let heard = 0;
  const own = () => heard++;
  process.on('SIGTERM', own);
  for (const count of [1, 2]) {
    sinks[0]?.write('a\n');
    process.emit('SIGTERM', 'SIGTERM');
    t.same([heard, writes.length, process.listenerCount('SIGTERM')], [count, count, 1]);
    await nextTurn();
    t.equal(process.listenerCount('SIGTERM'), 2, 'it has come back');
  }
  process.emit('SIGTERM', 'SIGTERM');
  sinks[0]?.close();
  sinks[1]?.close();
  await nextTurn();
  t.same(process.listeners('SIGTERM'), [own], 'all are closed');
  process.off('SIGTERM', own);
  t.same(kill(), []);

  const last = new LogSink(options);
  last.write('b\n');
  process.emit('SIGTERM', 'SIGTERM');
  t.match(kill(), [{ args: [process.pid, 'SIGTERM'] }]);
  t.same([writes.at(-1), process.listenerCount('SIGTERM')], ['b\n', 0]);
  last.close();
});
