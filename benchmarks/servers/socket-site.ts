/**
 * The server of `npm run bench:websocket` on simplenet: an echo, and a topic that publishes each message to all of its connections.
 *
 * Next: ../load/socket-clients.ts
 */

import { Router, type ServeOptions, serve, type WebSocketHandler, webSocket } from '../../http/index.ts';
import { portOf, raiseOpenFileLimit } from '../../simplenet/index.ts';
import { announce } from '../site.ts';

const MAX_FILES = 20_000;

const echo = webSocket({ message: (ws, data) => ws.send(data) });
const topic: WebSocketHandler = webSocket({
  open: (ws) => ws.subscribe('all'),
  message: (_ws, data) => topic.publish('all', data),
});

raiseOpenFileLimit(MAX_FILES);
const backend = process.argv[2] as NonNullable<ServeOptions['backend']>;
announce(portOf(serve(new Router().get('/echo', echo).get('/all', topic), { backend }).address));
