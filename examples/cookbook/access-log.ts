/**
 * An access log: one line of JSON for each answer, also for those that no handler gave.
 *
 * `onDone` is called when the kernel has the last byte, or when the client has left. So the line has the true time and the true number of
 * bytes, which a middleware cannot know.
 */

import { accessLog, Router, requestId, serve } from '../../http/index.ts';

const router = new Router();
router.use(requestId());
router.get('/users/:id', ({ params }, response) => response.json({ id: params.id }));

const server = serve(router, { port: process.env.PORT ?? 8080, onDone: accessLog({ format: 'json' }) });
console.log(server.url);
