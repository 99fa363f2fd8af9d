// The sockets of the benchmark on Bun.serve. Runs in Bun.

const { announce } = await import(process.env.SITE);

globalThis.gc = () => Bun.gc(true);

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch(request, server) {
    const isEcho = new URL(request.url).pathname === '/echo';
    return server.upgrade(request, { data: { isEcho } }) ? undefined : new Response('no', { status: 400 });
  },
  websocket: {
    open(ws) {
      if (!ws.data.isEcho) ws.subscribe('all');
    },
    message(ws, data) {
      if (ws.data.isEcho) ws.send(data);
      else server.publish('all', data);
    },
  },
});

announce(server.port);
