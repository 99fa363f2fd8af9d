/**
 * A client in memory: it sends bytes in pieces to a real Connection, without a socket, and gathers what comes back.
 *
 * Its stream keeps the contract of event-loop.ts: no callback runs inside a call, the bytes of onData are gone when it
 * returns, and whatever a client may do to a server, such as reading slowly, it can be asked to do.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { Connection, type ConnectionHome } from '../../http/connection.ts';
import type { Handler } from '../../http/handler.ts';
import { HeadParser } from '../../http/head-parser.ts';
import { defaultLimits, defaultTimeouts, type Limits } from '../../http/limits.ts';
import { OutputBuffer } from '../../http/output-buffer.ts';
import { PlainHeads } from '../../http/plain-heads.ts';
import type { Stream, StreamHandler } from '../../simplenet/event-loop.ts';

const OUTPUT_BYTES = 4_096;

/** A handler of these tests needs a turn or two. */
const MOST_TURNS = 100;

class MemoryStream implements Stream {
  readonly remoteAddress = { address: '192.0.2.1', port: 1 };
  readonly localAddress = { address: '192.0.2.2', port: 80 };
  readonly peerCredentials = null;
  handler: StreamHandler = { onData: () => {} };
  queuedBytes = 0;
  isEnded = false;
  isPaused = false;
  isClosed = false;
  wasAborted = false;
  sentBytes = 0;
  readonly #sent: Buffer[] = [];
  readonly #isSlow: boolean;

  constructor(isSlow: boolean) {
    this.#isSlow = isSlow;
  }

  get sent(): Buffer {
    return Buffer.concat(this.#sent);
  }

  write(bytes: Uint8Array, length = bytes.byteLength): boolean {
    if (this.isEnded) throw new Error('a write after the end');
    this.#sent.push(Buffer.from(bytes.subarray(0, length)));
    this.sentBytes += length;
    if (this.#isSlow) this.queuedBytes += length;
    return !this.#isSlow;
  }

  writeOwned(bytes: Uint8Array): boolean {
    return this.write(bytes);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {
    this.isEnded = true;
  }

  close(): void {
    this.isEnded = true;
    this.isClosed = true;
  }

  abort(): void {
    if (!this.isClosed) this.wasAborted = true;
    this.close();
  }

  setDeadline(): void {}

  /** The slow client has taken everything. */
  drain(): void {
    if (this.queuedBytes === 0 || this.isClosed) return;
    this.queuedBytes = 0;
    this.handler.onDrain?.(this);
  }
}

const crampedLimits: Limits = { ...defaultLimits, bodyBufferBytes: 4 };

class Home implements ConnectionHome {
  readonly handler: Handler;
  readonly limits: Limits;
  readonly timeouts = defaultTimeouts;
  readonly output = new OutputBuffer(OUTPUT_BYTES);
  readonly plainHeads = new PlainHeads(() => this.dateLine());
  readonly isStopping = false;
  /** What handlers threw and the client was not meant to see. */
  readonly reported: unknown[] = [];

  constructor(handler: Handler, limits: Limits) {
    this.handler = handler;
    this.limits = limits;
  }

  now(): number {
    return performance.now();
  }

  dateLine(): string {
    return 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n';
  }

  borrowParser(): HeadParser {
    return new HeadParser(this.limits);
  }

  returnParser(): void {}

  borrowOutput(): OutputBuffer {
    return new OutputBuffer(OUTPUT_BYTES);
  }

  returnOutput(): void {}

  report(error: unknown): void {
    this.reported.push(error);
  }

  gone(): void {}
}

export interface Manners {
  /** It takes what was sent only when a turn is over. */
  readonly isSlow?: boolean;
  /** It sends its next piece without giving the server a turn. */
  readonly isHasty?: boolean;
  /** So few bytes of a body may wait for the handler that the server stops reading in almost every upload. */
  readonly isCramped?: boolean;
}

export interface Conversation {
  readonly sent: Buffer;
  /** The server has ended its side, by FIN or by closing. If not, it would leave the client waiting. */
  readonly isEnded: boolean;
  /** It closed both ways when it had received so many bytes; null if it waited for the client's end. */
  readonly closedAfter: number | null;
  readonly wasAborted: boolean;
  readonly reported: readonly unknown[];
}

/** Turns, until nothing changes any more. */
async function settle(stream: MemoryStream): Promise<void> {
  for (let turns = 0, quiet = 0; quiet < 2; turns++) {
    if (turns === MOST_TURNS) throw new Error('the server never comes to rest');
    const before = stream.sentBytes;
    await nextTurn();
    const isQuiet = stream.queuedBytes === 0 && stream.sentBytes === before;
    stream.drain();
    quiet = isQuiet ? quiet + 1 : 0;
  }
}

/** Sends the pieces and then FIN; answers what the server made of it. */
export async function converse(
  pieces: readonly Buffer[],
  handler: Handler,
  { isSlow = false, isHasty = false, isCramped = false }: Manners = {},
): Promise<Conversation> {
  const stream = new MemoryStream(isSlow);
  const home = new Home(handler, isCramped ? crampedLimits : defaultLimits);
  const connection = new Connection(home, stream);
  stream.handler = connection;
  let delivered = 0;
  for (const piece of pieces) {
    if (!isHasty || stream.isPaused) await settle(stream);
    if (stream.isClosed) break;
    if (stream.isPaused) throw new Error('the server has stopped reading for ever');
    const bytes = Buffer.from(piece);
    connection.onData(stream, bytes);
    bytes.fill('!');
    delivered += piece.length;
  }
  await settle(stream);
  const closedAfter = stream.isClosed ? delivered : null;
  if (!stream.isClosed) connection.onEnd(stream);
  await settle(stream);
  const { sent, isEnded, wasAborted } = stream;
  connection.onClose(stream, null);
  await settle(stream);
  if (stream.sentBytes !== sent.length) throw new Error('something was sent after the end');
  return { sent, isEnded, closedAfter, wasAborted, reported: home.reported };
}
