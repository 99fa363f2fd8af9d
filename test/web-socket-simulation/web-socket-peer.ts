/**
 * WebSocketPeer: one simulated client. It cuts its frames anywhere, reads when it likes, answers pings and closes or not, breaks the protocol, leaves; and checks
 * everything that comes: each message is the next one that the program has sent, and an end has a reason.
 *
 * Next: slow-extension.ts
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
import type { SimulatedTcpSocket } from '../simulation/simulated-tcp-socket.ts';
import { upgradeRequest } from '../support/web-socket-client.ts';
import {
  BINARY,
  CLOSE,
  clientFrame,
  closeOf,
  PING,
  PONG,
  type ServerFrame,
  serverFrames,
  TEXT,
} from '../support/web-socket-frames.ts';
import { extensionOf, type PeerExtension } from './peer-deflate.ts';
import { faults, framesOf, type Message, type Plan } from './plan.ts';

export interface PeerWorld {
  readonly kernel: SimulatedKernel;
  readonly address: SocketAddress;
  now(): number;
  /** Lets time reach that moment even if nothing else happens. */
  wakeAfter(ms: number): void;
  count(what: string): void;
  /** Throws if the connection may not end like this. Returns the reason. */
  excuse(peer: WebSocketPeer): string;
}

interface ExpectedMessage extends Message {
  /** It was sent while the queue was full. */
  readonly mayBeDropped: boolean;
}

type Stage = 'new' | 'connecting' | 'open' | 'over';

const LINGER_NOW = Buffer.from(new Int32Array([1, 0]).buffer);
/** A close frame had none. */
const NO_CODE = 1_005;
const HEAD_END = '\r\n\r\n';
const readBuffer = Buffer.alloc(65_536);

export class WebSocketPeer {
  readonly id: number;
  readonly plan: Plan;
  /** What the program has sent here, in its order. */
  readonly expected: ExpectedMessage[] = [];
  /** How many of them have come, or were dropped before one that has come. */
  received = 0;
  /** Messages that are sent whole. */
  sentMessages = 0;
  /** What our close frame says; null if there is none. */
  closeSent: number | null = null;
  /** Our close frame came before that of the server. */
  hasAskedForClose = false;
  /** What the close frame of the server says. */
  closed: number | null = null;
  /** It has broken the protocol, or left without a close frame. */
  hasMisbehaved: keyof typeof faults | 'half-close' | 'reset' | null = null;
  hasUpgraded = false;
  /** It took too long to ask. */
  wasTooLate = false;
  readonly #world: PeerWorld;
  readonly #random: Random;
  #extension: PeerExtension | null = null;
  #stage: Stage = 'new';
  #fd = -1;
  #file: SimulatedTcpSocket | null = null;
  /** Frames, or the request, that are not sent yet. `ends`: a message is complete with it. */
  #out: { bytes: Buffer; readonly ends: boolean; readonly isControl: boolean }[] = [];
  #sentOfFirst = 0;
  #rest: Buffer = Buffer.alloc(0);
  #begun = 0;
  #restsUntil = 0;
  #pings: string[] = [];
  #hasLeft = false;

  constructor(id: number, plan: Plan, world: PeerWorld, random: Random) {
    this.id = id;
    this.plan = plan;
    this.#world = world;
    this.#random = random;
    const { offer } = plan;
    const fields = offer === '' ? {} : { 'Sec-WebSocket-Extensions': offer };
    this.#push(Buffer.from(upgradeRequest(`/${id}`, fields)));
  }

  /** Everything has come that was not dropped. */
  get hasAll(): boolean {
    return this.expected.slice(this.received).every(({ mayBeDropped }) => mayBeDropped);
  }

  get isOver(): boolean {
    return this.#stage === 'over';
  }

  get wasBroken(): boolean {
    return this.#file?.wasBroken === true;
  }

  /** It has left by itself, and does not look at what comes. */
  get hasReset(): boolean {
    return this.hasMisbehaved === 'reset';
  }

  describe(): string {
    const { messages, ...plan } = this.plan;
    return JSON.stringify({
      ...{ id: this.id, stage: this.#stage, received: this.received, expected: this.expected.length },
      ...{ sent: this.sentMessages, of: messages.length, out: this.#out.length },
      ...{ closeSent: this.closeSent, closed: this.closed, misbehaved: this.hasMisbehaved },
      ...plan,
    });
  }

  get canAct(): boolean {
    if (this.#stage === 'over' || this.#restsUntil > this.#world.now()) return false;
    if (this.#stage === 'new') return true;
    const readiness = (this.#file as SimulatedTcpSocket).readiness();
    if (this.#stage === 'connecting') return (readiness & (EPOLLOUT | EPOLLERR | EPOLLHUP)) !== 0;
    return (readiness & (EPOLLIN | EPOLLERR | EPOLLHUP)) !== 0 || this.#maySend(readiness);
  }

  act(): void {
    if (this.#stage === 'new') {
      this.#connect();
      return;
    }
    if (this.#stage === 'connecting') this.#stage = 'open';
    const readiness = (this.#file as SimulatedTcpSocket).readiness();
    const mayRead = (readiness & (EPOLLIN | EPOLLERR | EPOLLHUP)) !== 0;
    if (this.#maySend(readiness) && (!mayRead || this.#random.chance(0.5))) this.#send();
    else if (mayRead) this.#receive();
    const { pauseMs } = this.plan;
    if (pauseMs > 0 && this.#random.chance(0.1)) {
      this.#restsUntil = this.#world.now() + pauseMs;
      this.#world.wakeAfter(pauseMs);
    }
  }

  #connect(): void {
    const { kernel, address } = this.#world;
    this.#fd = kernel.peerLibc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    this.#file = kernel.fileOf(this.#fd) as SimulatedTcpSocket;
    const bytes = encodeSocketAddress(address);
    kernel.peerLibc.connect(this.#fd, bytes, bytes.length);
    this.#stage = 'connecting';
    this.#world.count('connections');
  }

  #maySend(readiness: number): boolean {
    if (this.#hasLeft || (readiness & EPOLLOUT) === 0) return false;
    return this.#out.length > 0 || (this.hasUpgraded && this.closeSent === null && this.#hasMore);
  }

  get #hasMore(): boolean {
    return this.#begun < this.plan.sends || this.plan.leaving !== 'wait';
  }

  #push(bytes: Buffer, ends = false): void {
    this.#out.push({ bytes, ends, isControl: false });
  }

  /** A control frame goes before what waits, but not into the middle of a frame, and not before another control frame. */
  #pushControl(opcode: number, payload: Uint8Array): void {
    let at = this.#sentOfFirst > 0 ? 1 : 0;
    while (this.#out[at]?.isControl === true) at++;
    this.#out.splice(at, 0, { bytes: clientFrame(opcode, payload), ends: false, isControl: true });
  }

  #send(): void {
    if (this.#out.length === 0) this.#sayMore();
    const [first] = this.#out;
    if (first === undefined) return;
    const end = Math.min(first.bytes.length, this.#sentOfFirst + 1 + this.#random.below(this.plan.pieceBytes));
    const length = end - this.#sentOfFirst;
    const sent = this.#world.kernel.peerLibc.send(this.#fd, first.bytes, this.#sentOfFirst, length, MSG_DONTWAIT);
    if (sent < 0) {
      this.#receive(); // an RST has come
      return;
    }
    this.#sentOfFirst += sent;
    if (this.#sentOfFirst < first.bytes.length) return;
    if (first.ends) this.sentMessages++;
    this.#out.shift();
    this.#sentOfFirst = 0;
  }

  #sayMore(): void {
    if (this.#begun < this.plan.sends) this.#sayMessage(this.plan.messages[this.#begun++] as Message);
    else this.#leave();
  }

  #sayMessage({ isText, data }: Message): void {
    const extension = this.#random.chance(0.8) ? this.#extension : null;
    const payload = extension === null ? data : extension.encode(data);
    const frames = framesOf(this.#random, isText ? TEXT : BINARY, payload, extension !== null);
    for (const [i, frame] of frames.entries()) {
      if (this.#random.chance(0.1)) {
        const text = `ping ${this.#pings.length} of ${this.id}`;
        this.#pings.push(text);
        this.#push(clientFrame(PING, text));
      }
      this.#push(clientFrame(...frame), i === frames.length - 1);
    }
  }

  #leave(): void {
    const { leaving } = this.plan;
    if (leaving === 'close') this.#sayGoodbye();
    else if (leaving !== 'wait') this.#misbehave(leaving);
  }

  #sayGoodbye(): void {
    const { code } = this.plan;
    this.closeSent = code ?? NO_CODE;
    this.hasAskedForClose = true;
    const payload = code === null ? [] : [code >> 8, code & 0xff, ...Buffer.from('bye')];
    this.#push(clientFrame(CLOSE, Buffer.from(payload)));
  }

  #misbehave(leaving: NonNullable<typeof this.hasMisbehaved>): void {
    this.hasMisbehaved = leaving;
    this.#world.count(`left: ${leaving}`);
    this.closeSent = 0;
    if (leaving === 'half-close') {
      this.#hasLeft = true;
      this.#world.kernel.peerLibc.shutdown(this.#fd, SHUT_WR);
    } else if (leaving === 'reset') {
      const { peerLibc } = this.#world.kernel;
      peerLibc.setsockopt(this.#fd, SOL_SOCKET, SO_LINGER, LINGER_NOW, LINGER_NOW.length);
      this.#end();
    } else {
      const [opcode, payload, options] = faults[leaving].frame;
      this.#push(clientFrame(opcode, payload, options));
    }
  }

  #receive(): void {
    const most = Math.min(readBuffer.length, this.plan.readBytes);
    const length = this.#world.kernel.peerLibc.recv(this.#fd, readBuffer, 0, most, MSG_DONTWAIT);
    if (length === -EAGAIN) return;
    if (length > 0) this.#take(readBuffer.subarray(0, length));
    else {
      this.#world.count(`ends: ${this.#world.excuse(this)}`);
      this.#end();
    }
  }

  #end(): void {
    this.#stage = 'over';
    this.#world.kernel.peerLibc.close(this.#fd);
  }

  #take(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    if (!this.hasUpgraded) {
      const end = this.#rest.indexOf(HEAD_END);
      if (end === -1) return;
      const head = this.#rest.toString('latin1', 0, end);
      if (head.startsWith('HTTP/1.1 408 ')) {
        this.wasTooLate = true;
        return;
      }
      assert.match(head, /^HTTP\/1\.1 101 /, this.describe());
      this.#extension = extensionOf(`${head}\r\n`);
      if (this.#extension !== null) this.#world.count(`extension: ${this.#extension.constructor.name}`);
      this.hasUpgraded = true;
      this.#rest = this.#rest.subarray(end + HEAD_END.length);
    }
    const { frames, rest } = serverFrames(this.#rest);
    this.#rest = Buffer.from(rest);
    for (const frame of frames) this.#takeFrame(frame);
  }

  #takeFrame({ opcode, reserved, payload }: ServerFrame): void {
    assert.equal(this.closed, null, `a frame behind the close frame: ${this.describe()}`);
    if (opcode === PING) {
      if (!this.plan.isDeaf && this.closeSent === null) this.#pushControl(PONG, payload);
    } else if (opcode === PONG) this.#takePong(payload.toString());
    else if (opcode === CLOSE) this.#takeClose(payload);
    else this.#takeMessage(opcode, reserved === 4 ? (this.#extension as PeerExtension).decode(payload) : payload);
  }

  /** A server need not answer each ping, but none twice. */
  #takePong(text: string): void {
    const at = this.#pings.indexOf(text);
    assert.notEqual(at, -1, `a pong '${text}' of no ping: ${this.describe()}`);
    this.#pings = this.#pings.map((ping, i) => (i <= at ? '' : ping));
    this.#world.count('pongs');
  }

  #takeMessage(opcode: number, data: Buffer): void {
    const isText = opcode === TEXT;
    for (;;) {
      const expected = this.expected[this.received];
      const shown = `message ${this.received} of ${this.describe()} is '${data.subarray(0, 40)}'`;
      assert.ok(expected !== undefined, `${shown}, which was never sent`);
      this.received++;
      if (isText === expected.isText && data.equals(expected.data)) break;
      assert.ok(expected.mayBeDropped, `${shown}, not '${expected.data.subarray(0, 40)}'`);
      this.#world.count('full: drop');
    }
    this.#world.count('messages to clients');
  }

  #takeClose(payload: Buffer): void {
    this.closed = closeOf(payload).code;
    if (this.closeSent !== null || this.plan.isDeaf || this.#hasLeft) return;
    this.closeSent = this.closed;
    // What was not begun is not sent any more.
    this.#out.length = this.#sentOfFirst > 0 ? 1 : 0;
    this.#push(clientFrame(CLOSE, payload.subarray(0, 2)));
  }
}
