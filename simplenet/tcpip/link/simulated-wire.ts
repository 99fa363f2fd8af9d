/**
 * Simulated wire: two links in one process, joined by a wire with the faults of a network.
 *
 * A frame passes these stations. Only the first one reports a loss, as a device does whose queue is full; a router loses silently.
 *
 *     send -> capacityBytes? -> drop, or a fate by chance -> queueBytes? -> bytesPerSecond -> delayMs + jitterMs -> receive
 *
 * Every choice comes from the seed, so a run can be repeated. Time is that of the host that watches an end, so a simulated host lets
 * hours pass at once. Until an end is watched no time passes, and only frames without delay arrive. Both ends need hosts with the same clock.
 *
 * Next: tap-link.ts
 */

import type { Alarm, Host, Watch } from '../../loop/host.ts';
import { checkFrame, ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4 } from './ethernet-frame.ts';
import type { Link } from './link.ts';
import { seededRandom } from './seeded-random.ts';

/**
 * What became of a frame. `refused`: no room in the own device. `overflowed`: no room in front of the slow part of the wire. `late`: it
 * is held back, so that later frames can overtake it. A frame to an end that is closed is `lost`.
 *
 * ```ts
 * import { createWire, type FrameFate } from 'simplenet';
 *
 * const fates: FrameFate[] = [];
 * createWire({ lose: 0.1, onFrame: (_frame, _from, fate) => void fates.push(fate) });
 * ```
 */
export type FrameFate = 'carried' | 'lost' | 'duplicated' | 'late' | 'corrupted' | 'refused' | 'overflowed';

/**
 * The faults and the speed of a simulated wire.
 *
 * ```ts
 * import { createWire, type WireOptions } from 'simplenet';
 *
 * const satellite: WireOptions = { delayMs: 300, bytesPerSecond: 250_000, lose: 0.01, seed: 7 };
 * const [left, right] = createWire(satellite);
 * ```
 */
export interface WireOptions {
  /** Default 1500. */
  readonly mtu?: number;
  /** Default 1. */
  readonly seed?: number;
  /** Probabilities from 0 to 1. A frame has one fate, so their sum is at most 1. Default 0. */
  readonly lose?: number;
  readonly duplicate?: number;
  readonly reorder?: number;
  /** Flips one bit of an IPv4 packet. Other frames pass unharmed: ARP has no check sum, and on a real wire the hardware has one. */
  readonly corrupt?: number;
  /** How long each frame is under way. Default 0. */
  readonly delayMs?: number;
  /** Up to so much is added to `delayMs` by chance. The order stays. Default 0. */
  readonly jitterMs?: number;
  /** A `late` frame takes longer by up to so much. Default 3. */
  readonly reorderMs?: number;
  /** Default: no limit. */
  readonly bytesPerSecond?: number;
  /** How many bytes may wait for their turn at `bytesPerSecond`, in each direction. Default 262,144. */
  readonly queueBytes?: number;
  /** How many bytes may be under way, or have arrived and wait for `receive`, in each direction. Default 16,777,216. */
  readonly capacityBytes?: number;
  /** Gets a copy of each frame, before it is corrupted. `from` is the index of the end that sent it. */
  onFrame?(frame: Buffer, from: 0 | 1, fate: FrameFate): void;
  /** Chooses frames that are lost, before chance does. `index` counts the frames that this end has sent, from 0. */
  drop?(frame: Buffer, index: number, from: 0 | 1): boolean;
}

const DEFAULTS = {
  mtu: 1500,
  seed: 1,
  lose: 0,
  duplicate: 0,
  reorder: 0,
  corrupt: 0,
  delayMs: 0,
  jitterMs: 0,
  reorderMs: 3,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  queueBytes: 262_144,
  capacityBytes: 16_777_216,
};

type Setting = typeof DEFAULTS & Pick<WireOptions, 'onFrame' | 'drop'>;

/**
 * Two links: what one sends, the other receives. They need no rights, and every choice comes from the seed.
 *
 * ```ts
 * import { createStack, createWire } from 'simplenet';
 *
 * const [left, right] = createWire({ delayMs: 20, lose: 0.02 });
 * const server = createStack({ link: left, address: '10.9.0.2/24' });
 * const client = createStack({ link: right, address: '10.9.0.1/24' });
 * server.listen({ address: '10.9.0.2', port: 7 }, () => ({ onData: (stream, bytes) => void stream.write(bytes) }));
 * client.connect({ address: '10.9.0.2', port: 7 }, { onData: (_stream, bytes) => console.log(`${bytes}`) }).write(Buffer.from('hello'));
 * ```
 */
export function createWire(options: WireOptions = {}): [Link, Link] {
  const setting: Setting = { ...DEFAULTS, ...options };
  checkSetting(setting);
  const wire: Wire = { setting, random: seededRandom(setting.seed), host: null };
  const [left, right] = [new WireEnd(wire, 0), new WireEnd(wire, 1)];
  left.joinTo(right);
  right.joinTo(left);
  return [left, right];
}

function checkSetting(setting: Setting): void {
  const { lose, duplicate, reorder, corrupt } = setting;
  const probabilities = { lose, duplicate, reorder, corrupt };
  for (const [name, value] of Object.entries(probabilities)) {
    if (!(value >= 0 && value <= 1)) throw new RangeError(`${name} must be a probability from 0 to 1, not ${value}`);
  }
  if (lose + duplicate + reorder + corrupt > 1) {
    throw new RangeError('the sum of lose, duplicate, reorder and corrupt must be at most 1');
  }
  const { delayMs, jitterMs, reorderMs, queueBytes, capacityBytes } = setting;
  for (const [name, value] of Object.entries({ delayMs, jitterMs, reorderMs, queueBytes, capacityBytes })) {
    if (!(value >= 0 && Number.isFinite(value))) throw new RangeError(`${name} must be 0 or more, not ${value}`);
  }
  if (!(setting.bytesPerSecond > 0)) {
    throw new RangeError(`bytesPerSecond must be more than 0, not ${setting.bytesPerSecond}`);
  }
}

/** What both directions share. */
interface Wire {
  readonly setting: Setting;
  readonly random: () => number;
  /** The first host that watches an end. */
  host: Host | null;
}

interface Travelling {
  readonly frame: Buffer;
  readonly arrivesAt: number;
}

class WireEnd implements Link {
  readonly #wire: Wire;
  readonly #index: 0 | 1;
  #other: WireEnd | null = null;
  readonly #inbox: Inbox;
  #sentFrames = 0;
  /** When the slow part of the wire will have passed on all that it has taken, and when the last frame in order arrives. */
  #isFreeAt = 0;
  #lastArrivesAt = 0;

  constructor(wire: Wire, index: 0 | 1) {
    this.#wire = wire;
    this.#index = index;
    this.#inbox = new Inbox(wire);
  }

  joinTo(other: WireEnd): void {
    this.#other = other;
  }

  get mtu(): number {
    return this.#wire.setting.mtu;
  }

  send(frame: Uint8Array, length: number): boolean {
    checkFrame(frame, length, this.mtu);
    const copy = Buffer.from(frame.subarray(0, length));
    const fate = this.#carry(copy);
    this.#wire.setting.onFrame?.(Buffer.from(frame.subarray(0, length)), this.#index, fate);
    return fate !== 'refused';
  }

  #carry(frame: Buffer): FrameFate {
    const { setting } = this.#wire;
    const inbox = (this.#other as WireEnd).#inbox;
    const index = this.#sentFrames++;
    if (this.#inbox.isClosed) return 'refused';
    if (inbox.bytes + frame.length > setting.capacityBytes) return 'refused';
    if (inbox.isClosed || setting.drop?.(frame, index, this.#index) === true) return 'lost';
    const fate = this.#chooseFate(frame);
    if (fate === 'lost') return fate;
    const leavesAt = this.#passBottleneck(frame.length);
    if (leavesAt === null) return 'overflowed';
    if (fate === 'corrupted') this.#flipBit(frame);
    const arrivesAt = this.#arrivalOf(leavesAt, fate === 'late');
    inbox.put({ frame, arrivesAt });
    if (fate === 'duplicated') inbox.put({ frame, arrivesAt });
    return fate;
  }

  #chooseFate(frame: Buffer): FrameFate {
    const { lose, duplicate, reorder, corrupt } = this.#wire.setting;
    let chance = this.#wire.random();
    if (chance < lose) return 'lost';
    chance -= lose;
    if (chance < duplicate) return 'duplicated';
    chance -= duplicate;
    if (chance < reorder) return 'late';
    chance -= reorder;
    const hasChecksum = frame.readUInt16BE(12) === ETHERTYPE_IPV4 && frame.length > ETHERNET_HEADER_BYTES;
    return chance < corrupt && hasChecksum ? 'corrupted' : 'carried';
  }

  /** Returns when the last byte of the frame has passed the slow part, or null if there is no room in front of it. */
  #passBottleneck(length: number): number | null {
    const { bytesPerSecond, queueBytes } = this.#wire.setting;
    const now = this.#wire.host?.now() ?? 0;
    if (bytesPerSecond === Number.POSITIVE_INFINITY) return now;
    const startsAt = Math.max(now, this.#isFreeAt);
    const waitingBytes = Math.round(((startsAt - now) / 1_000) * bytesPerSecond);
    if (waitingBytes + length > queueBytes) return null;
    this.#isFreeAt = startsAt + (length / bytesPerSecond) * 1_000;
    return this.#isFreeAt;
  }

  #arrivalOf(leavesAt: number, isLate: boolean): number {
    const { delayMs, jitterMs, reorderMs } = this.#wire.setting;
    const arrivesAt = Math.max(leavesAt + delayMs + this.#wire.random() * jitterMs, this.#lastArrivesAt);
    if (isLate) return arrivesAt + this.#wire.random() * reorderMs;
    this.#lastArrivesAt = arrivesAt;
    return arrivesAt;
  }

  #flipBit(frame: Buffer): void {
    const bits = (frame.length - ETHERNET_HEADER_BYTES) * 8;
    const bit = ETHERNET_HEADER_BYTES * 8 + Math.floor(this.#wire.random() * bits);
    frame.writeUInt8(frame.readUInt8(bit >>> 3) ^ (1 << (bit & 7)), bit >>> 3);
  }

  receive(into: Uint8Array): number {
    for (let frame = this.#inbox.take(); frame !== null; frame = this.#inbox.take()) {
      if (frame.length > into.length) continue;
      into.set(frame);
      return frame.length;
    }
    return 0;
  }

  watch(host: Host, onReadable: () => boolean): Watch {
    return this.#inbox.watch(host, onReadable);
  }

  close(): void {
    this.#inbox.close();
  }
}

/** The frames to one end, in the order of their arrival, and the watch that waits for them. */
class Inbox {
  readonly #wire: Wire;
  readonly #travelling: Travelling[] = [];
  #bytes = 0;
  #isClosed = false;
  #watch: Watch | null = null;
  #alarm: Alarm | null = null;
  #alarmAt = Number.POSITIVE_INFINITY;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  put(travelling: Travelling): void {
    let at = this.#travelling.length;
    while (at > 0 && (this.#travelling[at - 1] as Travelling).arrivesAt > travelling.arrivesAt) at--;
    if (at === this.#travelling.length) this.#travelling.push(travelling);
    else this.#travelling.splice(at, 0, travelling);
    this.#bytes += travelling.frame.length;
    this.#wake();
  }

  take(): Buffer | null {
    if (!this.#hasArrived()) return null;
    const { frame } = this.#travelling.shift() as Travelling;
    this.#bytes -= frame.length;
    return frame;
  }

  #hasArrived(): boolean {
    const first = this.#travelling[0];
    return first !== undefined && first.arrivesAt <= (this.#wire.host?.now() ?? 0);
  }

  watch(host: Host, onReadable: () => boolean): Watch {
    this.#wire.host ??= host;
    const watch = host.watch(null, () => {
      const wantsMore = onReadable();
      this.#wake();
      return wantsMore;
    });
    this.#watch = watch;
    this.#wake();
    return {
      ref: () => watch.ref(),
      unref: () => watch.unref(),
      turnSoon: () => watch.turnSoon(),
      close: () => {
        this.#stopWatching();
        watch.close();
      },
    };
  }

  /** Asks for a turn if a frame has arrived, or for an alarm when the next one arrives. */
  #wake(): void {
    const first = this.#travelling[0];
    if (first === undefined || this.#watch === null) return;
    if (this.#hasArrived()) {
      this.#watch.turnSoon();
      return;
    }
    if (this.#alarmAt <= first.arrivesAt) return;
    const { host } = this.#wire as { host: Host };
    this.#cancelAlarm();
    this.#alarmAt = first.arrivesAt;
    this.#alarm = host.alarm(first.arrivesAt - host.now(), () => {
      this.#cancelAlarm();
      this.#wake();
    });
  }

  #cancelAlarm(): void {
    this.#alarm?.cancel();
    this.#alarm = null;
    this.#alarmAt = Number.POSITIVE_INFINITY;
  }

  #stopWatching(): void {
    this.#watch = null;
    this.#cancelAlarm();
  }

  close(): void {
    this.#isClosed = true;
    this.#stopWatching();
    this.#travelling.length = 0;
    this.#bytes = 0;
  }
}
