/**
 * SIGTERM to server.ts under load: no answer that was begun is lost, clients are told that theirs is the last, and the process
 * ends by itself, with exit code 0, within its grace.
 */

import { join } from 'node:path';
import { test } from 'tap';
import { ResponseReader } from '../../benchmarks/response-reader.ts';
import { Stopwatch } from '../support/machine-time.ts';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';

/** What server.ts allows answers under way. */
const GRACE_MS = 10_000;

const CLIENTS_OF_EACH_KIND = 15;
const UPLOAD_BYTES = 3_000_000;

const hello = 'GET /hello/world HTTP/1.1\r\nHost: x\r\n\r\n';
const upload = `PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: ${UPLOAD_BYTES}\r\n\r\n`;

/** What a client asks for on and on. */
const kinds: Readonly<Record<string, string | Buffer>> = {
  'one request after the other': hello,
  'in pipelines': hello.repeat(20),
  'streams that take seconds': 'GET /slow HTTP/1.1\r\nHost: x\r\n\r\n',
  uploads: Buffer.concat([Buffer.from(upload), Buffer.alloc(UPLOAD_BYTES, 'u')]),
};

/** A client that asks again when it has all its answers, until the connection ends. */
class LoadClient {
  readonly client: RawClient;
  answers = 0;
  /** What an answer was that is none of those expected. */
  wrong: string | null = null;
  #lastHead = '';
  readonly #request: string | Buffer;
  readonly #expected: number;
  readonly #reader = new ResponseReader(({ status, head }) => {
    this.answers++;
    this.#lastHead = head;
    if (status !== 200) this.wrong = head;
  });

  constructor(port: number, request: string | Buffer) {
    this.#request = request;
    this.#expected = request.toString('latin1').split(' HTTP/1.1\r\n').length - 1;
    this.client = new RawClient(port, { keepsText: false });
    this.client.socket.on('data', (bytes: Buffer) => {
      this.#reader.push(bytes);
      if (this.answers > 0 && this.answers % this.#expected === 0 && !this.hasAnswerInPart) this.#ask();
    });
    this.#ask();
  }

  get hasAnswerInPart(): boolean {
    return this.#reader.isInside;
  }

  get isToldToClose(): boolean {
    return /\r\nConnection: close(\r\n|$)/i.test(this.#lastHead);
  }

  #ask(): void {
    if (!this.isToldToClose) this.client.write(this.#request);
  }
}

test('under load: what was begun is completed, and the exit code is 0', { timeout: 240_000 }, async (t) => {
  const server = new Program(process.execPath, [join(buildFolder, 'server.js'), '--port', '0'], {
    env: plainEnvironment(),
  });
  t.teardown(() => server.kill());
  const [, port] = await server.prints(/Listening on http:\/\/127\.0\.0\.1:(\d+)\. /);
  const clients = Object.entries(kinds).flatMap(([kind, request]) =>
    Array.from({ length: CLIENTS_OF_EACH_KIND }, () => ({ kind, load: new LoadClient(Number(port), request) })),
  );
  await Promise.all(
    clients.map(({ load }) => load.client.until(() => load.answers > 0 || load.hasAnswerInPart, 'a first answer')),
  );
  const streams = clients.filter(({ kind }) => kind === 'streams that take seconds');
  await until(() => streams.every(({ load }) => load.hasAnswerInPart));
  const before = clients.reduce((sum, { load }) => sum + load.answers, 0);
  const begun = clients.filter(({ load }) => load.hasAnswerInPart).length;
  const watch = new Stopwatch(server.child.pid);
  server.kill('SIGTERM');
  const { code, signal, stderr } = await server.ends();
  const took = watch.stop().fairMs;
  await Promise.all(clients.map(({ load }) => load.client.until(() => load.client.isOver, 'the end')));
  t.same({ code, signal, stderr }, { code: 0, signal: null, stderr: '' });
  t.ok(took < GRACE_MS, `it ended after ${took.toFixed(0)} ms`);
  t.ok(before > clients.length && begun >= CLIENTS_OF_EACH_KIND, `${before} answers before, ${begun} in the middle`);
  const lost = clients.filter(({ load }) => load.hasAnswerInPart);
  t.same(
    lost.map(({ kind }) => kind),
    [],
    'no answer that was begun is lost',
  );
  t.same(
    clients.flatMap(({ load }) => load.wrong ?? []),
    [],
  );
  t.ok(
    streams.every(({ load }) => load.answers > 0),
    'those that took seconds, too',
  );
  const after = clients.reduce((sum, { load }) => sum + load.answers, 0) - before;
  const told = clients.filter(({ load }) => load.isToldToClose).length;
  const cut = clients.filter(({ load }) => load.client.error !== null).length;
  t.ok(after >= begun, `${after} answers after the signal; ${told} clients were told, ${cut} saw RST behind an answer`);
  for (const { load } of clients) load.client.destroy();
});
