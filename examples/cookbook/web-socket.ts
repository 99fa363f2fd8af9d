/**
 * WebSocket: a room for users who are logged in. What one of them says reaches all.
 *
 * `upgrade` decides who may come in, before the connection becomes a WebSocket, and what it returns is `ws.data` from then on. A page of another site is refused with 403
 * unless `origins` allows it. A message to a room is encoded once, however many are in it, and a reader that is too slow is cut.
 */

import { HttpError, Router, serve, webSocket } from '../../http/index.ts';

const room = webSocket(
  {
    upgrade(request) {
      const user = request.cookies.get('user'); // anybody can write a cookie: sign it, as in Session cookie
      if (user === undefined) throw new HttpError(401, 'log in first');
      return { user };
    },
    open(ws) {
      ws.subscribe('room');
      ws.publish('room', `${ws.data.user} has come`);
    },
    message(ws, data) {
      if (typeof data === 'string') room.publish('room', `${ws.data.user}: ${data}`);
      else ws.close(1003, 'text only');
    },
    close(ws) {
      room.publish('room', `${ws.data.user} has left`);
    },
  },
  { maxMessageBytes: 4_096 },
);

const router = new Router();
router.get('/room', room);
router.get('/people', (_request, response) => response.json({ people: room.subscribers('room') }));

const server = serve(router, { port: process.env.PORT ?? 8080 });
process.once('SIGTERM', () => void server.close());
console.log(server.url);
