/**
 * Epoll: reports which of many descriptors are ready, epoll(7). It is the three system calls and one reused buffer of events.
 *
 * It is level-triggered: epoll reports a descriptor for as long as it is ready. A caller that reads only half of the bytes, or is
 * interrupted, gets another report. Edge-triggered epoll reports new bytes once, so each reader must read until EAGAIN, and a
 * reader that stops earlier may wait without end. It was not measurably faster here.
 *
 * Next: send-batch.ts
 */

import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLL_EVENT_DATA_WORD,
  EPOLL_EVENT_WORDS,
} from '../kernel/abi.ts';
import { Descriptor } from '../kernel/descriptor.ts';
import { waitUninterrupted } from '../kernel/interruption.ts';
import { type Libc, libc as processLibc } from '../kernel/libc.ts';
import { check } from '../kernel/system-error.ts';

const DEFAULT_MAX_EVENTS = 256;

/** A mask for `modify`: the descriptor stays in the set, and only EPOLLERR and EPOLLHUP are reported. */
export const NO_EVENTS = 0;

/**
 * A set of descriptors, and a call that waits until one of them is ready.
 *
 * ```ts
 * import { abi, Epoll, NetSocket } from 'simplenet';
 *
 * const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 8080 });
 * const epoll = new Epoll();
 * epoll.add(listener.fd, abi.EPOLLIN);
 * const count = epoll.wait(1_000);
 * for (let i = 0; i < count; i++) {
 *   if (epoll.fdOf(i) === listener.fd) listener.accept().close(); // a client waits, so accept returns at once
 * }
 * ```
 */
export class Epoll extends Descriptor {
  readonly #events: Int32Array;
  readonly #maxEvents: number;
  // A struct epoll_event for epoll_ctl(2). Its data is the descriptor, in the lower half; the upper half stays 0.
  readonly #change = new Int32Array(EPOLL_EVENT_WORDS);

  /** epoll_create1(2). `maxEvents` is how many events one `wait` can bring. */
  constructor(options: { readonly libc?: Libc; readonly maxEvents?: number } = {}) {
    const maxEvents = options.maxEvents ?? DEFAULT_MAX_EVENTS;
    if (!Number.isInteger(maxEvents) || maxEvents < 1)
      throw new RangeError(`maxEvents must be an integer >= 1, not ${String(maxEvents)}`);
    const libc = options.libc ?? processLibc;
    const events = new Int32Array(maxEvents * EPOLL_EVENT_WORDS); // may throw, so it comes before there is a descriptor to close
    super(check('epoll_create1', libc.epoll_create1(EPOLL_CLOEXEC)), libc);
    this.#maxEvents = maxEvents;
    this.#events = events;
  }

  /** Watches `fd` for the events in the mask, EPOLLIN and EPOLLOUT. epoll always reports EPOLLERR and EPOLLHUP as well. */
  add(fd: number, events: number): void {
    this.#control(EPOLL_CTL_ADD, fd, events);
  }

  /** As `add`, but returns false if the kernel refuses. */
  tryAdd(fd: number, events: number): boolean {
    return this.#tryControl(EPOLL_CTL_ADD, fd, events) === 0;
  }

  /** Replaces the mask of a descriptor that is in the set. */
  modify(fd: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events);
  }

  /** Not needed before close(2), unless another process or descriptor shares the socket: the kernel then removes it itself, epoll(7). */
  delete(fd: number): void {
    this.#control(EPOLL_CTL_DEL, fd, 0);
  }

  /** As `delete`, but does not throw if the descriptor is not in the set. */
  forget(fd: number): void {
    this.#tryControl(EPOLL_CTL_DEL, fd, 0);
  }

  /** epoll_wait(2): returns the number of events, which `fdOf` and `eventsOf` then describe. -1 waits without limit. */
  wait(timeoutMs: number): number {
    const { fd } = this;
    const result = waitUninterrupted(timeoutMs, (leftMs) =>
      this.libc.epoll_wait(fd, this.#events, this.#maxEvents, leftMs),
    );
    return check('epoll_wait', result);
  }

  /** The descriptor of the event with that index in the last `wait`. */
  fdOf(index: number): number {
    return this.#events[index * EPOLL_EVENT_WORDS + EPOLL_EVENT_DATA_WORD] as number;
  }

  /** The mask of the event with that index: EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP. */
  eventsOf(index: number): number {
    return this.#events[index * EPOLL_EVENT_WORDS] as number;
  }

  #control(operation: number, fd: number, events: number): void {
    check('epoll_ctl', this.#tryControl(operation, fd, events));
  }

  #tryControl(operation: number, fd: number, events: number): number {
    this.#change[0] = events;
    this.#change[EPOLL_EVENT_DATA_WORD] = fd;
    return this.libc.epoll_ctl(this.fd, operation, fd, this.#change);
  }
}
