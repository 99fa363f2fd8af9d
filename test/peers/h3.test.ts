/** h3 v2 on simplenet, unchanged: the app of h3-app.mjs. */

import { test } from 'tap';
import { type FetchApp, serve } from '../../http/index.ts';
import { importPeer, missingPeer } from './peers.ts';

test('h3 v2', { skip: missingPeer('h3') }, async (t) => {
  const { app } = await importPeer<{ app: FetchApp }>('h3-app.mjs');
  const server = serve(app);
  t.teardown(() => server.close({ idleGraceMs: 1 }));
  const ask = (path: string, init: RequestInit = {}) => fetch(server.url + path, init);

  const hello = await ask('/');
  t.same([hello.status, await hello.text()], [200, 'Hello h3']);
  t.same(await (await ask('/users/7?q=x')).json(), { id: '7', q: 'x' });
  const headers = { 'Content-Type': 'application/json' };
  const created = await ask('/users', { method: 'POST', headers, body: '{"name":"Ada"}' });
  t.same([created.status, await created.json()], [201, { name: 'Ada' }]);
  const cookies = await ask('/cookies', { headers: { Cookie: 'seen=yes' } });
  t.same(cookies.headers.getSetCookie(), ['a=1; Path=/', 'b=; Max-Age=0; Path=/']);
  t.equal(await cookies.text(), 'yes');
  const old = await ask('/old', { redirect: 'manual' });
  t.same([old.status, old.headers.get('location')], [302, '/']);
  t.equal(await (await ask('/stream')).text(), 'one two');
  t.equal(await (await ask('/address')).text(), '127.0.0.1');
  t.equal((await ask('/teapot')).status, 418);
  t.equal((await ask('/none')).status, 404);
});
