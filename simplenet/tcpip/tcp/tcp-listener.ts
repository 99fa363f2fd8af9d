/**
 * Listener: a port on which clients may connect, with its backlog: the handshakes that are under way.
 *
 * A SYN costs its sender nothing, and its address may be forged, so a backlog of any size can be filled (SYN flood, RFC 4987). When
 * it is full, nothing is kept: the numbers of the SYN, ACK carry what has to be known (syn-cookies.ts), and the connection is
 * made when a client sends them back. Cookies are believed only for some time after one was sent, because each ACK that
 * belongs to no connection is otherwise a guess that costs us a hash.
 *
 * Next: tcp-layer.ts
 */

import type { Peer } from './connection-table.ts';
import type { BufferSizes } from './growing-buffer.ts';
import type { FourTuple } from './initial-sequence.ts';
import { noOptions, type TcpOptions, type TcpSegment } from './segment.ts';
import { add } from './sequence.ts';
import { decodeCookie, decodeCookieTimestamp, encodeCookie, encodeCookieTimestamp } from './syn-cookies.ts';
import type { Entry, TcpEntry } from './tcp-entry.ts';
import { windowShiftFor } from './tcp-receiver.ts';
import type { CookieHandshake } from './tcp-setup.ts';

/** How long a cookie is good, syn-cookies.ts. */
const COOKIE_LIFETIME_MS = 120_000;
const MAX_WINDOW_FIELD = 65_535;

export interface TcpListenOptions extends BufferSizes {
  readonly backlog: number;
  /** A handshake is complete. Sets `entry.owner`, whose `onProgress` is called next if the segment has brought more. */
  onAccept(entry: TcpEntry): void;
}

export interface TcpListener {
  readonly port: number;
  /** Answers no SYN any more, not even with RST; handshakes under way go on. */
  ignoreSyn(): void;
  /** Frees the port. Handshakes under way end with RST. */
  close(): void;
}

export interface CookieReply {
  readonly sequence: number;
  readonly window: number;
  readonly options: TcpOptions;
}

export class Listener implements TcpListener {
  readonly port: number;
  readonly options: TcpListenOptions;
  readonly halfOpen = new Set<Entry>();
  readonly #onClose: (listener: Listener) => void;
  #isIgnoringSyn = false;
  #cookiesUntil = Number.NEGATIVE_INFINITY;

  constructor(port: number, options: TcpListenOptions, onClose: (listener: Listener) => void) {
    this.port = port;
    this.options = options;
    this.#onClose = onClose;
  }

  get isIgnoringSyn(): boolean {
    return this.#isIgnoringSyn;
  }

  get isBacklogFull(): boolean {
    return this.halfOpen.size >= this.options.backlog;
  }

  ignoreSyn(): void {
    this.#isIgnoringSyn = true;
  }

  close(): void {
    this.#onClose(this);
  }

  /** What answers a SYN of which nothing is kept. `clock` is our timestamp for this client now. */
  makeCookie(
    secret: Uint8Array,
    tuple: FourTuple,
    syn: TcpSegment,
    maxSegmentBytes: number,
    clock: number,
    now: number,
  ): CookieReply {
    this.#cookiesUntil = now + COOKIE_LIFETIME_MS;
    const { options } = syn;
    // Without timestamps there is no place for the other options, so they are not agreed on.
    const hasTimestamps = options.timestampValue >= 0;
    const hasScale = hasTimestamps && options.windowScale !== null;
    const { receiveBufferBytes, maxReceiveBufferBytes } = this.options;
    return {
      sequence: encodeCookie(secret, tuple, syn.sequence, options.mss, now),
      window: Math.min(receiveBufferBytes, MAX_WINDOW_FIELD),
      options: {
        mss: maxSegmentBytes,
        windowScale: hasScale ? windowShiftFor(receiveBufferBytes, maxReceiveBufferBytes) : null,
        sackPermitted: hasTimestamps && options.sackPermitted,
        timestampValue: hasTimestamps ? encodeCookieTimestamp(clock, options) : -1,
        timestampEcho: options.timestampValue,
        sackBlocks: noOptions.sackBlocks,
      },
    };
  }

  /** The handshake that an ACK completes; null if it brings no cookie of ours. */
  readCookie(secret: Uint8Array, tuple: FourTuple, ack: TcpSegment, now: number): CookieHandshake | null {
    if (now >= this.#cookiesUntil) return null;
    const peerSequence = add(ack.sequence, -1);
    const mss = decodeCookie(secret, tuple, peerSequence, add(ack.acknowledgment, -1), now);
    if (mss === null) return null;
    const { timestampValue, timestampEcho } = ack.options;
    const kept = timestampValue < 0 ? noOptions : decodeCookieTimestamp(timestampEcho);
    if (kept === null) return null;
    const { windowScale, sackPermitted } = kept;
    return {
      peerSequence,
      peerWindow: ack.window * 2 ** (windowScale ?? 0),
      options: { ...noOptions, mss, windowScale, sackPermitted, timestampValue, timestampEcho },
    };
  }
}

/** A peer and our address, as the functions that hash them want it. */
export function tupleOf(localAddress: number, peer: Peer): FourTuple {
  const { localPort, remoteAddress, remotePort } = peer;
  return { localAddress, localPort, remoteAddress, remotePort };
}
