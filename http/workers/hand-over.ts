/**
 * HandOver: a server gives its listening sockets to its successor, and `takeOver`, which gets them. Between them is a Unix socket.
 *
 *     successor                      predecessor
 *        | --- connect(path) ----------> |
 *        | <-- listening sockets ------- |   SCM_RIGHTS
 *        |     serves                    |   serves
 *        | --- 'begun' ----------------> |
 *        | <-- 'yes' ------------------- |   closes the path, and drains
 *        | <-- end of the connection --- |
 *        |     may open the path
 *
 * Each asks the kernel who the other one is: the same user, or root. In a folder that all may write to, another user could wait at the path and give a socket of its own.
 *
 * Both serve for a moment, from one queue of connections, so none is lost. A successor that ends before it has begun changes nothing: the
 * predecessor goes on. There is one successor at a time; it has a minute. The predecessor goes on, too, unless the kernel takes its 'yes': then the successor has gone
 * meanwhile. A connection that ends without it means to the successor that it has not taken over, so not both of them drain, and not both stay.
 *
 * Next: ../index.ts
 */

import { closeSync } from 'node:fs';
import {
  type Alarm,
  abi,
  Epoll,
  listenReplacingStale,
  NetSocket,
  nodeHost,
  receiveDescriptors,
  SocketFile,
  SystemError,
  sendDescriptors,
  type Watch,
} from '../../simplenet/index.ts';
import type { Server } from '../serve.ts';
import { MAX_SOCKETS } from '../serve-options.ts';
import type { Workers } from './supervisor.ts';

/** The words of the greeting. */
const GREETING = 'socket';
/** The predecessor, or one before it, has opened them, so the successor is their last owner. systemd keeps those that it has opened. */
const OWN = 'own';
/** The last socket is that of the port of the metrics. */
const METRICS = 'metrics';
const BEGUN = Buffer.from('begun');
const YES = Buffer.from('yes');
const MAX_BYTES = 64;
const ANSWER_MS = 5_000;

/** How long a successor may take until it serves. */
export const SUCCESSOR_MS = 60_000;

/** How long a predecessor may take from the word of its successor until it has left the path. */
export const LEAVE_MS = 10_000;

/**
 * Why a process gets no sockets, or has not taken over: one sentence.
 *
 * ```ts
 * import { HandOverError, takeOver } from 'simplenet/http';
 *
 * try {
 *   console.log(takeOver('/run/site.sock')?.fds);
 * } catch (error) {
 *   if (!(error instanceof HandOverError)) throw error;
 *   console.error(error.message);
 * }
 * ```
 */
export class HandOverError extends Error {
  /** @internal */
  constructor(message: string) {
    super(message);
    this.name = 'HandOverError';
  }
}

/**
 * Waits for a successor at a path.
 *
 * ```ts
 * import { HandOver, PREDECESSOR_CLOSE, Router, serve, takeOver } from 'simplenet/http';
 *
 * const path = '/run/site.sock';
 * const inheritance = takeOver(path);
 * const server = serve(new Router(), inheritance === null ? { port: 8080 } : { fd: inheritance.fds });
 * await inheritance?.begun(server);
 * new HandOver(path, server, () => void server.close(PREDECESSOR_CLOSE));
 * ```
 */
export class HandOver {
  readonly #heritage: Server | Workers;
  readonly #onTaken: () => void;
  readonly #successorMs: number;
  readonly #epoll: Epoll;
  readonly #watch: Watch;
  readonly #listener: NetSocket;
  readonly #removeFile: () => void;
  #successor: NetSocket | null = null;
  #limit: Alarm | null = null;
  #isClosed = false;

  /** Throws SystemError if another process waits there. `onTaken`: the successor serves, so this server may drain. A successor may take `successorMs` until it serves. */
  constructor(path: string, heritage: Server | Workers, onTaken: () => void, successorMs = SUCCESSOR_MS) {
    this.#heritage = heritage;
    this.#onTaken = onTaken;
    this.#successorMs = successorMs;
    const { socket, file } = listenReplacingStale({ path }, { nonBlocking: true });
    this.#listener = socket;
    this.#removeFile = () => file?.remove();
    this.#epoll = new Epoll();
    this.#epoll.add(socket.fd, abi.EPOLLIN);
    this.#watch = nodeHost.watch(this.#epoll.fd, () => this.#readable());
    this.#watch.unref();
  }

  /** Waits no longer. Closing twice does nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watch.close();
    this.#removeFile();
    this.#listener.close();
    this.#epoll.close();
    this.#forgetSuccessor();
  }

  #readable(): boolean {
    const count = this.#epoll.wait(0);
    const ready = Array.from({ length: count }, (_, i) => this.#epoll.fdOf(i));
    if (this.#successor !== null && ready.includes(this.#successor.fd)) this.#hear(this.#successor);
    if (!this.#isClosed && ready.includes(this.#listener.fd)) this.#accept();
    return false;
  }

  #accept(): void {
    const fd = this.#listener.tryAccept(new Uint8Array(abi.SOCKADDR_UN_SIZE), Int32Array.of(abi.SOCKADDR_UN_SIZE));
    if (fd < 0) return; // it has gone
    const successor = new NetSocket(fd);
    if (this.#successor !== null || !isTrusted(successor)) {
      successor.close();
      return;
    }
    try {
      const { listenerFds, watchFd, isShared } = this.#heritage;
      const words = [GREETING, ...(isShared ? [] : [OWN]), ...(watchFd === null ? [] : [METRICS])];
      sendDescriptors(successor, Buffer.from(words.join(' ')), [
        ...listenerFds,
        ...(watchFd === null ? [] : [watchFd]),
      ]);
      this.#epoll.add(fd, abi.EPOLLIN);
    } catch {
      successor.close(); // it has gone, or this server has lost a socket: a successor gets nothing
      return;
    }
    this.#successor = successor;
    this.#limit = nodeHost.alarm(this.#successorMs, () => this.#late(successor));
  }

  /** This process may have stood still, so its word may have come in time. */
  #late(successor: NetSocket): void {
    this.#hear(successor);
    this.#forgetSuccessor();
  }

  #hear(successor: NetSocket): void {
    const size = successor.tryRead(Buffer.alloc(MAX_BYTES));
    if (size === -abi.EAGAIN) return;
    if (size <= 0 || successor.tryWrite(YES) < 0) {
      this.#forgetSuccessor(); // it has gone
      return;
    }
    this.#heritage.isShared = true;
    this.#heritage.isWatchShared = true;
    this.#successor = null; // it stays open until the path is free
    this.#limit?.cancel();
    this.close();
    try {
      this.#onTaken();
    } finally {
      // Last: the successor may now open what this process has closed. A listener that closes looks once more for connections that wait, by an alarm that is set already: who
      // connects from now on meets the successor.
      nodeHost.alarm(0, () => successor.close(), true);
    }
  }

  #forgetSuccessor(): void {
    this.#limit?.cancel();
    this.#successor?.close();
    this.#successor = null;
  }
}

/**
 * What a successor gets.
 *
 * ```ts
 * import { type Inheritance, serve, takeOver } from 'simplenet/http';
 *
 * const inheritance: Inheritance | null = takeOver('/run/site.sock');
 * if (inheritance !== null) {
 *   const server = serve((_request, response) => response.text('I am new\n'), { fd: inheritance.fds });
 *   await inheritance.begun(server);
 * }
 * ```
 */
export interface Inheritance {
  /** The listening sockets, one at least, for `serve({ fd })`. */
  readonly fds: readonly number[];
  /**
   * Gives the listening socket of the metrics to the caller, for `serve({ metrics: { port, fd } })`. Null if the predecessor had none. If nobody asks for it, `begun`
   * closes it.
   */
  takeMetricsFd(): number | null;
  /**
   * Tells the predecessor that this process serves. Resolves with true when it has left the path. With false if it has not after `leaveMs`, 10 s by default: it stands still, but has
   * the word, and leaves when it reads it. Rejects with HandOverError if it has not consented: it goes on, or has ended. If this process ends instead, the predecessor goes on.
   *
   * `server` has the sockets. Unless systemd has opened them, it is their last owner then: when it stops it serves those that wait in their queues, and removes the file of a Unix socket.
   */
  begun(server?: Server | Workers, leaveMs?: number): Promise<boolean>;
  /** Does not take over: the predecessor goes on, unless it has left already. What waits for `begun` is rejected. */
  abandon(): void;
}

/**
 * Asks the server that waits at the path for its listening sockets. Null if none waits there. Throws HandOverError if it gives none, does not answer in time, or belongs to
 * another user than this process and root. It waits as system calls do.
 *
 * ```ts
 * import { serve, takeOver } from 'simplenet/http';
 *
 * const inheritance = takeOver('/run/site.sock');
 * const server = serve((_request, response) => response.text('hello\n'), inheritance === null ? { port: 8080 } : { fd: inheritance.fds });
 * await inheritance?.begun(server);
 * ```
 */
export function takeOver(path: string, answerMs = ANSWER_MS): Inheritance | null {
  const socket = connectTo(path, answerMs);
  if (socket === null) return null;
  try {
    const waits = `the process at ${path.replace(/^\0/, '@')}`;
    if (!isTrusted(socket))
      throw new HandOverError(`${waits} belongs to another user: sockets are taken from the same user, or from root`);
    if (!socket.wait('readable', answerMs)) throw new HandOverError(`${waits} does not answer`);
    const greeting = Buffer.alloc(MAX_BYTES);
    const { size, descriptors } = receiveDescriptors(socket, greeting, MAX_SOCKETS + 1);
    if (descriptors.length === 0)
      throw new HandOverError(`${waits} gives its socket to another process, or to another user`);
    return new Inherits(new Word(socket, waits), greeting.toString('latin1', 0, size), descriptors);
  } catch (error) {
    socket.close();
    throw error;
  }
}

function connectTo(path: string, connectTimeoutMs: number): NetSocket | null {
  try {
    return NetSocket.connectTo({ path }, { connectTimeoutMs });
  } catch (error) {
    if (error instanceof SystemError && ['ECONNREFUSED', 'ENOENT'].includes(error.code)) return null;
    throw error;
  }
}

/** The process at the other end of a Unix socket, by SO_PEERCRED: for a socket that has connected, the one that listens. */
function isTrusted(peer: NetSocket): boolean {
  const uid = peer.peerCredentials?.uid;
  return uid === 0 || uid === process.getuid?.();
}

class Inherits implements Inheritance {
  readonly fds: readonly number[];
  readonly #word: Word;
  readonly #isOwn: boolean;
  #metricsFd: number | null;

  constructor(word: Word, greeting: string, descriptors: readonly number[]) {
    this.#word = word;
    const words = greeting.split(' ');
    this.#isOwn = words.includes(OWN);
    const hasWatch = words.includes(METRICS);
    this.fds = hasWatch ? descriptors.slice(0, -1) : descriptors;
    this.#metricsFd = hasWatch ? (descriptors.at(-1) as number) : null;
  }

  takeMetricsFd(): number | null {
    const fd = this.#metricsFd;
    this.#metricsFd = null;
    return fd;
  }

  begun(server?: Server | Workers, leaveMs = LEAVE_MS): Promise<boolean> {
    this.#closeUnused();
    return this.#word.give(leaveMs, () => {
      if (server === undefined) return;
      server.isWatchShared = false;
      if (this.#isOwn) becomeLastOwner(server);
    });
  }

  abandon(): void {
    this.#closeUnused();
    this.#word.takeBack();
  }

  #closeUnused(): void {
    const unused = this.takeMetricsFd();
    if (unused !== null) closeSync(unused);
  }
}

function becomeLastOwner(server: Server | Workers): void {
  server.isShared = false;
  const file = SocketFile.of(server.address);
  const remove = () => {
    if (!server.isShared) file?.remove(); // otherwise it has a successor itself
  };
  server.closing.addEventListener('abort', remove, { once: true });
}

/** Who waits for the answer to a word. */
interface Given {
  resolve(hasLeft: boolean): void;
  reject(reason: HandOverError): void;
  whenTaken(): void;
}

/**
 * The word of a successor, on the way to its predecessor.
 *
 *     kept --give--> given --'yes', and the end--> taken
 *       |              |----the end alone--------> refused
 *       |              `----leaveMs--------------> taken, and still open: a predecessor that finds the connection closed would go on
 *       `--takeBack, also of a word that was given--> closed
 */
class Word {
  readonly #socket: NetSocket;
  /** The predecessor, for a sentence. */
  readonly #who: string;
  #watched: { readonly epoll: Epoll; readonly watch: Watch; readonly limit: Alarm } | null = null;
  #hasConsent = false;
  #given: Given | null = null;

  constructor(socket: NetSocket, who: string) {
    this.#socket = socket;
    this.#who = who;
  }

  /** `whenTaken`: the predecessor has left. That may be after the promise is settled. */
  give(leaveMs: number, whenTaken: () => void): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#given = { resolve, reject, whenTaken };
      this.#socket.setNonBlocking(true);
      if (this.#socket.tryWrite(BEGUN) < 0) {
        this.#close();
        this.#refused();
        return;
      }
      const epoll = new Epoll();
      epoll.add(this.#socket.fd, abi.EPOLLIN);
      const watch = nodeHost.watch(epoll.fd, () => this.#hear());
      const limit = nodeHost.alarm(leaveMs, () => this.#late(), true);
      this.#watched = { epoll, watch, limit };
    });
  }

  takeBack(): void {
    this.#close();
    this.#given?.reject(new HandOverError('it was abandoned: this process does not take over'));
  }

  #hear(): boolean {
    const size = this.#socket.tryRead(Buffer.alloc(MAX_BYTES));
    if (size > 0) this.#hasConsent = true;
    else if (size !== -abi.EAGAIN) this.#ended();
    return false;
  }

  #ended(): void {
    this.#close();
    if (!this.#hasConsent) {
      this.#refused();
      return;
    }
    this.#given?.whenTaken();
    this.#given?.resolve(true);
  }

  #refused(): void {
    this.#given?.reject(new HandOverError(`${this.#who} has not consented: it goes on, or has ended`));
  }

  #late(): void {
    this.#watched?.watch.unref();
    this.#given?.resolve(false);
  }

  #close(): void {
    this.#watched?.limit.cancel();
    this.#watched?.watch.close();
    this.#watched?.epoll.close();
    this.#watched = null;
    this.#socket.close();
  }
}
