/**
 * Daemon: the side of socketd that owns the sockets.
 *
 * One thread serves all clients, so no call of a client may block it. The connections to the clients are streams on the event loop. The
 * sockets of the clients are not: the loop reads bytes by itself, but here the client decides when to read. While a call waits for a
 * socket, the socket is in an epoll set of its own, which Node's loop watches as it watches that of the event loop.
 *
 * The sockets of a client are closed when its connection ends, in any way.
 */

import { abi, Epoll, type EventLoop, nodeHost, type Stream, type StreamHandler } from '../../simplenet/index.ts';
import { withPrivatePath } from '../support/private-path.ts';
import { eventsAwaited, perform } from './calls.ts';
import { ClientSockets } from './client-sockets.ts';
import { encodeReply, ProtocolError, type Reply, type Request, RequestReader } from './wire.ts';

const MAX_CLIENTS = 64;

/** How long a client that sent a malformed request may take to read the error. */
const PARTING_MS = 1_000;

/** The sockets for which a call waits. */
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

/** One client: its sockets, and at most one request at a time. */
class Session implements StreamHandler {
  readonly #loop: EventLoop;
  readonly #waiting: WaitingSockets;
  readonly #onClosed: (session: Session) => void;
  readonly #sockets = new ClientSockets();
  readonly #reader = new RequestReader();
  /** Ends the wait of the request under way, if it waits. */
  #stopWaiting: (() => void) | null = null;

  constructor(loop: EventLoop, waiting: WaitingSockets, onClosed: (session: Session) => void) {
    this.#loop = loop;
    this.#waiting = waiting;
    this.#onClosed = onClosed;
  }

  onData(stream: Stream, bytes: Buffer): void {
    try {
      if (this.#stopWaiting !== null) throw new ProtocolError('a request before the reply to the last');
      const request = this.#reader.push(bytes);
      if (request !== null) this.#perform(stream, request);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.close();
      // Further bytes are read and dropped: a close with unread bytes would send a reset, which may destroy the reply.
      stream.handler = { onData: () => {}, onClose: () => this.onClose() };
      stream.write(encodeReply({ result: -abi.EPROTO }));
      stream.end();
      stream.setDeadline(PARTING_MS);
    }
  }

  onDrain(stream: Stream): void {
    stream.resume();
  }

  onClose(): void {
    this.close();
    this.#onClosed(this);
  }

  close(): void {
    this.#stopWaiting?.();
    this.#sockets.closeAll();
  }

  /** Makes the call: for the first time, or again after an event that it waited for. */
  #perform(stream: Stream, request: Request): void {
    const reply = perform(request, this.#sockets);
    const socket = this.#sockets.get(request.args[0] as number);
    const events = socket === undefined ? null : eventsAwaited(request, reply, socket);
    if (socket === undefined || events === null) {
      this.#stopWaiting?.();
      this.#reply(stream, reply);
      return;
    }
    this.#waiting.await(socket.fd, events, () => this.#perform(stream, request));
    this.#stopWaiting ??= this.#startWaiting(stream, request, socket.fd);
  }

  #startWaiting(stream: Stream, request: Request, fd: number): () => void {
    const timeUp = () => {
      this.#stopWaiting?.();
      this.#reply(stream, { result: 0 });
    };
    const timeoutMs = request.call === 'poll' ? (request.args[2] as number) : -1;
    const alarm = timeoutMs < 0 ? null : this.#loop.after(timeoutMs, timeUp);
    return () => {
      this.#stopWaiting = null;
      this.#waiting.forget(fd);
      alarm?.cancel();
    };
  }

  /** Sends the reply. While the client does not read its replies, its requests are not read. */
  #reply(stream: Stream, reply: Reply): void {
    if (!stream.write(encodeReply(reply))) stream.pause();
  }
}

export class Daemon {
  readonly #loop: EventLoop;
  readonly #waiting = new WaitingSockets();
  readonly #sessions = new Set<Session>();

  constructor(loop: EventLoop, path: string) {
    this.#loop = loop;
    withPrivatePath(() => loop.listen({ path }, (stream) => this.#accept(stream)));
  }

  close(): void {
    for (const session of this.#sessions) session.close();
    this.#waiting.close();
    this.#loop.close();
  }

  #accept(stream: Stream): StreamHandler {
    if (this.#sessions.size === MAX_CLIENTS) {
      stream.close();
      return { onData: () => {} };
    }
    const session = new Session(this.#loop, this.#waiting, (closed) => this.#sessions.delete(closed));
    this.#sessions.add(session);
    return session;
  }
}
