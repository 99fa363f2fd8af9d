// The site as a Fetch app without a framework: a Map of paths, and one split for those with params. The server gives its own Response.

import { site } from './node-server.mjs';

const { HELLO, LARGE, STREAM_CHUNK, STREAM_CHUNKS, recordOf, routes } = site;

const text = { headers: { 'Content-Type': 'text/plain; charset=utf-8' } };
const bytes = { headers: { 'Content-Type': 'application/octet-stream' } };

/** The path of an absolute URL. */
function pathOf(url) {
  const start = url.indexOf('/', 'http://'.length);
  const query = url.indexOf('?', start);
  return query === -1 ? url.slice(start) : url.slice(start, query);
}

export function createApp(Response) {
  const handlers = new Map([
    ['GET /hello', () => new Response(HELLO)],
    ['POST /echo', async (request) => new Response(await request.arrayBuffer(), bytes)],
    ['GET /large', () => new Response(LARGE, bytes)],
    ['GET /stream', () => new Response(streamOf(), text)],
  ]);
  for (const { method, path, resource } of routes) {
    // The names of the params are those of the site: id and item.
    const key = `${method} ${path.replaceAll(/:\w+/g, ':')}`;
    handlers.set(key, (_request, [id, item]) => Response.json(recordOf(resource, { id, item })));
  }
  return {
    fetch(request) {
      const path = pathOf(request.url);
      const exact = handlers.get(`${request.method} ${path}`);
      if (exact !== undefined) return exact(request, []);
      const [, api, resource, id, items, item] = path.split('/');
      const pattern = item === undefined ? `/${api}/${resource}/:` : `/${api}/${resource}/:/${items}/:`;
      const handler = handlers.get(`${request.method} ${pattern}`);
      return handler === undefined ? new Response('Not Found\n', { status: 404 }) : handler(request, [id, item]);
    },
  };
}

function streamOf() {
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(STREAM_CHUNK);
      if (++sent === STREAM_CHUNKS) controller.close();
    },
  });
}
