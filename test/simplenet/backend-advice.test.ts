/**
 * BackendAdvice: the price of a system call decides, and whether the other loop can be had.
 */

import { test } from 'tap';
import { backendAdvice, priceOfSystemCall } from '../../simplenet/backend-advice.ts';
import { EPERM } from '../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../simplenet/kernel/libc.ts';
import { trace } from '../../simplenet/kernel/tracing.ts';
import { noUring } from '../support/backends.ts';

/** A clock on which each call takes that long. */
function priced(priceUs: number): { libc: Libc; now: () => number } {
  let nowMs = 0;
  const table: Libc = {
    ...libc,
    epoll_wait(...args) {
      nowMs += priceUs / 1_000;
      return libc.epoll_wait(...args);
    },
  };
  return { libc: table, now: () => nowMs };
}

function adviceAt(priceUs: number, backend: 'epoll' | 'io_uring' | 'auto', change: Partial<Libc> = {}): string | null {
  const { libc, now } = priced(priceUs);
  return backendAdvice(backend, { ...libc, ...change }, { now });
}

test('the price is that of the fastest batch', (t) => {
  const { libc, now } = priced(2);
  t.ok(Math.abs(priceOfSystemCall(libc, { now }) - 2) < 1e-6);
  let calls = 0;
  const disturbed = { ...libc, epoll_wait: (...args: Parameters<Libc['epoll_wait']>) => libc.epoll_wait(...args) };
  const jumping = () => now() + (++calls === 2 ? 1_000 : 0) + (calls > 2 ? 1_000 : 0);
  t.ok(
    Math.abs(priceOfSystemCall(disturbed, { now: jumping }) - 2) < 1e-6,
    'a disturbance of one batch does not count',
  );
  t.ok(priceOfSystemCall() > 0);
  t.end();
});

test('where calls are dear, io_uring is cheaper for many connections', { skip: noUring }, (t) => {
  const advice = 'A system call costs 0.5 us here: with many connections, the io_uring backend would be cheaper.';
  t.equal(adviceAt(0.501, 'epoll'), advice);
  t.equal(adviceAt(0.501, 'auto'), advice);
  t.equal(adviceAt(0.501, 'io_uring'), null);
  t.end();
});

test('where calls are cheap, epoll is cheaper for few', (t) => {
  t.equal(adviceAt(0.499, 'epoll'), null);
  t.equal(adviceAt(0.499, 'auto'), null);
  const advice = 'A system call costs 0.2 us here: with few connections, the epoll backend would be cheaper.';
  t.equal(adviceAt(0.2, 'io_uring'), advice);
  t.end();
});

test('nothing is advised that cannot be had', (t) => {
  t.equal(adviceAt(2, 'epoll', { io_uring_setup: () => -EPERM }), null);
  const broken = () => {
    throw new TypeError('on purpose');
  };
  t.throws(() => adviceAt(2, 'epoll', { io_uring_setup: broken }), { message: 'on purpose' });
  t.end();
});

test('while calls are traced, nothing is measured', (t) => {
  const { libc, now } = priced(2);
  const lines: string[] = [];
  const stop = trace({ libc, write: (line) => lines.push(line) });
  t.equal(backendAdvice('epoll', libc, { now }), null);
  stop();
  t.same(lines, []);
  t.end();
});
