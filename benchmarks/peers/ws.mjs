// The WebSockets of the site on node:http with ws. A message to all is framed for each client, as its documentation shows.

import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const { announce } = await import(process.env.SITE);

const server = createServer();
const echo = new WebSocketServer({ noServer: true });
const all = new WebSocketServer({ noServer: true });
echo.on('connection', (ws) => ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary })));
all.on('connection', (ws) => {
  ws.on('message', (data, isBinary) => {
    for (const client of all.clients) client.send(data, { binary: isBinary });
  });
});
server.on('upgrade', (request, socket, head) => {
  const sockets = request.url === '/ws/echo' ? echo : all;
  sockets.handleUpgrade(request, socket, head, (ws) => sockets.emit('connection', ws));
});
server.listen(0, '127.0.0.1', 4_096, () => announce(server.address().port));
