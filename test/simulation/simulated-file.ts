/**
 * SimulatedFile: the object behind a file descriptor, the "open file description" of open(2).
 *
 * The fd table of the kernel holds these, and epoll asks them what they are ready for. There is no dup(2) in this world,
 * so one file has at most one descriptor, and closing that closes the file.
 *
 * Next: simulated-wire.ts
 */

import { EPOLLIN, EPOLLOUT } from '../../simplenet/kernel/abi.ts';

/** The peer has ended its side, epoll_ctl(2). Not in abi.ts, because simplenet never asks for it. */
export const EPOLLRDHUP = 0x2000;

export abstract class SimulatedFile {
  nonBlocking = false;
  closeOnExec = false;

  /** Whether epoll_ctl(2) takes it; EPERM where it does not. */
  readonly isPollable: boolean = true;

  /** EPOLLIN, EPOLLOUT and so on, as they are at this moment. */
  abstract readiness(): number;
  /** The descriptor is gone. What is on its way may still have to arrive. */
  abstract close(): void;
  /** For people: what it is and how it stands. */
  abstract describe(): string;
}

/** null(4): everybody's spare descriptor. */
export class SimulatedNullDevice extends SimulatedFile {
  override readonly isPollable = false;

  override readiness(): number {
    return EPOLLIN | EPOLLOUT;
  }

  override close(): void {}

  override describe(): string {
    return '/dev/null';
  }
}

/** A file of a disk, with these bytes. It has no name: the test opens it. */
export class SimulatedRegularFile extends SimulatedFile {
  override readonly isPollable = false;
  bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    super();
    this.bytes = bytes;
  }

  override readiness(): number {
    return EPOLLIN | EPOLLOUT;
  }

  override close(): void {}

  override describe(): string {
    return `a file of ${this.bytes.length} bytes`;
  }
}
