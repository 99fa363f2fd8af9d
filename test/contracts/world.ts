/**
 * The world that an event loop under test lives in: the real kernel or a simulated one.
 *
 * A contract is checked in both. They differ only in how a test waits for an event and in what it can check at the end, so this
 * interface holds nothing else.
 */

import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import type { EventLoop } from '../../simplenet/loop/event-loop.ts';

/** An open file. */
export interface WorldFile {
  readonly fd: number;
  truncate(length: number): void;
  close(): void;
}

export interface World {
  readonly loop: EventLoop;
  /** The limit that the loop was made with. */
  readonly maxQueuedBytes: number;
  readonly tickMs: number;
  /** Where to listen: any free port. */
  readonly anyAddress: SocketAddress;
  /** Exceptions that the loop has raised. */
  readonly raised: unknown[];
  now(): number;
  /** Opens a file with these bytes, whose name is gone. */
  openFile(bytes: Uint8Array): WorldFile;
  /** Waits for something; throws, with `what`, if it cannot happen any more. */
  until(condition: () => boolean, what: string): Promise<void>;
  /** Lets everything happen that can, without waiting for deadlines. */
  quiet(): Promise<void>;
  /** Closes the loop, then throws if a descriptor was left open or misused. */
  close(): Promise<void>;
}
