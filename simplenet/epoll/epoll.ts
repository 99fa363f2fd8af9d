/**
 * Epoll: which of many descriptors have news? epoll(7), as three calls and one reused event buffer.
 *
 * Level-triggered: a descriptor is reported for as long as it is ready. So whoever reads half of what is there, or is
 * interrupted, is told again and can forget nothing; the edge-triggered mode forgives no forgotten byte and was not
 * measurably faster here.
 *
 * Next: epoll-member.ts
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

export class Epoll extends Descriptor {
  readonly #events: Int32Array;
  readonly #maxEvents: number;
  // struct epoll_event for epoll_ctl(2). The upper half of its data stays 0.
  readonly #change = new Int32Array(EPOLL_EVENT_WORDS);

  /** epoll_create1(2). `maxEvents` is how many events one `wait` can bring. */
  constructor(options: { readonly libc?: Libc; readonly maxEvents?: number } = {}) {
    const maxEvents = options.maxEvents ?? DEFAULT_MAX_EVENTS;
    if (!Number.isInteger(maxEvents) || maxEvents < 1) throw new RangeError('maxEvents must be an integer >= 1');
    const libc = options.libc ?? processLibc;
    const events = new Int32Array(maxEvents * EPOLL_EVENT_WORDS); // may throw: before there is anything to close
    super(check('epoll_create1', libc.epoll_create1(EPOLL_CLOEXEC)), libc);
    this.#maxEvents = maxEvents;
    this.#events = events;
  }

  /** Watches `fd` for the events in the mask, EPOLLIN and EPOLLOUT; errors and hang-ups are always reported. */
  add(fd: number, events: number): void {
    this.#control(EPOLL_CTL_ADD, fd, events);
  }

  modify(fd: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events);
  }

  /** Not needed before the close(2) of a socket that nobody shares: the kernel then forgets it by itself, epoll(7). */
  delete(fd: number): void {
    this.#control(EPOLL_CTL_DEL, fd, 0);
  }

  /** As `delete`, where it makes no difference whether it was there. */
  forget(fd: number): void {
    this.#tryControl(EPOLL_CTL_DEL, fd, 0);
  }

  /** epoll_wait(2): the number of events that `fdOf` and `eventsOf` can be asked about. -1 waits without limit. */
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

  /** Its mask: EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP. */
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
