/** What a loop made of another loop passes on as it is: its clocks. */

import type { EventLoop } from '../../simplenet/loop/event-loop.ts';
import type { Alarm } from '../../simplenet/loop/host.ts';

export class LoopOver {
  protected readonly below: EventLoop;

  constructor(below: EventLoop) {
    this.below = below;
  }

  get isTurnSpent(): boolean {
    return this.below.isTurnSpent;
  }

  now(): number {
    return this.below.now();
  }

  exactNow(): number {
    return this.below.exactNow();
  }

  activeNow(): number {
    return this.below.activeNow();
  }

  wallNow(): number {
    return this.below.wallNow();
  }

  after(delayMs: number, callback: () => void): Alarm {
    return this.below.after(delayMs, callback);
  }
}
