/**
 * WebSocketConnection: one WebSocket: the handler of its stream, and its states.
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
 * It trusts its arguments: server-web-socket.ts checks what comes from the program, and adds what only a program needs.
 *
 * Next: server-web-socket.ts
 */

import { AsyncResource } from 'node:async_hooks';
import type { Stream, SystemError } from '../../simplenet/index.ts';
import { addressText } from '../address-text.ts';
import type { UpgradeHost } from '../own-protocol.ts';
import { promiseOf } from '../promises.ts';
import type { WebSocketCounts } from '../web-socket-counts.ts';
import {
  ABNORMAL_CLOSURE,
  type Closure,
  GOING_AWAY,
  INTERNAL_ERROR,
  parseClose,
  TRY_AGAIN_LATER,
  WebSocketFault,
} from './close-code.ts';
import { BINARY, CLOSE, PING, PONG, TEXT } from './frame-decoder.ts';
import { byteLengthOf, headerBytesFor } from './frame-encoder.ts';
import { flushGathered, gatheredFor, gatherFor, writeFrame, writeShared } from './frame-output.ts';
import { MessageReader } from './message-reader.ts';
import type { MessageTransform } from './message-transform.ts';
import type { SharedMessage } from './shared-message.ts';
import type { Topic } from './topics.ts';
import { TransformLane } from './transform-lane.ts';
import { WebSocketEnd } from './web-socket-end.ts';
import type { WebSocketEndpoint } from './web-socket-endpoint.ts';

type State = number;
const OPEN: State = 0;
const CLOSING: State = 1;
const ENDING: State = 2;
const CLOSED: State = 3;

/** See ServerWebSocket. */
export class WebSocketConnection<Data = undefined> {
  /** @internal */
  readonly isOwnProtocol = true;
  /** @internal Kept by Topics. */
  subscribed: Topic[] | null = null;
  /** What `upgrade` has returned. */
  readonly data: Data;
  /** The subprotocol that was chosen; '' if there is none. */
  readonly protocol: string;
  readonly #endpoint: WebSocketEndpoint;
  readonly #stream: Stream;
  readonly #counts: WebSocketCounts;
  /** Code of the program runs in it. It begins with the stores of the request. */
  readonly #scope = new AsyncResource('SIMPLENET_WEBSOCKET');
  /** Null without an extension. */
  #lane: TransformLane | null = null;
  #host: UpgradeHost | null = null;
  #reader: MessageReader | null = null;
  #state = OPEN;
  /** Null as long as nothing has begun to end it. */
  #end: WebSocketEnd | null = null;
  /** `send` has returned false, so `drain` is due. */
  #awaitsDrain = false;
  /** Nothing has come for half of `idleTimeoutMs`, and a ping is on its way. */
  #isPinged = false;

  /** The server makes one for each connection. */
  constructor(endpoint: WebSocketEndpoint, stream: Stream, counts: WebSocketCounts, data: Data, protocol: string) {
    this.#endpoint = endpoint;
    this.#stream = stream;
    this.#counts = counts;
    this.data = data;
    this.protocol = protocol;
    this.#expectSomething();
  }

  /** The address of the client, or the path of its Unix socket. */
  get remoteAddress(): string {
    return addressText(this.#stream.remoteAddress);
  }

  /** Whether messages can be sent. */
  get isOpen(): boolean {
    return this.#state === OPEN;
  }

  /** How many bytes wait for the client. */
  get queuedBytes(): number {
    return this.#stream.queuedBytes + gatheredFor(this.#stream) + (this.#lane?.queuedBytes ?? 0);
  }

  // For the program, whose arguments have been checked.

  /** What it shares with others. */
  protected get endpoint(): WebSocketEndpoint {
    return this.#endpoint;
  }

  /** Sends a message. */
  protected sendMessage(payload: string | Uint8Array): boolean {
    if (this.#state !== OPEN) return false;
    if (this.#isFullFor(payload)) return this.#tooSlow();
    this.#counts.sentMessages++;
    const isSent =
      this.#lane === null
        ? writeFrame(this.#stream, this.#counts, typeof payload === 'string' ? TEXT : BINARY, payload)
        : this.#lane.send(payload);
    if (!isSent) this.#awaitsDrain = true;
    return isSent;
  }

  /** Sends a ping. */
  protected sendPing(payload: string | Uint8Array): boolean {
    if (this.#state !== OPEN || this.#isFullFor(payload)) return false;
    return writeFrame(this.#stream, this.#counts, PING, payload);
  }

  /** Begins the close handshake. */
  protected startClosing(code: number, reason: string): void {
    if (this.#state !== OPEN) return;
    this.#enter(CLOSING);
    if (this.#lane === null) this.#sendClose(code, reason);
    else this.#lane.whenSent(() => this.#sendClose(code, reason));
  }

  /** Ends it without a close frame. */
  protected cut(reason: string): void {
    if (this.#state === CLOSED) return;
    this.#begunEnd().closure ??= { code: ABNORMAL_CLOSURE, reason };
    if (this.#state < ENDING) this.#enter(ENDING);
    this.#stream.abort();
  }

  // For the endpoint.

  /** @internal The client and the server use the extension. */
  useTransform(transform: MessageTransform): void {
    this.#lane = new TransformLane(transform, this, this.#endpoint);
  }

  /** @internal Calls code of the program in the context of this connection. */
  runInScope(callback: () => unknown): void {
    this.#scope.runInAsyncScope(() => this.#call(callback));
  }

  /** @internal */
  sendShared(message: SharedMessage): void {
    if (this.#state !== OPEN) return;
    if (this.#isFullFor(message.frame)) {
      this.#tooSlow();
      return;
    }
    this.#counts.sentMessages++;
    const isSent = this.#lane === null ? this.writeShared(message.frame) : this.#lane.sendShared(message);
    if (!isSent) this.#awaitsDrain = true;
  }

  /** @internal All connections together keep too much, and this one has kept its message for the longest time. */
  makeRoom(): void {
    this.#fail(TRY_AGAIN_LATER, 'too many messages have come in part');
    this.#dropReader();
  }

  // For the connection of HTTP.

  /** @internal */
  handedOver(host: UpgradeHost): void {
    this.#host = host;
    this.#counts.opened++;
  }

  /** @internal */
  serverStops(): void {
    this.startClosing(GOING_AWAY, 'the server stops');
  }

  // For the lane of the extension.

  /** @internal */
  writeFrame(opcode: number, payload: string | Uint8Array): boolean {
    return this.#state >= ENDING || writeFrame(this.#stream, this.#counts, opcode, payload);
  }

  /** @internal */
  writeShared(frame: Buffer): boolean {
    return this.#state >= ENDING || writeShared(this.#stream, this.#counts, frame);
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
    this.#counts.receivedBytes += bytes.length;
    if (this.#state >= ENDING) this.#begunEnd().dropInput(bytes.length);
    else this.#scope.runInAsyncScope(this.#receive, this, bytes);
  }

  /** @internal Without a close frame of the client the connection has broken off. */
  onEnd(): void {
    if (this.#state < ENDING) this.#finish();
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
    if (this.#state === ENDING) this.#begunEnd().lingerOn();
    /* c8 ignore next -- it takes CLOSE_WAIT_MS. */ else if (this.#state === CLOSING)
      this.cut('the client did not answer the close frame');
    else if (this.#isPinged) this.cut(`nothing came for ${this.#endpoint.settings.idleTimeoutMs} ms`);
    else {
      this.#isPinged = true;
      this.sendPing('');
      this.#stream.setDeadline(this.#endpoint.settings.idleTimeoutMs / 2);
    }
  }

  /** @internal */
  onClose(_stream: Stream, error: SystemError | null): void {
    this.#enter(CLOSED);
    this.#dropReader();
    this.#lane?.close();
    this.#endpoint.topics.leave(this);
    const closure = this.#closure ?? { code: ABNORMAL_CLOSURE, reason: error?.message ?? '' };
    const { events } = this.#endpoint;
    if (events.close !== undefined) {
      this.#scope.runInAsyncScope(() => this.#call(() => events.close?.(this, closure.code, closure.reason)));
    }
    this.#counts.countClosed(closure.code);
    this.#host?.closed();
  }

  // What comes.

  /** Runs in the context of this connection. */
  #receive(bytes: Buffer): void {
    this.#isPinged = false;
    if (this.#state === OPEN) this.#expectSomething();
    gatherFor(this.#stream);
    try {
      this.#read(bytes, 0);
    } finally {
      flushGathered(); // or the next connection that is read would send the bytes of this one
    }
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
    if (reader.isIdle || this.#state >= ENDING) this.#dropReader();
    else this.#hold(reader);
  }

  /** A message has come in part. */
  #hold(reader: MessageReader): void {
    const { partial } = this.#endpoint;
    if (reader.hasBegunToKeep) partial.release(this); // the message before it is complete
    reader.hasBegunToKeep = false;
    if (reader.keptBytes > 0) partial.hold(this, reader.keptBytes);
  }

  #dropReader(): void {
    this.#endpoint.partial.release(this);
    this.#reader?.giveBack();
    this.#reader = null;
  }

  /** Returns true if an extension needs time for the message: the rest of the bytes waits for it. */
  #takeMessage(reader: MessageReader, bytes: Buffer, at: number): boolean {
    this.#counts.receivedMessages++;
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
    this.#endpoint.partial.release(this); // the lane holds it now
    try {
      const lane = this.#lane as TransformLane;
      const result = lane.decode(reader.payload, reader.kind === TEXT, bytes.length - at);
      const pending = promiseOf<string | Buffer>(result);
      if (pending === null) {
        this.#deliver(result as string | Buffer);
        return false;
      }
      this.#stream.pause();
      void this.#deliverLater(pending, Buffer.from(bytes.subarray(at)));
      return true;
    } catch (error) {
      this.#failWith(error);
      return false;
    }
  }

  async #deliverLater(pending: Promise<string | Buffer>, rest: Buffer): Promise<void> {
    try {
      const message = await pending;
      if (this.#state >= ENDING) return;
      this.#stream.resume(); // it is paused again at once if the next message takes time as well
      gatherFor(this.#stream);
      try {
        if (this.#state === OPEN) this.#deliver(message);
        if (this.#state < ENDING) this.#read(rest, 0);
      } finally {
        flushGathered();
      }
    } catch (error) {
      if (this.#state >= ENDING) return;
      this.#stream.resume();
      this.#failWith(error);
    }
  }

  #takeControl(kind: number, payload: Buffer): void {
    if (kind === PING) {
      // A client that sends pings and reads no pong would fill the queue. It need not get an answer to each (RFC 6455 section 5.5.3).
      if (this.#state === OPEN && !this.#isFullFor(payload)) writeFrame(this.#stream, this.#counts, PONG, payload);
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
    this.#begunEnd().closure = closure;
    if (this.#state === OPEN) this.#enter(CLOSING);
    const answer = (): void => {
      /* c8 ignore next -- the connection has broken while the extension was at work. */
      if (this.#state !== CLOSING) return;
      this.#begunEnd().sendClose(closure.code, '');
      this.#finish();
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
    if (this.#state === CLOSING) this.#begunEnd().askForClose(code, reason);
  }

  /** The client has broken the protocol, or the program has failed. */
  #fail(code: number, reason: string): void {
    if (this.#state >= ENDING) return;
    const end = this.#begunEnd();
    end.closure = { code, reason };
    end.sendClose(code, reason);
    this.#finish();
  }

  #failWith(error: unknown): void {
    if (error instanceof WebSocketFault) this.#fail(error.code, error.message);
    else this.#programFailed(error);
  }

  /** Code of the program has thrown: the client is told no more than that. */
  #programFailed(error: unknown): void {
    this.#fail(INTERNAL_ERROR, '');
    if (this.#host !== null) this.#host.report(error);
    else queueMicrotask(() => this.#host?.report(error)); // `open` has thrown, and the stream is not handed over yet
  }

  /** FIN follows what is queued. */
  #finish(): void {
    this.#enter(ENDING);
    this.#lane?.close();
    this.#begunEnd().finish();
  }

  #begunEnd(): WebSocketEnd {
    this.#end ??= new WebSocketEnd(this.#stream, this.#counts);
    return this.#end;
  }

  get #closure(): Closure | null {
    return this.#end === null ? null : this.#end.closure;
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
    if (this.#endpoint.settings.whenFull === 'close') {
      this.#counts.tooSlow++;
      this.cut('the client reads too slowly');
    } else this.#counts.droppedMessages++;
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
