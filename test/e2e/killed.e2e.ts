/** One of three instances behind a balancer is killed under load: what it had accepted may fail, and nothing else. Then it comes back. */

import { once } from 'node:events';
import { Agent } from 'node:http';
import { type Test, test } from 'tap';
import type { Program } from '../support/programs.ts';
import { until } from '../support/waiting.ts';
import { Balancer, type BalancerKind, balancers } from './balancer.ts';
import { type Answer, ask, Load } from './load.ts';

const CLIENTS = 8;

/** Only the first is sent again: what a dead instance has done is not known. */
const METHODS = ['GET', 'POST', 'PUT', 'DELETE'];

interface Held {
  readonly id: string;
  readonly method: string;
  readonly answer: Promise<Answer>;
}

/** The ids of the requests that have reached its handler. */
const seenBy = ({ stdout }: Program): readonly string[] => [...stdout.matchAll(/^\+(.*)\n/gm)].map(([, id = '']) => id);

/** Asks until the instance has one of each that it does not answer before it is released. */
async function hold(t: Test, url: string, all: readonly Program[], victim: Program): Promise<readonly Held[]> {
  const held: Held[] = [];
  const agent = new Agent();
  t.teardown(() => agent.destroy());
  const isHeld = (method: string) => held.some((each) => each.method === method && seenBy(victim).includes(each.id));
  for (const method of METHODS) {
    while (!isHeld(method)) {
      const id = `held-${held.length}`;
      const answer = ask(`${url}/held`, { agent, method, headers: { 'X-Id': id } });
      answer.catch(() => {}); // awaited later
      held.push({ id, method, answer });
      await until(() => all.some((each) => seenBy(each).includes(id)));
    }
  }
  return held;
}

async function killOne(t: Test, kind: BalancerKind): Promise<void> {
  const front = new Balancer(kind);
  t.teardown(() => front.close());
  const ports = [8081, 8082, 8083];
  const [victim, ...others] = (await Promise.all(ports.map((port) => front.instance(port)))) as [Program, ...Program[]];
  const all = [victim, ...others];
  await front.start();
  const load = new Load(front.url, CLIENTS);
  await load.served(300);
  t.same(load.failures, []);
  t.same([...load.pids].sort(), all.map(({ child }) => child.pid).sort(), 'each instance has answered');
  const held = await hold(t, front.url, all, victim);

  const ended = once(victim.child, 'exit');
  victim.kill('SIGKILL');
  await ended;
  const diedAt = performance.now();
  await victim.ends(); // its output is read
  const hadOnes = new Set(seenBy(victim));

  const answers = await load.served(300);
  t.equal(answers.get(victim.child.pid as number) ?? 0, 0);
  for (const { child } of others) t.ok((answers.get(child.pid as number) ?? 0) > 0, 'each of the others goes on');

  for (const other of others) other.child.stdin?.write('go\n');
  for (const { id, method, answer } of held) {
    const { status } = await answer;
    const mayFail = method !== 'GET' && hadOnes.has(id);
    t.equal(status, mayFail ? 502 : 200, `${method} ${id}${hadOnes.has(id) ? ', which the dead one had' : ''}`);
    const times = all.filter((each) => seenBy(each).includes(id)).length;
    t.equal(times, method === 'GET' && hadOnes.has(id) ? 2 : 1, `${method} ${id} was carried out so often`);
  }

  const back = await front.instance(8081);
  await load.answeredBy((pid) => pid === back.child.pid);
  await load.served(300);
  const failures = await load.stop();
  const seenByOthers = new Set([...others, back].flatMap(seenBy));
  t.ok(failures.length <= CLIENTS, `${failures.length} of ${CLIENTS} clients have lost the request that was in flight`);
  for (const { id, method, begunAt, what } of failures) {
    t.ok(begunAt < diedAt, `${id} was in flight: ${what}`);
    t.not(method, 'GET', 'a GET is sent again');
    t.match(what, /^502 /);
    t.notOk(seenByOthers.has(id), `${id} was not carried out by another one`);
  }
}

for (const kind of balancers) {
  const { name, skip } = kind;
  test(`${name}: of an instance that is killed only the requests fail that it had`, { skip }, (t) => killOne(t, kind));
}
