/**
 * A daemon that owns the sockets: its clients send their system calls to it as requests over a Unix domain socket.
 *
 * So a program can run unchanged on a network stack in another process. Start the daemon, then any example without an event loop, with
 * the environment variable SIMPLENET_SOCKETD=PATH. The example uses the same NetSocket and gets the same errors, but its process has
 * no socket except the one to the daemon. SIMPLENET_TRACE=1 shows the requests in the one process and the calls in the other.
 *
 * By default the sockets are those of the kernel. With `--stack tap0 --address 10.9.0.2/24` they belong to our own TCP/IP, which sends and
 * receives the frames of that TAP interface:
 *
 *     the example -> a request on the Unix socket -> the daemon -> a stream of our own TCP -> IP packets -> Ethernet frames
 *
 * The parts are in socketd/: wire.ts (the format), remote-libc.ts (the client's table of calls), daemon.ts (the owner),
 * calls.ts (what it does for each call), client-sockets.ts (which client owns which socket), socket-table.ts (where the sockets are),
 * and its two implementations, kernel-sockets.ts and loop-sockets.ts.
 */

import { parseArgs } from 'node:util';
import { createEventLoop, createStack, openTap } from '../simplenet/index.ts';
import { Daemon } from './socketd/daemon.ts';
import { KernelSockets } from './socketd/kernel-sockets.ts';
import { LoopSockets, STACK_FEATURES } from './socketd/loop-sockets.ts';
import type { SocketTable } from './socketd/socket-table.ts';

const USAGE = 'Usage: npm run example -- socketd [--stack INTERFACE --address ADDRESS/PREFIX [--gateway ADDRESS]] PATH';

interface Settings {
  readonly path: string;
  readonly stack: string | undefined;
  readonly address: string | undefined;
  readonly gateway: string | undefined;
}

const OPTIONS = { stack: { type: 'string' }, address: { type: 'string' }, gateway: { type: 'string' } } as const;

function settings(): Settings {
  // `strict` has errors of several sentences.
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true, strict: false });
  const areKnown = Object.entries(values).every(([name, value]) => name in OPTIONS && typeof value === 'string');
  const { stack, address, gateway } = values as Omit<Settings, 'path'>;
  const areWhole = (stack === undefined) === (address === undefined) && (gateway === undefined || stack !== undefined);
  const [path, ...others] = positionals;
  if (path === undefined || others.length > 0 || !areKnown || !areWhole) throw new Error(USAGE);
  return { path, stack, address, gateway };
}

/** The sockets of the clients. */
function socketTable({ stack, address, gateway }: Settings): SocketTable {
  if (stack === undefined || address === undefined) return new KernelSockets();
  const link = openTap(stack);
  const loop = createStack({ link, address, ...(gateway === undefined ? {} : { gateway }) });
  return new LoopSockets(loop, STACK_FEATURES);
}

const chosen = settings();
const daemon = new Daemon(createEventLoop(), socketTable(chosen), chosen.path);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => daemon.close());
const place = chosen.stack === undefined ? '' : ` and have ${chosen.address} on ${chosen.stack}`;
console.log(`the sockets of SIMPLENET_SOCKETD=${chosen.path} are owned by process ${process.pid}${place}`);
