/**
 * An access log: one line of JSON for each answer, also for those that no handler gave.
 *
 * `onDone` is called when the kernel has the last byte, or when the client has left. So the line has the true time and the true number of
 * bytes, which a middleware cannot know.
 */

import { type Outcome, Router, serve } from '../../http/index.ts';

function log(outcome: Outcome): void {
  const { method, path, route, status, bytesOut, startedAt, durationMs, clientGone, error, request } = outcome;
  const line = {
    time: new Date(startedAt).toISOString(),
    client: request?.clientAddress, // no request if its head could not be read
    method,
    path, // without the query, which may contain secrets
    route, // for statistics: `/users/:id`, not each id
    status,
    bytes: bytesOut,
    ms: Math.round(durationMs * 10) / 10,
    clientGone: clientGone || undefined,
    error: error === null ? undefined : String(error),
  };
  console.log(JSON.stringify(line));
}

const router = new Router();
router.get('/users/:id', ({ params }, response) => response.json({ id: params.id }));

const server = serve(router, { port: process.env.PORT ?? 8080, onDone: log });
console.log(server.url);
