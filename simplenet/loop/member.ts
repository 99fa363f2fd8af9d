/**
 * Member: something with a descriptor on a loop, and LoopContext: what the loop offers its members.
 *
 * A member never closes its descriptor at once. It asks for `settle`, which the turn calls at its end: turn.ts says why. What a stream
 * waits for changes then, too, so pausing and resuming within one callback costs no system call. The loops over epoll and over io_uring add to the context what their own members need.
 *
 * Next: descriptor-shortage.ts
 */

import type { SystemError } from '../kernel/system-error.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import type { SocketFile } from '../sockets/socket-file.ts';
import type { Deadlines } from './deadlines.ts';
import type { OnConnection, Stream } from './event-loop.ts';
import type { Host } from './host.ts';
import type { SpareDescriptor } from './spare-descriptor.ts';
import type { Turn, TurnMember } from './turn.ts';
import type { TurnBudget } from './turn-budget.ts';

export interface Member extends TurnMember {
  close(): void;
  /** Ends the member with an error, because its loop or its socket has failed. The program gets the error. */
  lose(error: SystemError): void;
}

/** A listener that waits for a descriptor. */
export interface Resting {
  /** A descriptor has come free. */
  wake(): void;
}

/** What a listener is made of, besides its socket. */
export interface ListenerSetup {
  readonly onConnection: OnConnection;
  readonly onFailure: ((error: SystemError) => void) | undefined;
  readonly onShortage: (() => boolean) | undefined;
  /** Another process may share the socket, and go on listening. */
  readonly isShared: boolean;
  /** The file of a Unix socket that this loop has bound. It is removed when the socket is closed. */
  readonly file: SocketFile | null;
}

/** What a listener needs when descriptors run out. */
export interface ShortageContext {
  readonly host: Host;
  readonly spare: SpareDescriptor;
  readonly resting: Set<Resting>;
  readonly acceptsPerTurn: number;
  /** How long a listener rests: without descriptors, or after too many failed calls of accept4(2). */
  readonly acceptRestMs: number;
}

export interface LoopContext extends ShortageContext {
  readonly turn: Turn;
  /** The deadlines and the budget of `turn`. */
  readonly deadlines: Deadlines;
  readonly budget: TurnBudget;
  readonly maxQueuedBytes: number;
  /** How long a closed stream may go on sending, even to a peer that takes its bytes fast enough. */
  readonly lingerMs: number;
  readonly datagramsPerTurn: number;
  /** One buffer for all datagrams and, on epoll, for the bytes of all streams. */
  readonly receiveBuffer: Buffer;
  /** The first `length` bytes of `receiveBuffer`. */
  received(length: number): Buffer;
  /** Removes the member with this descriptor from the loop. Call it when the descriptor has been closed. */
  forget(fd: number): void;
  /** Puts an accepted connection on the loop. If it throws, the socket is closed. */
  addStream(socket: NetSocket, peer: string): Stream;
}
