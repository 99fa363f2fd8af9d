/** A Fetch app that makes a WebSocket of its request. */

import { type Test, test } from 'tap';
import { type FetchFunction, fetchHandler, Router, type Server, serve, upgradeWebSocket } from '../../../http/index.ts';
import { until } from '../../support/waiting.ts';
import { WebSocketClient } from '../../support/web-socket-client.ts';
import { TEXT } from '../../support/web-socket-frames.ts';

function site(t: Test, fetch: FetchFunction, lazy = true): { readonly server: Server; readonly reported: unknown[] } {
  const reported: unknown[] = [];
  const router = new Router().all('/*', fetchHandler(fetch, { lazy }));
  const server = serve(router, { onError: (error) => void reported.push(error) });
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  return { server, reported };
}

test('an echo, at once and from an async app', async (t) => {
  const log: string[] = [];
  const upgrade = (request: Request): Response => {
    const { socket, response } = upgradeWebSocket(request, { protocol: 'echo' });
    socket.onopen = () => log.push(`open ${socket.protocol} ${new URL(socket.url).pathname}`);
    socket.onmessage = ({ data }) => socket.send(data);
    socket.onclose = ({ code }) => log.push(`close ${code}`);
    t.equal(response.status, 101);
    return response;
  };
  const { server, reported } = site(t, (request) => {
    if (request.url.endsWith('/late')) return Promise.resolve().then(() => upgrade(request));
    return upgrade(request);
  });
  for (const path of ['/now', '/late']) {
    const client = await WebSocketClient.open(t, server, path, { 'Sec-WebSocket-Protocol': 'other, echo' });
    t.match(client.head, /\r\nSec-WebSocket-Protocol: echo\r\n/);
    client.send(TEXT, 'hello');
    await client.untilFrames(1);
    t.same(client.texts, ['hello']);
    client.close(4_000);
    t.equal((await client.untilClosed())?.code, 4_000);
    client.raw.socket.end();
    await until(() => log.length === 2);
    t.same(log.splice(0), [`open echo ${path}`, 'close 4000']);
  }
  t.same(reported, []);
});

test('a request that is not a handshake is answered, and the socket fails', async (t) => {
  const events: string[] = [];
  const { server, reported } = site(t, (request) => {
    const { socket, response } = upgradeWebSocket(request, { protocol: ['a', 'b'] });
    socket.onerror = () => events.push('error');
    socket.onclose = ({ code }) => events.push(`close ${code}`);
    return response;
  });
  const answer = await fetch(server.url);
  t.equal(answer.status, 426);
  t.equal(await answer.text(), 'this resource is a WebSocket\n');
  await until(() => events.length === 2);
  t.same(events, ['error', 'close 1006']);
  t.same(reported, []);
});

test('a request that is not of the app cannot be upgraded', async (t) => {
  const { server, reported } = site(t, (request) => upgradeWebSocket(request).response, false);
  t.equal((await fetch(server.url)).status, 500);
  t.match(reported, [/upgradeWebSocket takes the request that the app was called with, not/]);
});
