/**
 * socketd whose sockets are made of an event loop, as with `--stack`. But the loop is one of Linux's sockets, so it takes no rights.
 */

import { Daemon } from '../../examples/socketd/daemon.ts';
import { LoopSockets } from '../../examples/socketd/loop-sockets.ts';
import { createEventLoop } from '../../simplenet/create-event-loop.ts';

const daemon = new Daemon(createEventLoop(), new LoopSockets(createEventLoop()), process.argv[2] as string);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => daemon.close());
console.log(`the sockets are owned by process ${process.pid}`);
