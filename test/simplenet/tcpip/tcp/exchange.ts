/**
 * Exchange: two TCP connections over a network in memory that loses, duplicates and reorders, all from a seed. Time is a number that jumps
 * to the next event, so an hour of retransmissions takes a moment.
 *
 * Segments travel as bytes, so encoding and decoding take part. What a program does is seeded as well: how much it writes
 * at once, and how much of what has arrived it reads. At the end every byte must be right, or both sides must have ended with an error.
 */

import { createHash } from 'node:crypto';
import type { CongestionFactory } from '../../../../simplenet/tcpip/tcp/congestion.ts';
import { BufferBudget } from '../../../../simplenet/tcpip/tcp/growing-buffer.ts';
import { createNewReno } from '../../../../simplenet/tcpip/tcp/new-reno.ts';
import { decodeSegment, encodeSegmentHead, type TcpSegment } from '../../../../simplenet/tcpip/tcp/segment.ts';
import { TcpConnection } from '../../../../simplenet/tcpip/tcp/tcp-connection.ts';
import { defaultTcpLimits, type TcpLimits } from '../../../../simplenet/tcpip/tcp/tcp-limits.ts';
import type { OutgoingSegment } from '../../../../simplenet/tcpip/tcp/tcp-setup.ts';
import { LISTEN, nameOfState } from '../../../../simplenet/tcpip/tcp/tcp-states.ts';
import { Random } from '../../../simulation/random.ts';

/** More steps at one moment than that are a circle: a deadline that stays where it is, or ACKs of ACKs. */
const MAX_STEPS_PER_MOMENT = 10_000;
const START = 5_000;

export interface ExchangeOptions {
  readonly seed: number;
  /** Probabilities. */
  readonly lose?: number;
  readonly duplicate?: number;
  /** A segment that is reordered takes up to three times as long. */
  readonly reorder?: number;
  readonly delayMs?: number;
  readonly limits?: Partial<TcpLimits>;
  readonly congestion?: CongestionFactory;
  readonly maxSegmentBytes?: number;
  readonly sendBufferBytes?: number;
  readonly receiveBufferBytes?: number;
  /** Both open actively. */
  readonly isSimultaneous?: boolean;
  /** Called with each segment that is sent; returns true to lose it. */
  drop?(segment: TcpSegment, from: End): boolean;
}

/** One connection with the program that uses it. */
export class End {
  readonly name: string;
  readonly connection: TcpConnection;
  /** What is still to be written; the program closes when nothing is. */
  readonly toWrite: Buffer[] = [];
  readonly hash = createHash('sha256');
  receivedBytes = 0;
  isClosing = false;
  /** The program reads nothing until then. */
  pausedUntil = 0;
  segmentsSent = 0;

  constructor(name: string, connection: TcpConnection) {
    this.name = name;
    this.connection = connection;
  }
}

interface InFlight {
  readonly at: number;
  readonly order: number;
  readonly bytes: Buffer;
  readonly to: End;
}

export class Exchange {
  now = START;
  readonly client: End;
  readonly server: End;
  readonly #options: ExchangeOptions;
  readonly random: Random;
  readonly #wire: InFlight[] = [];
  #order = 0;
  #steps = 0;
  #stepsSince = START;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.random = new Random(options.seed);
    this.client = this.#makeEnd('client', true);
    this.server = this.#makeEnd('server', options.isSimultaneous === true);
    this.server.connection.open(this.now);
    this.client.connection.open(this.now);
    this.flush();
  }

  #makeEnd(name: string, isActive: boolean): End {
    const options = this.#options;
    return new End(
      name,
      new TcpConnection({
        isActive,
        // Near the end of the numbers, so that many runs pass it.
        initialSequence: (2 ** 32 - this.random.below(100_000)) >>> 0,
        maxSegmentBytes: options.maxSegmentBytes ?? 1460,
        sendBufferBytes: options.sendBufferBytes ?? 262_144,
        maxSendBufferBytes: 0,
        receiveBufferBytes: options.receiveBufferBytes ?? 262_144,
        maxReceiveBufferBytes: 0,
        bufferBudget: new BufferBudget(0),
        limits: { ...defaultTcpLimits, ...options.limits },
        congestion: options.congestion ?? createNewReno,
        timestampOffset: this.random.below(2 ** 32),
      }),
    );
  }

  otherOf(end: End): End {
    return end === this.client ? this.server : this.client;
  }

  /** Lets both sides send what they may. */
  flush(): void {
    for (const end of [this.client, this.server]) this.#transmit(end);
  }

  /** Runs until `isDone`, or until nothing is left to happen. Throws if that takes longer than `maxMs`. */
  run(isDone: () => boolean = () => false, maxMs = 3_600_000): void {
    const end = this.now + maxMs;
    while (!isDone()) {
      const at = this.#nextAt();
      if (at === Number.POSITIVE_INFINITY) return;
      if (at > end) throw new Error(`nothing has come of it: ${this.describe()}`);
      this.#advance(at);
      this.#deliver();
      for (const side of [this.client, this.server]) {
        if (side.connection.deadlineAt <= this.now) side.connection.onDeadline(this.now);
        this.#use(side);
        this.#transmit(side);
      }
    }
  }

  describe(): string {
    const sides = [this.client, this.server].map(({ name, connection, receivedBytes }) => {
      const { state, error, unacknowledgedBytes, deadlineAt } = connection;
      return `${name} ${nameOfState(state)} error ${error}, received ${receivedBytes}, unacknowledged ${unacknowledgedBytes}, deadline in ${deadlineAt - this.now}`;
    });
    return `seed ${this.#options.seed}, after ${this.now - START} ms: ${sides.join('; ')}; on the wire ${this.#wire.length}`;
  }

  #nextAt(): number {
    let at = Math.min(this.client.connection.deadlineAt, this.server.connection.deadlineAt);
    for (const flight of this.#wire) at = Math.min(at, flight.at);
    for (const side of [this.client, this.server]) {
      if (side.pausedUntil > this.now) at = Math.min(at, side.pausedUntil);
    }
    return at;
  }

  #advance(at: number): void {
    if (at > this.#stepsSince) {
      this.#steps = 0;
      this.#stepsSince = at;
    }
    this.#steps++;
    if (this.#steps > MAX_STEPS_PER_MOMENT) throw new Error(`time stands still: ${this.describe()}`);
    this.now = Math.max(this.now, at);
  }

  #deliver(): void {
    const due = this.#wire.filter(({ at }) => at <= this.now).sort((a, b) => a.at - b.at || a.order - b.order);
    if (due.length === 0) return;
    const rest = this.#wire.filter(({ at }) => at > this.now);
    this.#wire.length = 0;
    this.#wire.push(...rest);
    for (const { bytes, to } of due) {
      const segment = decodeSegment(bytes, 0, bytes.length);
      if (segment === null) throw new Error('a segment of ours is malformed');
      to.connection.receive(segment, this.now);
      this.#use(to);
      to.connection.keepInput();
      bytes.fill(0xee); // the memory of a frame is used again
      if (to.connection.mustAcknowledgeNow) this.#transmit(to);
    }
  }

  /** What the program does: reads, writes, and closes when all is written. */
  #use(end: End): void {
    const { connection } = end;
    while (end.pausedUntil <= this.now) {
      const readable = connection.readable;
      if (readable === null) break;
      const length = this.random.chance(0.8) ? readable.length : 1 + this.random.below(readable.length);
      end.hash.update(readable.subarray(0, length));
      end.receivedBytes += length;
      connection.consume(length);
      if (this.random.chance(0.02)) end.pausedUntil = this.now + this.random.below(400);
    }
    if (connection.isClosed || connection.state === LISTEN) return;
    while (end.toWrite.length > 0 && connection.queuedBytes === 0) {
      const bytes = end.toWrite.shift() as Buffer;
      connection.write(bytes, 0, bytes.length, this.random.chance(0.5));
    }
    if (end.isClosing && end.toWrite.length === 0) connection.close(this.now);
  }

  #transmit(end: End): void {
    if (end.connection.hasOutput) end.connection.transmit(this.now, (segment) => this.#send(end, segment));
  }

  #send(from: End, segment: OutgoingSegment): number {
    const bytes = Buffer.alloc(60 + segment.length);
    const head = { ...segment, sourcePort: 1, destinationPort: 2 };
    const start = encodeSegmentHead(bytes, 0, { ...head, sequence: segment.sequence });
    if (!segment.copyPayload(bytes, start)) throw new Error('the bytes are gone');
    const frame = bytes.subarray(0, start + segment.length);
    from.segmentsSent++;
    const { lose = 0, duplicate = 0, drop } = this.#options;
    const isLost = drop?.(decodeSegment(frame, 0, frame.length) as TcpSegment, from) ?? this.random.chance(lose);
    if (!isLost) this.#put(from, frame);
    if (!isLost && this.random.chance(duplicate)) this.#put(from, Buffer.from(frame));
    return 0;
  }

  #put(from: End, bytes: Buffer): void {
    const { delayMs = 10, reorder = 0 } = this.#options;
    const factor = this.random.chance(reorder) ? 1 + 2 * this.random.next() : 1;
    this.#wire.push({ at: this.now + delayMs * factor, order: this.#order++, bytes, to: this.otherOf(from) });
  }
}

/** Bytes that differ from place to place, in pieces as a program writes them. */
export function writeRandomly(end: End, byteLength: number, random: Random): string {
  const hash = createHash('sha256');
  let left = byteLength;
  while (left > 0) {
    const length = Math.min(left, random.chance(0.5) ? 1 + random.below(2_000) : 1 + random.below(60_000));
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = random.below(256);
    hash.update(bytes);
    end.toWrite.push(bytes);
    left -= length;
  }
  return hash.digest('hex');
}
