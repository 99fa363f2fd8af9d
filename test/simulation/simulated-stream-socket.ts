/**
 * SimulatedStreamSocket: what TCP and Unix stream sockets share: a queue of connections to accept, a queue of bytes to read.
 *
 * Next: simulated-tcp-socket.ts
 */

import { AF_UNIX, EAGAIN, EINVAL, SOCK_STREAM, SOMAXCONN } from '../../simplenet/kernel/abi.ts';
import { ByteQueue } from './byte-queue.ts';
import { SimulatedSocket } from './simulated-socket.ts';

export abstract class SimulatedStreamSocket extends SimulatedSocket {
  override readonly type = SOCK_STREAM;
  protected override readonly typeName: string = this.family === AF_UNIX ? 'stream' : 'tcp';
  /** Bytes that have arrived and were not read. */
  readonly incoming = new ByteQueue();
  /** null: does not listen. */
  protected acceptQueue: SimulatedStreamSocket[] | null = null;
  #backlog = 0;

  override get isListening(): boolean {
    return this.acceptQueue !== null;
  }

  /** Linux lets one more wait than it was told, sk_acceptq_is_full in its sources. */
  get hasRoomForConnection(): boolean {
    return this.acceptQueue !== null && this.acceptQueue.length <= this.#backlog;
  }

  /** A connection that waits to be accepted. */
  get hasConnection(): boolean {
    return this.acceptQueue !== null && this.acceptQueue.length > 0;
  }

  enqueue(connection: SimulatedStreamSocket): void {
    this.acceptQueue?.push(connection);
  }

  accept(): SimulatedStreamSocket | number {
    if (this.acceptQueue === null) return -EINVAL;
    return this.acceptQueue.shift() ?? -EAGAIN;
  }

  /** How many bytes the next send could take. */
  abstract get sendRoom(): number;

  protected startListening(backlog: number): void {
    this.acceptQueue ??= [];
    this.#backlog = Math.min(backlog < 0 ? SOMAXCONN : backlog, SOMAXCONN);
  }

  /** Answers the connections that nobody will accept any more. */
  protected stopListening(): SimulatedStreamSocket[] {
    const waiting = this.acceptQueue ?? [];
    this.acceptQueue = null;
    return waiting;
  }
}
