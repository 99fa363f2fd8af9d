/**
 * Frame fuzzer: throws damaged frames at an internet layer and at all decoders, and watches what comes back.
 *
 * A frame begins as a valid one of a small grammar, because random bytes would all end at the first check. Then it is damaged, and half
 * of the damaged ones get right checksums again, so that the damage reaches the code behind them. Time goes on by chance, sometimes by a minute, so tables
 * fill and age. The same seed makes the same frames.
 *
 * Each frame must leave these true: nothing is thrown; each frame that we send is well-formed, comes from us, and goes to one host; no
 * error is sent about an ICMP message; no table is larger than its limit.
 */

import { decodeArp, writeArp } from '../../../simplenet/tcpip/ip/arp-packet.ts';
import { finishChecksum, pseudoHeaderSum, sumWords } from '../../../simplenet/tcpip/ip/checksum.ts';
import { decodeIcmp, decodeIcmpError, writeIcmpHeader } from '../../../simplenet/tcpip/ip/icmp.ts';
import { InternetLayer, OUTGOING_PAYLOAD_START } from '../../../simplenet/tcpip/ip/internet-layer.ts';
import { defaultIpLimits, type IpLimits } from '../../../simplenet/tcpip/ip/ip-limits.ts';
import { isHostAddress } from '../../../simplenet/tcpip/ip/ipv4-address.ts';
import {
  decodeIpv4,
  decodeQuotedIpv4,
  type Ipv4Packet,
  writeIpv4Header,
} from '../../../simplenet/tcpip/ip/ipv4-packet.ts';
import { decodeUdp, writeUdpHeader } from '../../../simplenet/tcpip/ip/udp-datagram.ts';
import {
  decodeEthernet,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  isGroupAddress,
  writeEthernetHeader,
} from '../../../simplenet/tcpip/link/ethernet-frame.ts';
import type { Link } from '../../../simplenet/tcpip/link/link.ts';
import { decodeSegment } from '../../../simplenet/tcpip/tcp/segment.ts';
import { Random } from '../../simulation/random.ts';

const OUR_MAC = 0x0200_0000_0002;
const EVERYONE_MAC = 0xffff_ffff_ffff;
const OUR_ADDRESS = 0x0a090002;
const BROADCAST = 0x0a0900ff;
const GATEWAY = 0x0a090001;

const ICMP = 1;
const TCP = 6;
const UDP = 17;

const MTU = 1500;
const FRAME_BYTES = 14 + MTU;

/** Small, so that they are reached. */
export const fuzzedLimits: IpLimits = {
  ...defaultIpLimits,
  arpEntries: 24,
  arpQueuedBytes: 20_000,
  reassemblyPackets: 8,
  reassemblyBytes: 40_000,
  reassemblyFragments: 12,
  icmpErrorsPerSecond: 10_000,
  pathMtuEntries: 8,
};

const protocols = [ICMP, ICMP, TCP, TCP, UDP, UDP, UDP, 2, 253];
const quotedProtocols = [TCP, UDP];
const icmpTypes = [0, 3, 3, 5, 8, 8, 11, 12, 13];
const icmpRests = [0, 1, 67, 68, 551, 552, 1_400, 1_500, 0xffff_ffff];
const groups = [BROADCAST, 0xffff_ffff, 0xe000_0001];
const fragmentPlaces = [0, 64, 128, 1480, 2960, 65_000];
const fragmentSizes = [64, 64, 128, 1400, 8, 13];

const interestingBytes = [0, 1, 4, 5, 7, 8, 0x0f, 0x10, 0x20, 0x40, 0x45, 0x46, 0x4f, 0x7f, 0x80, 0xfe, 0xff];

export class FrameFuzzer {
  readonly #random: Random;
  readonly #layer: InternetLayer;
  readonly #frame = Buffer.alloc(FRAME_BYTES);
  readonly #content = Buffer.alloc(MTU);
  #length = 0;
  #now = 0;
  /** What is wrong with a frame of ours. */
  #fault: string | null = null;
  frames = 0;
  sent = 0;
  delivered = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    for (let i = 0; i < this.#content.length; i++) this.#content[i] = this.#random.below(256);
    const link: Link = {
      mtu: MTU,
      send: (frame, length) => this.#watch(frame as Buffer, length),
      receive: () => 0,
      watch: () => {
        throw new Error('the fuzzer has no host');
      },
      close: () => {},
    };
    const addresses = { hardwareAddress: OUR_MAC, address: OUR_ADDRESS, prefixLength: 24, gateway: GATEWAY };
    this.#layer = new InternetLayer({ link, ...addresses, limits: fuzzedLimits, random: () => this.#random.next() });
    this.#layer.protocols.tcp = (packet) => this.#takeSegment(packet);
    this.#layer.protocols.udp = (packet) => this.#takeDatagram(packet);
    this.#layer.onError = (error) => {
      if (error.mtu !== null) this.#layer.lowerPathMtu(error.destination, error.mtu, this.#now);
    };
  }

  get counters(): Readonly<Record<string, number>> {
    return { ...this.#layer.counters };
  }

  /** Throws one frame. Returns what went wrong, with the frame, or null. */
  step(): string | null {
    this.frames++;
    this.#compose();
    if (this.#random.chance(0.7)) this.#damage();
    const before = this.#random.chance(0.001) ? this.#frame.toString('hex', 0, this.#length) : null;
    try {
      this.#passTime();
      this.#layer.receive(this.#frame, this.#length, this.#now);
      this.#decodeAnywhere();
      if (this.#random.chance(0.02)) this.#sendSomething();
      this.#checkOccupancy();
    } catch (error) {
      this.#fault = `${(error as Error).stack}`;
    }
    if (before !== null && before !== this.#frame.toString('hex', 0, this.#length))
      this.#fault ??= 'the frame was changed';
    return this.#fault === null
      ? null
      : `frame ${this.frames}: ${this.#fault}\n${this.#frame.toString('hex', 0, this.#length)}`;
  }

  #passTime(): void {
    this.#now += this.#random.chance(0.0005) ? this.#random.below(60_000) : this.#random.next();
    if (this.#layer.deadlineAt <= this.#now) this.#layer.onDeadline(this.#now);
  }

  #checkOccupancy(): void {
    const { neighbours, waitingBytes, incompletePackets, incompleteBytes, pathMtus } = this.#layer.occupancy;
    const isBounded =
      neighbours <= fuzzedLimits.arpEntries &&
      waitingBytes >= 0 &&
      waitingBytes <= fuzzedLimits.arpQueuedBytes &&
      incompletePackets <= fuzzedLimits.reassemblyPackets &&
      incompleteBytes >= 0 &&
      incompleteBytes <= fuzzedLimits.reassemblyBytes &&
      pathMtus <= fuzzedLimits.pathMtuEntries;
    if (!isBounded) this.#fault ??= `too much: ${JSON.stringify(this.#layer.occupancy)}`;
  }

  // The grammar.

  /** Writes a valid frame into `#frame`. */
  #compose(): void {
    const to = this.#random.chance(0.9) ? OUR_MAC : this.#random.chance(0.5) ? EVERYONE_MAC : this.#hardware();
    const isArp = this.#random.chance(0.15);
    writeEthernetHeader(this.#frame, 0, to, this.#hardware(), isArp ? ETHERTYPE_ARP : ETHERTYPE_IPV4);
    if (isArp) this.#composeArp();
    else this.#composePacket();
  }

  #hardware(): number {
    return 0x0200_0000_0001 + this.#random.below(40);
  }

  #neighbour(): number {
    return 0x0a090001 + this.#random.below(60);
  }

  #source(): number {
    if (this.#random.chance(0.6)) return this.#neighbour();
    return this.#random.chance(0.9) ? 0xcb007100 + this.#random.below(256) : this.#random.below(2 ** 32);
  }

  #composeArp(): void {
    const end = writeArp(this.#frame, 14, {
      operation: 1 + this.#random.below(2),
      senderHardware: this.#hardware(),
      sender: this.#random.chance(0.9) ? this.#neighbour() : this.#random.pick([0, OUR_ADDRESS, 0xcb007101]),
      targetHardware: this.#random.pick([0, OUR_MAC]),
      target: this.#random.chance(0.8) ? OUR_ADDRESS : this.#neighbour(),
    });
    this.#length = end + this.#random.pick([0, 0, 18]);
  }

  #composePacket(): void {
    const protocol = this.#random.pick(protocols);
    const isFragment = this.#random.chance(0.3);
    const source = this.#source();
    const destination = this.#random.chance(0.9) ? OUR_ADDRESS : this.#random.pick(groups);
    const options = this.#random.chance(0.1) ? this.#random.pick([4, 8, 40]) : 0;
    const start = 34 + options;
    const end = isFragment ? this.#composeFragment(start) : this.#composePayload(protocol, start, source, destination);
    const header = {
      source,
      destination,
      protocol,
      ttl: 1 + this.#random.below(255),
      identification: this.#random.below(isFragment ? 6 : 65_536),
      dontFragment: !isFragment,
      moreFragments: isFragment && this.#random.chance(0.7),
      fragmentOffset: isFragment ? this.#random.pick(fragmentPlaces) : 0,
      typeOfService: 0,
    };
    writeIpv4Header(this.#frame, 14, header, end - 34);
    if (options > 0) {
      this.#frame.fill(1, 34, start);
      this.#frame[14] = 0x45 + options / 4;
      if (this.#random.chance(0.5)) this.#frame.set([7, options - 1, 4], 34);
    }
    this.#length = end;
    this.#repair();
  }

  /** Fragments of few sizes and places, so that some fit together. */
  #composeFragment(start: number): number {
    const length = this.#random.pick(fragmentSizes);
    this.#content.copy(this.#frame, start, 0, length);
    return start + length;
  }

  #composePayload(protocol: number, start: number, source: number, destination: number): number {
    const length = this.#random.chance(0.8) ? this.#random.below(60) : this.#random.below(1_300);
    const from = this.#random.below(100);
    if (protocol === UDP) {
      this.#content.copy(this.#frame, start + 8, from, from + length);
      writeUdpHeader(this.#frame, start, start + 8 + length, {
        source,
        sourcePort: 7,
        destination,
        destinationPort: 9,
      });
      return start + 8 + length;
    }
    if (protocol === ICMP) return this.#composeIcmp(start, from, length);
    this.#content.copy(this.#frame, start, from, from + length + 20);
    // A header of TCP with options: MSS, window scale, SACK, timestamps.
    if (this.#random.chance(0.5)) {
      this.#frame.write('a0020000000000000204058403030704020208' + '0a00000001000000020005', start + 12, 'hex');
    }
    return start + length + 20;
  }

  #composeIcmp(start: number, from: number, length: number): number {
    const type = this.#random.pick(icmpTypes);
    const isError = type === 3 || type > 8;
    let end = start + 8 + length;
    this.#content.copy(this.#frame, start + 8, from, from + length);
    if (isError) {
      const header = {
        source: OUR_ADDRESS,
        destination: this.#source(),
        protocol: this.#random.pick(quotedProtocols),
        ttl: 3,
        identification: 0,
        dontFragment: true,
        moreFragments: false,
        fragmentOffset: 0,
        typeOfService: 0,
      };
      writeIpv4Header(this.#frame, start + 8, header, this.#random.below(1_480));
      end = start + 36 + this.#random.below(20);
    }
    const rest = this.#random.pick(icmpRests);
    writeIcmpHeader(this.#frame, start, end, { type, code: this.#random.below(isError ? 17 : 1), rest });
    return end;
  }

  // The damage.

  #damage(): void {
    const times = 1 + this.#random.below(3);
    for (let i = 0; i < times; i++) {
      // Headers are where the decisions are made.
      const at = this.#random.below(this.#random.chance(0.8) ? Math.min(80, this.#length) : this.#length);
      const kind = this.#random.below(10);
      if (kind < 4) this.#frame[at] = (this.#frame[at] as number) ^ (1 << this.#random.below(8));
      else if (kind < 7) this.#frame[at] = this.#random.pick(interestingBytes);
      else if (kind === 7) this.#frame[at] = this.#random.below(256);
      else if (kind === 8) this.#length = Math.max(1, this.#random.below(this.#length + 1));
      else this.#length = Math.min(FRAME_BYTES, this.#length + this.#random.below(100));
    }
    if (this.#random.chance(0.5)) this.#repair();
  }

  /** Makes the checksums right, as far as there are headers. */
  #repair(): void {
    const frame = this.#frame;
    if (this.#length < 34 || frame.readUInt16BE(12) !== ETHERTYPE_IPV4) return;
    const start = 14 + ((frame[14] as number) & 0xf) * 4;
    if (start > this.#length) return;
    frame.writeUInt16BE(0, 24);
    frame.writeUInt16BE(finishChecksum(sumWords(frame, 14, start)), 24);
    const end = Math.min(this.#length, 14 + frame.readUInt16BE(16));
    if (frame[23] === ICMP && end >= start + 8) {
      frame.writeUInt16BE(0, start + 2);
      frame.writeUInt16BE(finishChecksum(sumWords(frame, start, end)), start + 2);
    } else if (frame[23] === UDP && end >= start + 8) {
      const length = Math.min(frame.readUInt16BE(start + 4), end - start);
      const pseudoHeader = pseudoHeaderSum(frame.readUInt32BE(26), frame.readUInt32BE(30), UDP, length);
      frame.writeUInt16BE(0, start + 6);
      frame.writeUInt16BE(finishChecksum(sumWords(frame, start, start + length, pseudoHeader)), start + 6);
    }
  }

  // What the layers above do.

  #takeSegment(packet: Ipv4Packet): void {
    this.delivered++;
    decodeSegment(packet.bytes, packet.start, packet.end);
  }

  #takeDatagram(packet: Ipv4Packet): void {
    this.delivered++;
    const datagram = decodeUdp(packet);
    if (datagram !== null && datagram.end > packet.end) this.#fault ??= 'a payload beyond its packet';
    if (this.#random.chance(0.3)) this.#layer.refusePacket(packet, 3, 3, this.#now);
  }

  #sendSomething(): void {
    const destination = this.#random.chance(0.8) ? this.#neighbour() : this.#source();
    const length = this.#random.chance(0.9) ? this.#random.below(1_480) : this.#random.below(5_000);
    this.#layer.outgoing.fill(0x55, OUTGOING_PAYLOAD_START, OUTGOING_PAYLOAD_START + length);
    this.#layer.send(destination, TCP, length, { dontFragment: this.#random.chance(0.5) }, this.#now);
  }

  /** Each decoder gets the bytes from anywhere to anywhere. */
  #decodeAnywhere(): void {
    const end = this.#random.below(this.#length + 1);
    const start = this.#random.below(end + 1);
    const bytes = this.#frame;
    decodeEthernet(bytes, start, end);
    decodeArp(bytes, start, end);
    decodeIpv4(bytes, start, end);
    decodeSegment(bytes, start, end);
    const quoted = decodeQuotedIpv4(bytes, start, end);
    if (quoted !== null) decodeUdp(quoted);
    decodeIcmp(bytes, start, end);
    if (end - start >= 8) {
      const [type, code] = [bytes[start] as number, bytes[start + 1] as number];
      decodeIcmpError({ type, code, rest: 0, bytes, start: start + 8, end });
    }
  }

  // What comes back.

  #watch(frame: Buffer, length: number): boolean {
    this.sent++;
    if (this.#random.chance(0.01)) return false;
    this.#fault ??= this.#faultOf(frame, length);
    return true;
  }

  #faultOf(frame: Buffer, length: number): string | null {
    const ethernet = decodeEthernet(frame, 0, length);
    if (ethernet === null || ethernet.source !== OUR_MAC || length > FRAME_BYTES) return 'we sent a bad frame';
    if (ethernet.type === ETHERTYPE_ARP) {
      const arp = decodeArp(frame, 14, length);
      return arp?.sender === OUR_ADDRESS && arp.senderHardware === OUR_MAC ? null : 'we sent a bad ARP packet';
    }
    const packet = decodeIpv4(frame, 14, length);
    if (packet === null || packet.source !== OUR_ADDRESS) return 'we sent a bad packet';
    if (isGroupAddress(ethernet.destination)) return 'we sent a packet to everyone';
    const isToOne =
      isHostAddress(packet.destination) && packet.destination !== BROADCAST && packet.destination !== OUR_ADDRESS;
    if (!isToOne) return 'we sent a packet to more than one host';
    if (packet.protocol !== ICMP || packet.fragmentOffset > 0 || packet.moreFragments) return null;
    const message = decodeIcmp(frame, packet.start, packet.end);
    if (message === null) return 'we sent a bad ICMP message';
    if (message.type === 0) return null;
    const quoted = decodeQuotedIpv4(frame, message.start, message.end);
    return quoted === null || quoted.protocol === ICMP ? 'we sent an error that must not be' : null;
  }
}
