/**
 * LoopSocket: what a TCP socket and a UDP socket on an event loop share: options, the pending error, and the wait for events.
 *
 * Each method is a call of libc.ts, without the number of the socket: it returns a number >= 0, or -errno. Addresses are objects here.
 */

import { abi, type EventLoop, type SocketAddress, type SocketOptions, SystemError } from '../../simplenet/index.ts';
import { intBytes, type LoopOptionName, type LoopOptions } from './loop-options.ts';

/** What is the same for all sockets of a table. */
export interface LoopSocketContext {
  readonly loop: EventLoop;
  readonly optionNames: readonly LoopOptionName[];
}

interface Waiting {
  readonly events: number;
  readonly callback: () => void;
}

export interface AcceptedSocket {
  readonly socket: LoopSocket;
  readonly from: SocketAddress;
}

export abstract class LoopSocket {
  readonly family: number;
  protected readonly context: LoopSocketContext;
  protected readonly options: LoopOptions;
  /** SO_ERROR: why the socket has failed, as a positive errno, until a call reports it. */
  #error = 0;
  #waiting: Waiting | null = null;

  constructor(context: LoopSocketContext, family: number, options: LoopOptions) {
    this.context = context;
    this.family = family;
    this.options = options;
  }

  protected abstract readonly type: number;
  protected abstract readonly isListening: boolean;
  /** The loop has the socket, so its options cannot change any more. */
  protected abstract readonly isOpen: boolean;

  abstract bind(address: SocketAddress): number;
  abstract listen(backlog: number): number;
  abstract accept(): AcceptedSocket | number;
  abstract connect(address: SocketAddress): number;
  abstract shutdown(how: number): number;
  /** Receives into `into`. The sender is null for TCP, whose bytes have no sender but the peer. */
  abstract receive(into: Uint8Array, flags: number): number | { size: number; from: SocketAddress };
  /** `to` is null for send(2). */
  abstract send(bytes: Uint8Array, flags: number, to: SocketAddress | null): number;
  abstract localAddress(): SocketAddress;
  /** Null if the socket has no peer. */
  abstract remoteAddress(): SocketAddress | null;
  abstract close(): void;
  /** The events of poll(2) that the socket has now, apart from POLLERR. */
  protected abstract readyEvents(): number;

  setOption(level: number, option: number, value: Buffer): number {
    return this.options.set(level, option, value, this.isOpen);
  }

  /** The bytes of the value, or -errno. */
  getOption(level: number, option: number): Buffer | number {
    if (level === abi.SOL_SOCKET) {
      switch (option) {
        case abi.SO_ERROR:
          return intBytes(this.takeError());
        case abi.SO_TYPE:
          return intBytes(this.type);
        case abi.SO_DOMAIN:
          return intBytes(this.family);
        case abi.SO_ACCEPTCONN:
          return intBytes(Number(this.isListening));
      }
    }
    return this.options.get(level, option) ?? -abi.ENOPROTOOPT;
  }

  /** poll(2): those of `events` that the socket has, and errors and hang-ups, which it reports always. */
  poll(events: number): number {
    const ready = this.readyEvents() | (this.#error === 0 ? 0 : abi.POLLERR);
    return ready & (events | abi.POLLERR | abi.POLLHUP);
  }

  whenReady(events: number, callback: () => void): void {
    this.#waiting = { events, callback };
    this.wake();
  }

  forget(): void {
    this.#waiting = null;
  }

  /** The socket may have an event. Whoever waits for it is called when the callback of the loop that reported it has returned. */
  protected wake(): void {
    const waiting = this.#waiting;
    if (waiting === null || this.poll(waiting.events) === 0) return;
    queueMicrotask(() => {
      if (this.#waiting !== waiting) return;
      this.#waiting = null;
      waiting.callback();
    });
  }

  /** A call, poll(2) or SO_ERROR will report it. */
  protected keepError(errno: number): void {
    this.#error = errno;
  }

  /** Returns the pending error, or 0, and clears it. */
  protected takeError(): number {
    const error = this.#error;
    this.#error = 0;
    return error;
  }

  protected get socketOptions(): SocketOptions {
    return this.options.asSocketOptions();
  }

  /** The address of a socket that is not bound. */
  protected get anyAddress(): SocketAddress {
    return { address: this.family === abi.AF_INET6 ? '::' : '0.0.0.0', port: 0 };
  }
}

/** Returns 0, or the -errno of a call that the loop refuses. */
export function resultOf(call: () => void): number {
  try {
    call();
    return 0;
  } catch (error) {
    if (error instanceof SystemError) return error.errno;
    throw error;
  }
}
