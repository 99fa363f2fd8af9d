/**
 * A daemon that owns the sockets: its clients' system calls come as requests over a Unix domain socket.
 *
 * So a program can run on a network stack that lives in another process, and never know. Start the daemon, then any example
 * that waits as the calls wait, with the environment variable SIMPLENET_SOCKETD=PATH: the same NetSocket, the same errors, and
 * not one socket in its own process but that to the daemon. SIMPLENET_TRACE=1 shows the requests in the one process and the
 * calls in the other.
 *
 * The parts are in socketd/: wire.ts (the format), remote-libc.ts (the client's table of calls), daemon.ts (the owner),
 * calls.ts (what it does for each call), client-sockets.ts (whose socket is whose).
 */

import { createEventLoop } from '../simplenet/index.ts';
import { Daemon } from './socketd/daemon.ts';

const path = process.argv[2];
if (path === undefined) throw new Error('Usage: npm run example -- socketd PATH');
const daemon = new Daemon(createEventLoop(), path);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => daemon.close());
console.log(`the sockets of SIMPLENET_SOCKETD=${path} are owned by process ${process.pid}`);
