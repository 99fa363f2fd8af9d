/**
 * CORS: pages of other origins may call this API, and may read its errors.
 *
 * The fields that `cors` sets are kept on 404, 405, 500 and every other error. Without them the page would see a "network error" and
 * not the status.
 */

import { cors, HttpError, Router, serve } from '../../http/index.ts';

const router = new Router();
router.use(
  cors({
    origin: ['https://shop.example', 'http://localhost:5173'],
    methods: ['GET', 'POST', 'PUT', 'DELETE'],
    allowedHeaders: ['Content-Type', 'Authorization'],
    credentials: true,
  }),
);

router.get('/price', (_request, response) => response.json({ euro: 42 }));
router.post('/orders', async (request, response) => {
  const { count } = (await request.json()) as { count?: unknown };
  if (typeof count !== 'number') throw new HttpError(422, 'count must be a number');
  response.status(201).json({ count });
});

const server = serve(router, { port: process.env.PORT ?? 8080 });
console.log(server.url);
