/**
 * The servers of `npm run bench:overload`: each request is a millisecond of work or so, the same for all of them.
 *
 * Next: ../load/arrivals.ts
 */

import { pbkdf2Sync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '../../http/index.ts';
import { portOf, raiseOpenFileLimit } from '../../simplenet/index.ts';
import { announce } from '../site.ts';

const ITERATIONS = 2_000;
const MAX_FILES = 20_000;
const LOOP_DELAY_MS = 100;

function work(): string {
  return `${pbkdf2Sync('password', 'salt', ITERATIONS, 32, 'sha256').toString('hex')}\n`;
}

raiseOpenFileLimit(MAX_FILES);
const name = process.argv[2];
if (name === 'node') {
  const server = createServer((_request, response) => {
    const text = work();
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': text.length });
    response.end(text);
  });
  server.listen(0, '127.0.0.1', 4_096, () => announce((server.address() as AddressInfo).port));
} else {
  const timeouts = name === 'simplenet' ? {} : { loopDelayMs: LOOP_DELAY_MS };
  announce(portOf(serve((_request, response) => response.text(work()), { backend: 'epoll', timeouts }).address));
}
