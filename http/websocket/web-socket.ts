/**
 * ServerWebSocket: one WebSocket connection: the handler of its stream, and what the program holds in its hand.
 *
 *     OPEN --close()--> CLOSING --close frame of the client--> ENDING --the stream is closed--> CLOSED
 *        \__ close frame of the client, fault ________________^                                 ^
 *         \__ terminate(), the connection breaks ______________________________________________/
 *
 * OPEN: messages go both ways. CLOSING: our close frame is sent; of the client only its own counts. ENDING: both are sent, or the client has broken the
 * protocol; FIN is sent, and what still comes is dropped. `close` of the program is called once, in CLOSED.
 *
 * It is the only object of a connection besides its stream, its async context and what HTTP keeps of it. It has no buffer while no message has
 * come in part (message-reader.ts) and none to send from (frame-output.ts).
 *
 * A client that breaks the protocol gets a close frame with the code of its fault. Then FIN follows and what still comes is read and dropped for a while, as
 * HTTP does: close(2) with unread bytes would send an RST, which may destroy the close frame on its way.
 *
 * Next: web-socket-handler.ts
 */

import { AsyncResource } from 'node:async_hooks';
import type { SocketAddress, Stream, SystemError } from '../../simplenet/index.ts';
import { described } from '../nearest-name.ts';
import type { UpgradeHost } from '../own-protocol.ts';
import { promiseOf } from '../promises.ts';
import {
  ABNORMAL_CLOSURE,
  type Closure,
  closePayload,
  GOING_AWAY,
  INTERNAL_ERROR,
  INVALID_PAYLOAD,
  isSendableCode,
  MAX_REASON_BYTES,
  NORMAL_CLOSURE,
  parseClose,
  WebSocketFault,
} from './close-code.ts';
import { BINARY, CLOSE, MAX_CONTROL_BYTES, PING, PONG, TEXT } from './frame-decoder.ts';
import { headerBytesFor } from './frame-encoder.ts';
import { flushFor, flushGathered, gatheredFor, gatherFor, writeFrame, writeShared } from './frame-output.ts';
import { MessageReader } from './message-reader.ts';
import type { MessageExtension, MessageTransform } from './message-transform.ts';
import { SharedMessage } from './shared-message.ts';
import type { Topic, Topics } from './topics.ts';
import { TransformLane } from './transform-lane.ts';
import { UTF8_COMPLETE, validateUtf8 } from './utf8-validator.ts';
import type { WebSocketSettings } from './web-socket-options.ts';

type State = number;
const OPEN: State = 0;
const CLOSING: State = 1;
const ENDING: State = 2;
const CLOSED: State = 3;

/** How long a client may take to answer a close frame, and then to end its side. */
const CLOSE_WAIT_MS = 10_000;
const LINGER_MS = 2_000;

/** How much is read and dropped in ENDING. */
const MAX_LINGER_BYTES = 1024 * 1024;

/** What the connections of an endpoint share. */
export interface WebSocketEndpoint {
  readonly settings: WebSocketSettings;
  readonly extension: MessageExtension | null;
  readonly topics: Topics;
  readonly events: WebSocketEvents;
}

/** The callbacks of the program, for connections with any data. */
export interface WebSocketEvents {
  message?(ws: ServerWebSocket<unknown>, data: string | Buffer): unknown;
  drain?(ws: ServerWebSocket<unknown>): unknown;
  pong?(ws: ServerWebSocket<unknown>, data: Buffer): unknown;
  close?(ws: ServerWebSocket<unknown>, code: number, reason: string): unknown;
}

/**
 * A WebSocket connection.
 *
 * ```ts
 * import { Router, type ServerWebSocket, webSocket } from 'simplenet/http';
 *
 * function greet(ws: ServerWebSocket): void {
 *   ws.subscribe('news');
 *   ws.send('hello');
 * }
 * new Router().get('/news', webSocket({ open: greet }));
 * ```
 */
export class ServerWebSocket<Data = undefined> {
  /** @internal */
  readonly isOwnProtocol = true;
  /** What `upgrade` has returned. */
  readonly data: Data;
  /** The subprotocol that was chosen; '' if there is none. */
  readonly protocol: string;
  readonly #endpoint: WebSocketEndpoint;
  readonly #stream: Stream;
  /** Code of the program runs in it. It begins with the stores of the request. */
  readonly #scope = new AsyncResource('SIMPLENET_WEBSOCKET');
  /** Null without an extension. */
  #lane: TransformLane | null = null;
  #host: UpgradeHost | null = null;
  #reader: MessageReader | null = null;
  #topics: Topic[] | null = null;
  #state = OPEN;
  /** How it ends, once that is known. */
  #closure: Closure | null = null;
  /** What was queued when the last LINGER_MS began. */
  #unsent = 0;
  /** `send` has returned false, so `drain` is due. */
  #awaitsDrain = false;
  /** A close frame is sent: nothing may follow it. */
  #hasSentClose = false;
  /** Nothing has come for half of `idleTimeoutMs`, and a ping is on its way. */
  #isPinged = false;
  /** In ENDING: how much was dropped. */
  #dropped = 0;

  /** The server makes one for each connection. */
  constructor(endpoint: WebSocketEndpoint, stream: Stream, data: Data, protocol: string) {
    this.#endpoint = endpoint;
    this.#stream = stream;
    this.data = data;
    this.protocol = protocol;
    this.#expectSomething();
  }

  /** The address of the client, or the path of its Unix socket. */
  get remoteAddress(): string {
    const address: SocketAddress = this.#stream.remoteAddress;
    return 'path' in address ? address.path : address.address;
  }

  /** Whether messages can be sent. */
  get isOpen(): boolean {
    return this.#state === OPEN;
  }

  /** How many bytes wait for the client. */
  get queuedBytes(): number {
    return this.#stream.queuedBytes + gatheredFor(this.#stream) + (this.#lane?.queuedBytes ?? 0);
  }

  /** The topics that this connection has subscribed. */
  get topics(): readonly string[] {
    return this.#topics?.map((topic) => topic.name) ?? [];
  }

  /**
   * Sends a message: a string as text, bytes as binary. The bytes may be used again when this returns. Returns true if the client takes it as fast as it comes. False: it
   * waits, and `drain` will say when all has been sent; or it was dropped, because the connection is closed or `maxQueuedBytes` wait already.
   */
  send(data: string | Uint8Array | ArrayBuffer): boolean {
    const payload = payloadOf(data);
    if (this.#state !== OPEN) return false;
    if (this.#isFullFor(payload)) return this.#tooSlow();
    const isSent =
      this.#lane === null
        ? writeFrame(this.#stream, typeof payload === 'string' ? TEXT : BINARY, payload)
        : this.#lane.send(payload);
    if (!isSent) this.#awaitsDrain = true;
    return isSent;
  }

  /** Sends a ping with at most 125 bytes. The client answers with the same bytes, and `pong` gets them. Pings against silence are sent by themselves. */
  ping(data: string | Uint8Array = ''): boolean {
    const payload = payloadOf(data);
    const length = byteLengthOf(payload);
    if (length > MAX_CONTROL_BYTES)
      throw new RangeError(`a ping has at most ${MAX_CONTROL_BYTES} bytes, not ${length}`);
    if (this.#state !== OPEN || this.#isFullFor(payload)) return false;
    return writeFrame(this.#stream, PING, payload);
  }

  /**
   * Sends what waits and then a close frame, with 1000 unless another code is given: one of 3000 to 4999 for programs, or one of RFC 6455. The client answers, and
   * `close` is called. After this no message comes any more.
   */
  close(code = NORMAL_CLOSURE, reason = ''): void {
    if (!isSendableCode(code)) throw new RangeError(`${described(code)} is not a code that a close frame may have`);
    if (typeof reason !== 'string') throw new TypeError(`a close reason must be a string, not ${described(reason)}`);
    const length = Buffer.byteLength(reason);
    if (length > MAX_REASON_BYTES) {
      throw new RangeError(`a close reason has at most ${MAX_REASON_BYTES} bytes of UTF-8, not ${length}`);
    }
    if (this.#state !== OPEN) return;
    this.#enter(CLOSING);
    if (this.#lane === null) this.#sendClose(code, reason);
    else this.#lane.whenSent(() => this.#sendClose(code, reason));
  }

  /** Cuts the connection, without a close frame. `close` is called with 1006. */
  terminate(): void {
    this.#cut('terminated');
  }

  /** Gets what is published to the topic, from now on until `unsubscribe` or the end of the connection. */
  subscribe(topic: string): void {
    if (typeof topic !== 'string') throw new TypeError(`a topic must be a string, not ${described(topic)}`);
    if (this.#state !== OPEN) return;
    const added = this.#endpoint.topics.add(topic, this);
    if (added === null) return;
    if (this.#topics === null) this.#topics = [added];
    else this.#topics.push(added);
  }

  /** Gets it no longer. */
  unsubscribe(topic: string): void {
    const at = this.#topics?.findIndex(({ name }) => name === topic) ?? -1;
    if (at === -1) return;
    const [removed] = (this.#topics as Topic[]).splice(at, 1);
    this.#endpoint.topics.delete(removed as Topic, this);
  }

  /** Sends a message to all who have subscribed the topic, but not to this connection. Returns how many they are. */
  publish(topic: string, data: string | Uint8Array | ArrayBuffer): number {
    const { topics, extension } = this.#endpoint;
    return topics.publish(topic, new SharedMessage(payloadOf(data), extension), this);
  }

  // For the endpoint.

  /** @internal The client and the server use the extension. */
  useTransform(transform: MessageTransform): void {
    this.#lane = new TransformLane(transform, this);
  }

  /** @internal Calls code of the program in the context of this connection. */
  runInScope(callback: () => unknown): void {
    this.#scope.runInAsyncScope(() => this.#watch(callback()));
  }

  /** @internal */
  sendShared(message: SharedMessage): void {
    if (this.#state !== OPEN) return;
    if (this.#isFullFor(message.frame)) this.#tooSlow();
    else if (!(this.#lane === null ? writeShared(this.#stream, message.frame) : this.#lane.sendShared(message))) {
      this.#awaitsDrain = true;
    }
  }

  // For the connection of HTTP.

  /** @internal */
  handedOver(host: UpgradeHost): void {
    this.#host = host;
  }

  /** @internal */
  serverStops(): void {
    this.close(GOING_AWAY, 'the server stops');
  }

  // For the lane of the extension.

  /** @internal */
  writeFrame(opcode: number, payload: string | Uint8Array): boolean {
    return this.#state >= ENDING || writeFrame(this.#stream, opcode, payload);
  }

  /** @internal */
  writeShared(frame: Buffer): boolean {
    return this.#state >= ENDING || writeShared(this.#stream, frame);
  }

  /** @internal */
  laneEmpty(): void {
    if (this.#stream.queuedBytes === 0) this.onDrain();
  }

  /** @internal */
  laneFailed(error: unknown): void {
    this.#failWith(error);
  }

  // For the stream.

  /** @internal */
  onData(_stream: Stream, bytes: Buffer): void {
    if (this.#state >= ENDING) this.#dropInput(bytes.length);
    else this.#scope.runInAsyncScope(this.#receive, this, bytes);
  }

  /** @internal Without a close frame of the client the connection has broken off. */
  onEnd(): void {
    if (this.#state < ENDING) this.#end();
  }

  /** @internal */
  onDrain(): void {
    if (!this.#awaitsDrain || this.#state !== OPEN || (this.#lane?.queuedBytes ?? 0) > 0) return;
    this.#awaitsDrain = false;
    const { events } = this.#endpoint;
    if (events.drain !== undefined) this.#scope.runInAsyncScope(this.#callDrain, this);
  }

  /** @internal */
  onTimeout(): void {
    if (this.#state === ENDING) this.#lingerOn();
    /* c8 ignore next -- it takes CLOSE_WAIT_MS. */ else if (this.#state === CLOSING)
      this.#cut('the client did not answer the close frame');
    else if (this.#isPinged) this.#cut(`nothing came for ${this.#endpoint.settings.idleTimeoutMs} ms`);
    else {
      this.#isPinged = true;
      this.ping();
      this.#stream.setDeadline(this.#endpoint.settings.idleTimeoutMs / 2);
    }
  }

  /** @internal */
  onClose(_stream: Stream, error: SystemError | null): void {
    this.#enter(CLOSED);
    this.#reader = null;
    this.#lane?.close();
    for (const topic of this.#topics ?? []) this.#endpoint.topics.delete(topic, this);
    this.#topics = null;
    const closure = this.#closure ?? { code: ABNORMAL_CLOSURE, reason: error?.message ?? '' };
    const { events } = this.#endpoint;
    if (events.close !== undefined) {
      this.#scope.runInAsyncScope(() => this.#call(() => events.close?.(this, closure.code, closure.reason)));
    }
    this.#host?.closed();
  }

  // What comes.

  /** Runs in the context of this connection. */
  #receive(bytes: Buffer): void {
    this.#isPinged = false;
    if (this.#state === OPEN) this.#expectSomething();
    gatherFor(this.#stream);
    this.#read(bytes, 0);
    flushGathered();
  }

  #read(bytes: Buffer, start: number): void {
    const { maxMessageBytes } = this.#endpoint.settings;
    const reader = this.#reader ?? MessageReader.lend(maxMessageBytes, this.#lane !== null);
    this.#reader = reader;
    let at = start;
    while (at < bytes.length && this.#state < ENDING && this.#closure === null) {
      at = reader.read(bytes, at, bytes.length);
      if (at < 0) {
        this.#fail(-at, reader.fault);
        break;
      }
      if (reader.kind >= CLOSE) this.#takeControl(reader.kind, reader.payload);
      else if (reader.kind !== 0 && this.#state === OPEN && this.#takeMessage(reader, bytes, at)) return;
    }
    if (reader.isIdle || this.#state >= ENDING) {
      reader.giveBack();
      this.#reader = null;
    }
  }

  /** Returns true if an extension needs time for the message: the rest of the bytes waits for it. */
  #takeMessage(reader: MessageReader, bytes: Buffer, at: number): boolean {
    if (reader.isTransformed) return this.#decode(reader, bytes, at);
    this.#deliver(reader.kind === TEXT ? reader.text : reader.payload);
    return false;
  }

  #deliver(message: string | Buffer): void {
    const { events } = this.#endpoint;
    try {
      const result = events.message?.(this, message);
      if (result !== undefined) this.#watch(result);
    } catch (error) {
      this.#programFailed(error);
    }
  }

  #decode(reader: MessageReader, bytes: Buffer, at: number): boolean {
    const lane = this.#lane as TransformLane;
    const isText = reader.kind === TEXT;
    try {
      const result = lane.decode(reader.payload, this.#endpoint.settings.maxMessageBytes);
      const pending = promiseOf<Buffer>(result);
      if (pending === null) {
        this.#deliverDecoded(result as Buffer, isText);
        return false;
      }
      this.#stream.pause();
      void this.#deliverLater(pending, isText, Buffer.from(bytes.subarray(at)));
      return true;
    } catch (error) {
      this.#failWith(error);
      return false;
    }
  }

  async #deliverLater(pending: Promise<Buffer>, isText: boolean, rest: Buffer): Promise<void> {
    try {
      const message = await pending;
      if (this.#state >= ENDING) return;
      this.#stream.resume(); // it is paused again at once if the next message takes time as well
      gatherFor(this.#stream);
      if (this.#state === OPEN) this.#deliverDecoded(message, isText);
      if (this.#state < ENDING) this.#read(rest, 0);
      flushGathered();
    } catch (error) {
      if (this.#state >= ENDING) return;
      this.#stream.resume();
      this.#failWith(error);
    }
  }

  #deliverDecoded(message: Buffer, isText: boolean): void {
    if (!isText) this.#deliver(message);
    else if (validateUtf8(UTF8_COMPLETE, message, 0, message.length) === UTF8_COMPLETE) {
      this.#deliver(message.toString('utf8'));
    } else this.#fail(INVALID_PAYLOAD, 'a text message that is not UTF-8');
  }

  #takeControl(kind: number, payload: Buffer): void {
    if (kind === PING) {
      // A client that sends pings and reads no pong would fill the queue. It need not get an answer to each (RFC 6455 section 5.5.3).
      if (this.#state === OPEN && !this.#isFullFor(payload)) writeFrame(this.#stream, PONG, payload);
    } else if (kind === PONG) {
      const { events } = this.#endpoint;
      if (events.pong !== undefined) this.#call(() => events.pong?.(this, Buffer.from(payload)));
    } else {
      const closure = parseClose(payload);
      if (closure instanceof WebSocketFault) this.#fail(closure.code, closure.message);
      else this.#clientCloses(closure);
    }
  }

  /** What the extension still works on is sent before the answer. Whatever the client sends behind its close frame does not count. */
  #clientCloses(closure: Closure): void {
    this.#closure = closure;
    if (this.#state === OPEN) this.#enter(CLOSING);
    const answer = (): void => {
      /* c8 ignore next -- the connection has broken while the extension was at work. */
      if (this.#state !== CLOSING) return;
      this.#writeClose(closure.code, '');
      this.#end();
    };
    if (this.#lane === null) answer();
    else this.#lane.whenSent(answer);
  }

  // How it ends.

  /** The one place that changes the state. A state never comes twice, and none before it comes again. */
  #enter(next: State): void {
    /* c8 ignore next -- a mistake of this class. */
    if (next <= this.#state) throw new Error(`a WebSocket cannot go from state ${this.#state} to ${next}`);
    this.#state = next;
  }

  /** Our close frame, in CLOSING. */
  #sendClose(code: number, reason: string): void {
    /* c8 ignore next -- the connection was cut while its close frame waited for an extension. */
    if (this.#state !== CLOSING) return;
    this.#writeClose(code, reason);
    this.#stream.setDeadline(CLOSE_WAIT_MS);
  }

  #writeClose(code: number, reason: string): void {
    if (this.#hasSentClose) return;
    this.#hasSentClose = true;
    writeFrame(this.#stream, CLOSE, closePayload(code, reason));
  }

  /** The client has broken the protocol, or the program has failed. */
  #fail(code: number, reason: string): void {
    if (this.#state >= ENDING) return;
    this.#closure = { code, reason };
    this.#writeClose(code, reason);
    this.#end();
  }

  #failWith(error: unknown): void {
    if (error instanceof WebSocketFault) this.#fail(error.code, error.message);
    else this.#programFailed(error);
  }

  /** Code of the program has thrown: the client is told no more than that. */
  #programFailed(error: unknown): void {
    this.#fail(INTERNAL_ERROR, '');
    this.#host?.report(error);
  }

  /** FIN follows what is queued. */
  #end(): void {
    this.#enter(ENDING);
    this.#lane?.close();
    flushFor(this.#stream);
    this.#stream.end();
    this.#unsent = this.#stream.queuedBytes + 1;
    this.#stream.setDeadline(LINGER_MS);
  }

  /** A client that still takes what was sent before the close frame gets all of it. */
  #lingerOn(): void {
    const { queuedBytes } = this.#stream;
    if (queuedBytes === 0 || queuedBytes >= this.#unsent) this.#stream.close();
    else {
      this.#unsent = queuedBytes;
      this.#stream.setDeadline(LINGER_MS);
    }
  }

  #cut(reason: string): void {
    if (this.#state === CLOSED) return;
    this.#closure ??= { code: ABNORMAL_CLOSURE, reason };
    if (this.#state < ENDING) this.#enter(ENDING);
    this.#stream.abort();
  }

  #dropInput(length: number): void {
    this.#dropped += length;
    if (this.#dropped > MAX_LINGER_BYTES) this.#stream.pause();
  }

  // Limits.

  #isFullFor(payload: string | Uint8Array): boolean {
    const queued = this.#stream.queuedBytes + (this.#lane?.queuedBytes ?? 0);
    if (queued === 0) return false;
    const length = byteLengthOf(payload);
    return queued + length + headerBytesFor(length) > this.#endpoint.settings.maxQueuedBytes;
  }

  #tooSlow(): false {
    this.#awaitsDrain = true;
    if (this.#endpoint.settings.whenFull === 'close') this.#cut('the client reads too slowly');
    return false;
  }

  #expectSomething(): void {
    const { idleTimeoutMs } = this.#endpoint.settings;
    if (idleTimeoutMs !== Number.POSITIVE_INFINITY) this.#stream.setDeadline(idleTimeoutMs / 2);
  }

  // Code of the program.

  #callDrain(): void {
    this.#call(() => this.#endpoint.events.drain?.(this));
  }

  #call(callback: () => unknown): void {
    try {
      this.#watch(callback());
    } catch (error) {
      this.#programFailed(error);
    }
  }

  #watch(result: unknown): void {
    promiseOf(result)?.then(undefined, (error: unknown) => this.#programFailed(error));
  }
}

/** A mistake of the program throws: a number or an object would be sent as a text that nobody meant. */
export function payloadOf(data: string | Uint8Array | ArrayBuffer): string | Uint8Array {
  if (typeof data === 'string' || data instanceof Uint8Array) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw new TypeError(`a message must be a string, a Uint8Array or an ArrayBuffer, not ${described(data)}`);
}

function byteLengthOf(payload: string | Uint8Array): number {
  return typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength;
}
