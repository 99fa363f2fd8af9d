/**
 * Server-sent events: what is posted reaches every browser that has `new EventSource('/events')`.
 *
 * A reader ends in two ways: it leaves (`request.signal`), or the server stops (`request.closing`). A reader that leaves without a word is
 * found out by the bytes that it does not take.
 */

import { HttpError, type ResponseWriter, Router, serve } from '../../http/index.ts';

const readers = new Set<ResponseWriter>();

function tellAll(event: string): void {
  // Nobody waits here for the slowest reader. One that takes nothing is cut off, at `answerBufferBytes` or after `writeMs`.
  for (const reader of readers) void reader.write(event);
}

// Proxies cut connections on which nothing happens.
setInterval(() => tellAll(': still here\n\n'), 15_000).unref();

const router = new Router();

router.get('/events', async (request, response) => {
  response.header('Content-Type', 'text/event-stream').header('Cache-Control', 'no-store');
  await response.write('retry: 1000\n\n'); // how long a browser waits before it comes again
  if (request.method === 'HEAD') return response.end(); // it has its head, and waits for no events
  readers.add(response);
  await aborted(request.signal, request.closing);
  readers.delete(response);
  response.end('event: closing\ndata:\n\n');
});

router.post('/messages', async (request, response) => {
  const text = await request.text();
  if (text === '') throw new HttpError(400, 'an empty message');
  tellAll(`data: ${JSON.stringify(text)}\n\n`); // JSON has no line ends, which would end the event
  response.json({ readers: readers.size });
});

async function aborted(...signals: AbortSignal[]): Promise<void> {
  const any = AbortSignal.any(signals);
  if (!any.aborted) await new Promise((resolve) => any.addEventListener('abort', resolve, { once: true }));
}

const server = serve(router, { port: process.env.PORT ?? 8080 });
process.once('SIGTERM', () => void server.close());
console.log(server.url);
