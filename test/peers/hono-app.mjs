// An app as its authors write it for any runtime, with the middleware of Hono that depends most on its server.

import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { compress } from 'hono/compress';
import { getCookie, setCookie } from 'hono/cookie';
import { cors } from 'hono/cors';
import { etag } from 'hono/etag';
import { streamSSE } from 'hono/streaming';

const app = new Hono();

app.use('/api/*', cors({ origin: 'http://shop.example', credentials: true }));
app.use('/large', compress());
app.use('/tagged', etag());
app.use('/upload', bodyLimit({ maxSize: 8, onError: (c) => c.text('too large', 413) }));

app.get('/', (c) => c.text('Hello Hono'));
app.get('/api/users/:id', (c) => c.json({ id: c.req.param('id'), q: c.req.query('q') ?? null }));
app.post('/api/users', async (c) => c.json(await c.req.json(), 201));
app.get('/large', (c) => c.text('simplenet '.repeat(1_000)));
app.get('/tagged', (c) => c.text('tagged'));
app.get('/visit', (c) => {
  const visits = Number(getCookie(c, 'visits') ?? 0) + 1;
  setCookie(c, 'visits', String(visits), { httpOnly: true, path: '/' });
  setCookie(c, 'last', 'now');
  return c.text(`visit ${visits}`);
});
app.post('/upload', async (c) => c.text(`got ${(await c.req.text()).length}`));
app.post('/form', async (c) => {
  const { name, file } = await c.req.parseBody();
  return c.text(`${name} ${await file.text()}`);
});

/** What the streams have seen, for the test. */
export const seen = { aborts: 0 };

app.get('/events', (c) =>
  streamSSE(c, async (stream) => {
    stream.onAbort(() => {
      seen.aborts++;
    });
    for (let id = 1; id <= 2; id++) await stream.writeSSE({ event: 'tick', id: String(id), data: `tick ${id}` });
    if (c.req.query('stay') !== undefined) await new Promise((resolve) => stream.onAbort(resolve));
  }),
);
app.get('/address', (c) => c.text(c.env.remoteAddr.hostname));
app.get('/later', (c) => {
  c.executionCtx.waitUntil(Promise.resolve());
  return c.body(null, 204);
});
app.get('/fails', () => {
  throw new Error('secret');
});

export { app };
