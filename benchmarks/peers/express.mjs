// The site on Express, without ETags and X-Powered-By: nobody else makes them.

import { once } from 'node:events';
import { createServer } from 'node:http';
import express from 'express';
import { listen, site } from './node-server.mjs';

const { HELLO, LARGE, STREAM_CHUNK, STREAM_CHUNKS, recordOf, routes } = site;

const app = express();
app.disable('etag');
app.disable('x-powered-by');

app.get('/hello', (_request, response) => {
  response.type('text/plain').send(HELLO);
});

app.post('/echo', express.raw({ limit: '1mb' }), (request, response) => {
  response.type('application/octet-stream').send(request.body);
});

app.get('/large', (_request, response) => {
  response.type('application/octet-stream').send(LARGE);
});

app.get('/stream', async (_request, response) => {
  response.type('text/plain');
  for (let sent = 0; sent < STREAM_CHUNKS; sent++) {
    if (!response.write(STREAM_CHUNK)) await once(response, 'drain');
  }
  response.end();
});

for (const { method, path, resource } of routes) {
  app[method.toLowerCase()](path, (request, response) => {
    response.json(recordOf(resource, request.params));
  });
}

listen(createServer(app));
