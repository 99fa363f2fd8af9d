/**
 * Member: something with a descriptor on a loop, and LoopContext: what the loop offers its members.
 *
 * A member never closes its descriptor or changes what it waits for at once. It asks for `settle`, which the loop calls when the turn ends:
 * socket-loop.ts says why. The loops over epoll and over io_uring add to the context what their own members need.
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
import type { TurnBudget } from './turn-budget.ts';

export interface Member {
  /** It waits for `settle`. Belongs to the loop. */
  needsSettle: boolean;
  /** One of its callbacks threw: nobody knows what state the program behind it is in. */
  onThrow(): void;
  /** Carries out what was decided during the turn. */
  settle(): void;
  close(): void;
  /** Ends it, because the loop can go on no more, or because its own socket can. The program gets the error. */
  lose(error: SystemError): void;
}

/** A member that can have more to do than its share of a turn. */
export interface Continuing extends Member {
  /** Its next share, in the second part of a turn. */
  onTurn(): void;
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
  /** Somebody else may hold the socket, too, and go on listening. */
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
  /** How long a listener waits for a descriptor to come free. */
  readonly acceptRestMs: number;
}

export interface LoopContext extends ShortageContext {
  readonly deadlines: Deadlines;
  readonly maxQueuedBytes: number;
  readonly budget: TurnBudget;
  readonly datagramsPerTurn: number;
  /** All datagrams are received into this buffer, and on epoll all bytes of streams, one after the other. */
  readonly receiveBuffer: Buffer;
  /** Its first `length` bytes. */
  received(length: number): Buffer;
  /** Calls `settle`, once, when this turn ends, or soon if there is none. */
  settleLater(member: Member): void;
  /** The descriptor is closed. */
  forget(fd: number): void;
  /** Runs a callback; what it throws ends `member` and is raised. */
  guard(member: Member, callback: () => void): void;
  /** What deadlines count from: see EventLoop. Read once a turn. */
  activeNow(): number;
  /** Calls `onTurn` once: in the second part of this turn or, if there is none or it has begun, of the next. */
  awaitTurn(stream: Continuing): void;
  /** The stream is closed, and has no more to do. */
  cancelTurn(stream: Continuing): void;
  /** Puts an accepted connection on the loop. If it throws, the socket is closed. */
  addStream(socket: NetSocket, peer: Uint8Array): Stream;
}
