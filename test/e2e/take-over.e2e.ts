/** A process takes the socket of another one over, again and again, behind HAProxy and before clients that connect to it directly: no request fails. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, missing, Program, plainEnvironment } from '../support/programs.ts';
import { Balancer } from './balancer.ts';
import { Load } from './load.ts';

const TAKE_OVERS = 4;

test('HAProxy: an instance whose socket is taken over loses no request', { skip: missing('haproxy') }, async (t) => {
  const front = new Balancer();
  t.teardown(() => front.close());
  const site = join(front.folder, 'site.mjs');
  writeFileSync(site, 'export default (_request, response) => response.json({ pid: process.pid });');
  const place = ['--host', front.address, '--port', '8081', '--take-over', join(front.folder, 'way.sock')];
  const args = [join(buildFolder, 'command/main.js'), site, ...place, '--trust-proxy', 'loopback', '--log', 'none'];
  const start = async () => {
    const program = front.add(new Program(process.execPath, args, { env: plainEnvironment() }));
    const [url] = await program.prints(/^http:.*/m);
    return { program, url };
  };
  let { program: current, url } = await start();
  await Promise.all([8082, 8083].map((port) => front.instance(port)));
  // The port of --metrics is not handed over, so the look is at the site itself.
  await front.start((text) => text.replace(/ port 908\d$/gm, '').replace('GET /readyz', 'GET /'));
  const loads = [new Load(front.url, 3), new Load(url, 3)];
  const pids = [current.child.pid];
  for (const load of loads) await load.served(100);
  for (let i = 0; i < TAKE_OVERS; i++) {
    const before = current;
    ({ program: current, url } = await start());
    pids.push(current.child.pid);
    const { code, stderr } = await before.ends();
    t.equal(code, 0, stderr);
    for (const load of loads) await load.served(100);
  }
  for (const load of loads) {
    t.same(await load.stop(), []);
    for (const pid of pids) t.ok(load.pids.has(pid as number), 'each process has answered');
  }
});
