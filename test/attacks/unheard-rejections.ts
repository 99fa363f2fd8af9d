/**
 * Attack: a client makes a promise reject that a handler has taken and does not await yet. Node ends a process for that.
 *
 * Every way to take a promise meets every way to make it reject. After each of them the server must live and serve the next
 * request. A handler that awaits its promise must still get the rejection: to swallow it would be as wrong.
 */

import type { ServeOptions } from '../../http/index.ts';
import type { Take } from '../support/careless-site.ts';
import { RawClient } from '../support/raw-client.ts';
import { ServerProcess } from '../support/server-process.ts';
import type { Attack, Finding } from './attack.ts';

/** What a client does to a request whose handler is at work, and what an awaiting handler must get for it. */
interface Harm {
  readonly what: string;
  readonly takes: readonly Take[];
  readonly fields: string;
  readonly body: string;
  /** What the client does when the handler is at work; the handler waits for more, or has all. */
  readonly act?: (client: RawClient) => void;
  readonly caught: string;
  readonly options?: ServeOptions;
}

const wholes = ['bytes', 'text', 'json', 'form'] as const;
const readers = [...wholes, 'read', 'next'] as const;
const TEN = 'Content-Length: 10';

const harms: readonly Harm[] = [
  {
    what: 'leaves',
    takes: wholes,
    fields: TEN,
    body: 'half',
    act: (client) => client.reset(),
    caught: 'ClientGoneError',
  },
  {
    what: 'leaves before the first byte',
    takes: ['read', 'next'],
    fields: TEN,
    body: '',
    act: (client) => client.reset(),
    caught: 'ClientGoneError',
  },
  {
    what: 'leaves instead of reading',
    takes: ['write'],
    fields: 'Content-Length: 0',
    body: '',
    act: (client) => client.reset(),
    caught: 'ClientGoneError',
  },
  {
    what: 'ends its side too early',
    takes: readers,
    fields: TEN,
    body: '',
    act: (client) => client.socket.end(),
    caught: 'HttpError 400',
  },
  {
    what: 'sends a broken chunk',
    takes: readers,
    fields: 'Transfer-Encoding: chunked',
    body: '',
    act: (client) => client.write('x\r\n'),
    caught: 'HttpError 400',
  },
  {
    what: 'is too slow',
    takes: readers,
    fields: TEN,
    body: '',
    caught: 'HttpError 408',
    options: { timeouts: { bodyMs: 20 } },
  },
  { what: 'sends bad JSON', takes: ['json'], fields: TEN, body: '{"a": 1, }', caught: 'HttpError 400' },
  {
    what: 'sends bytes that are not UTF-8',
    takes: ['text', 'json', 'form'],
    fields: TEN,
    body: '\xff'.repeat(10),
    caught: 'HttpError 400',
  },
];

/** What a handler does with a promise that it has taken, and whether it learns of the rejection. */
const manners = { early: true, forgotten: false, race: true };

const PATIENCE_MS = 5_000;

/** A server that is started again when it has ended. */
class Target {
  readonly #options: ServeOptions;
  #server: ServerProcess | null = null;
  /** Resolves to false when the process has ended. */
  #ended: Promise<boolean> = Promise.resolve(false);
  /** How often it has ended. */
  deaths = 0;

  constructor(options: ServeOptions) {
    this.#options = options;
  }

  async #started(): Promise<ServerProcess> {
    if (this.#server !== null) return this.#server;
    const server = await ServerProcess.start(this.#options, { nodeOptions: [] }); // its memory is not measured
    server.child.on('error', () => {}); // asked for its state after its end
    this.#ended = new Promise((resolve) => server.child.once('close', () => resolve(false)));
    this.#server = server;
    return server;
  }

  /** Whether the process has survived it, and serves the next request. */
  async survives(harm: (server: ServerProcess) => Promise<void>): Promise<boolean> {
    const server = await this.#started();
    const harmed = harm(server).then(async () => /^HTTP\/1\.1 200 /.test(await ask(server, '/')));
    const isAlive = await Promise.race([harmed.catch((error) => this.#unlessEnded(error)), this.#ended]);
    if (isAlive) return true;
    this.#server = null;
    this.deaths++;
    return false;
  }

  /** A client may see the end of the process before we do. */
  async #unlessEnded(error: unknown): Promise<boolean> {
    const patience = new Promise<never>((_resolve, reject) => setTimeout(reject, PATIENCE_MS, error).unref());
    return Promise.race([this.#ended, patience]);
  }

  kill(): void {
    this.#server?.kill();
  }
}

async function ask(server: ServerProcess, path: string): Promise<string> {
  const client = new RawClient(server.port).write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  try {
    await client.ended();
    if (client.error !== null) throw client.error;
    return client.text;
  } finally {
    client.destroy();
  }
}

async function seenBy(server: ServerProcess): Promise<string[]> {
  const text = await ask(server, '/seen');
  return JSON.parse(text.slice(text.indexOf('\r\n\r\n'))) as string[];
}

/** Until the server says so of itself, or has ended. */
async function untilState(server: ServerProcess, isSo: (state: { atWork: number; connections: number }) => boolean) {
  while (server.child.connected && !isSo(await server.state())) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** A request meets its harm while its handler waits; then the handler goes on. Returns what the handler saw. */
async function meet(server: ServerProcess, manner: string, take: Take, harm: Harm): Promise<string[]> {
  const client = new RawClient(server.port);
  if (take === 'write') client.socket.pause();
  const head = `POST /${manner}/${take} HTTP/1.1\r\nHost: x\r\n${harm.fields}\r\n\r\n`;
  await new Promise((resolve) => client.socket.write(Buffer.from(head + harm.body, 'latin1'), resolve));
  if (harm.act !== undefined) {
    await untilState(server, ({ atWork }) => atWork === 1);
    harm.act(client);
  }
  if (harm.caught === 'ClientGoneError') await untilState(server, ({ connections }) => connections === 0);
  else if (harm.act !== undefined || harm.options !== undefined) await client.ended();
  else await ask(server, '/'); // by then it has read what came before
  await ask(server, '/go');
  await untilState(server, ({ atWork }) => atWork === 0);
  client.destroy();
  return seenBy(server);
}

async function tryAll(
  target: Target,
  own: readonly Harm[],
  isShort: boolean,
): Promise<{ tried: number; swallowed: number }> {
  let tried = 0;
  let swallowed = 0;
  for (const harm of own) {
    for (const take of harm.takes) {
      for (const [manner, isTold] of Object.entries(manners)) {
        if (isShort && manner !== 'early' && take !== 'text') continue;
        tried++;
        await target.survives(async (server) => {
          const seen = await meet(server, manner, take, harm);
          if (seen.join() !== (isTold ? harm.caught : 'nothing')) swallowed++;
        });
      }
    }
  }
  return { tried, swallowed };
}

const upgrades: readonly [fields: string, leaves: boolean, returned: string][] = [
  ['Connection: Upgrade\r\nUpgrade: chat\r\n', false, 'true'],
  ['Connection: Upgrade\r\nUpgrade: chat\r\n', true, 'false'],
  ['Connection: Upgrade\r\nUpgrade: websocket\r\n', false, 'false'],
  ['Upgrade: chat\r\n', false, 'false'],
  ['Connection: Upgrade\r\nUpgrade: chat\r\nContent-Length: 4\r\n', false, 'false'],
  ['', false, 'false'],
];

async function tryUpgrades(target: Target): Promise<number> {
  let wrong = 0;
  for (const [fields, leaves, returned] of upgrades) {
    const isRight = await target.survives(async (server) => {
      const client = new RawClient(server.port).write(`GET /upgrade-later HTTP/1.1\r\nHost: x\r\n${fields}\r\n`);
      await untilState(server, ({ connections }) => connections === 1);
      await ask(server, '/');
      if (leaves) client.reset();
      if (leaves) await untilState(server, ({ connections }) => connections === 0);
      await ask(server, '/go');
      if (!leaves) await client.until(() => client.answers === 1, 'an answer');
      client.destroy();
      if ((await seenBy(server)).join() !== returned) wrong++;
    });
    if (!isRight) wrong++;
  }
  return wrong;
}

/** The server may be asked for its state before it reports: what is thrown behind a late `next()` comes after the 500. */
async function isReported(server: ServerProcess, message: string): Promise<boolean> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  while (performance.now() < giveUpAt) {
    const { errors } = await server.state();
    if (errors.some((error) => error.includes(message))) return true;
  }
  return false;
}

/** Handlers whose rejection no program code would handle: the server sends a response and reports them like any other. */
async function tryHandlers(target: Target): Promise<number> {
  let wrong = 0;
  for (const [path, message] of [
    ['/thenable', 'no such table'],
    ['/forgetful/1', 'nobody awaited this'],
    ['/called-late/rejects', 'the handler ended before'],
    ['/called-late/throws', 'nobody called this'],
  ] as const) {
    const isRight = await target.survives(async (server) => {
      const text = await ask(server, path);
      if (!/^HTTP\/1\.1 500 /.test(text) || !(await isReported(server, message))) wrong++;
    });
    if (!isRight) wrong++;
  }
  return wrong;
}

export const attack: Attack = {
  title:
    'A client makes a promise reject that the handler has taken and does not await yet, or upgrades from a callback.',

  async run({ backend, size }): Promise<readonly Finding[]> {
    const patient = new Target({ backend, timeouts: { answerMs: 2_000 } });
    const strict = new Target({ backend, timeouts: { bodyMs: 20 } });
    try {
      const isShort = size === 'short';
      const most = await tryAll(
        patient,
        harms.filter(({ options }) => options === undefined),
        isShort,
      );
      const slow = await tryAll(
        strict,
        harms.filter(({ options }) => options !== undefined),
        isShort,
      );
      const upgrades = await tryUpgrades(patient);
      const handlers = await tryHandlers(patient);
      return [
        { what: 'ways tried', value: most.tried + slow.tried, atMost: Number.POSITIVE_INFINITY },
        { what: 'times that the process ended', value: patient.deaths + strict.deaths, atMost: 0 },
        { what: 'rejections that an awaiting handler did not get', value: most.swallowed + slow.swallowed, atMost: 0 },
        { what: 'upgrades from a callback with a wrong end', value: upgrades, atMost: 0 },
        {
          what: 'rejected thenables and forgotten or late next() without 500 and report',
          value: handlers,
          atMost: 0,
        },
      ];
    } finally {
      patient.kill();
      strict.kill();
    }
  },
};
