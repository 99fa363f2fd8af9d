/** A worker of the command is killed under load: another process answers in its place within a second, and the connections of the other worker see nothing. */

import { readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';
import { until } from '../support/waiting.ts';
import { Balancer } from './balancer.ts';
import { Load } from './load.ts';

/** From the kill to the first answer of the process that replaces the worker. */
const BACK_WITHIN_MS = 1_000;

const PORT = 8080;

/** Between an answer and the next request of a kept connection. Load asks without a pause. */
const PAUSE_MS = 5;

/** A connection that asks again and again. */
class KeptConnection {
  answers = 0;
  isOver = false;
  /** Who has answered. */
  readonly pids = new Set<number>();
  readonly #socket: Socket;
  #text = '';

  constructor(host: string) {
    this.#socket = connect(PORT, host, () => this.#ask());
    this.#socket.setEncoding('latin1').on('data', (part) => this.#read(String(part)));
    this.#socket
      .on('error', () => {})
      .on('close', () => {
        this.isOver = true;
      });
  }

  close(): void {
    this.#socket.destroy();
  }

  #ask(): void {
    this.#socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  }

  #read(part: string): void {
    this.#text += part;
    const pid = /\r\n\r\n\{"pid":(\d+)\}$/.exec(this.#text)?.[1];
    if (pid === undefined) return;
    this.#text = '';
    this.pids.add(Number(pid));
    this.answers++;
    setTimeout(() => this.#ask(), PAUSE_MS);
  }
}

/** Several, until each of the two workers has some. */
async function connectionsOfBoth(host: string): Promise<readonly KeptConnection[]> {
  const kept: KeptConnection[] = [];
  while (kept.length < 4 || new Set(kept.flatMap(({ pids }) => [...pids])).size < 2) {
    const one = new KeptConnection(host);
    kept.push(one);
    await until(() => one.answers > 0);
  }
  return kept;
}

function childrenOf(pid: number): readonly number[] {
  return [...readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').matchAll(/\d+/g)].map(Number);
}

/** Whether it handles SIGHUP (signal 1): the program of a worker does when all its modules are loaded. Before exec(2) a child has the handlers of its parent. */
function isLoaded(pid: number): boolean {
  if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('worker-main')) return false;
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (BigInt(`0x${caught}`) & 1n) !== 0n;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('a worker that is killed is back within a second', async (t) => {
  const place = new Balancer(); // without a balancer: its address, and its end
  t.teardown(() => place.close());
  const site = join(place.folder, 'site.mjs');
  writeFileSync(site, 'export default (_request, response) => response.json({ pid: process.pid });');
  const options = ['--host', place.address, '--port', String(PORT), '--workers', '2', '--log', 'none'];
  const command = place.add(
    new Program(process.execPath, [join(buildFolder, 'command/main.js'), site, ...options], {
      env: plainEnvironment(),
    }),
  );
  await command.prints(/^http:.*/m);
  const supervisor = command.child.pid as number;
  const hasSpare = () => childrenOf(supervisor).filter(isLoaded).length === 3;

  const load = new Load(place.url, 4);
  for (const kill of ['first', 'second']) {
    await until(hasSpare);
    const kept = await connectionsOfBoth(place.address);
    const [victim = 0] = kept.flatMap(({ pids }) => [...pids]);
    const doomed = kept.filter(({ pids }) => pids.has(victim));
    const others = kept.filter((each) => !doomed.includes(each));
    const known = load.pids;
    const earlier = load.failures.length;

    const { inFlight } = load;
    const killedAt = performance.now();
    process.kill(victim, 'SIGKILL');
    const tookMs = (await load.answeredBy((pid) => !known.has(pid))) - killedAt;
    t.ok(
      tookMs < BACK_WITHIN_MS,
      `${kill} kill: the first answer of the next process came after ${Math.round(tookMs)} ms`,
    );

    await until(() => doomed.every(({ isOver }) => isOver));
    const answers = others.map((each) => each.answers);
    await until(() => others.every((each, i) => each.isOver || each.answers > (answers[i] as number) + 10));
    t.notOk(
      others.some(({ isOver, pids }) => isOver || pids.size > 1),
      'the other worker goes on with its connections',
    );
    for (const { id, isReused, what } of load.failures.slice(earlier)) {
      t.ok(inFlight.has(id) || isReused, `${id} was in flight, or met the end of its connection: ${what}`);
    }
    for (const each of kept) each.close();
  }
  await load.served(100);
  await load.stop();

  await until(hasSpare);
  const all = childrenOf(supervisor);
  command.kill();
  await until(() => !all.some(isAlive));
});
