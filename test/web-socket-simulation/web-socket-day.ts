/**
 * WebSocketDay: `serve` with a WebSocket on the simulated kernel, and a crowd of clients, from the first handshake to the stop of the server. One seed is one course of
 * events.
 *
 * Each message of a client reaches the program once, in order and exactly; so does each message of the program its client; or the connection is gone, for a
 * reason that is known. `close` comes once for each `open`. In the end nothing is left.
 *
 * Next: web-socket-simulation.test.ts
 */

import assert from 'node:assert/strict';
import { Router, type ServerWebSocket, type WebSocketCallbacks } from '../../http/index.ts';
import { Server } from '../../http/serve.ts';
import { webSocketWith } from '../../http/websocket/web-socket-handler.ts';
import { webSocketSettings } from '../../http/websocket/web-socket-options.ts';
import { EpollLoop } from '../../simplenet/epoll/epoll-loop.ts';
import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { defaultLoopLimits } from '../../simplenet/loop/loop-limits.ts';
import { Random } from '../simulation/random.ts';
import { allFaults, noFaults, type SimulatedFaults } from '../simulation/simulated-faults.ts';
import { SimulatedHost } from '../simulation/simulated-host.ts';
import { SimulatedKernel } from '../simulation/simulated-kernel.ts';
import { faults, type Message, messageOf, PROGRAM_CODE, planOf, SLOW_EXTENSION } from './plan.ts';
import { extensionFor } from './slow-extension.ts';
import { type PeerWorld, WebSocketPeer } from './web-socket-peer.ts';

interface Data {
  readonly id: number;
}

/** What the program knows of a connection. */
interface Known {
  readonly ws: ServerWebSocket<Data>;
  readonly peer: WebSocketPeer;
  delivered: number;
  awaitsDrain: boolean;
  /** How the program, or a limit, ends it. */
  ends: 'close' | 'terminate' | 'too slow' | null;
  closed: number | null;
}

const GOING_AWAY = 1_001;
const TRY_AGAIN_LATER = 1_013;
const MAX_STEPS = 400_000;
const BURST = 3;
/** The longest header of a frame of a server. */
const MAX_HEADER_BYTES = 10;

function faultsOf(random: Random): SimulatedFaults {
  const factor = random.pick([0, 0.3, 1]);
  const entries = Object.entries({ ...allFaults, reset: allFaults.reset / 4 });
  return { ...noFaults, ...Object.fromEntries(entries.map(([name, rate]) => [name, rate * factor])) };
}

export class WebSocketDay implements PeerWorld {
  readonly kernel: SimulatedKernel;
  readonly address: SocketAddress;
  readonly tally = new Map<string, number>();
  readonly #random: Random;
  readonly #host: SimulatedHost;
  readonly #loop: EpollLoop;
  readonly #server: Server;
  readonly #peers: WebSocketPeer[] = [];
  readonly #known = new Map<number, Known>();
  readonly #maxQueuedBytes: number;
  readonly #whenFull: 'drop' | 'close';
  readonly #idleTimeoutMs: number;
  readonly #isPartialScarce: boolean;
  readonly #graceMs: number;
  readonly #stopsAfter: number;
  readonly #isSlowWorld: boolean;
  readonly #handler: ReturnType<typeof webSocketWith<Data, Readonly<Record<string, string>>>>;
  #failure: unknown = null;
  #isStopping = false;
  #isClosed = false;
  #isQuiet = false;
  #published = 0;

  constructor(seed: number, peers: number) {
    const random = new Random(seed ^ 0x3b5c);
    this.#random = random;
    const sendBufferBytes = random.pick([2_400, 8_192, 30_000]);
    const receiveBufferBytes = random.pick([1_200, 8_192, 30_000]);
    this.kernel = new SimulatedKernel({ seed, maxFiles: 1_000, sendBufferBytes, receiveBufferBytes });
    this.#isSlowWorld = random.chance(0.25);
    this.#host = new SimulatedHost(this.kernel, { seed, stepMs: this.#isSlowWorld ? 1 : 0 });
    const loopLimits = { maxEventsPerTurn: random.pick([1, 4, 256]), receiveBufferBytes: random.pick([512, 65_536]) };
    this.#loop = new EpollLoop(this.kernel.libc, this.#host, { ...defaultLoopLimits, ...loopLimits, tickMs: 1 });
    this.#whenFull = random.pick(['drop', 'close']);
    this.#idleTimeoutMs = random.pick([2_000, 60_000, Number.POSITIVE_INFINITY]);
    this.#isPartialScarce = random.chance(0.2);
    this.#graceMs = random.pick([0, 100, 5_000]);
    this.#stopsAfter = random.chance(0.3) ? random.below(peers) : Number.POSITIVE_INFINITY;
    this.#maxQueuedBytes = random.pick([10_000, 1_000_000]);
    const settings = webSocketSettings({
      whenFull: this.#whenFull,
      maxQueuedBytes: this.#maxQueuedBytes,
      idleTimeoutMs: this.#idleTimeoutMs,
      ...(this.#isPartialScarce ? { maxPartialBytes: 8_000 } : {}),
    });
    const extension = extensionFor(random, (ms, callback) => void this.#host.alarm(ms, callback));
    this.#handler = webSocketWith<Data, Readonly<Record<string, string>>>(this.#callbacks(), settings, extension);
    const onError = (error: unknown): void => {
      this.#failure ??= error;
    };
    const router = new Router().get('/:id', this.#handler);
    this.#server = new Server(router, { port: 80, onError }, () => this.#loop);
    this.address = this.#server.address;
    for (let id = 0; id < peers; id++) this.#peers.push(new WebSocketPeer(id, planOf(random, id), this, random));
    this.kernel.faults = faultsOf(random);
    this.#host.bystander = this.#crowd;
  }

  /** Lives it through to its end. */
  async run(): Promise<this> {
    await this.#until(() => this.#peers.every((peer) => peer.isOver || this.#isJustWaiting(peer)));
    this.#stop();
    await this.#until(() => this.#isClosed);
    this.kernel.faults = { ...noFaults };
    await this.#until(() => this.#isQuiet);
    this.#checkEnd();
    for (const [fault, count] of Object.entries(this.kernel.happened)) this.count(`fault: ${fault}`, count);
    return this;
  }

  now(): number {
    return this.#host.now();
  }

  wakeAfter(ms: number): void {
    this.#host.alarm(ms, () => {});
  }

  count(what: string, more = 1): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + more);
  }

  /** Why the connection ended, as its client sees it. */
  excuse(peer: WebSocketPeer): string {
    if (peer.wasBroken) return 'broken by the kernel';
    const known = this.#known.get(peer.id);
    if (peer.closed !== null) {
      const reason = this.#reasonOf(peer.closed, peer, known);
      // A connection that is refused does not wait for its extension.
      const mayLack = peer.plan.offer === SLOW_EXTENSION && (reason === 'refused' || reason === 'made room');
      if (!mayLack) {
        assert.ok(peer.hasAll, `messages before the close frame: ${peer.describe()}`);
      }
      return reason;
    }
    if (!peer.hasUpgraded) {
      if (this.#isStopping) return 'stopped before it was open';
      if (peer.wasTooLate && peer.plan.pauseMs > 0) return 'asked too slowly';
      const { tooManyFiles, noBuffers, connectionAborted } = this.kernel.happened;
      if (tooManyFiles + noBuffers + connectionAborted > 0) return 'turned away';
    }
    if (known?.ends === 'terminate') return 'terminated';
    if (known?.ends === 'too slow') return 'read too slowly';
    if (peer.hasMisbehaved === 'half-close') return 'half-closed';
    const isSlow = peer.plan.pauseMs > 0 || peer.plan.readBytes < 1_000 || this.#isSlowWorld;
    if (peer.plan.isDeaf) return 'deaf';
    if (this.#isStopping && (isSlow || this.#graceMs < 1_000)) return 'the grace is over';
    if (isSlow) return 'slow';
    assert.fail(`it ended for no reason at ${this.now()}: ${peer.describe()}`);
  }

  #reasonOf(code: number, peer: WebSocketPeer, known: Known | undefined): string {
    if (this.#isStopping && code === GOING_AWAY) return 'the server stops';
    if (known?.ends === 'close' && code === PROGRAM_CODE) return 'closed by the program';
    if (this.#isPartialScarce && code === TRY_AGAIN_LATER) return 'made room';
    const fault = faults[peer.hasMisbehaved as keyof typeof faults] as { readonly code: number } | undefined;
    if (fault?.code === code) return 'refused';
    if (peer.hasAskedForClose && peer.closeSent === code) return 'closed by the client';
    assert.fail(`closed with ${code} for no reason: ${peer.describe()}`);
  }

  #isJustWaiting(peer: WebSocketPeer): boolean {
    const { leaving, messages } = peer.plan;
    const isDone = peer.sentMessages === messages.length && peer.hasAll;
    return leaving === 'wait' && peer.hasUpgraded && isDone && this.#known.get(peer.id)?.delivered === messages.length;
  }

  async #until(condition: () => boolean): Promise<void> {
    for (let steps = 0; !condition(); steps++) {
      if (steps === MAX_STEPS) assert.fail(`it takes too long: ${this.#describe()}`);
      const { calls } = this.#host;
      this.#isQuiet = !this.#host.step();
      if (this.#host.calls !== calls) await new Promise(setImmediate);
      if (this.#failure !== null) throw this.#failure;
      if (this.#host.raised.length > 0) throw this.#host.raised[0];
      if (this.kernel.violations.length > 0) assert.fail(this.kernel.violations.join('; '));
      if (this.#isQuiet && !condition()) assert.fail(`nothing can happen any more: ${this.#describe()}`);
    }
  }

  #describe(): string {
    const left = this.#peers.filter((peer) => !peer.isOver).map((peer) => peer.describe());
    return [`at ${this.now()} ms`, ...left].join('\n');
  }

  #crowd = {
    world: this,
    get canAct(): boolean {
      return this.world.#peers.some((peer) => peer.canAct);
    },
    act(): void {
      const { world } = this;
      const able = world.#peers.filter((peer) => peer.canAct);
      world.#attempt(() => world.#random.pick(able).act());
      if (!world.#isStopping && world.#peers.filter((peer) => peer.isOver).length > world.#stopsAfter) {
        world.count('stops in the middle');
        world.#stop();
      }
    },
  };

  #attempt(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#failure ??= error;
    }
  }

  #stop(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    void this.#server.close({ graceMs: this.#graceMs }).then(() => {
      this.#isClosed = true;
    });
  }

  // The program.

  #callbacks(): WebSocketCallbacks<Data> {
    const known = (ws: ServerWebSocket<Data>) => this.#known.get(ws.data.id) as Known;
    return {
      upgrade: (request) => ({ id: Number(request.params.id) }),
      open: (ws) => {
        const peer = this.#peers[ws.data.id] as WebSocketPeer;
        assert.equal(this.#known.has(ws.data.id), false, 'open comes once');
        this.#known.set(ws.data.id, { ws, peer, delivered: 0, awaitsDrain: false, ends: null, closed: null });
        ws.subscribe('all');
        this.count('opened');
      },
      message: (ws, data) => this.#delivered(known(ws), data),
      drain: (ws) => {
        assert.ok(known(ws).awaitsDrain, 'drain comes after send has returned false');
        known(ws).awaitsDrain = false;
        this.count('drains');
      },
      pong: () => this.count('pongs of clients'),
      close: (ws, code) => this.#closed(known(ws), code),
    };
  }

  #delivered(known: Known, data: string | Buffer): void {
    const { peer, delivered, ws } = known;
    const expected = peer.plan.messages[delivered];
    const shown = `message ${delivered} of ${peer.describe()}`;
    assert.equal(known.closed, null, `${shown} comes after close`);
    assert.ok(expected !== undefined, `${shown} was never sent`);
    assert.equal(typeof data === 'string', expected.isText, shown);
    assert.ok(Buffer.from(data as string).equals(expected.data), `${shown} is not what was sent`);
    known.delivered++;
    this.count('messages to the program');
    const deed = peer.plan.deeds[delivered];
    if (deed === 'echo') this.#send(known, expected);
    else if (deed === 'burst') {
      for (let i = 0; i < BURST; i++) this.#send(known, messageOf(this.#random, `burst ${i} for ${delivered}`));
    } else if (deed === 'publish') this.#publish();
    else if (deed === 'ping') ws.ping('are you there?');
    else if (deed === 'close') {
      known.ends = 'close';
      ws.close(PROGRAM_CODE, 'enough');
    } else if (deed === 'terminate') {
      known.ends = 'terminate';
      ws.terminate();
    }
  }

  #send(known: Known, message: Message): void {
    const { ws } = known;
    const { isOpen, queuedBytes } = ws;
    const isTaken = ws.send(message.isText ? message.data.toString() : message.data);
    if (isOpen) this.#note(known, message, queuedBytes, !isTaken);
    else assert.equal(isTaken, false, 'a connection that closes takes no message');
  }

  #publish(): void {
    const message = messageOf(this.#random, `published ${this.#published++}`);
    const readers = [...this.#known.values()].filter(({ ws }) => ws.isOpen);
    const before = readers.map(({ ws }) => ws.queuedBytes);
    const count = this.#handler.publish('all', message.isText ? message.data.toString() : message.data);
    assert.ok(count >= readers.length, 'those that close have subscribed as well');
    for (const [i, known] of readers.entries()) this.#note(known, message, before[i] as number, true);
    this.count('published');
  }

  /** The client must get it, unless it was dropped, which may only be if the queue was full. */
  #note(known: Known, message: Message, before: number, mayWait: boolean): void {
    const { ws, peer } = known;
    if (mayWait) known.awaitsDrain = true;
    const isFull = mayWait && before > 0 && before + message.data.length + MAX_HEADER_BYTES > this.#maxQueuedBytes;
    if (ws.isOpen) peer.expected.push({ ...message, mayBeDropped: isFull && this.#whenFull === 'drop' });
    else {
      assert.ok(isFull && this.#whenFull === 'close', `cut at ${before} bytes: ${peer.describe()}`);
      this.count('full: close');
      known.ends = 'too slow';
    }
  }

  #closed(known: Known, code: number): void {
    const { peer } = known;
    assert.equal(known.closed, null, 'close comes once');
    known.closed = code;
    this.count(`close: ${code}`);
    const isClients = peer.hasAskedForClose && known.ends === null && !this.#isStopping && peer.closeSent === code;
    if (isClients) {
      assert.equal(known.delivered, peer.plan.sends, `messages before the close frame: ${peer.describe()}`);
    }
  }

  #checkEnd(): void {
    for (const peer of this.#peers) assert.ok(peer.isOver, peer.describe());
    for (const { closed, peer } of this.#known.values()) assert.notEqual(closed, null, `no close: ${peer.describe()}`);
    assert.equal(this.#handler.subscribers('all'), 0);
    assert.equal(this.#server.connectionCount, 0);
    assert.equal(this.#loop.openCount, 0);
    assert.equal(this.#host.alarmCount, 0);
    assert.deepEqual(this.kernel.report(), []);
  }
}
