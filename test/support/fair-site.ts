/**
 * fair-site: a server that measures how long its own thread was kept from a timer, for attacks on the fairness of the loop.
 *
 * `/large` is one megabyte that nothing has to be computed for, `/work/200` takes 200 microseconds of the processor, and
 * `/later/...` in front of either makes the handler asynchronous. Its argument is JSON for `serve`. It sends its port to its
 * parent, its figures whenever it is asked, and then begins to measure anew.
 */

import { type HttpRequest, type ResponseWriter, type ServeOptions, serve } from '../../http/index.ts';
import { portOf } from '../../simplenet/index.ts';
import { CoreWaits } from './core-waits.ts';

/** How late a timer was. */
export interface FairFigures {
  /** The longest delay, without the time in which the machine had no core for this process. */
  readonly stallMs: number;
  /** The longest delay with it. */
  readonly wallStallMs: number;
}

const TIMER_MS = 10;
const LARGE = Buffer.alloc(1_000_000, 'x');

const waits = new CoreWaits(process.pid);
let dueAt = 0;
let waitedBefore = 0;
let stallMs = 0;
let wallStallMs = 0;

/** One timer after the other: how late it is counts, and not how many were left out. */
function measure(): void {
  const lateMs = performance.now() - dueAt;
  const waited = waits.totalMs;
  wallStallMs = Math.max(wallStallMs, lateMs);
  stallMs = Math.max(stallMs, lateMs - (waited - waitedBefore));
  begin();
}

function begin(): void {
  waitedBefore = waits.totalMs;
  dueAt = performance.now() + TIMER_MS;
  setTimeout(measure, TIMER_MS);
}

function compute(microseconds: number): void {
  const until = performance.now() + microseconds / 1000;
  while (performance.now() < until);
}

function answer(path: string, response: ResponseWriter): void {
  if (path === '/large') {
    response.bytes(LARGE);
    return;
  }
  if (path.startsWith('/work/')) compute(Number(path.slice('/work/'.length)));
  response.text('hello\n');
}

function handle(request: HttpRequest, response: ResponseWriter): void | Promise<void> {
  const { path } = request;
  if (!path.startsWith('/later/')) return answer(path, response);
  return Promise.resolve().then(() => answer(path.slice('/later'.length), response));
}

const server = serve(handle, JSON.parse(process.argv[2] ?? '{}') as ServeOptions);

process.on('message', (message) => {
  if (message === 'figures') {
    const figures: FairFigures = { stallMs, wallStallMs };
    process.send?.(figures);
    stallMs = wallStallMs = 0;
  } else {
    process.off('disconnect', orphaned);
    void server.close({ graceMs: 100 }).then(() => process.exit());
  }
});
process.on('disconnect', orphaned);

function orphaned(): void {
  process.exit(1);
}

begin();
process.send?.(portOf(server.address));
