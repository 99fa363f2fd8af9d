/**
 * Server-sent events: what is posted reaches every browser that has `new EventSource('/events')`.
 *
 * A browser that has lost its stream connects again and names the last event that it has seen, so it gets what it has missed. Readers that leave, that are
 * too slow, or that the server closes because it stops leave the channel by themselves.
 */

import { EventChannel, HttpError, Router, type ServerEvent, serve } from '../../http/index.ts';

const KEPT_MESSAGES = 100;

const readers = new EventChannel();
const kept: ServerEvent[] = [];
let lastId = 0;

const router = new Router();

router.get('/events', (_request, response) => {
  const events = response.events();
  events.send({ event: 'hello', data: '', retry: 1_000 }); // how long a browser waits before it comes again
  if (events.lastEventId !== '') {
    for (const message of kept) if (Number(message.id) > Number(events.lastEventId)) events.send(message);
  }
  readers.add(events);
});

router.post('/messages', async (request, response) => {
  const data = await request.text();
  if (data === '') throw new HttpError(400, 'an empty message');
  const message = { data, id: `${++lastId}` };
  kept.push(message);
  if (kept.length > KEPT_MESSAGES) kept.shift();
  response.json({ readers: readers.send(message) });
});

const server = serve(router, { port: process.env.PORT ?? 8080 });
process.once('SIGTERM', () => void server.close());
console.log(server.url);
