/**
 * TcpConnection: one TCP connection as a pure state machine, RFC 9293 section 3.10. No addresses, no ports, no callbacks, no clock.
 *
 * Its owner calls a method and then looks: at `state`, `readable`, `hasOutput`, `deadlineAt`. Nothing is sent inside `receive`:
 * `transmit` emits what the windows allow, so a response carries the ACK of its request.
 *
 * Next: time-wait.ts
 */

import type { TcpSegment } from './segment.ts';
import type { CookieHandshake, Emit, TcpIcmpError, TcpSetup } from './tcp-setup.ts';
import { CLOSED, type TcpState } from './tcp-states.ts';

export class TcpConnection {
  /** Off: a small segment waits while another is unacknowledged (Nagle, in the variant of Minshall). */
  noDelay = false;
  readonly #setup: TcpSetup;

  constructor(setup: TcpSetup) {
    this.#setup = setup;
  }

  get state(): TcpState {
    return CLOSED;
  }

  /** 0, or the errno that ended the connection: ECONNREFUSED, ECONNRESET, ETIMEDOUT, ECONNABORTED, EHOSTUNREACH... */
  get error(): number {
    return 0;
  }

  /** Whether the handshake was completed. It stays true afterwards. */
  get isEstablished(): boolean {
    return false;
  }

  get isClosed(): boolean {
    return this.state === CLOSED;
  }

  /** Whether the peer has acknowledged our FIN, and so all that we have sent. */
  get isFinAcknowledged(): boolean {
    return false;
  }

  /** Whether the FIN of the peer has come, and all bytes before it are consumed. */
  get isPeerEnded(): boolean {
    return false;
  }

  /** When `onDeadline` is to be called; Infinity if nothing waits. */
  get deadlineAt(): number {
    return this.#setup.limits.delayedAckMs;
  }

  /** Bytes that the peer has not acknowledged, sent or not. */
  get unacknowledgedBytes(): number {
    return 0;
  }

  /** Bytes that were never sent. */
  get unsentBytes(): number {
    return 0;
  }

  /** Written bytes beyond the send buffer: a kernel would not have taken them yet. */
  get queuedBytes(): number {
    return 0;
  }

  /** Opens actively or passively, as the setup says. */
  open(_now: number): void {}

  /** Goes to SYN_RECEIVED as if the SYN of which a cookie tells had been kept. The ACK that brought the cookie is to be received next. */
  openByCookie(_cookie: CookieHandshake, _now: number): void {}

  /** One segment has come. What is not consumed of its bytes before `keepInput` or the next segment is copied. */
  receive(_segment: TcpSegment, _now: number): void {}

  onDeadline(_now: number): void {}

  onIcmpError(_error: TcpIcmpError, _now: number): void {}

  /** Appends bytes[start..end) to what is to be sent, also before the handshake is complete. Not after `close`. */
  write(_bytes: Uint8Array, _start: number, _end: number, _isOwned: boolean): void {}

  /** Drops the bytes that `queuedBytes` counts. */
  truncateQueue(): void {}

  /** The CLOSE of RFC 9293: FIN after all that is written. The peer may go on sending. */
  close(_now: number): void {}

  /** Nobody reads any more: bytes that lie here unread, or come from now on, are answered with RST. FIN_WAIT_2 is bounded from now on. */
  refuseInput(_now: number): void {}

  /** Ends the connection now, with RST if the peer knows of it. */
  abort(): void {}

  /** The next bytes of the peer, as far as they lie in one piece; null if there are none. Valid until `consume`, `receive` or `keepInput`. */
  get readable(): Buffer | null {
    return null;
  }

  /** How many bytes of the peer are not consumed. */
  get readableBytes(): number {
    return 0;
  }

  /** The program has taken the first `length` bytes of `readable`. */
  consume(_length: number): void {}

  /** Copies what still lies in the frame that was received last, before the frame is used again. */
  keepInput(): void {}

  /** Whether `transmit` would send something now. */
  get hasOutput(): boolean {
    return false;
  }

  /** Whether an ACK must not wait until the end of the turn: the peer counts these (fast retransmit). */
  get mustAcknowledgeNow(): boolean {
    return false;
  }

  /** Emits what the windows allow. If `emit` returns -ENOBUFS the rest waits; any other error counts as a segment lost on its way. */
  transmit(_now: number, _emit: Emit): void {}

  /** Starts or stops keep-alive. Infinity stops it. */
  setKeepAlive(_idleMs: number, _now: number): void {}

  /** RFC 5482, on our side only: how long bytes may wait unacknowledged. Infinity: without end, as long as the peer answers. */
  setUserTimeout(_ms: number, _now: number): void {}

  /** The way to the peer carries no more than this now. */
  limitSegmentBytes(_maxSegmentBytes: number): void {}
}
