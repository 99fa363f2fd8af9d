/**
 * ServerWorld: one simulated day of a server: `serve` with a router, real connections, the real epoll loop, on a simulated
 * kernel with a simulated clock, and a crowd of clients.
 *
 * One seed is one course of events. Promises are Node's own: after each call of the program the world waits for one real
 * macrotask, before which Node has settled all that could be settled. So turns never run into each other, as they do not
 * in life, and no promise waits for anything but simulated events. `trace` sums up every system call and its result: two
 * days with one seed have the same, or the simulation is none.
 *
 * Next: days.ts
 */

import assert from 'node:assert/strict';
import type { Commons } from '../../http/commons.ts';
import type { HttpRequest } from '../../http/index.ts';
import { Server } from '../../http/serve.ts';
import { EpollLoop } from '../../simplenet/epoll/epoll-loop.ts';
import { EMFILE, ENFILE, ENOBUFS, ENOMEM, EPOLL_CTL_ADD } from '../../simplenet/kernel/abi.ts';
import type { Libc } from '../../simplenet/kernel/libc.ts';
import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import type { Listener, OnConnection, Stream } from '../../simplenet/loop/event-loop.ts';
import type { ListenOptions } from '../../simplenet/sockets/socket-options.ts';
import { Random } from '../simulation/random.ts';
import { noFaults } from '../simulation/simulated-faults.ts';
import { SimulatedHost } from '../simulation/simulated-host.ts';
import { SimulatedKernel } from '../simulation/simulated-kernel.ts';
import { Client, type ClientWorld, scriptOf, temperOf, type VerdictSettings } from './client.ts';
import type { Exchange } from './exchange.ts';
import { ExchangeMaker } from './exchange-maker.ts';
import { crowded, type Setting, settingOf } from './setting.ts';
import { SimulatedSite, type SiteWorld } from './simulated-site.ts';
import { Weather } from './weather.ts';

export interface DayOptions {
  readonly seed: number;
  /** How many clients there are, all at the same time; otherwise the seed decides. */
  readonly connections?: number;
}

export interface Day {
  /** All system calls, their results and their moments, in one number. */
  readonly trace: number;
  readonly tally: ReadonlyMap<string, number>;
  readonly simulatedMs: number;
}

const MAX_FILES = 1_000_000;
/** The most bytes of one answer that is handed over at once, and of the buffer in which answers are put together. */
const LARGEST_WRITE_BYTES = 45_000;
const OUTPUT_BYTES = 65_536;
/** Longer than everything that a client may have to wait for, one after the other. */
const PATIENCE_MS = 20_000;
const WEATHER_CHANGES = 0.002;
const MAX_ACTS = 6;

/** Some of the worlds do as Node does and carry out in a microtask what is to be done soon. */
class PromptHost extends SimulatedHost {
  override soon(callback: () => void): void {
    queueMicrotask(() => {
      try {
        callback();
      } catch (error) {
        this.raise(error);
      }
    });
  }
}

/** Knows the streams of the server, whose queues must stay short. */
class WatchedLoop extends EpollLoop {
  readonly streams = new Set<Stream>();

  override listen(address: SocketAddress, onConnection: OnConnection, options?: ListenOptions): Listener {
    const watching: OnConnection = (stream) => {
      this.streams.add(stream);
      return onConnection(stream);
    };
    return super.listen(address, watching, options);
  }
}

/** Counts the parsers that connections have borrowed. */
class LentParsers {
  count = 0;

  constructor(commons: Commons) {
    const borrow = commons.borrowParser.bind(commons);
    const giveBack = commons.returnParser.bind(commons);
    commons.borrowParser = () => {
      this.count++;
      return borrow();
    };
    commons.returnParser = (parser) => {
      this.count--;
      giveBack(parser);
    };
  }
}

/** What accept4(2) returns when the server makes room. */
const shortages: readonly number[] = [EMFILE, ENFILE, ENOBUFS, ENOMEM];

interface Accepted {
  readonly port: number;
  /** When it was accepted, if the server was full then; else -1. */
  readonly fullAt: number;
  isWatched: boolean;
  readBytes: number;
}

export class ServerWorld implements ClientWorld, SiteWorld {
  readonly kernel: SimulatedKernel;
  readonly address: SocketAddress;
  readonly settings: VerdictSettings;
  readonly isLenient: boolean;
  readonly graceMs: number;
  stoppedAt = -1;
  readonly #setting: Setting;
  readonly #random: Random;
  readonly #host: SimulatedHost;
  readonly #loop: WatchedLoop;
  readonly #server: Server;
  readonly #lentParsers: LentParsers;
  readonly #weather: Weather;
  readonly #maker: ExchangeMaker;
  readonly #tally = new Map<string, number>();
  readonly #clients: Client[] = [];
  readonly #byId = new Map<number, [Client, Exchange]>();
  readonly #byPort = new Map<number, Client>();
  readonly #accepted = new Map<number, Accepted>();
  readonly #turnedAway = new Set<number>();
  readonly #evicted = new Set<number>();
  /** When the server last needed room for another connection. */
  #pressedAt = Number.NEGATIVE_INFINITY;
  #opened = 0;
  #over = 0;
  #unsettled = 0;
  #lookAt = 0;
  #trace = 0;
  #failure: unknown = null;
  #closedAt = -1;

  constructor({ seed, connections }: DayOptions) {
    this.#random = new Random(seed ^ 0x5e11);
    const usual = settingOf(this.#random);
    const setting = connections === undefined ? usual : crowded(usual, connections);
    this.#setting = setting;
    const { limits, timeouts, loop, sendBufferBytes, receiveBufferBytes, stepMs } = setting;
    this.settings = { ...timeouts, ...limits, tickMs: loop.tickMs, receiveBufferBytes: loop.receiveBufferBytes };
    this.isLenient = stepMs > 0;
    this.graceMs = setting.graceMs;
    this.kernel = new SimulatedKernel({ seed, maxFiles: MAX_FILES, sendBufferBytes, receiveBufferBytes });
    const isPrompt = this.#random.chance(0.5);
    this.#host = isPrompt
      ? new PromptHost(this.kernel, { seed, stepMs })
      : new SimulatedHost(this.kernel, { seed, stepMs });
    this.#loop = new WatchedLoop(this.#watching(this.kernel.libc), this.#host, loop);
    const onError = (error: unknown, request: HttpRequest | null) => this.#reported(error, request);
    const site = new SimulatedSite(this);
    this.#server = new Server(site.router, { port: 80, limits, timeouts, onError }, () => this.#loop);
    this.#lentParsers = new LentParsers(this.#server.commons);
    this.address = this.#server.address;
    this.#maker = new ExchangeMaker(this.#random);
    this.kernel.faults = setting.faults;
    this.#weather = new Weather(this.kernel, this.#random, setting.faults);
    this.#host.bystander = this.#crowd;
  }

  /** Lives it through to its end, and throws where something is wrong. */
  async run(): Promise<Day> {
    const startedAt = this.now();
    await this.#until(() => this.#over >= this.#setting.connections);
    if (this.stoppedAt < 0) this.#stop();
    await this.#until(() => this.#closedAt >= 0);
    this.#checkStop();
    this.kernel.faults = { ...noFaults };
    await this.#until(() => this.#isQuiet);
    this.#checkEnd();
    for (const [fault, count] of Object.entries(this.kernel.happened)) this.count(`fault: ${fault}`, count);
    for (const [call, count] of this.kernel.calls) this.count(`call: ${call}`, count);
    return { trace: this.#trace >>> 0, tally: this.#tally, simulatedMs: this.now() - startedAt };
  }

  now(): number {
    return this.#host.now();
  }

  wallNow(): number {
    return this.#host.wallNow();
  }

  after(ms: number, callback: () => void): void {
    this.#host.alarm(ms, callback);
  }

  wakeAfter(ms: number): void {
    this.#host.alarm(ms, () => {});
  }

  count(what: string, more = 1): void {
    this.#tally.set(what, (this.#tally.get(what) ?? 0) + more);
  }

  get isStopping(): boolean {
    return this.#server.isStopping;
  }

  begin(id: number): Exchange {
    const [client, exchange] = this.#byId.get(id) ?? assert.fail(`a request that nobody sent: ${id}`);
    client.begin(exchange);
    exchange.begunAt = this.now();
    this.#unsettled++;
    this.count('handlers begun');
    return exchange;
  }

  settled(exchange: Exchange): void {
    assert.equal(exchange.settledAt, -1);
    exchange.settledAt = this.now();
    this.#unsettled--;
  }

  fail(error: unknown): void {
    this.#failure ??= error;
  }

  wasTurnedAway(port: number): boolean {
    return this.#turnedAway.has(port);
  }

  wasEvicted(port: number): boolean {
    return this.#evicted.has(port);
  }

  connected(client: Client): void {
    this.#byPort.set(client.port, client);
    this.count('connections');
  }

  ended(client: Client): void {
    this.#over++;
    this.#clients.splice(this.#clients.indexOf(client), 1);
    const waitedMs = this.now() - Math.max(client.lastActiveAt, client.lastReadAt);
    // In a storm of EMFILE a whole queue of them is turned away, one after the other.
    const wasKept = client.begun > 0 || !this.wasTurnedAway(client.port);
    if (!this.isLenient && wasKept && waitedMs > PATIENCE_MS)
      assert.fail(`nothing for ${waitedMs} ms: ${client.describe()}`);
  }

  async #until(condition: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      const { calls } = this.#host;
      if (condition()) return;
      this.#isQuiet = !this.#host.step();
      if (this.#isQuiet && this.#closedAt < 0) throw new Error(`nothing can happen any more: ${this.#describe()}`);
      if (this.#host.calls === calls && !this.#isStirred) continue;
      this.#isStirred = false;
      await new Promise(setImmediate);
      this.#checkStep();
    }
  }

  /** Nothing could happen any more. */
  #isQuiet = false;
  /** The program was called from outside of a step. */
  #isStirred = false;

  #crowd = {
    world: this,
    get canAct(): boolean {
      return this.world.#canCrowdAct();
    },
    act(): void {
      this.world.#letCrowdAct();
    },
  };

  #canCrowdAct(): boolean {
    if (this.#clients.length < this.#setting.atOnce && this.#opened < this.#setting.connections) return true;
    return this.#nextActor() !== null;
  }

  /** The next one that can act, from where we looked last. */
  #nextActor(): Client | null {
    const { length } = this.#clients;
    for (let i = 0; i < length; i++) {
      const client = this.#clients[(this.#lookAt + i) % length] as Client;
      if (!client.canAct) continue;
      this.#lookAt = (this.#lookAt + i) % length;
      return client;
    }
    return null;
  }

  #letCrowdAct(): void {
    const isRoom = this.#clients.length < this.#setting.atOnce && this.#opened < this.#setting.connections;
    if (isRoom) this.#open();
    if (this.#random.chance(WEATHER_CHANGES)) {
      this.#weather.change(
        (ms, callback) => this.after(ms, callback),
        (what) => this.count(what),
      );
    }
    for (let acts = 1 + this.#random.below(MAX_ACTS + this.#clients.length / 10); acts > 0; acts--) {
      this.#lookAt = this.#random.below(Math.max(1, this.#clients.length));
      const client = this.#nextActor();
      if (client === null) break;
      client.act();
    }
    if (this.#over >= this.#setting.stopsAfter && this.stoppedAt < 0) this.#stop();
  }

  #open(): void {
    this.#opened++;
    const script = scriptOf(this.#random, this.#maker);
    const bytes = script.reduce((sum, exchange) => sum + exchange.wire.length, 0);
    const client = new Client(this, this.#random, script, temperOf(this.#random, bytes));
    for (const exchange of script) this.#byId.set(exchange.id, [client, exchange]);
    this.#clients.push(client);
  }

  #stop(): void {
    this.stoppedAt = this.now();
    this.#isStirred = true;
    if (this.#over < this.#setting.connections) this.count('stops in the middle');
    void this.#server.close({ graceMs: this.graceMs }).then(() => {
      this.#closedAt = this.now();
    });
  }

  /** What must hold at every moment. */
  #checkStep(): void {
    if (this.kernel.violations.length > 0) throw new Error(this.kernel.violations.join('; '));
    if (this.#host.raised.length > 0) throw this.#host.raised[0];
    const most = this.#setting.limits.answerBufferBytes + LARGEST_WRITE_BYTES + OUTPUT_BYTES;
    for (const stream of this.#loop.streams) {
      const { queuedBytes } = stream;
      if (queuedBytes > most) assert.fail(`${queuedBytes} bytes are queued`);
      if (queuedBytes === 0 && stream.isEnded) this.#loop.streams.delete(stream);
    }
    assert.ok(this.#lentParsers.count <= this.#server.connectionCount, 'a parser was not given back');
  }

  #checkStop(): void {
    const tookMs = this.#closedAt - this.stoppedAt;
    const isInTime = tookMs <= this.graceMs;
    assert.ok(isInTime || this.isLenient, `it took ${tookMs} ms to stop, with a grace of ${this.graceMs} ms`);
  }

  #checkEnd(): void {
    assert.equal(this.#server.connectionCount, 0);
    assert.equal(this.#lentParsers.count, 0, 'parsers that were not given back');
    assert.equal(this.#loop.openCount, 0);
    assert.equal(this.#unsettled, 0, 'handlers that were begun and not settled');
    assert.equal(this.#host.alarmCount, 0);
    assert.equal(this.#host.isAlive(), false);
    assert.deepEqual(this.kernel.report(), []);
    for (const [, exchange] of this.#byId.values()) {
      const isReported = exchange.reports === 1 || (exchange.deed !== 'throw' && exchange.deed !== 'reject');
      assert.ok(isReported || exchange.settledAt < 0, `the error of request ${exchange.id} was not reported`);
    }
  }

  /** The log of the server: each entry must be an error that was planned. */
  #reported(error: unknown, request: HttpRequest | null): void {
    const message = error instanceof Error ? error.message : String(error);
    const id = Number(/\/(\d+)$/.exec(request?.path ?? '')?.[1]);
    const exchange = this.#byId.get(id)?.[1];
    const { deed, begunAt } = exchange ?? {};
    const isFlood = deed === 'flood' && message === 'too much is queued for the client: await each write()';
    const isThrown = message === `planned ${id}` && (deed === 'throw' || deed === 'reject' || deed === 'break');
    const isPlanned = isThrown || isFlood;
    const isForgotten = deed === 'forget' && message === 'the handler ended before its response was complete';
    const isLate =
      message.startsWith('no response began within') && this.now() - (begunAt ?? Infinity) >= this.settings.answerMs;
    if (exchange === undefined || !(isPlanned || isForgotten || isLate)) this.fail(error);
    else if (isPlanned && ++exchange.reports > 1) this.fail(new Error(`reported twice: ${message}`));
    this.count('errors in the log');
  }

  /** The table of the program, with a look at what it does. */
  #watching(libc: Libc): Libc {
    const table: Record<string, (...args: never[]) => number> = {};
    for (const [i, [name, call]] of Object.entries(libc).entries()) {
      table[name] = (...args: never[]) => {
        const result = (call as (...args: never[]) => number)(...args);
        this.#mix(i);
        this.#mix(result);
        this.#mix(this.kernel.nowMs);
        return result;
      };
    }
    const watching = table as unknown as Libc;
    const { accept4, recv, close, epoll_ctl: control } = watching;
    return {
      ...watching,
      accept4: (fd, address, length, flags) => {
        const result = accept4(fd, address, length, flags);
        const isFull = this.#server.connectionCount >= this.#setting.limits.connections;
        if (isFull || shortages.includes(-result)) this.#pressedAt = this.now();
        if (result >= 0 && address !== null) {
          const port = (address[2] as number) * 256 + (address[3] as number);
          this.#accepted.set(result, { port, fullAt: isFull ? this.now() : -1, isWatched: false, readBytes: 0 });
        }
        return result;
      },
      recv: (fd, bytes, offset, length, flags) => {
        const accepted = this.#accepted.get(fd);
        const result = recv(fd, bytes, offset, length, flags);
        if (accepted !== undefined && result > 0) {
          accepted.readBytes += result;
          this.#checkReadAhead(accepted);
        }
        return result;
      },
      epoll_ctl: (epoll, operation, fd, event) => {
        const accepted = this.#accepted.get(fd);
        if (accepted !== undefined && operation === EPOLL_CTL_ADD) accepted.isWatched = true;
        const result = control(epoll, operation, fd, event);
        if (result < 0 && operation === EPOLL_CTL_ADD) this.#pressedAt = this.now(); // to the listener, it is a shortage as well
        return result;
      },
      close: (fd) => {
        const accepted = this.#accepted.get(fd);
        this.#accepted.delete(fd);
        if (accepted !== undefined) this.#judgeClose(accepted);
        return close(fd);
      },
    };
  }

  /** A connection that closes right after another has come, or could not, is taken to have made room for that. */
  #judgeClose({ port, fullAt, isWatched, readBytes }: Accepted): void {
    const isTooMany = fullAt >= 0 && readBytes === 0 && this.now() - fullAt < this.settings.tickMs;
    if (isTooMany || !isWatched) {
      this.#turnedAway.add(port);
      this.count(isTooMany ? 'turned away: too many' : 'turned away: no descriptor');
    } else if (this.now() - this.#pressedAt < this.settings.tickMs) {
      this.#evicted.add(port);
    }
  }

  #checkReadAhead({ port, readBytes }: Accepted): void {
    try {
      this.#byPort.get(port)?.checkReadAhead(readBytes);
    } catch (error) {
      this.fail(error);
    }
  }

  #mix(value: number): void {
    this.#trace = Math.imul(this.#trace ^ value, 0x01000193) ^ (this.#trace >>> 13);
  }

  #describe(): string {
    const clients = this.#clients.map((client) => client.describe());
    return [`at ${this.now()} ms, stopped at ${this.stoppedAt}`, ...clients, ...this.kernel.openFds()].join('\n  ');
  }
}
