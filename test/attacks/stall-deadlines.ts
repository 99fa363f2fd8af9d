/**
 * A stall that is longer than every deadline: a handler that blocks the thread, and a process that is stopped (SIGSTOP).
 *
 * Clients are in every state that has a deadline when it begins. Each sends the rest of its request during the stall, so all of it
 * lies in the kernel before the server may judge anyone, and each must be answered. A client that sends nothing more must still
 * be ended.
 *
 * Next: stall-deadlines.test.ts
 */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RawClient } from '../support/raw-client.ts';
import { ServerProcess } from '../support/server-process.ts';
import type { Attack, AttackOptions, Finding } from './attack.ts';

const DEADLINE_MS = 1_000;

const timeouts = {
  headerMs: DEADLINE_MS,
  idleMs: DEADLINE_MS,
  bodyGraceMs: DEADLINE_MS,
  bodyMs: DEADLINE_MS + 100,
  bodyMinBytesPerSecond: 100_000,
  answerMs: DEADLINE_MS,
};

/** A busy machine may take longer to connect all clients. Those whose time has nearly run out when the stall begins say nothing about it. */
const MAX_SETUP_MS = DEADLINE_MS / 2;
const ATTEMPTS = 5;

const REQUEST = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const UPLOAD = 'PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n';

/** What a client has sent when the stall begins, how many answers it has had then, and what it sends during the stall. */
const states: Readonly<Record<string, readonly [before: string, answersBefore: number, during: string]>> = {
  'has said nothing': ['', 0, REQUEST],
  'is in the middle of a head': [REQUEST.slice(0, 20), 0, REQUEST.slice(20)],
  'is idle': [REQUEST, 1, REQUEST],
  'is in the middle of a body': [UPLOAD + 'b'.repeat(500), 0, 'b'.repeat(500)],
};

interface Client {
  readonly raw: RawClient;
  readonly during: string;
  /** Answers that it has when all is well. */
  readonly answers: number;
}

/** Keeps the server from looking at its sockets. Resolves once it does not; what it resolves to ends the stall. */
type Stall = (server: ServerProcess) => Promise<() => Promise<void>>;

const stopped: Stall = async (server) => {
  server.child.kill('SIGSTOP');
  return async () => void server.child.kill('SIGCONT');
};

const blocked: Stall = async (server) => {
  const folder = mkdtempSync(join(tmpdir(), 'stall-'));
  const files = join(folder, 'block');
  const blocker = new RawClient(server.port).write(`GET /block HTTP/1.1\r\nHost: x\r\nX-Files: ${files}\r\n\r\n`);
  while (!existsSync(`${files}.begun`)) await sleep(1);
  return async () => {
    writeFileSync(`${files}.over`, '');
    await blocker.until(() => blocker.answers === 1, 'the end of the stall');
    blocker.destroy();
    rmSync(folder, { recursive: true });
  };
};

function isWell({ raw, answers }: Client): boolean {
  return raw.answers === answers && raw.text.split('HTTP/1.1 200 OK').length - 1 === answers;
}

async function attackBy(name: string, stall: Stall, options: AttackOptions): Promise<Finding[]> {
  for (let attempt = 1; ; attempt++) {
    const findings = await attackOnce(name, stall, options, attempt === ATTEMPTS);
    if (findings !== null) return findings;
  }
}

/** Null where the machine was too busy, unless this is the last attempt. */
async function attackOnce(
  name: string,
  stall: Stall,
  options: AttackOptions,
  isLast: boolean,
): Promise<Finding[] | null> {
  const { backend, size } = options;
  const count = size === 'short' ? 25 : 75;
  const server = await ServerProcess.start({ backend, timeouts });
  const begunAt = performance.now();
  const clients: Client[] = [];
  for (const [before, answersBefore, during] of Object.values(states)) {
    for (let i = 0; i < count; i++) {
      const raw = new RawClient(server.port).write(before);
      clients.push({ raw, during, answers: answersBefore + 1 });
    }
  }
  const slow = new RawClient(server.port).write('GET / HTT');
  await Promise.all(
    clients.map(({ raw, answers }) => raw.until(() => raw.isConnected && raw.answers === answers - 1, 'the beginning')),
  );
  const goOn = await stall(server);
  if (performance.now() - begunAt > MAX_SETUP_MS && !isLast) {
    await goOn();
    for (const { raw } of [...clients, { raw: slow }]) raw.destroy();
    await server.stop();
    return null;
  }
  await sleep(100); // what it sent before is read
  // On a busy machine some may have run out of time before the stall: they say nothing about it.
  const concerned = clients.filter(({ raw }) => raw.isConnected && !raw.hasEnded);
  const newcomers = Array.from({ length: count }, () => new RawClient(server.port));
  for (const { raw, during } of concerned) raw.write(during);
  await Promise.all(newcomers.map((raw) => raw.connected()));
  await sleep(size === 'short' ? 2 * DEADLINE_MS : 5 * DEADLINE_MS);
  const startedAt = performance.now();
  await goOn();
  // A newcomer lay in the accept queue: its time begins now.
  for (const raw of newcomers) concerned.push({ raw: raw.write(REQUEST), during: '', answers: 1 });
  await Promise.all(
    concerned.map((client) => client.raw.until(() => client.raw.isOver || isWell(client), 'an answer, or the end')),
  );
  await slow.ended();
  const slowMs = Math.round(performance.now() - startedAt);
  const lost = concerned.filter((client) => !isWell(client)).length;
  for (const { raw } of clients) raw.destroy();
  for (const raw of newcomers) raw.destroy();
  slow.destroy();
  await server.stop();
  return [
    { what: `${name}: requests that lay in the kernel or came at once`, value: concerned.length, atMost: Infinity },
    { what: `${name}: of them refused, reset or closed`, value: lost, atMost: 0 },
    { what: `${name}: ms after which a client that says nothing more is ended`, value: slowMs, atMost: 10_000 },
  ];
}

export const attack: Attack = {
  title: 'The server stalls for longer than its deadlines while requests lie complete in the kernel.',
  async run(options) {
    const findings = await Promise.all([
      attackBy('a handler that blocks', blocked, options),
      attackBy('a process that is stopped', stopped, options),
    ]);
    return findings.flat();
  },
};
