/**
 * A daemon that owns the sockets: its clients send their system calls to it as requests over a Unix domain socket.
 *
 * So a program can run unchanged on a network stack in another process. Start the daemon, then any example without an event loop, with
 * the environment variable SIMPLENET_SOCKETD=PATH. The example uses the same NetSocket and gets the same errors, but its process has
 * no socket except the one to the daemon. SIMPLENET_TRACE=1 shows the requests in the one process and the calls in the other.
 *
 * The parts are in socketd/: wire.ts (the format), remote-libc.ts (the client's table of calls), daemon.ts (the owner),
 * calls.ts (what it does for each call), client-sockets.ts (which client owns which socket).
 */

import { createEventLoop } from '../simplenet/index.ts';
import { Daemon } from './socketd/daemon.ts';

const path = process.argv[2];
if (path === undefined) throw new Error('Usage: npm run example -- socketd PATH');
const daemon = new Daemon(createEventLoop(), path);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => daemon.close());
console.log(`the sockets of SIMPLENET_SOCKETD=${path} are owned by process ${process.pid}`);
