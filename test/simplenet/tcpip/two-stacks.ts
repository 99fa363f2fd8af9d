/**
 * Two stacks, one bad wire, and programs that do what programs do: many connections at once, writes of all sizes, pauses, half-closes,
 * ends of every kind, closed ports. One seed is one course of events.
 *
 * The verdict of a seed: what a side has received is a beginning of what the other has written, and all of it where the stream says that it
 * has ended well. If neither program has broken a connection off, either both ends are good, or both sides have an error. At the end
 * nothing is left: no stream, no entry in a table, no timer.
 */

import { SystemError } from '../../../simplenet/kernel/system-error.ts';
import type { Listener, Stream, StreamHandler } from '../../../simplenet/loop/event-loop.ts';
import { createWire, type WireOptions } from '../../../simplenet/tcpip/link/simulated-wire.ts';
import { createStack, type Stack, type StackOptions } from '../../../simplenet/tcpip/stack.ts';
import { Random } from '../../simulation/random.ts';
import { SimulatedHost } from '../../simulation/simulated-host.ts';
import { SimulatedKernel } from '../../simulation/simulated-kernel.ts';

const ADDRESSES = ['10.9.0.1', '10.9.0.2'] as const;
const PORT = 80;
const CLOSED_PORT = 81;
const ID_BYTES = 4;
const MAX_STEPS = 20_000_000;
/** Longer than every wait of TCP together: retransmission, orphans, FIN_WAIT_2, TIME_WAIT. */
const MAX_DAY_MS = 3_600_000;

/** A peer that has gone without a word must be noticed, so both sides probe. */
const limits: Partial<StackOptions> = {
  keepAliveIdleMs: 60_000,
  keepAliveIntervalMs: 5_000,
  arpRequests: 20,
  tickMs: 10,
};

type Final = 'end' | 'end after the peer' | 'close' | 'abort' | 'deadline';

const finals: readonly Final[] = ['end', 'end', 'end', 'end', 'end after the peer', 'close', 'abort', 'deadline'];

export interface Outcome {
  /** What is wrong, or null. */
  readonly problem: string | null;
  readonly tally: ReadonlyMap<string, number>;
}

/** One side of one connection. */
class Party implements StreamHandler {
  readonly #day: Day;
  readonly #id: number;
  readonly final: Final;
  peer: Party | null = null;
  stream: Stream | null = null;
  writtenBytes = 0;
  /** Bytes that the stream has promised to send even after `close`. */
  acceptedBytes = 0;
  receivedBytes = 0;
  isOpen = false;
  hasEnded = false;
  isPeerEnded = false;
  hasBrokenOff = false;
  /** More than one connection has its bytes. */
  isDisputed = false;
  closed: { error: SystemError | null } | null = null;
  #senderId = 0;
  #idBytes = 0;
  #writesLeft: number;
  #maxBytes: number;
  #awaitsDrain = false;

  constructor(day: Day, id: number, maxBytes: number, isClient: boolean) {
    this.#day = day;
    this.#id = id;
    this.#maxBytes = maxBytes;
    const final = day.random.pick(finals);
    // If both waited for the other, both would wait without end.
    this.final = isClient && final === 'end after the peer' ? 'end' : final;
    this.#writesLeft = day.random.below(8);
  }

  get name(): string {
    return `party ${this.#id}`;
  }

  onOpen(stream: Stream): void {
    this.stream = stream;
    this.isOpen = true;
    const head = Buffer.alloc(ID_BYTES);
    head.writeUInt32BE(this.#id);
    this.#write(head, false);
    this.#goOnSoon();
  }

  onData(stream: Stream, bytes: Buffer): void {
    for (const byte of bytes) {
      if (this.#idBytes < ID_BYTES) {
        this.#senderId = this.#senderId * 256 + byte;
        this.#idBytes++;
        if (this.#idBytes === ID_BYTES) this.#day.join(this, this.#senderId);
      } else if (byte !== byteAt(this.#senderId, this.receivedBytes)) {
        this.#day.blame(`${this.name}: byte ${this.receivedBytes} of ${this.#senderId} is ${byte}`);
        return;
      }
      this.receivedBytes++;
    }
    if (this.#day.random.chance(0.05)) this.#pause(stream);
  }

  onEnd(): void {
    this.isPeerEnded = true;
    if (this.final === 'end after the peer' && this.#writesLeft === 0) this.#finish();
  }

  onDrain(): void {
    this.acceptedBytes = this.writtenBytes;
    if (!this.#awaitsDrain) return;
    this.#awaitsDrain = false;
    this.#goOnSoon();
  }

  onClose(_stream: Stream, error: SystemError | null): void {
    if (this.closed !== null) this.#day.blame(`${this.name} has closed twice`);
    this.closed = { error };
    this.#day.openParties--;
  }

  #pause(stream: Stream): void {
    stream.pause();
    this.#day.after(this.#day.random.below(2_000), () => stream.resume());
  }

  #goOnSoon(): void {
    const { random } = this.#day;
    const delayMs = random.chance(0.5) ? 0 : random.below(random.chance(0.1) ? 5_000 : 200);
    this.#day.after(delayMs, () => this.#goOn());
  }

  #goOn(): void {
    if (this.closed !== null || this.hasEnded) return;
    if (this.#writesLeft === 0) {
      if (this.final !== 'end after the peer' || this.isPeerEnded) this.#finish();
      return;
    }
    this.#writesLeft--;
    const { random } = this.#day;
    const length = random.chance(0.3) ? random.below(20) : random.below(this.#maxBytes);
    const bytes = Buffer.allocUnsafeSlow(length);
    for (let i = 0; i < length; i++) bytes[i] = byteAt(this.#id, this.writtenBytes + i);
    if (this.#write(bytes, random.chance(0.5))) this.#goOnSoon();
    else this.#awaitsDrain = true;
  }

  #write(bytes: Buffer, isOwned: boolean): boolean {
    const stream = this.stream as Stream;
    this.writtenBytes += bytes.length;
    const hasRoom = isOwned ? stream.writeOwned(bytes) : stream.write(bytes);
    if (!isOwned) bytes.fill(0xee); // the caller may reuse them
    if (hasRoom) this.acceptedBytes = this.writtenBytes;
    return hasRoom;
  }

  #finish(): void {
    const stream = this.stream as Stream;
    this.hasEnded = true;
    switch (this.final) {
      case 'end':
      case 'end after the peer':
        stream.end();
        return;
      case 'close':
        this.hasBrokenOff = true;
        stream.close();
        return;
      case 'abort':
        this.hasBrokenOff = true;
        stream.abort();
        return;
      default:
        this.hasBrokenOff = true;
        stream.setDeadline(this.#day.random.below(3_000));
    }
  }

  /** What is wrong with the way from `peer` to here. */
  judge(): string | null {
    const { peer } = this;
    if (this.closed === null) return `${this.name} was never closed`;
    if (peer === null || this.isDisputed) return null;
    const told = `${this.name} has ${this.receivedBytes} of the ${peer.writtenBytes} bytes of ${peer.name}`;
    if (this.receivedBytes > peer.writtenBytes) return told;
    if (this.#idBytes === ID_BYTES && this.#senderId !== peer.#id) return `${told}, but bytes of ${this.#senderId}`;
    const isWhole = this.receivedBytes === peer.writtenBytes;
    const mayBeCut = peer.final === 'close' || peer.final === 'deadline';
    if (this.isPeerEnded && !isWhole && !(mayBeCut && this.receivedBytes >= peer.acceptedBytes)) {
      return `${told}, and an end`;
    }
    const error = this.closed.error;
    if (this.hasBrokenOff || peer.hasBrokenOff) return null;
    if (error === null && !isWhole) return `${told}, and no error`;
    return null;
  }
}

/** Every connection has bytes of its own, so bytes of another one are noticed. */
function byteAt(id: number, offset: number): number {
  return (Math.imul(id, 0x9e3779b1) ^ Math.imul(offset + (offset >>> 8), 0x85ebca6b)) >>> 24;
}

class Day {
  readonly random: Random;
  readonly tally = new Map<string, number>();
  openParties = 0;
  readonly #host: SimulatedHost;
  readonly #stacks: readonly [Stack, Stack];
  readonly #parties: Party[] = [];
  readonly #listeners: Listener[] = [];
  #problem: string | null = null;
  #pendingAlarms = 0;
  readonly #maxBytes: number;

  constructor(seed: number) {
    const random = new Random(Math.imul(seed, 7919) + 29);
    this.random = random;
    this.#host = new SimulatedHost(new SimulatedKernel({ seed }), { seed, stepMs: random.pick([0, 0, 1]) });
    const links = createWire(wireFor(seed, random));
    const isSmall = random.chance(0.5);
    this.#maxBytes = isSmall ? 50 : random.pick([1_000, 20_000, 50_000]);
    const stackOf = (index: 0 | 1): Stack => {
      const own: Partial<StackOptions> = {
        sendBufferBytes: isSmall ? random.pick([1, 10, 500]) : random.pick([3_000, 65_536]),
        receiveBufferBytes: isSmall ? random.pick([1, 10, 500]) : random.pick([5_000, 65_535, 262_144]),
        congestion: random.pick(['cubic', 'new-reno']),
        backlog: random.pick([1, 2, 512]),
        maxEventsPerTurn: random.pick([1, 4, 256]),
        firstEphemeralPort: random.chance(0.2) ? 65_530 : 49_152,
      };
      const identity = {
        link: links[index],
        address: `${ADDRESSES[index]}/24`,
        host: this.#host,
        seed: seed * 2 + index,
      };
      return createStack({ ...limits, ...own, ...identity });
    };
    this.#stacks = [stackOf(0), stackOf(1)];
  }

  blame(problem: string): void {
    this.#problem ??= problem;
  }

  after(delayMs: number, callback: () => void): void {
    this.#pendingAlarms++;
    this.#host.alarm(delayMs, () => {
      this.#pendingAlarms--;
      callback();
    });
  }

  run(): Outcome {
    try {
      for (const index of [0, 1] as const) this.#listen(index);
      const count = 1 + this.random.below(this.random.chance(0.1) ? 40 : 6);
      for (let i = 0; i < count; i++) {
        this.after(this.random.below(3_000), () => this.#connect(this.random.pick([0, 1])));
      }
      this.#runUntil(() => this.#pendingAlarms === 0 && this.openParties === 0, 'all streams have closed');
      this.#judge();
      this.#end();
    } catch (error) {
      this.blame(error instanceof Error ? `${error.stack}` : String(error));
    }
    return { problem: this.#problem, tally: this.tally };
  }

  #listen(index: 0 | 1): void {
    const listener = this.#stacks[index].listen({ address: '0.0.0.0', port: PORT }, (stream) => {
      const party = this.#newParty(false);
      party.onOpen(stream);
      return party;
    });
    this.#listeners.push(listener);
  }

  /** The party has received the number of the other side. */
  join(party: Party, senderId: number): void {
    const sender = this.#parties[senderId - 1];
    if (sender === undefined) {
      this.blame(`${party.name} has bytes of nobody, ${senderId}`);
    } else if (party.peer === null && sender.peer === null) {
      party.peer = sender;
      sender.peer = party;
    } else if (party.peer !== sender) {
      // A late copy of the first segment brings its cookie again, and so opens a connection after the end of the true one. Its client answers with RST.
      if (this.#stacks.every((stack) => stack.statistics.cookiesAccepted === 0)) {
        this.blame(`${party.name} has bytes of ${sender.name}, whose peer is ${sender.peer?.name}`);
      }
      this.#count('opened again by an old cookie');
      for (const disputed of [party, sender, party.peer, sender.peer])
        if (disputed !== null) disputed.isDisputed = true;
    }
  }

  #newParty(isClient: boolean): Party {
    const party = new Party(this, this.#parties.length + 1, this.#maxBytes, isClient);
    this.#parties.push(party);
    this.openParties++;
    return party;
  }

  #connect(index: 0 | 1): void {
    const isRefused = this.random.chance(0.15);
    const party = this.#newParty(true);
    const to = { address: ADDRESSES[1 - index] as string, port: isRefused ? CLOSED_PORT : PORT };
    const connectTimeoutMs = this.random.chance(0.1) ? 1 + this.random.below(500) : 400_000;
    if (connectTimeoutMs < 400_000) party.hasBrokenOff = true;
    try {
      this.#stacks[index].connect(to, party, { connectTimeoutMs });
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== 'EADDRNOTAVAIL') throw error;
      this.#count('no port was free');
      party.onClose(null as unknown as Stream, error);
    }
  }

  #count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }

  #judge(): void {
    for (const party of this.#parties) {
      const problem = party.judge();
      if (problem !== null) this.blame(problem);
      const error = party.closed?.error ?? null;
      this.#count(error === null ? 'a good end' : `${error.syscall} ${error.code}`);
      if (!party.isOpen || party.peer === null || party.hasBrokenOff || party.peer.hasBrokenOff) continue;
      this.#count('neither side has broken off');
      // The other side has an error as well, or it had ended well before: then only the acknowledgment of its FIN was missing.
      if (error !== null) this.#count('gave up');
    }
  }

  /** Nothing may be left. */
  #end(): void {
    for (const listener of this.#listeners) listener.close();
    const isEmpty = (stack: Stack) => stack.openCount === 0 && leftIn(stack) === '';
    this.#runUntil(() => this.#stacks.every(isEmpty), 'the tables are empty');
    for (const stack of this.#stacks) stack.close();
    this.#runUntil(() => this.#host.alarmCount === 0, 'no timer is left');
    if (this.#host.isAlive()) this.blame('something keeps the process alive');
    if (this.#host.raised.length > 0) this.blame(`raised: ${(this.#host.raised[0] as Error).stack}`);
  }

  #runUntil(condition: () => boolean, what: string): void {
    const until = this.#host.now() + MAX_DAY_MS;
    const isOver = () => this.#problem !== null || condition() || this.#host.now() > until;
    this.#host.run(isOver, MAX_STEPS);
    if (!condition()) this.blame(`in vain: ${what}; ${this.#stacks.map(leftIn).join(' | ')}`);
  }
}

function wireFor(seed: number, random: Random): WireOptions {
  const isBad = random.chance(0.8);
  const upTo = (most: number): number => (isBad ? random.next() * most : 0);
  const mtu = random.pick([1500, 1500, 576, 9000, 100]);
  return {
    seed,
    mtu,
    lose: upTo(0.2),
    duplicate: upTo(0.1),
    reorder: upTo(0.2),
    corrupt: upTo(0.05),
    delayMs: random.pick([0, 1, 20, 150]),
    jitterMs: random.pick([0, 5, 50]),
    reorderMs: random.pick([3, 30, 300]),
    bytesPerSecond: random.pick([Number.POSITIVE_INFINITY, 1_000_000, 50_000]),
    // A router that never has room for a full frame is a black hole, and no network.
    queueBytes: Math.max(2 * mtu, random.pick([3_000, 20_000, 262_144])),
    capacityBytes: random.pick([20_000, 16_777_216]),
  };
}

/** What a stack still keeps for connections, as text; '' if nothing. */
function leftIn(stack: Stack): string {
  const { connections, timeWaits, orphans, incompletePackets, waitingBytes } = stack.statistics;
  const left = Object.entries({ connections, timeWaits, orphans, incompletePackets, waitingBytes });
  return left
    .filter(([, count]) => count !== 0)
    .map(([name, count]) => `${name}: ${count}`)
    .join(', ');
}

/** Runs one seed. */
export function runTwoStacks(seed: number): Outcome {
  return new Day(seed).run();
}

export interface Sum {
  /** What is wrong, with the seeds. */
  readonly problems: readonly string[];
  readonly seeds: number;
  readonly tally: ReadonlyMap<string, number>;
}

/** Runs so many seeds, or as many as fit into the time. */
export function runSeeds(first: number, count: number, budgetMs = Number.POSITIVE_INFINITY): Sum {
  const startedAt = performance.now();
  const problems: string[] = [];
  const sum = new Map<string, number>();
  let seeds = 0;
  while (seeds < count && performance.now() - startedAt < budgetMs) {
    const { problem, tally } = runTwoStacks(first + seeds);
    if (problem !== null) problems.push(`SEED=${first + seeds}: ${problem}`);
    for (const [what, times] of tally) sum.set(what, (sum.get(what) ?? 0) + times);
    seeds++;
  }
  return { problems, seeds, tally: sum };
}

/** Nearly all connections that no program breaks off end well, also at 20 % loss. A fault of ours would show in far more. */
export function mayHaveGivenUp(tally: ReadonlyMap<string, number>): boolean {
  return (tally.get('gave up') ?? 0) <= 2 + (tally.get('neither side has broken off') ?? 0) / 50;
}
