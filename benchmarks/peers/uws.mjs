// The site on uWebSockets.js with its own router. uWebSockets.js is not on npm: this is an unofficial build of it, for Node 16 to 20.

import { createRequire } from 'node:module';

const { announce, HELLO, LARGE, recordOf, routes, STREAM_CHUNK, STREAM_CHUNKS } = await import(process.env.SITE);

// The binary itself: where it cannot be loaded, the package would silently use a slow server in JavaScript.
const uws = createRequire(import.meta.url)(process.argv[2]);

const app = uws.App();
const TEXT = 'text/plain; charset=utf-8';
const BYTES = 'application/octet-stream';

app.get('/hello', (response) => {
  response.writeHeader('Content-Type', TEXT).end(HELLO);
});

app.post('/echo', (response) => {
  const chunks = [];
  response.onAborted(() => {});
  response.onData((chunk, isLast) => {
    chunks.push(Buffer.from(chunk.slice(0))); // a copy: the chunk is valid during this call only
    if (isLast) response.cork(() => response.writeHeader('Content-Type', BYTES).end(Buffer.concat(chunks)));
  });
});

app.get('/large', (response) => {
  response.onAborted(() => {});
  response.writeHeader('Content-Type', BYTES);
  const [isTaken] = response.tryEnd(LARGE, LARGE.length);
  if (isTaken) return;
  response.onWritable((offset) => response.tryEnd(LARGE.subarray(offset), LARGE.length)[0]);
});

app.get('/stream', (response) => {
  let sent = 0;
  const sendMore = () => {
    while (sent < STREAM_CHUNKS) {
      sent++;
      if (!response.write(STREAM_CHUNK)) return false;
    }
    response.end();
    return true;
  };
  response.onAborted(() => {});
  response.writeHeader('Content-Type', TEXT);
  if (!sendMore()) response.onWritable(sendMore);
});

for (const { method, path, resource } of routes) {
  const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name);
  app[{ GET: 'get', POST: 'post', PUT: 'put', DELETE: 'del' }[method]](path, (response, request) => {
    const params = {};
    for (const [i, name] of names.entries()) params[name] = decodeURIComponent(request.getParameter(i));
    response.writeHeader('Content-Type', 'application/json').end(JSON.stringify(recordOf(resource, params)));
  });
}

app.ws('/ws/echo', { message: (ws, data, isBinary) => void ws.send(data, isBinary) });
app.ws('/ws/all', {
  open: (ws) => void ws.subscribe('all'),
  message: (_ws, data, isBinary) => void app.publish('all', data, isBinary),
});

app.any('/*', (response) => response.writeStatus('404 Not Found').end('Not Found\n'));

app.listen('127.0.0.1', 0, (listening) => announce(uws.us_socket_local_port(listening)));
