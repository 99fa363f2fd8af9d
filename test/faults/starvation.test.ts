/**
 * `ulimit -n 256` and 400 clients of the HTTP server: each is answered or turned away, none waits in vain, and when they are
 * gone all is as before. epoll-listener.test.ts tries the same on the loop below, and measures that it does not spin.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { Stopwatch } from '../support/machine-time.ts';
import { RawClient } from '../support/raw-client.ts';
import { ServerProcess } from '../support/server-process.ts';

/** More than Node opens at once to load our modules: it reads all files that are imported side by side. */
const OPEN_FILES = 256;
const CLIENTS = 400;
const REQUEST = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

test('256 descriptors and 400 clients', async (t) => {
  const server = await ServerProcess.start({}, { openFiles: OPEN_FILES });
  t.teardown(() => server.kill());
  await server.quiet();
  const before = server.descriptors;
  const clients = Array.from({ length: CLIENTS }, () => new RawClient(server.port).write(REQUEST));
  const isDecided = (client: RawClient) => client.text.endsWith('hello\n') || client.isOver;
  await Promise.all(clients.map((client) => client.until(() => isDecided(client), 'an answer or the end')));
  const answered = clients.filter(({ answers }) => answers === 1).length;
  const turnedAway = clients.filter(({ answers, isOver }) => answers === 0 && isOver).length;
  t.ok(answered > 10, `${answered} are answered`);
  t.equal(answered + turnedAway, CLIENTS, `${turnedAway} are turned away`);
  t.ok(server.descriptors.sockets < OPEN_FILES);
  t.same((await server.state()).errors, []);
  for (const client of clients) client.destroy();

  const watch = new Stopwatch(server.pid);
  for (let isServed = false; !isServed; ) {
    const client = new RawClient(server.port).write(REQUEST);
    await client.until(() => isDecided(client), 'an answer or the end');
    isServed = client.answers === 1;
    client.destroy();
    if (!isServed) await sleep(5);
  }
  const took = watch.stop().fairMs;
  t.ok(took < 2_000, `the next one is served ${took.toFixed(0)} ms after they have left`);
  t.same((await server.quiet()).connections, 0);
  t.same(server.descriptors, before);
  t.equal(await server.stop(), 0);
  t.equal(server.stderr, '');
});
