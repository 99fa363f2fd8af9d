/**
 * The servers of `npm run bench:events`: a stream of events for each client, and one event for all of them for each line of standard input.
 *
 * On node:http the event is encoded once as well, and written to each response, as programs do it there.
 *
 * Next: ../load/event-listeners.ts
 */

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { EventChannel, Router, type ServeOptions, serve } from '../../http/index.ts';
import { portOf, raiseOpenFileLimit } from '../../simplenet/index.ts';
import { announce } from '../site.ts';

/** What a stock ticker or a chat sends: 100 bytes. */
export const EVENT_DATA = 'x'.repeat(100);
const MAX_FILES = 20_000;

function onSimplenet(backend: NonNullable<ServeOptions['backend']>): () => void {
  const channel = new EventChannel();
  const site = new Router().get('/events', (_request, response) => {
    channel.add(response.events({ heartbeatMs: Number.POSITIVE_INFINITY }));
  });
  announce(portOf(serve(site, { backend }).address));
  return () => void channel.send({ data: EVENT_DATA });
}

function onNode(): () => void {
  const responses = new Set<ServerResponse>();
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    response.flushHeaders();
    responses.add(response);
    response.on('close', () => responses.delete(response));
  });
  server.listen(0, '127.0.0.1', 4_096, () => announce((server.address() as AddressInfo).port));
  return () => {
    const event = Buffer.from(`data: ${EVENT_DATA}\n\n`);
    for (const response of responses) response.write(event);
  };
}

raiseOpenFileLimit(MAX_FILES);
const name = process.argv[2];
let sendToAll: () => void;
if (name === 'node') sendToAll = onNode();
else sendToAll = onSimplenet(name === 'simplenet-uring' ? 'io_uring' : 'epoll');
createInterface(process.stdin).on('line', sendToAll);
