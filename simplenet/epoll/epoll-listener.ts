/**
 * EpollListener: a listening socket in the epoll set. It is non-blocking, or a client that disconnects in time could stop the whole
 * thread in accept4(2): socket-listener.ts has the details.
 *
 * Next: epoll-loop.ts
 */

import { EPOLLIN } from '../kernel/abi.ts';
import type { SystemError } from '../kernel/system-error.ts';
import { SocketListener } from '../loop/socket-listener.ts';
import { NO_EVENTS } from './epoll.ts';
import type { EpollContext, EpollMember } from './epoll-member.ts';

export class EpollListener extends SocketListener<EpollContext> implements EpollMember {
  onEvents(_events: number, turn: number): void {
    this.accept(turn);
  }

  settle(): void {
    // close(2) does not remove a socket from the epoll set while another process shares it, so we remove it ourselves.
    if (!this.socket.isClosed) this.context.epoll.forget(this.socket.fd);
    this.dispose();
  }

  protected override startAccepting(): void {
    this.#watch(EPOLLIN);
  }

  protected override stopAccepting(): void {
    this.#watch(NO_EVENTS);
  }

  #watch(events: number): void {
    try {
      this.context.epoll.modify(this.socket.fd, events);
    } catch (error) {
      this.lose(error as SystemError);
    }
  }
}
