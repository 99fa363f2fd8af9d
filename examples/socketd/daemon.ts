/**
 * Daemon: the side of socketd that owns the sockets.
 *
 * One thread serves all clients, so no call of a client may block it. The connections to the clients are streams on an event loop. The
 * sockets of the clients are in a SocketTable: those of the kernel, or those of another event loop. While a call waits for a socket, the
 * table calls back when the socket is ready, and the call is made again.
 *
 * The sockets of a client are closed when its connection ends, in any way.
 */

import { abi, type EventLoop, type Stream, type StreamHandler } from '../../simplenet/index.ts';
import { withPrivatePath } from '../support/private-path.ts';
import { eventsAwaited, perform } from './calls.ts';
import { ClientSockets } from './client-sockets.ts';
import type { SocketTable } from './socket-table.ts';
import { encodeReply, ProtocolError, type Reply, type Request, RequestReader } from './wire.ts';

const MAX_CLIENTS = 64;

/** How long a client that sent a malformed request may take to read the error. */
const PARTING_MS = 1_000;

/** One client: its sockets, and at most one request at a time. */
class Session implements StreamHandler {
  readonly #loop: EventLoop;
  readonly #sockets: ClientSockets;
  readonly #onClosed: (session: Session) => void;
  readonly #reader = new RequestReader();
  /** Ends the wait of the request under way, if it waits. */
  #stopWaiting: (() => void) | null = null;

  constructor(loop: EventLoop, table: SocketTable, onClosed: (session: Session) => void) {
    this.#loop = loop;
    this.#sockets = new ClientSockets(table);
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
    this.#sockets.table.whenReady(socket.fd, events, () => this.#perform(stream, request));
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
      this.#sockets.table.forget(fd);
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
  readonly #table: SocketTable;
  readonly #sessions = new Set<Session>();

  constructor(loop: EventLoop, table: SocketTable, path: string) {
    this.#loop = loop;
    this.#table = table;
    withPrivatePath(() => loop.listen({ path }, (stream) => this.#accept(stream)));
  }

  close(): void {
    for (const session of this.#sessions) session.close();
    this.#table.close();
    this.#loop.close();
  }

  #accept(stream: Stream): StreamHandler {
    if (this.#sessions.size === MAX_CLIENTS) {
      stream.close();
      return { onData: () => {} };
    }
    const session = new Session(this.#loop, this.#table, (closed) => this.#sessions.delete(closed));
    this.#sessions.add(session);
    return session;
  }
}
