/** Hono on simplenet, unchanged: the app of hono-app.mjs, with the Response of the platform and with FastResponse. */

import { test } from 'tap';
import { type FetchApp, inject, serve, useFastResponse } from '../../http/index.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';
import { importPeer, missingPeer } from './peers.ts';

interface HonoModule {
  readonly app: FetchApp;
  readonly seen: { aborts: number };
}

const skip = missingPeer('hono');

for (const isFast of [false, true]) {
  const title = isFast ? 'FastResponse' : 'the Response of the platform';

  test(`Hono with ${title}`, { skip }, async (t) => {
    const { app, seen } = await importPeer<HonoModule>('hono-app.mjs');
    if (isFast) t.teardown(useFastResponse());
    const errors: unknown[] = [];
    const server = serve(app, { onError: (error) => errors.push(error) });
    t.teardown(() => server.close({ idleGraceMs: 1, graceMs: 1 }));
    const ask = (path: string, init: RequestInit = {}) => fetch(server.url + path, init);

    const hello = await ask('/');
    t.same([hello.status, await hello.text(), hello.headers.get('content-length')], [200, 'Hello Hono', '10']);

    const preflight = await ask('/api/users', {
      method: 'OPTIONS',
      headers: { Origin: 'http://shop.example', 'Access-Control-Request-Method': 'POST' },
    });
    t.equal(preflight.status, 204);
    t.equal(preflight.headers.get('access-control-allow-origin'), 'http://shop.example');
    t.match(preflight.headers.get('access-control-allow-methods'), 'POST');
    const user = await ask('/api/users/7?q=x', { headers: { Origin: 'http://shop.example' } });
    t.equal(user.headers.get('access-control-allow-credentials'), 'true');
    t.same(await user.json(), { id: '7', q: 'x' });
    const created = await ask('/api/users', { method: 'POST', body: '{"name":"Ada"}' });
    t.same([created.status, await created.json()], [201, { name: 'Ada' }]);

    const large = await ask('/large', { headers: { 'Accept-Encoding': 'gzip' } });
    t.equal(large.headers.get('content-encoding'), 'gzip');
    t.equal((await large.text()).length, 10_000);

    const tagged = await ask('/tagged');
    const tag = tagged.headers.get('etag') as string;
    t.match(tag, /^"[0-9a-f]+"$/);
    t.equal(await tagged.text(), 'tagged');
    const again = await ask('/tagged', { headers: { 'If-None-Match': tag } });
    t.same([again.status, again.headers.get('etag'), await again.text()], [304, tag, '']);

    const visit = await ask('/visit', { headers: { Cookie: 'a=b; visits=4' } });
    t.same(visit.headers.getSetCookie(), ['visits=5; Path=/; HttpOnly', 'last=now; Path=/']);
    t.equal(await visit.text(), 'visit 5');

    t.equal(await (await ask('/upload', { method: 'POST', body: '12345678' })).text(), 'got 8');
    t.equal((await ask('/upload', { method: 'POST', body: '123456789' })).status, 413);
    const stream = new Blob(['12345', '6789']).stream();
    t.equal((await ask('/upload', { method: 'POST', body: stream, duplex: 'half' })).status, 413);
    const form = new FormData();
    form.set('name', 'Ada');
    form.set('file', new Blob(['content']), 'a.txt');
    t.equal(await (await ask('/form', { method: 'POST', body: form })).text(), 'Ada content');

    const events = await ask('/events');
    t.equal(events.headers.get('content-type'), 'text/event-stream');
    t.equal(await events.text(), 'event: tick\ndata: tick 1\nid: 1\n\nevent: tick\ndata: tick 2\nid: 2\n\n');
    const abortsBefore = seen.aborts;
    const client = new RawClient(Number(new URL(server.url).port));
    client.write('GET /events?stay HTTP/1.1\r\nHost: a\r\n\r\n');
    await until(() => client.text.includes('tick 2'));
    client.socket.resetAndDestroy();
    await until(() => seen.aborts > abortsBefore);

    t.equal(await (await ask('/address')).text(), '127.0.0.1');
    t.equal((await ask('/later')).status, 204);
    t.equal((await ask('/', { method: 'HEAD' })).status, 200);
    t.equal((await ask('/none')).status, 404);
    const { error: log } = console;
    console.error = () => {}; // Hono writes the error there
    const failed = await ask('/fails');
    console.error = log;
    t.same([failed.status, await failed.text()], [500, 'Internal Server Error']);
    t.same(errors, []);
    t.equal((await inject(app)).text(), 'Hello Hono', 'without a socket');
  });
}
