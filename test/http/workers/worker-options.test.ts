/** The options of workers: defaults, and mistakes with what to do about them. */

import { availableParallelism } from 'node:os';
import { test } from 'tap';
import { serve } from '../../../http/index.ts';
import { MAX_WORKERS, workerCount, workerSettings } from '../../../http/workers/worker-options.ts';

test('the defaults', async (t) => {
  const settings = workerSettings({ workers: 3, port: 8080 });
  t.match(settings, {
    count: 3,
    memoryBytes: Number.POSITIVE_INFINITY,
    hangMs: 10_000,
    startMs: 30_000,
    args: [],
    serve: { port: 8080 },
  });
  t.same(Object.keys(settings.serve), ['port']);
  const written = t.capture(console, 'error');
  settings.log('a line');
  t.same(
    written().map(({ args }) => args),
    [['a line']],
    'to standard error',
  );
});

test('the number of workers', async (t) => {
  t.equal(workerCount('auto'), Math.min(availableParallelism(), MAX_WORKERS));
  for (const good of [1, 2, MAX_WORKERS]) {
    t.equal(workerCount(good), good);
    t.equal(workerCount(String(good)), good);
  }
  for (const bad of [0, -1, 1.5, MAX_WORKERS + 1, Number.NaN, undefined, null, true]) {
    t.throws(() => workerCount(bad), { name: 'RangeError', message: /an integer from 1 to 256, or 'auto'/ }, `${bad}`);
  }
  t.throws(() => workerCount('atuo'), { message: /did you mean 'auto'/ });
  for (const digits of ['257', '0', '-1', '1.5', ''])
    t.throws(() => workerCount(digits), {
      name: 'RangeError',
      message: `workers must be an integer from 1 to 256, or 'auto', not '${digits}'`,
    });
});

test('mistakes', async (t) => {
  const noop = () => {};
  const rows: readonly [object, RegExp][] = [
    [{ onDone: noop }, /onDone belongs into the module of the workers: export const options = \{ onDone \}/],
    [{ onError: noop }, /onError belongs into the module/],
    [{ loop: {} }, /loop belongs into the module/],
    [{ redirectFrom: 80 }, /redirectFrom is for a server of HTTPS/],
    [{ redirectFrom: 80, fd: 3, tls: { cert: 'c', key: 'k' } }, /redirectFrom is a port on the host of the server/],
    [{ tls: { cert: 'c', key: 'k', serverNames: () => null } }, /tls.serverNames must be an object with workers/],
    [{ socket: { control: noop } }, /socket.control makes no sense/],
    [{ tls: { cert: 'c', key: 'k', onKeyLog: noop } }, /tls.onKeyLog makes no sense/],
    [{ log: 'stderr' }, /log must be a function/],
    [{ workerArguments: 'a' }, /workerArguments must be an array of strings/],
    [{ workerArguments: [1] }, /workerArguments must be an array of strings/],
    [{ workerMemoryBytes: 0 }, /workerMemoryBytes must be a number > 0/],
    [{ workerHangMs: -1 }, /workerHangMs must be a number > 0/],
    [{ workerStartMs: Number.NaN }, /workerStartMs must be a number > 0/],
    [{ backend: 'kqueue' }, /a backend is one of .*, not 'kqueue'/],
    [{ prot: 80 }, /unknown option 'prot'/],
  ];
  for (const [more, message] of rows) t.throws(() => workerSettings({ workers: 1, ...more }), { message });
});

test('workers need a module', async (t) => {
  t.throws(() => serve(() => {}, { workers: 2 } as object), {
    name: 'RangeError',
    message: /need a module and not a handler/,
  });
});
