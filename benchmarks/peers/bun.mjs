// The site on Bun.serve with its own router. Runs in Bun.

const { announce, HELLO, IDLE_TIMEOUT_MS, LARGE, recordOf, routes, STREAM_CHUNK, STREAM_CHUNKS, tlsOptions } =
  await import(process.env.SITE);

globalThis.gc = () => Bun.gc(true);

const text = { headers: { 'Content-Type': 'text/plain; charset=utf-8' } };
const bytes = { headers: { 'Content-Type': 'application/octet-stream' } };

const table = {
  '/hello': { GET: () => new Response(HELLO, text) },
  '/echo': { POST: async (request) => new Response(await request.arrayBuffer(), bytes) },
  '/large': { GET: () => new Response(LARGE, bytes) },
  '/stream': {
    GET: () =>
      new Response(
        new ReadableStream({
          type: 'direct',
          async pull(controller) {
            for (let sent = 0; sent < STREAM_CHUNKS; sent++) await controller.write(STREAM_CHUNK);
            await controller.flush();
            controller.close();
          },
        }),
        text,
      ),
  },
};

for (const { method, path, resource } of routes) {
  table[path] ??= {};
  table[path][method] = (request) => Response.json(recordOf(resource, request.params));
}

for (const isEcho of [true, false]) {
  table[isEcho ? '/ws/echo' : '/ws/all'] = (request, server) =>
    server.upgrade(request, { data: { isEcho } }) ? undefined : new Response('no', { status: 400 });
}

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  idleTimeout: IDLE_TIMEOUT_MS / 1000,
  tls: tlsOptions() ?? undefined,
  routes: table,
  fetch: () => new Response('Not Found\n', { status: 404 }),
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
