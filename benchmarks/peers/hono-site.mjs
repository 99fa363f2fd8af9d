// The site on Hono, for two servers: its own adapter for Node (hono.mjs) and simplenet (simplenet-hono.mjs).

import { Hono } from 'hono';
import { compress } from 'hono/compress';
import { stream } from 'hono/streaming';
import { site } from './node-server.mjs';

const { HELLO, LARGE, LIST, STREAM_CHUNK, STREAM_CHUNKS, recordOf, routes } = site;

export const app = new Hono();
const bytes = { 'Content-Type': 'application/octet-stream' };

app.get('/hello', (c) => c.text(HELLO));

app.post('/echo', async (c) => c.body(await c.req.arrayBuffer(), 200, bytes));

app.get('/large', (c) => c.body(LARGE, 200, { ...bytes, 'Content-Length': String(LARGE.length) }));

app.get('/stream', (c) => {
  c.header('Content-Type', 'text/plain; charset=utf-8');
  return stream(c, async (out) => {
    for (let sent = 0; sent < STREAM_CHUNKS; sent++) await out.write(STREAM_CHUNK);
  });
});

app.use('/list', compress());
app.get('/list', (c) => c.json(LIST));

for (const { method, path, resource } of routes) {
  app.on(method, path, (c) => c.json(recordOf(resource, c.req.param())));
}
