// An app on Hono: its routes, its middleware and its errors, served as they are.

import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { HTTPException } from 'hono/http-exception';
import { serve, useFastResponse } from '../../build/http/index.js';

useFastResponse(); // optional: a response costs less

const app = new Hono();
app.use('/api/*', cors());
app.get('/', (c) => c.text('Hello Hono'));
app.get('/api/users/:id', (c) => c.json({ id: c.req.param('id') }));
app.post('/api/users', async (c) => {
  const user = await c.req.json().catch(() => {
    throw new HTTPException(400, { message: 'the body is not JSON' });
  });
  return c.json(user, 201);
});

const server = serve(app, { port: process.env.PORT ?? 8080 });
console.log(server.url);
