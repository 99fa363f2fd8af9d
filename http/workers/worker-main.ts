/**
 * The program of a worker: gets an order, loads the module of the site, and serves it on the socket that it inherits.
 *
 *     order -> join the peers -> import the module -> serve -> beats ... -> drain -> exit
 *
 * A spare waits for its order. Until then it has loaded this program, and nothing of the site.
 *
 * It ends by itself when its supervisor has gone, however that ended, so no worker is left behind. A terminal sends Ctrl-C to all processes of
 * a program: a worker leaves that to its supervisor. SIGTERM is for this worker alone: it tells the supervisor, which starts another one, and drains.
 *
 * Next: hand-over.ts
 */

import { type Alarm, nodeHost, type TlsOptions } from '../../simplenet/index.ts';
import '../index.ts'; // every site imports it, so a spare has it before its order comes
import { type PeerLink, peers } from '../peers.ts';
import { type Server, serveShared } from '../serve.ts';
import type { CloseOptions, ServeOptions } from '../serve-options.ts';
import { AcceptShare } from './accept-share.ts';
import {
  Channel,
  FIRST_LISTENER_FD,
  type FromWorker,
  type LastUse,
  MEMORY_FD,
  NOT_LAST,
  type StartOrder,
  type ToWorker,
  weightOf,
} from './messages.ts';
import { mapShared } from './shared-memory.ts';

const FAILED = 1;

/** Questions of this worker that wait for their answers. */
const MAX_QUESTIONS = 100;

const channel = new Channel<FromWorker>(process);

class SupervisorLink implements PeerLink {
  readonly index: number;
  readonly #questions = new Map<number, (values: readonly unknown[]) => void>();
  #lastId = 0;

  constructor(index: number) {
    this.index = index;
  }

  tell(subject: string, message: unknown): void {
    channel.offer({ kind: 'tell', subject, message }, weightOf(message));
  }

  /** The supervisor answers in any case, after a second at the latest. */
  askOthers(subject: string, tally?: unknown): Promise<readonly unknown[]> {
    if (this.#questions.size >= MAX_QUESTIONS) return Promise.resolve([]);
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#questions.set(id, resolve);
      channel.order({ kind: 'ask', id, subject, tally });
    });
  }

  tally(subject: string, tally: unknown): void {
    channel.order({ kind: 'tally', subject, tally });
  }

  answered(id: number, values: readonly unknown[]): void {
    this.#questions.get(id)?.(values);
    this.#questions.delete(id);
  }
}

/** Null until the worker serves. */
let server: Server | null = null;
let link: SupervisorLink | null = null;
let isLeaving = false;
/** What `setTls` of the supervisor has said before this worker serves. */
let newerTls: TlsOptions | null = null;

process.on('message', (message) => heard(message as ToWorker));
process.on('disconnect', () => void leave({}, NOT_LAST));
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
process.on('SIGTERM', () => {
  channel.order({ kind: 'leaving' });
  void leave({}, NOT_LAST);
});

function heard(message: ToWorker): void {
  if (message.kind === 'start') {
    link = new SupervisorLink(message.index);
    peers.join(link);
    void start(message);
  } else if (message.kind === 'stop') {
    void leave(message.close, message.last);
  } else if (message.kind === 'notice') {
    // The order to stop ends it, and has the grace: one clock is enough, that of the supervisor.
    const endless = Number.POSITIVE_INFINITY;
    void (server as Server).close({ noticeMs: endless, graceMs: endless });
  } else if (message.kind === 'tls') {
    if (server === null) newerTls = message.tls;
    else if (!isLeaving) server.setTls(message.tls);
  } else if (message.kind === 'told') {
    peers.told(message.subject, message.message);
  } else if (message.kind === 'asked') {
    answer(message.id, message.subject);
  } else {
    link?.answered(message.id, message.values);
  }
}

/** An answer that fails, or cannot be cloned, is none: what another worker asks must not end this one. */
function answer(id: number, subject: string): void {
  try {
    channel.order({ kind: 'answer', id, value: peers.answer(subject) });
  } catch (error) {
    console.error(error);
    channel.order({ kind: 'answer', id, value: undefined });
  }
}

async function start(order: StartOrder): Promise<void> {
  try {
    const site = await load(order.module);
    const memory = mapShared(MEMORY_FD, AcceptShare.bytesFor(order.count));
    const createShare = () => new AcceptShare(memory, order.index); // one for each socket; they count together
    const fd = Array.from({ length: order.listeners }, (_, i) => FIRST_LISTENER_FD + i);
    const tls = newerTls ?? order.options.tls;
    const options: ServeOptions = { ...site.options, ...order.options, ...(tls === undefined ? {} : { tls }), fd };
    let next = FIRST_LISTENER_FD + order.listeners;
    const redirectFd = order.redirects ? next++ : null;
    const watchFd = order.watches ? next : null;
    server = serveShared(site.default as Parameters<typeof serveShared>[0], options, {
      createPolicy: createShare,
      redirectFd,
      watchFd,
    });
    createShare().join();
    void server.closing; // makes it, so that code which asks for it later sees the same
    beat(server, order.beatMs);
    channel.order({ kind: 'ready' });
    if (isLeaving) await leave({}, NOT_LAST);
  } catch (error) {
    fail(error);
  }
}

interface SiteModule {
  readonly default?: unknown;
  readonly options?: ServeOptions;
}

async function load(module: string): Promise<SiteModule> {
  let site: SiteModule;
  try {
    site = await import(module);
  } catch (error) {
    if (exitCodeOf(error) !== null) throw error;
    throw new Error(`cannot load ${module}: ${firstLineOf(error)}`, { cause: error });
  }
  if (site.default === undefined) throw new Error(`${module} has no default export: export default what serve takes`);
  return site;
}

/** The reason is one sentence. An error of the code of the site also has its stack. */
function fail(error: unknown): void {
  const exitCode = exitCodeOf(error);
  if (exitCode === null && error instanceof Error && error.cause instanceof Error) console.error(error.cause);
  channel.order({ kind: 'failed', message: firstLineOf(error), exitCode: exitCode ?? FAILED });
  process.disconnect();
  process.exitCode = exitCode ?? FAILED;
  process.exit();
}

/** An error with an exit code says all there is to say. */
function exitCodeOf(error: unknown): number | null {
  const { exitCode } = (error ?? {}) as { readonly exitCode?: unknown };
  return typeof exitCode === 'number' ? exitCode : null;
}

function firstLineOf(error: unknown): string {
  if (!(error instanceof Error)) return `it throws ${String(error)}`;
  const [line = ''] = error.message.split('\n');
  return error.name === 'Error' || exitCodeOf(error) !== null ? line : `${error.name}: ${line}`;
}

function beat(of: Server, beatMs: number): Alarm {
  const { connectionCount: connections, busyCount: busy } = of;
  channel.order({ kind: 'alive', rssBytes: process.memoryUsage.rss(), connections, busy });
  return nodeHost.alarm(beatMs, () => void beat(of, beatMs));
}

/** A second call can shorten the grace. */
async function leave(close: CloseOptions, last: LastUse): Promise<void> {
  isLeaving = true;
  if (server === null) return; // it begins to serve, and leaves then
  if (last.ofSite) server.isShared = false;
  if (last.ofMetrics) server.isWatchShared = false;
  await server.close(close);
  await channel.drained(); // its tally is worth the wait; a supervisor that does not read kills it in the end
  process.exit();
}
