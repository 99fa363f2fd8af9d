/**
 * Stack fuzzer: damages the true frames of a running exchange, and throws them at a server's stack with open connections.
 *
 * The friend asks for one response after another. Each frame between the two is kept for a while; a kept frame is changed, mostly with right
 * checksums again, and thrown at the server, sometimes long after its time. Half of the changes leave the numbers of TCP near the true ones, so
 * that they reach the code behind the first checks. An attacker who knows so much can end a connection of the friend, or put bytes into one,
 * so a response may fail; but nothing is thrown, tables stay bounded, and the friend is served as soon as the attacker rests.
 */

import { finishChecksum, pseudoHeaderSum, sumWords } from '../../../simplenet/tcpip/ip/checksum.ts';
import { decodeIpv4, PROTOCOL_TCP } from '../../../simplenet/tcpip/ip/ipv4-packet.ts';
import { defaultStackLimits } from '../../../simplenet/tcpip/stack-limits.ts';
import { Random } from '../../simulation/random.ts';
import { BesiegedServer } from './besieged-server.ts';

const KEPT_FRAMES = 64;
const IPV4 = 14;
const TCP = 34;

const interesting = [0, 1, 2, 4, 5, 0x0f, 0x10, 0x11, 0x12, 0x14, 0x18, 0x45, 0x50, 0x7f, 0x80, 0xa0, 0xf0, 0xff];

export class StackFuzzer {
  readonly site = new BesiegedServer({ backlog: 8, timeWaits: 64, reassemblyPackets: 8 });
  frames = 0;
  good = 0;
  failed = 0;
  readonly #framesPerRound: number;
  readonly #random: Random;
  readonly #kept: Buffer[] = [];

  constructor(seed: number, framesPerRound = 500) {
    this.#framesPerRound = framesPerRound;
    this.#random = new Random(seed);
    this.site.isListening = false;
    this.site.onFriendFrame = (frame) => this.#keep(frame);
  }

  /** One exchange of the friend, with so many damaged frames beside it. Returns what is wrong, or null. */
  async round(): Promise<string | null> {
    const { site } = this;
    const random = this.#random;
    const exchange = random.chance(0.5)
      ? site.get('/small')
      : site.post('/hash', Buffer.alloc(random.below(20_000), 7));
    const attack = site.flood(this.#framesPerRound, () => this.#throwOne());
    const [response] = await Promise.all([exchange, attack]);
    if (response === null) this.failed++;
    else this.good++;
    return this.#checkTables();
  }

  /** Whether the friend is served once the attacker rests. */
  async isServed(): Promise<boolean> {
    await this.site.pass(1_000);
    const response = await this.site.get('/small');
    return `${response?.body}` === 'hello';
  }

  #keep(frame: Buffer): void {
    if (this.#kept.length < KEPT_FRAMES) this.#kept.push(Buffer.from(frame));
    else this.#kept[this.#random.below(KEPT_FRAMES)] = Buffer.from(frame);
  }

  #throwOne(): void {
    this.frames++;
    if (this.#kept.length === 0) return;
    const random = this.#random;
    const frame = Buffer.from(random.pick(this.#kept));
    const changes = 1 + random.below(3);
    for (let i = 0; i < changes; i++) this.#change(frame);
    const length = random.chance(0.1) ? 14 + random.below(frame.length - 13) : frame.length;
    if (random.chance(0.8)) mendChecksums(frame, length);
    this.site.inject(frame, length);
  }

  #change(frame: Buffer): void {
    const random = this.#random;
    const isTcp = frame.length >= TCP + 20 && frame[IPV4 + 9] === PROTOCOL_TCP;
    const kind = random.below(isTcp ? 10 : 2);
    if (kind === 0) frame[random.below(frame.length)] = random.pick(interesting);
    else if (kind === 1) {
      const at = random.below(frame.length);
      frame[at] = (frame[at] as number) ^ (1 << random.below(8));
    } else if (kind <= 3) frame[TCP + 13] = random.below(64);
    else if (kind === 4) frame.writeUInt16BE(random.pick([0, 1, 100, 65_535]), TCP + 14);
    else if (kind <= 7) this.#shift(frame, TCP + random.pick([4, 8]));
    else if (kind === 8 && frame.length > TCP + 20)
      frame[TCP + 20 + random.below(frame.length - TCP - 20)] = random.below(256);
    else if (frame.length >= TCP + 32) this.#shift(frame, TCP + random.pick([24, 28]));
  }

  /** Moves a number of 32 bits by a little, or by a lot. */
  #shift(frame: Buffer, at: number): void {
    const random = this.#random;
    const by = random.pick([-1, 1, -1_460, 1_460, random.below(65_536), -random.below(65_536), random.below(2 ** 32)]);
    frame.writeUInt32BE((frame.readUInt32BE(at) + by) >>> 0, at);
  }

  #checkTables(): string | null {
    const { site } = this;
    const {
      connections = 0,
      halfOpen = 0,
      timeWaits = 0,
      orphans = 0,
      incompletePackets = 0,
      neighbours = 0,
    } = site.server.statistics;
    const isBounded =
      connections < 200 &&
      halfOpen <= 8 &&
      timeWaits <= 64 &&
      orphans < 100 &&
      incompletePackets <= 8 &&
      neighbours <= defaultStackLimits.arpEntries;
    return isBounded ? null : `too much: ${JSON.stringify(site.server.statistics)}`;
  }
}

/** So that the damage reaches the code behind them. */
function mendChecksums(frame: Buffer, length: number): void {
  if (length < TCP + 20) return;
  frame.writeUInt16BE(0, IPV4 + 10);
  frame.writeUInt16BE(length - IPV4, IPV4 + 2);
  frame.writeUInt16BE(finishChecksum(sumWords(frame, IPV4, TCP)), IPV4 + 10);
  const packet = decodeIpv4(frame, IPV4, length);
  if (packet === null || packet.protocol !== PROTOCOL_TCP || packet.end - packet.start < 20) return;
  const { start, end, source, destination } = packet;
  frame.writeUInt16BE(0, start + 16);
  const sum = sumWords(frame, start, end, pseudoHeaderSum(source, destination, PROTOCOL_TCP, end - start));
  frame.writeUInt16BE(finishChecksum(sum), start + 16);
}
