/** systemd-socket-activate opens the socket, as a socket unit does, and starts the command with the first connection. */

import { readlinkSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { basename, join } from 'node:path';
import { test } from 'tap';
import { buildFolder, missing, Program, plainEnvironment } from '../support/programs.ts';
import { until } from '../support/waiting.ts';
import { Balancer } from './balancer.ts';
import { ask, Load } from './load.ts';

const TOOL = 'systemd-socket-activate';

test('systemd opens the socket, and the first connection starts the command', {
  skip: missing(TOOL),
  timeout: 60_000,
}, async (t) => {
  const place = new Balancer();
  t.teardown(() => place.close());
  const site = join(place.folder, 'site.mjs');
  const answer = '{ pid: process.pid, fds: process.env.LISTEN_FDS }';
  writeFileSync(site, `export default (_request, response) => response.json(${answer});`);
  const command = [process.execPath, join(buildFolder, 'command/main.js'), site, '--log', 'none'];
  const args = [`--listen=${place.address}:8080`, ...command];
  const program = place.add(new Program(TOOL, args, { env: plainEnvironment() }));
  const pid = program.child.pid as number;
  const runs = () => basename(readlinkSync(`/proc/${pid}/exe`));
  await until(() => /Listening on /.test(program.stderr));
  t.equal(runs(), TOOL);
  t.equal(program.stdout, '', 'the command has not begun');

  const agent = new Agent();
  const first = await ask(place.url, { agent });
  t.same(JSON.parse(first.body), { pid, fds: '1' }, 'the connection that has started it has waited for it');
  t.equal(runs(), basename(process.execPath));
  t.match(program.stdout, new RegExp(`^${place.url}\n`), 'the command says where systemd listens');

  const load = new Load(place.url, 4);
  await load.served(100);
  t.same(await load.stop(), []);
  t.same([...load.pids], [pid]);
  program.kill('SIGTERM');
  t.match(await program.ends(), { code: 0 });
});
