/**
 * Plays one transcript: the client's side of a conversation, over a real socket, with a clock running.
 *
 * The client is node:net and nothing above it, because what is tested here is bytes and when they come: an HTTP client
 * would repair them, or refuse to send half of these. It keeps its own side open when the server ends its own, so that a
 * FIN, a reset and silence can be told apart. It never waits without a limit and never holds more than a few megabytes.
 *
 * Next: app.ts
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { Stopwatch } from '../support/machine-time.ts';
import { type Answer, asLines, compareAnswers, faultOfLastWords, quote, type Received } from './answer.ts';
import { type Case, parseTranscripts, type Step } from './transcript.ts';

/** No case may take longer, beside the time in which the machine had no core for us. */
const MAX_MS = 5_000;

/** Then it hangs. */
const PATIENCE_MS = 30_000;

/** Where reading stops, and with it the server if it minds its peer. */
const MAX_BYTES = 2_000_000;

/** How long a connection that may stay open is watched for unexpected bytes. */
const QUIET_MS = 30;

/** The request after a case that must leave the connection open. */
const proof = parseTranscripts(
  'proof',
  `== the connection is still in order
> GET / HTTP/1.1
> Host: proof
>
< HTTP/1.1 200 OK
< Date: {date}
< Content-Type: text/plain; charset=utf-8
< Content-Length: 6
<
< hello\\n\\
`,
).cases[0] as Case;

/** What the conversation needs of the server. */
export interface Server {
  readonly host: string;
  readonly port: number;
  close(graceMs: number): Promise<void>;
}

/** How the bytes of a case are sent: as its lines say, or each by itself. */
export type Pace = 'whole' | 'byte by byte';

/** What went wrong, with what had arrived by then. */
export class Disagreement extends Error {
  readonly actual: Buffer;

  constructor(reason: string, actual: Buffer) {
    super(reason);
    this.actual = actual;
  }
}

/** One connection as the client sees it. */
class Connection {
  readonly socket: Socket;
  readonly watch = new Stopwatch();
  isEnded = false;
  error: Error | null = null;
  #chunks: Buffer[] = [];
  #length = 0;
  /** When the last bytes came: a Date in them is of that moment, however late they are compared. */
  #receivedAt = 0;
  #changed: () => void = () => {};

  private constructor({ host, port }: Server) {
    this.socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
    this.socket.on('data', (chunk) => this.#take(chunk));
    this.socket.on('end', () => {
      this.isEnded = true;
      this.#changed();
    });
    this.socket.on('error', (error) => {
      this.error = error;
      this.#changed();
    });
  }

  static async open(server: Server): Promise<Connection> {
    const connection = new Connection(server);
    await once(connection.socket, 'connect');
    return connection;
  }

  /** Nothing more will come, for whatever reason. */
  get isOver(): boolean {
    return this.isEnded || this.error !== null;
  }

  get received(): Received {
    this.#chunks = [Buffer.concat(this.#chunks)];
    return { bytes: this.#chunks[0] ?? Buffer.alloc(0), isEnded: this.isOver, now: this.#receivedAt };
  }

  /** Waits until something has changed, or some milliseconds have passed. */
  async change(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#changed = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
    this.#changed = () => {};
  }

  /** Sends, and ignores a closed connection: only the reaction of the server is checked. */
  send(bytes: Buffer): void {
    if (this.error === null && !this.socket.writableEnded) this.socket.write(bytes);
  }

  async dispose(): Promise<void> {
    if (this.socket.closed) return;
    const closed = once(this.socket, 'close');
    this.socket.resetAndDestroy();
    await closed;
  }

  #take(chunk: Buffer): void {
    this.#length += chunk.length;
    this.#chunks.push(chunk);
    this.#receivedAt = Date.now();
    if (this.#length > MAX_BYTES) this.socket.pause();
    this.#changed();
  }
}

class Conversation {
  readonly #case: Case;
  readonly #server: Server;
  readonly #pace: Pace;
  readonly #giveUpAt = performance.now() + PATIENCE_MS;
  #connection: Connection;
  #stopped: Promise<void> | null = null;
  /** How much of what was received has been compared. */
  #read = 0;
  /** Where the answer to the proof begins, which is no part of the case. */
  #proofAt = Number.POSITIVE_INFINITY;

  private constructor(one: Case, server: Server, pace: Pace, connection: Connection) {
    this.#case = one;
    this.#server = server;
    this.#pace = pace;
    this.#connection = connection;
  }

  static async play(one: Case, server: Server, pace: Pace): Promise<void> {
    const conversation = new Conversation(one, server, pace, await Connection.open(server));
    try {
      await conversation.#play();
    } finally {
      await conversation.#connection.dispose();
    }
  }

  async #play(): Promise<void> {
    for (const step of this.#case.steps) await this.#take(step);
    await this.#end();
    const bytes = this.#connection.received.bytes.subarray(0, this.#proofAt);
    const said = this.#case.never.find((text) => bytes.includes(text));
    if (said !== undefined) this.#fail(`this must never be sent: ${quote(said)}`);
    const { wallMs, fairMs } = this.#connection.watch.stop();
    const [least, most] = this.#case.between ?? [0, MAX_MS];
    if (wallMs < least) this.#fail(`it took ${Math.round(wallMs)} ms, and should take at least ${least}`);
    if (fairMs > most) this.#fail(`it took ${Math.round(fairMs)} ms, and should take at most ${most}`);
    if (this.#stopped !== null) await this.#inTime(this.#stopped, 'close() to have closed everything');
  }

  async #take(step: Step): Promise<void> {
    if (step.kind === 'send') await this.#send(step.bytes);
    else if (step.kind === 'drip') await this.#drip(step.bytes, step.size, step.everyMs);
    else if (step.kind === 'expect') await this.#expect(step.answers);
    else if (step.kind === 'wait') await sleep(step.ms);
    else if (step.kind === 'half-close') this.#connection.socket.end();
    else if (step.kind === 'reconnect') await this.#reconnect();
    else if (step.kind === 'stop') this.#stopped = this.#server.close(step.graceMs);
    else await this.#expectRefusal();
  }

  async #send(bytes: Buffer): Promise<void> {
    if (this.#pace === 'whole') {
      this.#connection.send(bytes);
      return;
    }
    for (let i = 0; i < bytes.length && this.#connection.error === null; i++) {
      this.#connection.send(bytes.subarray(i, i + 1));
      // The server lives in the same process: this is its turn to read that byte.
      await nextTurn();
    }
  }

  /** Ends early when the server has ended the connection, as it should. */
  async #drip(bytes: Buffer, size: number, everyMs: number): Promise<void> {
    for (let i = 0; i < bytes.length && !this.#connection.isOver; i += size) {
      this.#connection.send(bytes.subarray(i, i + size));
      await sleep(everyMs);
      if (performance.now() > this.#giveUpAt) this.#fail('the server has not had enough of this drip');
    }
  }

  async #expect(answers: readonly Answer[]): Promise<void> {
    for (;;) {
      const comparison = compareAnswers(answers, this.#connection.received, this.#read);
      if (comparison.kind === 'match') {
        this.#read += comparison.length;
        return;
      }
      if (comparison.kind === 'mismatch') this.#fail(comparison.reason);
      await this.#change(comparison.reason);
    }
  }

  async #reconnect(): Promise<void> {
    await this.#connection.dispose();
    this.#connection = await Connection.open(this.#server);
    this.#read = 0;
  }

  async #expectRefusal(): Promise<void> {
    const outcome = await Connection.open(this.#server).catch((error: NodeJS.ErrnoException) => error);
    if (outcome instanceof Error) return;
    await outcome.dispose();
    this.#fail('a new connection was accepted');
  }

  async #end(): Promise<void> {
    const { ending } = this.#case;
    if (ending.kind === 'open') {
      await this.#prove();
    } else if (ending.kind === 'either') {
      // What the answer says decides. Without a word of it, only time can tell.
      if (/^connection: close\r$/im.test(this.#connection.received.bytes.toString('latin1'))) await this.#over();
      else await this.#connection.change(QUIET_MS);
      if (!this.#connection.isOver) await this.#prove();
      this.#expectNoMore();
    } else if (ending.kind === 'no 2xx' || ending.kind === 'one answer at most') {
      await this.#over();
      const isSuccessAllowed = ending.kind === 'one answer at most';
      const fault = faultOfLastWords(this.#connection.received, this.#read, isSuccessAllowed);
      if (fault !== null) this.#fail(fault);
    } else {
      await this.#over();
      this.#expectNoMore();
      const { error } = this.#connection;
      if (ending.kind !== 'cut' && error !== null) this.#fail(`the connection was torn down: ${error.message}`);
      if (ending.kind === 'reset in the end') await this.#sendUntilReset();
    }
  }

  async #prove(): Promise<void> {
    this.#proofAt = this.#read;
    const isMeanwhileClosed = () => this.#connection.isOver && this.#connection.received.bytes.length === this.#proofAt;
    for (const step of proof.steps) {
      if (this.#case.ending.kind === 'either' && step.kind === 'expect') {
        // On a busy machine the end may come later than QUIET_MS: then it is the answer to the proof.
        while (!this.#connection.isOver && this.#connection.received.bytes.length === this.#proofAt) {
          await this.#change('waiting for an answer or an end');
        }
      }
      if (this.#case.ending.kind === 'either' && isMeanwhileClosed()) return;
      await this.#take(step);
    }
    this.#expectNoMore();
  }

  async #over(): Promise<void> {
    while (!this.#connection.isOver) await this.#change('waiting for the server to end the connection');
  }

  /** The other half of a close: after its FIN the server listens for a while, and then no longer. */
  async #sendUntilReset(): Promise<void> {
    while (this.#connection.error === null) {
      this.#connection.send(Buffer.from('x'));
      await this.#change('waiting for the server to stop listening', 20);
    }
  }

  #expectNoMore(): void {
    const rest = this.#connection.received.bytes.subarray(this.#read);
    if (rest.length > 0) this.#fail(`nothing more should come, but there is ${quote(rest)}`);
  }

  /** Waits for news; fails when there is no time left for them. */
  async #change(what: string, ms = PATIENCE_MS): Promise<void> {
    const leftMs = this.#giveUpAt - performance.now();
    if (leftMs <= 0) this.#fail(`after ${PATIENCE_MS} ms still ${what}`);
    await this.#connection.change(Math.min(leftMs, ms));
  }

  async #inTime(promise: Promise<void>, what: string): Promise<void> {
    const timer = new AbortController();
    const leftMs = Math.max(this.#giveUpAt - performance.now(), 0);
    const late = sleep(leftMs, 'late' as const, { signal: timer.signal }).catch(() => 'done' as const);
    const first = await Promise.race([promise.then(() => 'done' as const), late]);
    timer.abort();
    if (first === 'late') this.#fail(`after ${PATIENCE_MS} ms still waiting for ${what}`);
  }

  #fail(reason: string): never {
    throw new Disagreement(reason, this.#connection.received.bytes);
  }
}

/** Plays a case against a server. Throws a Disagreement if the server answers otherwise. */
export function play(one: Case, server: Server, pace: Pace = 'whole'): Promise<void> {
  return Conversation.play(one, server, pace);
}

const COLUMN = 58;

function wrap(lines: readonly string[]): string[] {
  return lines.flatMap((line) => (line === '' ? [''] : (line.match(new RegExp(`.{1,${COLUMN}}`, 'g')) ?? [])));
}

const MAX_LINES = 40;

/** What the transcript says beside what the server said. */
export function sideBySide(expected: readonly string[], actual: Buffer): string {
  const left = wrap(expected).slice(0, MAX_LINES);
  const right = wrap(asLines(actual.subarray(0, 4_000))).slice(0, MAX_LINES);
  const rows = Array.from({ length: Math.max(left.length, right.length) }, (_, i) => {
    return `${(left[i] ?? '').padEnd(COLUMN)} | ${right[i] ?? ''}`.trimEnd();
  });
  return ['transcript'.padEnd(COLUMN).concat(' | what arrived'), ...rows].join('\n');
}
