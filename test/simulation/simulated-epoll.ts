/**
 * SimulatedEpoll: epoll(7), level-triggered.
 *
 * Like Linux it keeps a list of what is ready: each wait takes from its front and puts what it reported, if it is still
 * ready, at its back, so that with a small event buffer every descriptor is reported in time. What became ready since the last wait
 * joins in any order, as events arrive in any order. EPOLLET, EPOLLONESHOT and EPOLLEXCLUSIVE are not simulated and throw.
 *
 * Next: simulated-kernel.ts
 */

import { constants } from 'node:os';
import {
  EINVAL,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLL_EVENT_DATA_WORD,
  EPOLL_EVENT_WORDS,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
} from '../../simplenet/kernel/abi.ts';
import type { Random } from './random.ts';
import { EPOLLRDHUP, SimulatedFile } from './simulated-file.ts';

const { EEXIST, ELOOP, ENOENT, EPERM } = constants.errno;

/** epoll_ctl(2): these are reported whether they were asked for or not. */
const ALWAYS = EPOLLERR | EPOLLHUP;
const SIMULATED = EPOLLIN | EPOLLOUT | EPOLLRDHUP | ALWAYS;

interface Interest {
  events: number;
  /** The caller's 64 bits, as two words. */
  data: readonly [number, number];
}

export class SimulatedEpoll extends SimulatedFile {
  readonly #random: Random;
  readonly #interests = new Map<SimulatedFile, Interest>();
  readonly #ready = new Set<SimulatedFile>();

  constructor(random: Random) {
    super();
    this.#random = random;
  }

  control(operation: number, file: SimulatedFile, event: Int32Array): number {
    if (!file.isPollable) return -EPERM;
    if (file === this) return -EINVAL;
    const known = this.#interests.get(file);
    switch (operation) {
      case EPOLL_CTL_ADD:
        if (known !== undefined) return -EEXIST;
        if (file instanceof SimulatedEpoll && file.#watches(this)) return -ELOOP;
        this.#interests.set(file, interest(event));
        return 0;
      case EPOLL_CTL_MOD:
        if (known === undefined) return -ENOENT;
        Object.assign(known, interest(event));
        return 0;
      case EPOLL_CTL_DEL:
        if (known === undefined) return -ENOENT;
        this.forget(file);
        return 0;
      default:
        return -EINVAL;
    }
  }

  /** close(2) takes a file out of every epoll. */
  forget(file: SimulatedFile): void {
    this.#interests.delete(file);
    this.#ready.delete(file);
  }

  /** Writes the events and answers how many there are. */
  wait(events: Int32Array, most: number): number {
    const fresh: SimulatedFile[] = [];
    for (const file of this.#interests.keys()) {
      if (!this.#ready.has(file) && this.#eventsOf(file) !== 0) fresh.push(file);
    }
    for (const file of this.#random.shuffle(fresh)) this.#ready.add(file);
    let count = 0;
    for (const file of [...this.#ready]) {
      if (count === most) break;
      const found = this.#eventsOf(file);
      this.#ready.delete(file);
      if (found === 0) continue;
      this.#ready.add(file);
      const at = count++ * EPOLL_EVENT_WORDS;
      events[at] = found;
      events.set((this.#interests.get(file) as Interest).data, at + EPOLL_EVENT_DATA_WORD);
    }
    return count;
  }

  override readiness(): number {
    for (const file of this.#interests.keys()) if (this.#eventsOf(file) !== 0) return EPOLLIN;
    return 0;
  }

  override close(): void {
    this.#interests.clear();
    this.#ready.clear();
  }

  override describe(): string {
    return `epoll of ${this.#interests.size}`;
  }

  #eventsOf(file: SimulatedFile): number {
    return file.readiness() & ((this.#interests.get(file) as Interest).events | ALWAYS);
  }

  #watches(other: SimulatedEpoll): boolean {
    for (const file of this.#interests.keys()) {
      if (file === other || (file instanceof SimulatedEpoll && file.#watches(other))) return true;
    }
    return false;
  }
}

function interest(event: Int32Array): Interest {
  const events = event[0] as number;
  if ((events & ~SIMULATED) !== 0) throw new Error(`epoll events ${events.toString(16)} are not simulated`);
  const data = [event[EPOLL_EVENT_DATA_WORD] as number, event[EPOLL_EVENT_DATA_WORD + 1] as number] as const;
  return { events, data };
}
