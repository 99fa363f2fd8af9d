/**
 * EpollMember: something with a descriptor in the epoll set.
 *
 * Next: epoll-stream.ts
 */

import type { LoopContext, Member } from '../loop/member.ts';
import type { Burst } from './burst.ts';
import type { Epoll } from './epoll.ts';
import type { SendBatch } from './send-batch.ts';

export interface EpollMember extends Member {
  /** epoll has reported the mask `events` in the turn with the number `turn`. */
  onEvents(events: number, turn: number): void;
}

export interface EpollContext extends LoopContext {
  readonly epoll: Epoll;
  readonly batch: SendBatch;
  readonly burst: Burst;
}
