/** supertest takes the URL of a server, as docs/api.md says. */

import { test } from 'tap';
import { serve } from '../../http/index.ts';
import { importPeer, missingPeer } from './peers.ts';

interface SupertestModule {
  ask(url: string, path: string): Promise<{ text: string }>;
}

test('supertest(server.url)', { skip: missingPeer('supertest') }, async (t) => {
  const { ask } = await importPeer<SupertestModule>('supertest-site.mjs');
  const server = serve((request, response) => response.text(request.path));
  t.teardown(() => server.close({ idleGraceMs: 1 }));
  t.equal((await ask(server.url, '/x')).text, '/x');
});
