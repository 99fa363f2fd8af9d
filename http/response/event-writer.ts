/**
 * EventWriter: a stream of events for one client (`response.events()`): events, comments, heartbeats, and its end.
 *
 *     OPEN --> CLOSED      by the program, by the client that leaves, by the server that stops, or because the client reads too slowly
 *
 * A browser that loses the stream connects again by itself and names the last id that it has seen. So nothing here rejects or throws because of a
 * client: what is sent to a stream that is closed is dropped. Only a mistake of the program throws, such as a line end in an id.
 *
 * The heartbeat is the deadline that a connection has anyway, so a stream needs no timer.
 *
 * Next: response-hooks.ts
 */

import { encodeComment, encodeEvent, type ServerEvent } from '../content/event-stream.ts';
import type { ResponseOutput } from './response-output.ts';
import type { StreamedBody } from './streamed-body.ts';

/**
 * The options of `response.events()`.
 *
 * ```ts
 * import { type EventOptions, Router } from 'simplenet/http';
 *
 * const options: EventOptions = { heartbeatMs: 5_000, maxQueuedBytes: 65_536 };
 * new Router().get('/events', (_request, response) => {
 *   response.events(options).send({ data: 'hello' });
 * });
 * ```
 */
export interface EventOptions {
  /**
   * After so long a silence a comment is sent: 15 s unless set, at least 100 ms, Infinity for none. Proxies cut connections on which nothing happens, and a client
   * that has left without a word is found out.
   */
  readonly heartbeatMs?: number;
  /** If more than this waits for the client when a further event comes, the client is cut off: 1 MiB unless set. It connects again by itself. */
  readonly maxQueuedBytes?: number;
}

/** What holds an event stream and wants to know of its end. */
export interface EventHolder {
  delete(events: EventWriter): void;
}

/** What an event stream asks of its response. */
interface EventResponse {
  /** Completes the response. */
  endEvents(): void;
}

/** One event, encoded once for many clients. */
export interface SharedEvent {
  readonly bytes: Uint8Array;
  /** The same bytes as a chunk (RFC 9112 section 7.1). */
  readonly chunk: Uint8Array;
}

const DEFAULT_HEARTBEAT_MS = 15_000;
/** Below it the option was surely meant in seconds, and 10,000 clients would keep a core busy with comments. */
const MIN_HEARTBEAT_MS = 100;
const DEFAULT_MAX_QUEUED_BYTES = 1024 * 1024;

const HEARTBEAT = sharedEvent(':\n\n');

/**
 * A stream of events, which `response.events()` returns. It ends with the client, with `close()`, and when the server stops.
 *
 * ```ts
 * import { type EventWriter, Router } from 'simplenet/http';
 *
 * async function count(events: EventWriter): Promise<void> {
 *   for (let i = Number(events.lastEventId) + 1; !events.isClosed; i++) {
 *     events.send({ data: `${i}`, id: `${i}` });
 *     await new Promise((resolve) => setTimeout(resolve, 1_000));
 *   }
 * }
 * new Router().get('/count', (_request, response) => count(response.events()));
 * ```
 */
export class EventWriter {
  /** The id of the last event that the client has seen, if it connects again; else the empty string. */
  readonly lastEventId: string;
  /** @internal */
  readonly heartbeatMs: number;
  readonly #maxQueuedBytes: number;
  readonly #response: EventResponse;
  /** Null when the stream is closed. */
  #body: StreamedBody | null;
  /** Takes chunks; null for all other streams. A broadcast costs what it touches for each client, so it does not go through the body. */
  #chunkOutput: ResponseOutput | null;
  #holders: EventHolder[] | null = null;

  /** @internal `body` is null if the client has gone already. */
  constructor(response: EventResponse, body: StreamedBody | null, lastEventId: string, options: EventOptions) {
    this.lastEventId = lastEventId;
    this.#response = response;
    this.#body = body;
    this.#chunkOutput = body === null ? null : body.chunkOutput;
    this.heartbeatMs = options.heartbeatMs ?? DEFAULT_HEARTBEAT_MS;
    this.#maxQueuedBytes = options.maxQueuedBytes ?? DEFAULT_MAX_QUEUED_BYTES;
  }

  /** What is sent from now on is dropped. */
  get isClosed(): boolean {
    return this.#body === null || this.#body.isCut;
  }

  /** Resolves when the stream is closed, whatever has closed it. It never rejects. */
  get closed(): Promise<void> {
    return new Promise((resolve) => this.tellEnd({ delete: () => resolve() }));
  }

  /**
   * Sends an event. Returns false if bytes wait for the client, or if the stream is closed. A program need not wait: a client that lets too much
   * wait is cut off.
   */
  send(event: ServerEvent): boolean {
    return this.#send(encodeEvent(event));
  }

  /** Sends a comment, which no page sees. */
  comment(text: string): boolean {
    return this.#send(encodeComment(text));
  }

  /** Ends the response. The browser connects again: a page ends its side by `close()` of its EventSource, or gets 204. */
  close(): void {
    if (this.#body === null) return;
    this.#response.endEvents();
    this.ended();
  }

  // For the channel.

  /** @internal Sends an event that is encoded already, at once. */
  sendShared({ bytes, chunk }: SharedEvent): boolean {
    const output = this.#chunkOutput;
    if (output !== null && output.queuedBytes <= this.#maxQueuedBytes) return output.sendNow(bytes, chunk);
    if (!this.#isWritable) return false;
    const body = this.#body as StreamedBody;
    body.sendNow(bytes);
    return body.queuedBytes === 0;
  }

  /** @internal Calls `delete` of the holder when the stream is closed, or at once if it is. */
  tellEnd(holder: EventHolder): void {
    if (this.#body === null) {
      holder.delete(this);
      return;
    }
    this.#holders = this.#holders === null ? [holder] : [...this.#holders, holder]; // `push` would make room for sixteen
  }

  /** @internal */
  forget(holder: EventHolder): void {
    this.#holders = this.#holders?.filter((each) => each !== holder) ?? null;
  }

  // For the connection.

  /** @internal Nothing was sent for `heartbeatMs`. A client for which bytes wait hears enough when it reads. */
  heartbeat(): void {
    if (this.#body?.queuedBytes === 0) this.sendShared(HEARTBEAT);
  }

  /** @internal The response is over. */
  ended(): void {
    const holders = this.#holders ?? [];
    this.#body = this.#chunkOutput = null;
    this.#holders = null;
    for (const holder of holders) holder.delete(this);
  }

  #send(text: string): boolean {
    if (!this.#isWritable) return false;
    const body = this.#body as StreamedBody;
    body.push(Buffer.from(text));
    return body.queuedBytes === 0;
  }

  /** Cuts a client off for which too much waits. */
  get #isWritable(): boolean {
    const body = this.#body;
    if (body === null) return false;
    if (body.queuedBytes <= this.#maxQueuedBytes) return true;
    body.breakOff();
    this.ended();
    return false;
  }
}

/** Encodes an event for many clients. */
export function sharedEvent(text: string): SharedEvent {
  const byteLength = Buffer.byteLength(text);
  const head = `${byteLength.toString(16)}\r\n`;
  const chunk = Buffer.from(`${head}${text}\r\n`);
  return { bytes: chunk.subarray(head.length, head.length + byteLength), chunk };
}

/** Throws a RangeError for options that cannot be meant. */
export function checkEventOptions({ heartbeatMs, maxQueuedBytes }: EventOptions): void {
  if (heartbeatMs !== undefined && !(heartbeatMs >= MIN_HEARTBEAT_MS)) {
    throw new RangeError(`heartbeatMs must be at least ${MIN_HEARTBEAT_MS}, not ${String(heartbeatMs)}`);
  }
  if (maxQueuedBytes !== undefined && !(maxQueuedBytes > 0)) {
    throw new RangeError(`maxQueuedBytes must be > 0, not ${String(maxQueuedBytes)}`);
  }
}
