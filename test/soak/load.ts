/**
 * Load: clients of every kind at once, good and bad, until they are told to stop. Each checks what it is answered.
 *
 * Next: soak.ts
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RawClient, type RawClientOptions } from '../support/raw-client.ts';

const get = (path: string, close = false) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\n${close ? 'Connection: close\r\n' : ''}\r\n`;

const LARGE_BYTES = 1_000_000;
const UPLOAD_BYTES = 300_000;
const PIPELINED = 50;
/** The server gives up a connection that says nothing after some 10 s. */
const MAX_IDLE_MS = 30_000;
const MAX_FAILURES = 20;

/** What a kind of client does, once. It throws where the server was wrong. */
type Deed = (load: Load) => Promise<void>;

interface Kind {
  readonly deed: Deed;
  /** How many such clients there are. */
  readonly count: number;
  /** Between two deeds. */
  readonly pauseMs: number;
}

/** A short request and its answer again and again, on one connection. */
async function keepAlive(load: Load): Promise<void> {
  const client = load.connect();
  try {
    for (let i = 0; i < 100; i++) {
      client.text = '';
      client.write(get('/'));
      await client.until(() => client.text.endsWith('\r\n\r\nhello\n') || client.isOver, 'an answer');
      expect(client.text.startsWith('HTTP/1.1 200 '), client.text);
      await sleep(2);
    }
  } finally {
    client.destroy();
  }
}

async function pipeline(load: Load): Promise<void> {
  const client = load.connect();
  try {
    client.write(get('/').repeat(PIPELINED - 1) + get('/', true));
    await client.ended();
    expect(client.answers === PIPELINED, `${client.answers} answers to ${PIPELINED} requests`);
  } finally {
    client.destroy();
  }
}

/** A connection for each request. */
async function churn(load: Load): Promise<void> {
  const client = load.connect();
  try {
    client.write(get('/', true));
    await client.ended();
    expect(client.text.endsWith('\r\n\r\nhello\n'), client.text);
  } finally {
    client.destroy();
  }
}

async function upload(load: Load): Promise<void> {
  const client = load.connect();
  const head = 'PUT /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n';
  const body = Buffer.alloc(UPLOAD_BYTES, 'u');
  try {
    if (Math.random() < 0.5) {
      client.write(`${head}Content-Length: ${body.length}\r\n\r\n`).write(body);
    } else {
      const size = body.length.toString(16);
      client.write(`${head}Transfer-Encoding: chunked\r\n\r\n${size}\r\n`).write(body).write('\r\n0\r\n\r\n');
    }
    await client.ended();
    expect(client.text.endsWith(`{"bytes":${UPLOAD_BYTES}}`), client.text);
  } finally {
    client.destroy();
  }
}

async function large(load: Load): Promise<void> {
  const client = load.connect({ keepsText: false });
  try {
    client.write(get(`/${Math.random() < 0.5 ? 'large' : 'stream'}/${LARGE_BYTES}`, true));
    await client.ended();
    expect(client.receivedBytes > LARGE_BYTES, `${client.receivedBytes} bytes of ${LARGE_BYTES}`);
  } finally {
    client.destroy();
  }
}

/** Reads a little now and then, and leaves in the middle. */
async function readSlowly(load: Load): Promise<void> {
  const client = load.connect({ keepsText: false });
  try {
    client.write(get(`/stream/${20 * LARGE_BYTES}`));
    for (let i = 0; i < 20; i++) {
      client.socket.pause();
      await sleep(100);
      client.socket.resume();
      await sleep(1);
    }
  } finally {
    client.destroy();
  }
}

/** Leaves in the middle of something, with FIN or RST. */
async function abort(load: Load): Promise<void> {
  const client = load.connect({ keepsText: false });
  const script = `${get('/')}POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n${'b'.repeat(1000)}${get('/wait')}`;
  await client.connected();
  client.write(script.slice(0, Math.floor(Math.random() * (script.length + 1))));
  await sleep(Math.random() * 10);
  if (Math.random() < 0.5) client.reset();
  else client.destroy();
}

/** Keeps a connection and says nothing, until the server has had enough, or all is over. */
async function idle(load: Load): Promise<void> {
  const { idlers } = load;
  const client = load.connect();
  idlers.add(client);
  try {
    if (Math.random() < 0.5) client.write(get('/'));
    await client.ended(MAX_IDLE_MS);
    expect(client.text === '' || client.text.startsWith('HTTP/1.1 200 '), client.text);
  } finally {
    idlers.delete(client);
    client.destroy();
  }
}

/** What is no HTTP is answered with 400 and the end. */
async function nonsense(load: Load): Promise<void> {
  const client = load.connect();
  try {
    client.write(`G${randomBytes(50).toString('hex')} /\r\n\r\n`);
    await client.ended();
    expect(/^HTTP\/1\.1 (400|501|505) /.test(client.text), client.text);
  } finally {
    client.destroy();
  }
}

const kinds: Readonly<Record<string, Kind>> = {
  'keep-alive': { deed: keepAlive, count: 16, pauseMs: 5 },
  pipelines: { deed: pipeline, count: 4, pauseMs: 20 },
  churn: { deed: churn, count: 8, pauseMs: 20 },
  uploads: { deed: upload, count: 4, pauseMs: 50 },
  'large answers': { deed: large, count: 4, pauseMs: 50 },
  'slow readers': { deed: readSlowly, count: 8, pauseMs: 10 },
  aborts: { deed: abort, count: 8, pauseMs: 20 },
  idle: { deed: idle, count: 100, pauseMs: 100 },
  nonsense: { deed: nonsense, count: 2, pauseMs: 50 },
};

function expect(condition: boolean, found: string): void {
  if (!condition) throw new Error(`an answer that is none: '${found.slice(0, 200)}'`);
}

export class Load {
  readonly #port: number;
  readonly #isSecure: boolean;
  /** How often each kind has done its deed. */
  readonly done: Record<string, number> = {};
  readonly failures: string[] = [];
  /** Those that wait for nothing but the server's patience to end. */
  readonly idlers = new Set<RawClient>();
  #isStopping = false;
  readonly #over: Promise<unknown>;

  constructor(port: number, isSecure = false) {
    this.#port = port;
    this.#isSecure = isSecure;
    const all = Object.entries(kinds).flatMap(([name, kind]) =>
      Array.from({ length: kind.count }, () => this.#repeat(name, kind)),
    );
    this.#over = Promise.all(all);
  }

  connect(options: RawClientOptions = {}): RawClient {
    return new RawClient(this.#port, { ...options, isSecure: this.#isSecure });
  }

  /** Ends when each client has finished what it was at. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const idler of this.idlers) idler.destroy();
    await this.#over;
  }

  async #repeat(name: string, { deed, pauseMs }: Kind): Promise<void> {
    while (!this.#isStopping) {
      try {
        await deed(this);
      } catch (error) {
        if (this.failures.length < MAX_FAILURES) this.failures.push(`${name}: ${(error as Error).message}`);
      }
      this.done[name] = (this.done[name] ?? 0) + 1;
      await sleep(pauseMs);
    }
  }
}
