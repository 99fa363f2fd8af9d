/**
 * Daemon: the side of socketd that owns the sockets.
 *
 * One thread for all clients, so no call of any of them may wait. The clients themselves are streams on the event loop. Their
 * sockets are not, for the loop hands over bytes that it has read, and here it is the client who says when to read: they are in
 * an epoll set of their own while a call waits for them, which Node's loop watches as it watches that of the event loop.
 *
 * When a client is gone, however it went, so are its sockets.
 */

import { abi, Epoll, type EventLoop, nodeHost, type Stream, type StreamHandler } from '../../simplenet/index.ts';
import { withPrivatePath } from '../support/private-path.ts';
import { eventsAwaited, perform } from './calls.ts';
import { ClientSockets } from './client-sockets.ts';
import { type Answer, encodeAnswer, ProtocolError, type Request, RequestReader } from './wire.ts';

const MAX_CLIENTS = 64;

/** How long a client that broke the protocol may take to read why. */
const PARTING_MS = 1_000;

/** Sockets that somebody waits for. */
class WaitingSockets {
  readonly #epoll = new Epoll();
  readonly #callbacks = new Map<number, () => void>();
  readonly #watch = nodeHost.watch(this.#epoll.fd, () => this.#turn());

  /** Calls back once, when the socket has one of the events. */
  await(fd: number, events: number, callback: () => void): void {
    this.#epoll.add(fd, events);
    this.#callbacks.set(fd, callback);
  }

  forget(fd: number): void {
    if (this.#callbacks.delete(fd)) this.#epoll.delete(fd);
  }

  close(): void {
    this.#watch.close();
    this.#epoll.close();
  }

  #turn(): boolean {
    const count = this.#epoll.wait(0);
    for (let i = 0; i < count; i++) {
      const fd = this.#epoll.fdOf(i);
      const callback = this.#callbacks.get(fd);
      this.forget(fd);
      callback?.();
    }
    return false;
  }
}

/** One client: at most one request at a time, and what it has opened. */
class Session implements StreamHandler {
  readonly #loop: EventLoop;
  readonly #waiting: WaitingSockets;
  readonly #onGone: (session: Session) => void;
  readonly #sockets = new ClientSockets();
  readonly #reader = new RequestReader();
  /** Takes back what the request under way waits for, if there is one. */
  #stopWaiting: (() => void) | null = null;

  constructor(loop: EventLoop, waiting: WaitingSockets, onGone: (session: Session) => void) {
    this.#loop = loop;
    this.#waiting = waiting;
    this.#onGone = onGone;
  }

  onData(stream: Stream, bytes: Buffer): void {
    try {
      if (this.#stopWaiting !== null) throw new ProtocolError('a request before the answer to the last');
      const request = this.#reader.push(bytes);
      if (request !== null) this.#perform(stream, request);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.close();
      // It is read on, and not heard: with unread bytes a close would be a reset, which may destroy the answer.
      stream.handler = { onData: () => {}, onClose: () => this.onClose() };
      stream.write(encodeAnswer({ result: -abi.EPROTO }));
      stream.end();
      stream.setDeadline(PARTING_MS);
    }
  }

  onDrain(stream: Stream): void {
    stream.resume();
  }

  onClose(): void {
    this.close();
    this.#onGone(this);
  }

  close(): void {
    this.#stopWaiting?.();
    this.#sockets.closeAll();
  }

  /** Makes the call: for the first time, or once more because what it waits for has happened. */
  #perform(stream: Stream, request: Request): void {
    const answer = perform(request, this.#sockets);
    const socket = this.#sockets.get(request.args[0] as number);
    const events = socket === undefined ? null : eventsAwaited(request, answer, socket);
    if (socket === undefined || events === null) {
      this.#stopWaiting?.();
      this.#answer(stream, answer);
      return;
    }
    this.#waiting.await(socket.fd, events, () => this.#perform(stream, request));
    this.#stopWaiting ??= this.#startWaiting(stream, request, socket.fd);
  }

  #startWaiting(stream: Stream, request: Request, fd: number): () => void {
    const timeUp = () => {
      this.#stopWaiting?.();
      this.#answer(stream, { result: 0 });
    };
    const timeoutMs = request.call === 'poll' ? (request.args[2] as number) : -1;
    const alarm = timeoutMs < 0 ? null : this.#loop.after(timeoutMs, timeUp);
    return () => {
      this.#stopWaiting = null;
      this.#waiting.forget(fd);
      alarm?.cancel();
    };
  }

  /** A client that does not read its answers is not read from. */
  #answer(stream: Stream, answer: Answer): void {
    if (!stream.write(encodeAnswer(answer))) stream.pause();
  }
}

export class Daemon {
  readonly #loop: EventLoop;
  readonly #waiting = new WaitingSockets();
  readonly #sessions = new Set<Session>();

  constructor(loop: EventLoop, path: string) {
    this.#loop = loop;
    withPrivatePath(() => loop.listen({ path }, (stream) => this.#welcome(stream)));
  }

  close(): void {
    for (const session of this.#sessions) session.close();
    this.#waiting.close();
    this.#loop.close();
  }

  #welcome(stream: Stream): StreamHandler {
    if (this.#sessions.size === MAX_CLIENTS) {
      stream.close();
      return { onData: () => {} };
    }
    const session = new Session(this.#loop, this.#waiting, (gone) => this.#sessions.delete(gone));
    this.#sessions.add(session);
    return session;
  }
}
