/**
 * CORS: pages of other origins may call this API, and may read its errors.
 *
 * The headers that a middleware sets are kept on 404, 405, 500 and every other error. Without them the page would see a "network error" and
 * not the status.
 */

import { HttpError, type Middleware, Router, serve } from '../../http/index.ts';

const origins = new Set(['https://shop.example', 'http://localhost:5173']);

const cors: Middleware = (request, response, next) => {
  response.append('Vary', 'Origin');
  const origin = request.headers.get('Origin');
  if (origin === null || !origins.has(origin)) return next();
  response.header('Access-Control-Allow-Origin', origin).header('Access-Control-Allow-Credentials', 'true');
  const isPreflight = request.method === 'OPTIONS' && request.headers.has('Access-Control-Request-Method');
  if (!isPreflight) return next();
  response
    .header('Access-Control-Allow-Methods', 'GET, POST, PUT, DELETE')
    .header('Access-Control-Allow-Headers', 'Content-Type, Authorization')
    .header('Access-Control-Max-Age', '600')
    .empty();
};

const router = new Router();
router.use(cors);

router.get('/price', (_request, response) => response.json({ euro: 42 }));
router.post('/orders', async (request, response) => {
  const { count } = (await request.json()) as { count?: unknown };
  if (typeof count !== 'number') throw new HttpError(422, 'count must be a number');
  response.status(201).json({ count });
});

const server = serve(router, { port: process.env.PORT ?? 8080 });
console.log(server.url);
