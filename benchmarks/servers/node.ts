/**
 * The site on node:http or node:https, with a router as a careful program would have: a Map for paths without params, and for the
 * others a few patterns for each resource, so that a request is not compared with a hundred patterns.
 *
 * It uses the fast ways of node:http: writeHead with a complete list, one `end` for head and body, and a known Content-Length.
 *
 * Next: ../c-programs.ts
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import {
  announce,
  HELLO,
  IDLE_TIMEOUT_MS,
  LARGE,
  recordOf,
  routes,
  STREAM_CHUNK,
  STREAM_CHUNKS,
  tlsOptions,
} from '../site.ts';

type Params = Readonly<Record<string, string>>;
type Handler = (request: IncomingMessage, response: ServerResponse, params: Params) => void | Promise<void>;

interface PatternRoute {
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly handler: Handler;
}

const NO_PARAMS: Params = {};
const staticRoutes = new Map<string, Handler>();
/** The key is the method and the first two segments. */
const patternRoutes = new Map<string, PatternRoute[]>();

function add(method: string, path: string, handler: Handler): void {
  const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name as string);
  if (names.length === 0) {
    staticRoutes.set(`${method} ${path}`, handler);
    return;
  }
  const key = `${method} ${firstSegments(path)}`;
  const pattern = new RegExp(`^${path.replaceAll(/:\w+/g, '([^/]+)')}$`);
  patternRoutes.set(key, [...(patternRoutes.get(key) ?? []), { pattern, names, handler }]);
}

/** Returns `/api/orders` for `/api/orders/4711`. */
function firstSegments(path: string): string {
  const end = path.indexOf('/', path.indexOf('/', 1) + 1);
  return end === -1 ? path : path.slice(0, end);
}

function route(request: IncomingMessage, response: ServerResponse): void | Promise<void> {
  const { method, url = '/' } = request;
  const query = url.indexOf('?');
  const path = query === -1 ? url : url.slice(0, query);
  const handler = staticRoutes.get(`${method} ${path}`);
  if (handler !== undefined) return handler(request, response, NO_PARAMS);
  for (const { pattern, names, handler } of patternRoutes.get(`${method} ${firstSegments(path)}`) ?? []) {
    const match = pattern.exec(path);
    if (match === null) continue;
    const params: Record<string, string> = {};
    for (const [i, name] of names.entries()) params[name] = decodeURIComponent(match[i + 1] as string);
    return handler(request, response, params);
  }
  response.writeHead(404).end('Not Found\n');
}

function send(response: ServerResponse, contentType: string, body: string | Buffer): void {
  response.writeHead(200, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body) }).end(body);
}

add('GET', '/hello', (_request, response) => send(response, 'text/plain; charset=utf-8', HELLO));

add('POST', '/echo', (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => send(response, 'application/octet-stream', Buffer.concat(chunks)));
});

add('GET', '/large', (_request, response) => send(response, 'application/octet-stream', LARGE));

add('GET', '/stream', async (_request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8' });
  for (let sent = 0; sent < STREAM_CHUNKS; sent++) {
    if (!response.write(STREAM_CHUNK)) await once(response, 'drain');
  }
  response.end();
});

for (const { method, path, resource } of routes) {
  add(method, path, (_request, response, params) => {
    send(response, 'application/json', JSON.stringify(recordOf(resource, params)));
  });
}

const options = { keepAliveTimeout: IDLE_TIMEOUT_MS };
const onRequest = (request: IncomingMessage, response: ServerResponse) => void route(request, response);
const tls = tlsOptions();
const server = tls === null ? createServer(options, onRequest) : createSecureServer({ ...options, ...tls }, onRequest);
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => announce((server.address() as AddressInfo).port));
