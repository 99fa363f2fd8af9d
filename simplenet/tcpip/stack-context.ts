/**
 * StackContext: what the stack offers its streams, listeners and UDP ports.
 *
 * Next: file-queue.ts
 */

import type { SystemError } from '../kernel/system-error.ts';
import type { Host } from '../loop/host.ts';
import type { StreamContext } from '../loop/loop-stream.ts';
import type { TurnMember } from '../loop/turn.ts';
import type { TcpLayer } from './tcp/tcp-layer.ts';
import type { UdpLayer } from './udp-layer.ts';

export interface StackMember extends TurnMember {
  close(): void;
  /** Ends the member with an error, because the link is lost. The program gets the error. */
  lose(error: SystemError): void;
}

export interface StackContext extends StreamContext {
  readonly host: Host;
  readonly tcp: TcpLayer;
  readonly udp: UdpLayer;
  readonly maxQueuedBytes: number;
  /** Gets a line for each call of a program on a stream, and for each callback. */
  readonly trace: ((line: string) => void) | null;
  /** Removes a member from the stack: it is closed. */
  forget(member: StackMember): void;
}
