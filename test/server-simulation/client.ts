/**
 * Client: one simulated client, its requests, its temper, and all that it knows.
 *
 * It cuts its requests anywhere, sends ahead or waits, reads at once or when it likes, thinks, stalls, half-closes, leaves and
 * resets. It sits on the test's own side of the simulated kernel, where no call fails, and keeps account: of what it has
 * sent, of what it was answered, of when. Each answer and the end of its connection is put before verdict.ts.
 *
 * Next: verdict.ts
 */

import assert from 'node:assert/strict';
import {
  AF_INET,
  EAGAIN,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  MSG_DONTWAIT,
  SHUT_WR,
  SO_LINGER,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../simplenet/kernel/abi.ts';
import { encodeSocketAddress, type SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import type { Random } from '../simulation/random.ts';
import type { SimulatedKernel } from '../simulation/simulated-kernel.ts';
import { SimulatedTcpSocket } from '../simulation/simulated-tcp-socket.ts';
import { type StrictResponse, StrictResponseReader } from '../support/strict-responses.ts';
import { type Exchange, isLastOfStop } from './exchange.ts';
import type { ExchangeMaker } from './exchange-maker.ts';
import { excuseFor, judgeAnswer, judgeContinue } from './verdict.ts';

/** How it reads. A `pausing` one does nothing for long and then reads all. */
export type Reading = 'prompt' | 'slow' | 'pausing';

/** What it does when it has sent all it wants to send, which may be in the middle of a request. */
export type Leaving = 'wait' | 'half-close' | 'close' | 'reset';

export interface Temper {
  /** The most bytes of one send. */
  readonly pieceBytes: number;
  /** Requests under way at a time. */
  readonly ahead: number;
  readonly reading: Reading;
  readonly thinks: number;
  readonly leaving: Leaving;
  /** Stops sending at this byte of its whole script. */
  readonly sendsBytes: number;
  /** Goes on sending after a response that says close. */
  readonly isRude: boolean;
  /** Sends a body without waiting for 100 Continue. */
  readonly isImpatient: boolean;
}

export interface ClientWorld {
  readonly kernel: SimulatedKernel;
  readonly stoppedAt: number;
  readonly graceMs: number;
  readonly isLenient: boolean;
  readonly address: SocketAddress;
  readonly settings: VerdictSettings;
  now(): number;
  wallNow(): number;
  /** Lets time reach that moment even if nothing else happens. */
  wakeAfter(ms: number): void;
  count(what: string, more?: number): void;
  /** Whether the server has closed the connection with that port without ever reading from it, for want of descriptors. */
  wasTurnedAway(port: number): boolean;
  /** Whether the connection with that port closed when room was needed for another. */
  wasEvicted(port: number): boolean;
  connected(client: Client): void;
  ended(client: Client): void;
}

export interface VerdictSettings {
  readonly headerMs: number;
  readonly idleMs: number;
  readonly bodyGraceMs: number;
  readonly answerMs: number;
  readonly writeMs: number;
  readonly lingerMs: number;
  readonly tickMs: number;
  readonly receiveBufferBytes: number;
  readonly bodyBufferBytes: number;
  readonly discardBytes: number;
  readonly answerBufferBytes: number;
  readonly requestsPerConnection: number;
}

const MAX_READ = 65_536;
const MAX_CRUMBLED_BYTES = 1_500;
const ALL = 1_000_000;
const readBuffer = Buffer.alloc(MAX_READ);
const LINGER_NOW = Buffer.from(new Int32Array([1, 0]).buffer);

export function temperOf(random: Random, scriptBytes: number): Temper {
  const isCalm = random.chance(0.5);
  const stops = !isCalm && random.chance(0.35);
  return {
    // Byte by byte, the long ones would take all the time there is.
    pieceBytes: random.pick([scriptBytes < MAX_CRUMBLED_BYTES ? 3 : 300, 300, 3_000, ALL, ALL, ALL]),
    ahead: random.pick([1, 4, 20, 100]),
    reading: isCalm ? 'prompt' : random.pick(['prompt', 'prompt', 'slow', 'pausing']),
    thinks: random.pick([0, 0.05]),
    leaving: random.pick(stops ? ['wait', 'half-close', 'close', 'reset'] : ['wait', 'half-close', 'close']),
    sendsBytes: stops ? random.below(scriptBytes) : scriptBytes,
    isRude: random.chance(0.3),
    isImpatient: random.chance(0.5),
  };
}

/** What a client wants to say, from its first byte to its last. */
export function scriptOf(random: Random, maker: ExchangeMaker): Exchange[] {
  const count = random.chance(0.05) ? 0 : 1 + random.below(random.chance(0.3) ? 120 : 15);
  const script: Exchange[] = [];
  for (let i = 0; i < count; i++) script.push(maker.make(i, i === count - 1 && random.chance(0.3)));
  const isInvalid = random.chance(0.08);
  if (isInvalid) script.push(maker.makeInvalid(count));
  else if (random.chance(0.04)) script.push(maker.makeUpgrade(count));
  // Behind the end, or what should be the end, there may be more: it must not be answered.
  for (let more = random.chance(isInvalid ? 0.7 : 0.1) ? 3 : 0; more > 0; more--) {
    script.push(maker.make(script.length, false));
  }
  return script;
}

type Stage = 'new' | 'connecting' | 'open' | 'over';

export class Client {
  readonly script: readonly Exchange[];
  readonly temper: Temper;
  readonly reader = new StrictResponseReader(
    () => this.#isNextToHead,
    (response) => this.#take(response),
  );
  readonly connectedAt: number;
  port = 0;
  /** Final answers so far: the next one is for the exchange of that index. */
  answered = 0;
  /** Exchanges whose handler was called; the next one has this index or a higher one. */
  begun = 0;
  /** An answer has said that it is the last. */
  isClosing = false;
  isUpgraded = false;
  hasHalfClosed = false;
  /** It ended the connection itself. */
  hasLeft = false;
  lastActiveAt: number;
  lastReadAt: number;
  /** What it read lately, so as to know whether it is slow: [when, bytes]. */
  readonly reads: [number, number][] = [];
  readonly #world: ClientWorld;
  readonly #random: Random;
  /** At which byte of the script each exchange begins. */
  readonly #starts: readonly number[];
  #stage: Stage = 'new';
  #fd = -1;
  #file: SimulatedTcpSocket | null = null;
  /** Where it is in its script. */
  #current = 0;
  #offset = 0;
  #sentBytes = 0;
  #sendsAt = 0;
  #readsAt = 0;
  #tunnelSent = 0;
  #hasFailed = false;
  readonly #tunnelReceived: Buffer[] = [];

  constructor(world: ClientWorld, random: Random, script: readonly Exchange[], temper: Temper) {
    this.#world = world;
    this.#random = random;
    this.script = script;
    this.temper = temper;
    let start = 0;
    this.#starts = script.map((exchange) => {
      start += exchange.wire.length;
      return start - exchange.wire.length;
    });
    this.connectedAt = world.now();
    this.lastActiveAt = world.now();
    this.lastReadAt = world.now();
  }

  get isOver(): boolean {
    return this.#stage === 'over';
  }

  /** The kernel has broken the connection: what happens to it now is not an error. */
  get wasBroken(): boolean {
    return this.#file?.wasBroken === true;
  }

  /** What it waits for: shown if it waits without end. */
  describe(): string {
    const exchange = this.script[this.answered];
    return (
      `client of port ${this.port}, ${this.#stage}, ${JSON.stringify(this.temper)}, sent ${this.#sentBytes} bytes, answered ` +
      `${this.answered} of ${this.script.length}, next ${exchange?.deed} ${JSON.stringify({ ...exchange, wire: 0, body: exchange?.body?.length, content: 0, tunnel: 0, answer: 0, signal: 0 })}, ` +
      `waits for ${this.reader.waitsFor}`
    );
  }

  /** Whether `act` would do something now. */
  get canAct(): boolean {
    if (this.#stage === 'over') return false;
    if (this.#stage === 'new') return this.#sendsAt <= this.#world.now();
    const readiness = (this.#file as SimulatedTcpSocket).readiness();
    if (this.#stage === 'connecting') return (readiness & (EPOLLOUT | EPOLLERR | EPOLLHUP)) !== 0;
    return this.#mayRead(readiness) || this.#maySend(readiness);
  }

  act(): void {
    if (this.#stage === 'new') {
      this.#connect();
      return;
    }
    if (this.#stage === 'connecting') this.#stage = 'open';
    const readiness = (this.#file as SimulatedTcpSocket).readiness();
    const [mayRead, maySend] = [this.#mayRead(readiness), this.#maySend(readiness)];
    if (mayRead && (!maySend || this.#random.chance(0.5))) this.#read();
    else if (maySend) this.#send();
  }

  /** The server has taken so many of its bytes. Throws where that is more than it has any use for. */
  checkReadAhead(bytes: number): void {
    const { settings } = this.#world;
    const current = this.script[this.begun - 1];
    if (current === undefined || current.settledAt >= 0 || current.answeredAt >= 0 || current.invalid !== null) return;
    // By then it may have been refused: what still comes is read and dropped.
    if (this.hasHalfClosed || this.#world.now() - current.begunAt >= settings.bodyGraceMs) return;
    const end = (this.#starts[current.index] as number) + current.wire.length;
    // One recv may wait for an answer to leave before anybody counts, and one more may come before the stream is paused.
    const { bodyBufferBytes, receiveBufferBytes } = settings;
    const most = Math.max(bodyBufferBytes, receiveBufferBytes) + receiveBufferBytes;
    if (bytes - end > most) assert.fail(`${bytes - end} bytes were read ahead, behind request ${current.id}`);
    if (current.deed !== 'sip' || current.isChunked) return;
    const waiting = Math.min(bytes, end) - (end - (current.body as Buffer).length) - current.readBytes;
    if (waiting > most) assert.fail(`${waiting} bytes of the body of request ${current.id} wait for its handler`);
  }

  /** Its request has reached a handler. Throws where that must not be. */
  begin(exchange: Exchange): void {
    assert.ok(exchange.headSentAt >= 0, `request ${exchange.id} was begun before it was sent`);
    assert.equal(exchange.begunAt, -1, `request ${exchange.id} was begun twice`);
    assert.ok(exchange.index >= this.begun, `request ${exchange.id} was begun after a later one`);
    for (const earlier of this.script.slice(this.begun, exchange.index)) {
      assert.equal(earlier.deed, 'none', `request ${exchange.id} was begun, but not ${earlier.id} before it`);
    }
    for (const earlier of this.script.slice(Math.max(0, this.begun - 1), exchange.index)) {
      assert.equal(earlier.invalid, null, `request ${exchange.id} was begun behind a malformed one`);
      const isLast = earlier.isLast || earlier.handlerCloses || isLastOfStop(earlier, this.script[earlier.index + 1]);
      assert.ok(!isLast, `request ${exchange.id} was begun though the answer to ${earlier.id} was the last`);
      const isDone = earlier.deed === 'none' || earlier.answeredAt >= 0;
      assert.ok(isDone, `request ${exchange.id} was begun before ${earlier.id} was answered`);
    }
    assert.ok(!this.isClosing, `request ${exchange.id} was begun after the last answer`);
    this.begun = exchange.index + 1;
    this.lastActiveAt = this.#world.now();
  }

  #mayRead(readiness: number): boolean {
    if ((readiness & (EPOLLERR | EPOLLHUP)) !== 0) return true;
    return this.#readsAt <= this.#world.now() && (readiness & EPOLLIN) !== 0;
  }

  #maySend(readiness: number): boolean {
    if (this.#sendsAt > this.#world.now() || this.hasHalfClosed) return false;
    return this.#hasSaidAll ? this.#mayLeave : (readiness & EPOLLOUT) !== 0 && this.#mayGoOn;
  }

  /** It has nothing more to say, or has no wish to go on. */
  get #hasSaidAll(): boolean {
    if (this.isUpgraded) return this.#tunnelSent === this.#tunnel.length;
    if (this.isClosing && !this.temper.isRude) return true;
    return this.#sentBytes >= this.temper.sendsBytes || this.#current === this.script.length;
  }

  get #mayLeave(): boolean {
    if (this.isUpgraded) return true;
    if (this.temper.leaving === 'wait') return false;
    const isCutShort = this.#current < this.script.length && !this.isClosing;
    return isCutShort || this.temper.leaving !== 'close' || this.answered === this.script.length || this.isClosing;
  }

  get #tunnel(): Buffer {
    return this.script[this.answered - 1]?.tunnel ?? Buffer.alloc(0);
  }

  /** Whether it wants to send more of its script at this moment. */
  get #mayGoOn(): boolean {
    if (this.isUpgraded) return true;
    const exchange = this.script[this.#current] as Exchange;
    if (this.#offset === 0 && this.#current - this.answered >= this.temper.ahead) return false;
    const before = this.script[this.#current - 1];
    // What is sent behind an upgrade belongs to the other protocol.
    if (this.#offset === 0 && before?.answer?.status === 101 && this.answered < this.#current) return false;
    const waits = exchange.expectsContinue && !this.temper.isImpatient && this.#offset === exchange.headBytes;
    return !waits || exchange.gotContinue || this.answered > this.#current;
  }

  #connect(): void {
    const { kernel, address } = this.#world;
    const libc = kernel.peerLibc;
    this.#fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (this.#fd < 0) {
      this.#sendsAt = this.#world.now() + 50; // there are no descriptors left just now
      this.#world.wakeAfter(50);
      return;
    }
    this.#file = kernel.fileOf(this.#fd) as SimulatedTcpSocket;
    const bytes = encodeSocketAddress(address);
    libc.connect(this.#fd, bytes, bytes.length);
    assert.ok(this.#file instanceof SimulatedTcpSocket);
    const { local } = this.#file;
    if (local !== null && 'port' in local) this.port = local.port;
    this.#stage = 'connecting';
    this.lastActiveAt = this.#world.now();
    this.#world.connected(this);
  }

  #send(): void {
    this.lastActiveAt = this.#world.now();
    if (this.#hasSaidAll) this.#leave();
    else if (this.isUpgraded) this.#sendTunnel();
    else this.#sendScript();
    if (this.#random.chance(this.temper.thinks)) this.#sendsAt = this.#pause(1 + this.#random.below(60));
  }

  #pause(ms: number): number {
    this.#world.wakeAfter(ms);
    return this.#world.now() + ms;
  }

  /** Several requests may leave in one send. */
  #sendScript(): void {
    const parts: Buffer[] = [];
    let left = Math.min(1 + this.#random.below(this.temper.pieceBytes), this.temper.sendsBytes - this.#sentBytes);
    const [startCurrent, startOffset] = [this.#current, this.#offset];
    while (left > 0 && this.#current < this.script.length && this.#mayGoOn) {
      const exchange = this.script[this.#current] as Exchange;
      const waits = exchange.expectsContinue && !this.temper.isImpatient && this.#offset < exchange.headBytes;
      const end = waits ? exchange.headBytes : exchange.wire.length;
      const part = exchange.wire.subarray(this.#offset, Math.min(end, this.#offset + left));
      parts.push(part);
      left -= part.length;
      this.#move(part.length);
    }
    [this.#current, this.#offset] = [startCurrent, startOffset];
    const bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    const sent = this.#world.kernel.peerLibc.send(this.#fd, bytes, 0, bytes.length, MSG_DONTWAIT);
    if (sent < 0) {
      this.#receiveAll(); // an RST has come: what arrived before it can still be read
      return;
    }
    this.#sentBytes += sent;
    this.#note(sent);
  }

  /** Without looking at the clock: where it would be. */
  #move(count: number): void {
    this.#offset += count;
    if (this.#offset < (this.script[this.#current] as Exchange).wire.length) return;
    this.#current++;
    this.#offset = 0;
  }

  /** Moves on, and writes down when. */
  #note(sent: number): void {
    const now = this.#world.now();
    for (let left = sent; left > 0; ) {
      const exchange = this.script[this.#current] as Exchange;
      const count = Math.min(left, exchange.wire.length - this.#offset);
      if (exchange.firstSentAt < 0) exchange.firstSentAt = now;
      if (exchange.lineSentAt < 0 && this.#offset + count > exchange.emptyBytes) exchange.lineSentAt = now;
      if (exchange.headSentAt < 0 && this.#offset + count >= exchange.headBytes) exchange.headSentAt = now;
      if (this.#offset + count === exchange.wire.length) {
        exchange.sentAt = now;
        this.#world.count('requests sent');
      }
      left -= count;
      this.#move(count);
    }
  }

  #sendTunnel(): void {
    const tunnel = this.#tunnel;
    const end = Math.min(tunnel.length, this.#tunnelSent + 1 + this.#random.below(this.temper.pieceBytes));
    const sent = this.#world.kernel.peerLibc.send(
      this.#fd,
      tunnel,
      this.#tunnelSent,
      end - this.#tunnelSent,
      MSG_DONTWAIT,
    );
    if (sent < 0) this.#receiveAll();
    else this.#tunnelSent += sent;
  }

  #leave(): void {
    const { kernel } = this.#world;
    const { leaving } = this.temper;
    if (this.isUpgraded || leaving === 'half-close' || leaving === 'wait') {
      this.hasHalfClosed = true;
      kernel.peerLibc.shutdown(this.#fd, SHUT_WR);
      this.#world.count('clients that half-closed');
      return;
    }
    this.hasLeft = true;
    this.#world.count(leaving === 'close' ? 'clients that closed' : 'clients that reset');
    if (leaving === 'reset') kernel.peerLibc.setsockopt(this.#fd, SOL_SOCKET, SO_LINGER, LINGER_NOW, LINGER_NOW.length);
    this.#end();
  }

  #read(): void {
    const { reading } = this.temper;
    const now = this.#world.now();
    const most = reading === 'slow' ? 1 + this.#random.below(600) : MAX_READ;
    if (!this.#receive(most)) return;
    if (reading === 'slow' && this.#random.chance(0.3)) this.#readsAt = this.#pause(1 + this.#random.below(200));
    if (reading === 'pausing' && this.#random.chance(0.1)) {
      this.#readsAt = this.#pause(this.#random.pick([100, 700, 4_000]));
    }
    this.lastReadAt = now;
  }

  /** One recv. False: that was the end. */
  #receive(most: number): boolean {
    const length = this.#world.kernel.peerLibc.recv(this.#fd, readBuffer, 0, most, MSG_DONTWAIT);
    if (length === -EAGAIN) return true;
    const now = this.#world.now();
    if (length > 0) {
      this.lastActiveAt = now;
      if (this.temper.reading !== 'prompt') this.reads.push([now, length]);
      const bytes = readBuffer.subarray(0, length);
      if (this.isUpgraded) this.#tunnelReceived.push(Buffer.from(bytes));
      else this.#push(bytes);
      return true;
    }
    const isFin = length === 0 && !this.#hasFailed;
    if (isFin) this.reader.end();
    this.#ended(isFin ? 'FIN' : 'RST');
    return false;
  }

  #receiveAll(): void {
    this.#hasFailed = true; // the kernel has told of the RST, and will not do so again
    const news = EPOLLIN | EPOLLERR | EPOLLHUP;
    while (!this.isOver && ((this.#file as SimulatedTcpSocket).readiness() & news) !== 0) this.#receive(MAX_READ);
  }

  #push(bytes: Buffer): void {
    this.reader.push(bytes);
    // A 101 upgrades the client within this call: the bytes behind it belong to the other protocol.
    if (this.isUpgraded) this.#tunnelReceived.push(this.reader.rest);
  }

  get #isNextToHead(): boolean {
    const exchange = this.script[this.answered];
    // The server cannot know from half a head that the method is HEAD.
    return exchange?.method === 'HEAD' && exchange.begunAt >= 0;
  }

  #take(answer: StrictResponse): void {
    const exchange = this.script[this.answered];
    const shown = `${answer.status} to request ${exchange?.id}`;
    assert.ok(!this.isClosing, `${shown}: an answer after the last one`);
    assert.ok(exchange !== undefined && exchange.firstSentAt >= 0, `${shown}: an answer that nobody asked for`);
    if (answer.status === 100) {
      judgeContinue(exchange);
      exchange.gotContinue = true;
      this.#world.count('100 Continue');
      return;
    }
    const kind = judgeAnswer(this, exchange, answer, this.#world);
    this.#world.count(`answers: ${kind}`);
    this.#world.count('answers');
    exchange.receivedAt = this.#world.now();
    this.answered++;
    this.isClosing = answer.fields.includes('Connection: close');
    this.isUpgraded = answer.status === 101;
  }

  #ended(how: 'FIN' | 'RST'): void {
    const excuse = this.isUpgraded ? this.#excuseOfTunnel(how) : excuseFor(this, how, this.#world);
    this.#world.count(`ends: ${excuse}`);
    this.#end();
  }

  #excuseOfTunnel(how: 'FIN' | 'RST'): string {
    const received = Buffer.concat(this.#tunnelReceived);
    const said = this.#tunnel;
    assert.ok(received.equals(said.subarray(0, received.length)), 'what comes back through a tunnel is what went in');
    if (this.wasBroken) return 'broken by the kernel';
    if (this.script[this.answered - 1]?.deed === 'hang up') return 'upgraded and closed';
    if (this.#world.stoppedAt >= 0) return 'the server stops';
    if (how === 'FIN' && received.length === this.#tunnelSent) return 'upgraded';
    assert.fail(`a tunnel ends with ${how}, ${received.length} bytes back: ${this.describe()}`);
  }

  #end(): void {
    this.#stage = 'over';
    this.#world.kernel.peerLibc.close(this.#fd);
    this.#world.ended(this);
  }
}
