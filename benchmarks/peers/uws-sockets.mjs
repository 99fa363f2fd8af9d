// The sockets of the benchmark on uWebSockets.js: see uws.mjs.

import { createRequire } from 'node:module';

const { announce } = await import(process.env.SITE);
const uws = createRequire(import.meta.url)(process.argv[2]);

const app = uws.App();
app.ws('/echo', { message: (ws, data, isBinary) => void ws.send(data, isBinary) });
app.ws('/all', {
  open: (ws) => void ws.subscribe('all'),
  message: (_ws, data, isBinary) => void app.publish('all', data, isBinary),
});
app.listen('127.0.0.1', 0, (listening) => announce(uws.us_socket_local_port(listening)));
