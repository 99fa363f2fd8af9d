/**
 * UringMember: something with requests in the ring.
 *
 * Next: uring-output.ts
 */

import type { LoopContext, Member } from '../loop/member.ts';
import type { BufferRing } from './buffer-ring.ts';
import type { IoUring } from './io-uring.ts';
import type { Completion } from './ring-layout.ts';
import type { SendMemory } from './send-memory.ts';

export interface UringMember extends Member {
  onCompletion(completion: Completion): void;
}

/** A stream that sends, as the loop sees it. */
export interface UringSender extends UringMember {
  /** Hands over what was gathered in this turn. */
  flush(): void;
  /** All completions of the turn are delivered. A send without a completion found no room. */
  checkSends(): void;
}

export interface UringContext extends LoopContext {
  readonly ring: IoUring;
  readonly buffers: BufferRing;
  readonly sendMemory: SendMemory;
  /** Calls `flush` when this turn ends, or soon if there is none. */
  requestFlush(stream: UringSender): void;
  /** Calls `checkSends` when the completions of the next turn are all delivered. */
  awaitConfirmation(stream: UringSender): void;
}
