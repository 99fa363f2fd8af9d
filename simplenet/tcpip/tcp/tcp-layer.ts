/**
 * TcpLayer: all connections of a stack. It finds the connection of each segment, and answers the segments that have none.
 *
 * What strangers can make it keep or send is bounded: half-open connections (tcp-listener.ts), connections in TIME_WAIT, connections
 * whose program has closed them (orphans), resets and challenge ACKs. Where a bound is reached, the oldest makes room.
 *
 * It calls no program: an owner looks at its connection when `onProgress` is called. What is to be sent waits for
 * `flush` at the end of the turn, with the exception of ACKs that the peer counts.
 *
 * Next: ../frame-text.ts
 */

import { EADDRINUSE, EMSGSIZE } from '../../kernel/abi.ts';
import { finishChecksum, pseudoHeaderSum, sumWords } from '../ip/checksum.ts';
import type { IcmpError, InternetLayer } from '../ip/internet-layer.ts';
import { type Ipv4Packet, PROTOCOL_TCP } from '../ip/ipv4-packet.ts';
import { BareAnswers } from './bare-answers.ts';
import type { CongestionFactory } from './congestion.ts';
import { ConnectionTable, type Peer } from './connection-table.ts';
import { chooseEphemeralPort } from './ephemeral-port.ts';
import { BufferBudget, type BufferSizes } from './growing-buffer.ts';
import { initialSequence, timestampOffset } from './initial-sequence.ts';
import { ACK, decodeSegment, FIN, HEADER_BYTES, RST, SYN, type TcpSegment } from './segment.ts';
import { SegmentWriter } from './segment-writer.ts';
import { add, isAfter } from './sequence.ts';
import { TcpConnection } from './tcp-connection.ts';
import { newTcpCounters, type TcpCounters } from './tcp-counters.ts';
import { Entry, type TcpEntry } from './tcp-entry.ts';
import { defaultTcpLimits, type TcpLimits } from './tcp-limits.ts';
import { Listener, type TcpListener, type TcpListenOptions, tupleOf } from './tcp-listener.ts';
import type { Emit, OutgoingSegment } from './tcp-setup.ts';
import { TIME_WAIT } from './tcp-states.ts';
import { TimeWaitTable, WaitingPeer } from './time-wait-table.ts';
import { TimerList } from './timer-list.ts';

export type { BufferSizes } from './growing-buffer.ts';
export type { TcpEntry, TcpOwner } from './tcp-entry.ts';
export type { TcpListener, TcpListenOptions } from './tcp-listener.ts';

export interface TcpLayerLimits extends TcpLimits, BufferSizes {
  /** How many handshakes of one listener may be under way. Beyond that SYN cookies are sent. */
  readonly backlog: number;
  /** What the buffers of all connections may take beyond their first sizes, together. */
  readonly bufferBudgetBytes: number;
}

export const defaultTcpLayerLimits: TcpLayerLimits = {
  ...defaultTcpLimits,
  backlog: 512,
  sendBufferBytes: 65_536,
  maxSendBufferBytes: 4_194_304,
  receiveBufferBytes: 262_144,
  maxReceiveBufferBytes: 4_194_304,
  bufferBudgetBytes: 67_108_864,
};

export interface TcpLayerSetup {
  readonly internet: InternetLayer;
  /** At least 16 random bytes, from which sequence numbers, timestamps and cookies are made. */
  readonly secret: Uint8Array;
  /** From 0 up to, and without, 1. */
  readonly random: () => number;
  readonly limits: TcpLayerLimits;
  readonly congestion: CongestionFactory;
}

/** What strangers and programs make the layer keep. Entries are of connections, those without a program (orphans) included. */
export interface TcpOccupancy {
  readonly connections: number;
  readonly halfOpen: number;
  readonly orphans: number;
  readonly timeWaits: number;
}

/** How far behind the numbers of a connection in TIME_WAIT the next one begins. */
const REOPEN_DISTANCE = 65_537;
/** Of the quoted header, an ICMP error has at least the ports and the sequence number. */
const QUOTED_BYTES = 8;

export class TcpLayer {
  readonly counters: TcpCounters = newTcpCounters();
  readonly #setup: TcpLayerSetup;
  readonly #internet: InternetLayer;
  readonly #writer: SegmentWriter;
  readonly #table = new ConnectionTable<Entry | WaitingPeer>();
  readonly #listeners = new Map<number, Listener>();
  readonly #timers = new TimerList<Entry>();
  readonly #timeWaits: TimeWaitTable;
  readonly #orphans = new Set<Entry>();
  readonly #answers: BareAnswers;
  readonly #bufferBudget: BufferBudget;
  #dirty: Entry[] = [];
  /** The connection whose segments `#emit` sends. */
  #sender: Entry | null = null;
  #now = 0;
  #isTooLarge = false;
  readonly #emit: Emit = (segment) => this.#send(this.#sender as Entry, segment, this.#now);

  constructor(setup: TcpLayerSetup) {
    const { internet, limits } = setup;
    this.#setup = setup;
    this.#internet = internet;
    this.#writer = new SegmentWriter(internet);
    this.#bufferBudget = new BufferBudget(limits.bufferBudgetBytes);
    this.#timeWaits = new TimeWaitTable(limits.timeWaits, (peer) => this.#table.delete(peer));
    this.#answers = new BareAnswers(this.#writer, this.counters, limits.resetsPerSecond);
  }

  get occupancy(): TcpOccupancy {
    const timeWaits = this.#timeWaits.size;
    let halfOpen = 0;
    for (const listener of this.#listeners.values()) halfOpen += listener.halfOpen.size;
    return { connections: this.#table.size - timeWaits, halfOpen, orphans: this.#orphans.size, timeWaits };
  }

  /** Takes the port, or any free one for 0. Returns -errno if it cannot: EADDRINUSE. */
  listen(port: number, options: TcpListenOptions): TcpListener | number {
    const chosen = port === 0 ? this.#choosePort((candidate) => !this.#listeners.has(candidate)) : port;
    if (chosen < 0 || this.#listeners.has(chosen)) return -EADDRINUSE;
    const listener = new Listener(chosen, options, () => this.#closeListener(listener));
    this.#listeners.set(chosen, listener);
    return listener;
  }

  /** Sends a SYN with the next `flush`. Returns -errno if it cannot: EADDRNOTAVAIL without a free port. */
  connect(address: number, port: number, sizes: BufferSizes, now: number): TcpEntry | number {
    const localPort = this.#choosePort(
      (candidate) => !this.#listeners.has(candidate) && this.#table.get(candidate, address, port) === undefined,
    );
    if (localPort < 0) return localPort;
    const peer = { localPort, remoteAddress: address, remotePort: port };
    const entry = this.#addEntry(peer, sizes, true, initialSequence(this.#setup.secret, this.#tuple(peer), now));
    entry.connection.open(now);
    this.touch(entry);
    return entry;
  }

  /** The program has written or consumed: the next `flush` looks at the connection. */
  touch(entry: TcpEntry): void {
    const own = entry as Entry;
    if (own.isDirty || own.isDropped) return;
    own.isDirty = true;
    this.#dirty.push(own);
  }

  /** FIN after all that is written. */
  close(entry: TcpEntry, now: number): void {
    entry.connection.close(now);
    this.touch(entry);
  }

  /** RST now. Does nothing to a connection that has ended. */
  abort(entry: TcpEntry, _now: number): void {
    entry.connection.abort();
    this.touch(entry);
  }

  /** Its program has closed it: FIN after what is written, and the layer keeps it, for a bounded time, until that has arrived. */
  orphan(entry: TcpEntry, now: number): void {
    const own = entry as Entry;
    const { connection } = own;
    own.owner = null;
    this.touch(own);
    if (!connection.isEstablished) {
      connection.abort();
      return;
    }
    connection.setUserTimeout(this.#setup.limits.orphanMs);
    connection.refuseInput(now);
    connection.close(now);
    if (own.isDropped) return;
    this.#orphans.add(own);
    if (this.#orphans.size > this.#setup.limits.orphans) this.#resetOldestOrphan();
  }

  /** All connections that are not in TIME_WAIT, orphans included. */
  *entries(): Generator<TcpEntry> {
    for (const member of this.#table) if (member instanceof Entry) yield member;
  }

  /** Whether some connection has sent something that is not acknowledged, FIN included. */
  get hasUnacknowledged(): boolean {
    for (const member of this.#table) {
      if (member instanceof Entry && member.connection.hasUnacknowledged) return true;
    }
    return false;
  }

  receive(packet: Ipv4Packet, now: number): void {
    this.counters.segmentsReceived++;
    const segment = this.#decode(packet);
    if (segment === null) {
      this.counters.malformedSegments++;
      return;
    }
    const member = this.#table.get(segment.destinationPort, packet.source, segment.sourcePort);
    if (member instanceof Entry) this.#receiveFor(member, segment, now);
    else if (member === undefined) this.#receiveStray(packet.source, segment, now);
    else this.#receiveInTimeWait(member, segment, now);
  }

  /** The caller has checked that the error quotes a packet of ours. Here it is checked that the segment is in flight (RFC 5927). */
  onIcmpError(error: IcmpError, now: number): void {
    const { bytes, start, end } = error;
    if (error.protocol !== PROTOCOL_TCP || end - start < QUOTED_BYTES) return;
    const member = this.#table.get(bytes.readUInt16BE(start), error.destination, bytes.readUInt16BE(start + 2));
    if (!(member instanceof Entry)) return;
    const { errno, mtu, isHard } = error;
    const sequence = bytes.readUInt32BE(start + 4);
    if (!member.connection.onIcmpError({ errno, mtu, isHard, sequence }, now)) return;
    if (mtu !== null) this.#internet.lowerPathMtu(error.destination, mtu, now);
    member.owner?.onProgress();
    this.touch(member);
  }

  /** Lets every connection that was touched, or that a segment or a timer has changed, send what it may. */
  flush(now: number): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const entry of dirty) {
      entry.isDirty = false;
      this.#transmit(entry, now);
    }
  }

  get deadlineAt(): number {
    return Math.min(this.#timers.earliestAt, this.#timeWaits.deadlineAt);
  }

  /** The next `flush` sends what the timers want sent. */
  onDeadline(now: number): void {
    this.#timers.expire(now, (entry) => {
      entry.connection.onDeadline(now);
      entry.owner?.onProgress();
      this.touch(entry);
    });
    this.#timeWaits.expire(now);
  }

  #decode(packet: Ipv4Packet): TcpSegment | null {
    const { bytes, start, end, source, destination } = packet;
    const pseudoHeader = pseudoHeaderSum(source, destination, PROTOCOL_TCP, end - start);
    if (finishChecksum(sumWords(bytes, start, end, pseudoHeader)) !== 0) return null;
    return decodeSegment(bytes, start, end);
  }

  #receiveFor(entry: Entry, segment: TcpSegment, now: number): void {
    const { connection } = entry;
    connection.receive(segment, now);
    if (connection.isEstablished || connection.isClosed) entry.endHandshake();
    entry.owner?.onProgress();
    connection.keepInput();
    if (connection.mustAcknowledgeNow) this.#transmit(entry, now);
    else this.touch(entry);
  }

  /** A segment without a connection: for a listener, or to be answered with RST. */
  #receiveStray(source: number, segment: TcpSegment, now: number): void {
    const peer = { localPort: segment.destinationPort, remoteAddress: source, remotePort: segment.sourcePort };
    const listener = this.#listeners.get(segment.destinationPort);
    if (listener !== undefined) {
      const kind = segment.flags & (SYN | ACK | RST | FIN);
      if (kind === SYN) {
        this.#receiveSyn(listener, peer, segment, initialSequence(this.#setup.secret, this.#tuple(peer), now), now);
        return;
      }
      if ((kind & ACK) === 0) return; // RFC 9293 section 3.10.7.2 drops it; SYN with FIN is no handshake either
      if ((kind & (SYN | RST)) === 0 && this.#receiveCookie(listener, peer, segment, now)) return;
    }
    this.#answers.reset(peer, segment, now);
  }

  #receiveSyn(listener: Listener, peer: Peer, syn: TcpSegment, sequence: number, now: number): void {
    if (listener.isIgnoringSyn) return;
    if (listener.isBacklogFull) {
      this.#sendCookie(listener, peer, syn, now);
      return;
    }
    const entry = this.#addEntry(peer, listener.options, false, sequence);
    listener.halfOpen.add(entry);
    entry.onHandshakeEnd = () => this.#endHandshake(listener, entry);
    entry.connection.open(now);
    entry.connection.receive(syn, now);
    this.touch(entry);
  }

  #endHandshake(listener: Listener, entry: Entry): void {
    listener.halfOpen.delete(entry);
    if (entry.connection.isEstablished) listener.options.onAccept(entry);
  }

  #sendCookie(listener: Listener, peer: Peer, syn: TcpSegment, now: number): void {
    const { secret } = this.#setup;
    const tuple = this.#tuple(peer);
    const clock = add(Math.floor(now), timestampOffset(secret, tuple));
    const reply = listener.makeCookie(secret, tuple, syn, this.#maxSegmentBytes(peer), clock, now);
    this.#answers.cookie(peer, syn, reply, now);
  }

  /** Returns whether the ACK has completed a handshake. */
  #receiveCookie(listener: Listener, peer: Peer, segment: TcpSegment, now: number): boolean {
    const cookie = listener.readCookie(this.#setup.secret, this.#tuple(peer), segment, now);
    if (cookie === null) return false;
    this.counters.cookiesAccepted++;
    const entry = this.#addEntry(peer, listener.options, false, add(segment.acknowledgment, -1));
    entry.onHandshakeEnd = () => this.#endHandshake(listener, entry);
    entry.connection.openByCookie(cookie, now);
    this.#receiveFor(entry, segment, now);
    return true;
  }

  #receiveInTimeWait(peer: WaitingPeer, segment: TcpSegment, now: number): void {
    const { timeWait } = peer;
    const verdict = timeWait.receive(segment, now);
    if (verdict === 'ignore') return;
    if (verdict === 'close') {
      this.#timeWaits.end(peer);
      return;
    }
    const listener = this.#listeners.get(peer.localPort);
    if (verdict === 'reopen' && listener !== undefined) {
      this.#timeWaits.end(peer);
      // RFC 6191 section 2: the numbers of the new connection must lie behind those of the old one.
      const fresh = initialSequence(this.#setup.secret, this.#tuple(peer), now);
      const sequence = isAfter(fresh, timeWait.sendNext) ? fresh : add(timeWait.sendNext, REOPEN_DISTANCE);
      this.#receiveSyn(listener, peer, segment, sequence, now);
      return;
    }
    this.#timeWaits.restart(peer);
    this.#answers.acknowledge(peer, now);
  }

  #addEntry(peer: Peer, sizes: BufferSizes, isActive: boolean, sequence: number): Entry {
    const { secret, limits, congestion } = this.#setup;
    const connection = new TcpConnection({
      isActive,
      initialSequence: sequence,
      maxSegmentBytes: this.#maxSegmentBytes(peer),
      sendBufferBytes: sizes.sendBufferBytes,
      maxSendBufferBytes: sizes.maxSendBufferBytes,
      receiveBufferBytes: sizes.receiveBufferBytes,
      maxReceiveBufferBytes: sizes.maxReceiveBufferBytes,
      bufferBudget: this.#bufferBudget,
      limits,
      congestion,
      timestampOffset: timestampOffset(secret, this.#tuple(peer)),
    });
    const entry = new Entry(connection, this.#internet.address, peer);
    this.#table.set(entry);
    return entry;
  }

  #maxSegmentBytes(peer: Peer): number {
    return this.#internet.maxPayloadTo(peer.remoteAddress) - HEADER_BYTES;
  }

  #tuple(peer: Peer) {
    return tupleOf(this.#internet.address, peer);
  }

  #choosePort(isFree: (port: number) => boolean): number {
    const { firstEphemeralPort, lastEphemeralPort } = this.#setup.limits;
    return chooseEphemeralPort(firstEphemeralPort, lastEphemeralPort, this.#setup.random, isFree);
  }

  #closeListener(listener: Listener): void {
    if (this.#listeners.get(listener.port) !== listener) return;
    this.#listeners.delete(listener.port);
    for (const entry of listener.halfOpen) {
      entry.onHandshakeEnd = null;
      entry.connection.abort();
      this.touch(entry);
    }
    listener.halfOpen.clear();
  }

  #resetOldestOrphan(): void {
    const oldest = this.#orphans.values().next().value as Entry;
    this.#orphans.delete(oldest);
    this.counters.orphansReset++;
    oldest.connection.abort();
    this.touch(oldest);
  }

  #transmit(entry: Entry, now: number): void {
    if (entry.isDropped) return;
    this.#sender = entry;
    this.#now = now;
    entry.connection.transmit(now, this.#emit);
    if (this.#isTooLarge) {
      this.#isTooLarge = false;
      entry.connection.limitSegmentBytes(this.#maxSegmentBytes(entry), now);
      entry.connection.transmit(now, this.#emit);
      this.#isTooLarge = false; // the next deadline tries again
    }
    this.#sender = null;
    this.#settle(entry);
  }

  /** After a step: lets go of a connection that has ended, and sets the timer of one that has not. */
  #settle(entry: Entry): void {
    const { connection } = entry;
    if (connection.isClosed) {
      this.#drop(entry);
      this.#table.delete(entry);
      entry.owner?.onProgress(); // it may have ended because nothing can be sent to the peer
    } else if (connection.state === TIME_WAIT && connection.timeWait !== null) {
      this.#drop(entry);
      const waiting = new WaitingPeer(entry, connection.timeWait);
      this.#table.set(waiting);
      this.#timeWaits.add(waiting);
    } else {
      this.#timers.set(entry, connection.deadlineAt);
    }
  }

  #drop(entry: Entry): void {
    entry.isDropped = true;
    this.#timers.set(entry, Number.POSITIVE_INFINITY);
    this.#orphans.delete(entry);
    entry.endHandshake();
  }

  #send(peer: Peer, segment: OutgoingSegment, now: number): number {
    const result = this.#writer.send(peer, segment, now);
    if (result === -EMSGSIZE) this.#isTooLarge = true;
    this.counters.segmentsSent++;
    return result;
  }
}
