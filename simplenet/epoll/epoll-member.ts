/**
 * EpollMember: something with a descriptor in the epoll set.
 *
 * Next: epoll-stream.ts
 */

import type { LoopContext, Member } from '../loop/member.ts';
import type { Epoll } from './epoll.ts';

export interface EpollMember extends Member {
  /** `events` is its mask in the turn of that number. */
  onEvents(events: number, turn: number): void;
}

export interface EpollContext extends LoopContext {
  readonly epoll: Epoll;
}
