/**
 * CallCounts: how often each system call was made, and how often it failed and with what.
 *
 * `countingLibc` returns a table of calls that counts and passes each call on. A loop that gets it (`createEventLoop({ libc })`) is counted; all other code of the process pays nothing.
 * What an io_uring does for us is no call. A trace that begins later does not see the calls of such a table.
 *
 * Next: ../sockets/socket-filter.ts
 */

import { getSystemErrorName } from 'node:util';
import { type Libc, libc as processLibc } from './libc.ts';

/**
 * How often one system call was made, and how often each error came of it, by name.
 *
 * ```ts
 * import { type CallCount, countingLibc } from 'simplenet';
 *
 * const accepts: CallCount | undefined = countingLibc().counts.get('accept4');
 * console.log(accepts?.calls, accepts?.errors.get('EMFILE'));
 * ```
 */
export interface CallCount {
  calls: number;
  readonly errors: Map<string, number>;
}

/**
 * A table of system calls that counts them.
 *
 * ```ts
 * import { type CountingLibc, countingLibc, createEventLoop } from 'simplenet';
 *
 * const counting: CountingLibc = countingLibc();
 * const loop = createEventLoop({ libc: counting.libc });
 * console.log(counting.counts.get('epoll_wait')?.calls);
 * loop.close();
 * ```
 */
export interface CountingLibc {
  readonly libc: Libc;
  readonly counts: ReadonlyMap<string, CallCount>;
}

type Call = (...args: unknown[]) => unknown;

/** The hot calls have no more arguments than this. Five names cost less than an array of arguments, and a call ignores those that it does not have. */
const FEW_ARGUMENTS = 5;

function counting(call: Call, count: CallCount): Call {
  const counted = (result: unknown): unknown => {
    count.calls++;
    if (typeof result === 'number' && result < 0) failed(count.errors, result);
    return result;
  };
  if (call.length > FEW_ARGUMENTS) return (...args) => counted(call(...args));
  return (a, b, c, d, e) => counted(call(a, b, c, d, e));
}

/**
 * Returns a table that counts, and passes each call on to `table`.
 *
 * ```ts
 * import { countingLibc, createEventLoop } from 'simplenet';
 *
 * const { libc, counts } = countingLibc();
 * createEventLoop({ libc }).listen({ address: '127.0.0.1', port: 0 }, () => ({ onData: () => {} })).close();
 * console.log(counts.get('listen')?.calls);
 * ```
 */
export function countingLibc(table: Libc = processLibc): CountingLibc {
  const calls = table as unknown as Record<string, Call>;
  const counts = new Map<string, CallCount>();
  const libc: Record<string, Call> = {};
  for (const name of Object.keys(table)) {
    const count: CallCount = { calls: 0, errors: new Map() };
    counts.set(name, count);
    libc[name] = counting(calls[name] as Call, count);
  }
  return { libc: libc as unknown as Libc, counts };
}

/** The table returns a negated error number. */
function failed(errors: Map<string, number>, result: number): void {
  const name = getSystemErrorName(result);
  errors.set(name, (errors.get(name) ?? 0) + 1);
}
