/**
 * HandOver: a server gives its listening sockets to its successor, and `takeOver`, which gets them. Between them is a Unix socket.
 *
 *     successor                      predecessor
 *        | --- connect(path) ----------> |   the same user, or root
 *        | <-- listening sockets ------- |   SCM_RIGHTS
 *        |     serves                    |   serves
 *        | --- 'begun' ----------------> |   closes the path, and drains
 *        | <-- end of the connection --- |
 *        |     may open the path
 *
 * Both serve for a moment, from one queue of connections, so none is lost. A successor that ends before it has begun changes nothing: the
 * predecessor goes on. There is one successor at a time; it has a minute.
 *
 * Next: ../index.ts
 */

import { closeSync } from 'node:fs';
import {
  type Alarm,
  abi,
  createEventLoop,
  Epoll,
  listenReplacingStale,
  NetSocket,
  nodeHost,
  receiveDescriptors,
  SystemError,
  sendDescriptors,
  type Watch,
} from '../../simplenet/index.ts';
import type { Server } from '../serve.ts';
import { MAX_SOCKETS } from '../serve-options.ts';
import type { Workers } from './supervisor.ts';

const GREETING = 'socket';
/** The last socket is that of the port of the metrics. */
const GREETING_WITH_WATCH = 'socket metrics';
const BEGUN = Buffer.from('begun');
const MAX_BYTES = 64;
const ANSWER_MS = 5_000;

/** How long a successor may take until it serves. */
export const SUCCESSOR_MS = 60_000;

/**
 * Waits for a successor at a path.
 *
 * ```ts
 * import { HandOver, PREDECESSOR_CLOSE, Router, serve, takeOver } from 'simplenet/http';
 *
 * const path = '/run/site.sock';
 * const inheritance = takeOver(path);
 * const server = serve(new Router(), inheritance === null ? { port: 8080 } : { fd: inheritance.fds });
 * await inheritance?.begun();
 * new HandOver(path, server, () => void server.close(PREDECESSOR_CLOSE));
 * ```
 */
export class HandOver {
  readonly #heritage: Server | Workers;
  readonly #onTaken: () => void;
  readonly #epoll = new Epoll();
  readonly #watch: Watch;
  readonly #listener: NetSocket;
  readonly #removeFile: () => void;
  #successor: NetSocket | null = null;
  #limit: Alarm | null = null;
  #isClosed = false;

  /** Throws SystemError if another process waits there. `onTaken`: the successor serves, so this server may drain. */
  constructor(path: string, heritage: Server | Workers, onTaken: () => void) {
    this.#heritage = heritage;
    this.#onTaken = onTaken;
    const { socket, file } = listenReplacingStale({ path }, { nonBlocking: true });
    this.#listener = socket;
    this.#removeFile = () => file?.remove();
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
    const uid = successor.peerCredentials?.uid;
    if (this.#successor !== null || (uid !== 0 && uid !== process.getuid?.())) {
      successor.close();
      return;
    }
    try {
      const { listenerFds, watchFd } = this.#heritage;
      if (watchFd === null) sendDescriptors(successor, Buffer.from(GREETING), listenerFds);
      else sendDescriptors(successor, Buffer.from(GREETING_WITH_WATCH), [...listenerFds, watchFd]);
      this.#epoll.add(fd, abi.EPOLLIN);
    } catch {
      successor.close(); // it has gone, or this server has lost a socket: a successor gets nothing
      return;
    }
    this.#successor = successor;
    this.#limit = nodeHost.alarm(SUCCESSOR_MS, () => this.#forgetSuccessor());
  }

  #hear(successor: NetSocket): void {
    const size = successor.tryRead(Buffer.alloc(MAX_BYTES));
    if (size === -abi.EAGAIN) return;
    if (size <= 0) {
      this.#forgetSuccessor();
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
      successor.close(); // last: the successor may now open what this process has closed
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
 *   serve((_request, response) => response.text('I am new\n'), { fd: inheritance.fds });
 *   await inheritance.begun();
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
  /** Tells the predecessor that this process serves. Resolves when it has left the path. If this process ends instead, the predecessor goes on. */
  begun(): Promise<void>;
}

/**
 * Asks the server that waits at the path for its listening sockets. Null if none waits there. Throws if it does not answer in time. It waits as system calls do.
 *
 * ```ts
 * import { serve, takeOver } from 'simplenet/http';
 *
 * const inheritance = takeOver('/run/site.sock');
 * serve((_request, response) => response.text('hello\n'), inheritance === null ? { port: 8080 } : { fd: inheritance.fds });
 * await inheritance?.begun();
 * ```
 */
export function takeOver(path: string, answerMs = ANSWER_MS): Inheritance | null {
  const socket = connectTo(path, answerMs);
  if (socket === null) return null;
  try {
    if (!socket.wait('readable', answerMs)) throw new Error(`the server at ${path} does not answer`);
    const greeting = Buffer.alloc(MAX_BYTES);
    const { size, descriptors } = receiveDescriptors(socket, greeting, MAX_SOCKETS + 1);
    if (descriptors.length === 0)
      throw new Error(`the server at ${path} gives its socket to another process, or to another user`);
    return inheritanceOf(socket, greeting.toString('latin1', 0, size), descriptors);
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

function inheritanceOf(socket: NetSocket, greeting: string, descriptors: readonly number[]): Inheritance {
  const fds = [...descriptors];
  let metricsFd = greeting === GREETING_WITH_WATCH ? (fds.pop() as number) : null;
  const takeMetricsFd = () => {
    const fd = metricsFd;
    metricsFd = null;
    return fd;
  };
  return {
    fds,
    takeMetricsFd,
    begun() {
      const unused = takeMetricsFd();
      if (unused !== null) closeSync(unused);
      return begun(socket);
    },
  };
}

function begun(socket: NetSocket): Promise<void> {
  const loop = createEventLoop();
  return new Promise((resolve) => {
    const onClose = () => {
      loop.close();
      resolve();
    };
    loop.adoptStream(socket, { onData: () => {}, onClose }).write(BEGUN);
  });
}
