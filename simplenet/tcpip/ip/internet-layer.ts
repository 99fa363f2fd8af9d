/**
 * Internet layer: IPv4 on one link, with ARP below and ICMP beside it. TCP and UDP stand on it.
 *
 *     send     -> routes -> path MTU, fragments -> header -> ARP -> link
 *     receive  <- own protocol? <- fragments <- from a possible host? <- for us? <- header <- link
 *                 ICMP is answered here
 *
 * It is a host and no router (RFC 1122): what is not for us is dropped, whatever its TTL. What strangers can make it do is bounded: fragments,
 * neighbours and waiting packets by tables, ICMP errors by a token bucket. It answers only packets that were sent to us alone by an address that
 * one host can have, so it cannot be used to flood others (smurf, RFC 2644), or to talk to itself (LAND).
 *
 * Not here: sending to broadcast or multicast addresses, IP options, and IPv6.
 *
 * Next: udp-datagram.ts
 */

import { EACCES, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENOBUFS } from '../../kernel/abi.ts';
import {
  BROADCAST_HARDWARE_ADDRESS,
  decodeEthernet,
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  isGroupAddress,
  writeEthernetHeader,
} from '../link/ethernet-frame.ts';
import { AddressResolution, type AddressSetup, NO_ROOM, UNREACHABLE, UNRESOLVED } from './address-resolution.ts';
import { Fragments } from './fragments.ts';
import {
  CODE_PROTOCOL,
  CODE_REASSEMBLY,
  decodeIcmp,
  decodeIcmpError,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_HEADER_BYTES,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  type IcmpError,
  type IcmpMessage,
  MAX_QUOTED_BYTES,
  writeIcmpHeader,
} from './icmp.ts';
import { type InternetCounters, newInternetCounters } from './internet-counters.ts';
import { broadcastOf, isHostAddress, isSameNetwork, LIMITED_BROADCAST, networkOf } from './ipv4-address.ts';
import {
  DEFAULT_TTL,
  decodeIpv4,
  decodeQuotedIpv4,
  IPV4_HEADER_BYTES,
  type Ipv4Header,
  type Ipv4Packet,
  isFragment,
  MAX_IPV4_BYTES,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  writeIpv4Header,
} from './ipv4-packet.ts';
import { Loopback } from './loopback.ts';
import { PathMtu } from './path-mtu.ts';
import { Routes, routesOfHost } from './routes.ts';
import { TokenBucket } from './token-bucket.ts';

/** Where the layer above writes its payload in `outgoing`: behind the headers of Ethernet and IPv4. */
export const OUTGOING_PAYLOAD_START = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES;

const ICMP_DATA_START = OUTGOING_PAYLOAD_START + ICMP_HEADER_BYTES;

/** The offset of a fragment counts in units of 8 bytes. */
const OFFSET_UNIT = 8;

export interface InternetSetup extends AddressSetup {
  readonly gateway: number | null;
  /** From 0 up to, and without, 1. It should be hard to guess: identifications of packets come from it. */
  readonly random: () => number;
}

export interface SendOptions {
  readonly dontFragment?: boolean;
  readonly ttl?: number;
}

export type { IcmpError };

/** What strangers and silent neighbours make the layer remember. Each number has its limit in IpLimits. */
export interface InternetOccupancy {
  readonly neighbours: number;
  readonly waitingBytes: number;
  readonly incompletePackets: number;
  readonly incompleteBytes: number;
  readonly pathMtus: number;
}

export type PacketHandler = (packet: Ipv4Packet, now: number) => void;

export class InternetLayer {
  /** The frame under construction. */
  readonly outgoing = Buffer.alloc(ETHERNET_HEADER_BYTES + MAX_IPV4_BYTES);
  readonly address: number;
  readonly counters: InternetCounters = newInternetCounters();
  /**
   * Set by the owner. A packet for a protocol without a handler is refused with ICMP. Only UDP gets packets to a broadcast address. The bytes of
   * a packet are those of the frame: they are valid until the handler returns.
   */
  readonly protocols: { tcp: PacketHandler | null; udp: PacketHandler | null } = { tcp: null, udp: null };
  /** Set by the owner: a packet of ours has not arrived. The error is only as trustworthy as the header that it quotes. */
  onError: (error: IcmpError, now: number) => void = () => {};
  /** Set by the owner: `receiveLooped` has something to do. */
  onLooped: () => void = () => {};
  readonly #setup: InternetSetup;
  readonly #broadcast: number | null;
  readonly #resolution: AddressResolution;
  readonly #routes: Routes;
  readonly #pathMtu: PathMtu;
  readonly #fragments: Fragments;
  readonly #errorBucket: TokenBucket;
  readonly #loopback = new Loopback();

  /** Throws a RangeError if a host cannot have this address, or if the gateway is not in its network. */
  constructor(setup: InternetSetup) {
    const { address, prefixLength, gateway, limits, link } = setup;
    this.#setup = setup;
    this.address = address;
    this.#broadcast = broadcastOf(address, prefixLength);
    if (!this.#isPossibleHost(address)) throw new RangeError('a host must not have the address of a network');
    this.#routes = new Routes(routesOfHost(address, prefixLength, gateway));
    this.#resolution = new AddressResolution(setup, this.counters, (frame, now) => this.#reportUnreachable(frame, now));
    this.#pathMtu = new PathMtu(Math.min(link.mtu, MAX_IPV4_BYTES), limits);
    this.#fragments = new Fragments(limits);
    this.#errorBucket = new TokenBucket(limits.icmpErrorsPerSecond, limits.icmpErrorBurst);
  }

  get occupancy(): InternetOccupancy {
    return {
      neighbours: this.#resolution.neighbours,
      waitingBytes: this.#resolution.waitingBytes,
      incompletePackets: this.#fragments.packets,
      incompleteBytes: this.#fragments.bytes,
      pathMtus: this.#pathMtu.size,
    };
  }

  /** How many bytes the payload of a packet that is not fragmented may have. */
  maxPayloadTo(destination: number): number {
    return this.#pathMtu.to(destination) - IPV4_HEADER_BYTES;
  }

  /** Says that the address is ours. Call it once, when the link is up. */
  announce(now: number): void {
    this.#resolution.announce(now);
  }

  /** When `onDeadline` should be called; Infinity if nothing waits. */
  get deadlineAt(): number {
    return Math.min(this.#resolution.deadlineAt, this.#fragments.deadlineAt, this.#pathMtu.deadlineAt);
  }

  onDeadline(now: number): void {
    this.#resolution.onDeadline(now);
    this.#pathMtu.onDeadline(now);
    this.#fragments.onDeadline(now, (beginning) => {
      this.counters.reassemblyTimeouts++;
      this.refusePacket(beginning, ICMP_TIME_EXCEEDED, CODE_REASSEMBLY, now);
    });
  }

  /**
   * Sends the payload that lies in `outgoing` from OUTGOING_PAYLOAD_START on. Afterwards it may be overwritten. Returns 0 or -errno: EMSGSIZE,
   * ENETUNREACH (no route), EACCES (a broadcast address), EHOSTUNREACH (the neighbour has not answered ARP lately), ENOBUFS.
   */
  send(destination: number, protocol: number, length: number, options: SendOptions, now: number): number {
    if (IPV4_HEADER_BYTES + length > MAX_IPV4_BYTES) return -EMSGSIZE;
    const ttl = options.ttl ?? DEFAULT_TTL;
    if (destination === this.address) return this.#sendToSelf(protocol, length, ttl);
    const neighbour = this.#neighbourFor(destination);
    if (neighbour < 0) return neighbour;
    const dontFragment = options.dontFragment === true && !this.#pathMtu.mayFragment(destination);
    const maxBytes = this.maxPayloadTo(destination);
    if (length > maxBytes && dontFragment) return -EMSGSIZE;
    // RFC 6864 section 4.1: a packet that is never fragmented needs no identification. One that a stranger could guess would let him add fragments.
    const identification = dontFragment ? 0 : Math.floor(this.#setup.random() * 65_536);
    // Each header is written over the end of the fragment before it, which has been sent already.
    const step = length > maxBytes ? maxBytes - (maxBytes % OFFSET_UNIT) : length;
    let fragmentOffset = 0;
    do {
      const bytes = Math.min(step, length - fragmentOffset);
      const start = ETHERNET_HEADER_BYTES + fragmentOffset;
      const header: Ipv4Header = {
        source: this.address,
        destination,
        protocol,
        ttl,
        identification,
        dontFragment,
        moreFragments: fragmentOffset + bytes < length,
        fragmentOffset,
        typeOfService: 0,
      };
      writeIpv4Header(this.outgoing, start, header, bytes);
      const result = this.#transmit(start, start + IPV4_HEADER_BYTES + bytes, neighbour, now);
      if (result < 0) return result;
      fragmentOffset += bytes;
    } while (fragmentOffset < length);
    this.counters.sentPackets++;
    return 0;
  }

  #sendToSelf(protocol: number, length: number, ttl: number): number {
    const header: Ipv4Header = {
      ...{ source: this.address, destination: this.address, protocol, ttl, identification: 0, typeOfService: 0 },
      ...{ dontFragment: true, moreFragments: false, fragmentOffset: 0 },
    };
    writeIpv4Header(this.outgoing, ETHERNET_HEADER_BYTES, header, length);
    if (!this.#loopback.put(this.outgoing.subarray(ETHERNET_HEADER_BYTES, OUTGOING_PAYLOAD_START + length))) {
      this.counters.linkOverflows++;
      return -ENOBUFS;
    }
    this.counters.sentPackets++;
    this.onLooped();
    return 0;
  }

  /** Delivers the next packet that we have sent to our own address. Returns false if there is none. */
  receiveLooped(now: number): boolean {
    const bytes = this.#loopback.take();
    if (bytes === null) return false;
    this.counters.receivedPackets++;
    this.#deliver(decodeIpv4(bytes, 0, bytes.length) as Ipv4Packet, now);
    return true;
  }

  /** Returns the neighbour to send to, or -errno. */
  #neighbourFor(destination: number): number {
    if (this.#isBroadcast(destination)) return -EACCES;
    if (!isHostAddress(destination)) return -ENETUNREACH;
    return this.#routes.nextHop(destination) ?? -ENETUNREACH;
  }

  /** Sends the packet outgoing[start..end), or keeps a copy until ARP has found the neighbour. */
  #transmit(start: number, end: number, neighbour: number, now: number): number {
    const { link, hardwareAddress } = this.#setup;
    const destination = this.#resolution.lookUp(neighbour, now);
    if (destination === UNREACHABLE) return -EHOSTUNREACH;
    if (destination === NO_ROOM) return -ENOBUFS;
    const isKnown = destination !== UNRESOLVED;
    const frameStart = start - ETHERNET_HEADER_BYTES;
    writeEthernetHeader(this.outgoing, frameStart, isKnown ? destination : 0, hardwareAddress, ETHERTYPE_IPV4);
    if (!isKnown) return this.#resolution.hold(neighbour, this.outgoing.subarray(frameStart, end)) ? 0 : -ENOBUFS;
    const frame = frameStart === 0 ? this.outgoing : this.outgoing.subarray(frameStart);
    if (link.send(frame, end - frameStart)) return 0;
    this.counters.linkOverflows++;
    return -ENOBUFS;
  }

  /** Takes the first `length` bytes of `frame`, as they came from the link. */
  receive(frame: Buffer, length: number, now: number): void {
    this.counters.receivedFrames++;
    const ethernet = decodeEthernet(frame, 0, length);
    if (ethernet === null) {
      this.counters.malformed++;
    } else if (isGroupAddress(ethernet.source)) {
      this.counters.martians++;
    } else if (ethernet.destination === this.#setup.hardwareAddress) {
      this.#receivePacket(ethernet.type, frame, length, false, now);
    } else if (ethernet.destination === BROADCAST_HARDWARE_ADDRESS) {
      this.#receivePacket(ethernet.type, frame, length, true, now);
    } else {
      this.counters.notForUs++;
    }
  }

  #receivePacket(type: number, frame: Buffer, end: number, isToEveryone: boolean, now: number): void {
    if (type === ETHERTYPE_ARP) {
      this.#resolution.receive(frame, ETHERNET_HEADER_BYTES, end, now);
      return;
    }
    if (type !== ETHERTYPE_IPV4) {
      this.counters.notForUs++;
      return;
    }
    const packet = decodeIpv4(frame, ETHERNET_HEADER_BYTES, end);
    if (packet === null) {
      this.counters.malformed++;
      return;
    }
    const isBroadcast = this.#isBroadcast(packet.destination);
    // RFC 1122 section 3.3.6: a packet to one address in a frame to everyone is an error or an attack.
    if (!isBroadcast && (packet.destination !== this.address || isToEveryone)) {
      this.counters.notForUs++;
    } else if (packet.source === this.address || !this.#isPossibleHost(packet.source)) {
      this.counters.martians++;
    } else {
      this.counters.receivedPackets++;
      this.#receiveOwn(packet, isBroadcast, now);
    }
  }

  #receiveOwn(packet: Ipv4Packet, isBroadcast: boolean, now: number): void {
    if (isBroadcast) {
      if (packet.protocol === PROTOCOL_UDP && !isFragment(packet)) this.protocols.udp?.(packet, now);
      else this.counters.broadcastsIgnored++;
      return;
    }
    if (!isFragment(packet)) {
      this.#deliver(packet, now);
      return;
    }
    const whole = this.#fragments.add(packet, now);
    this.counters.fragmentsRefused = this.#fragments.refused;
    if (whole !== null) this.#deliver(whole, now);
  }

  #deliver(packet: Ipv4Packet, now: number): void {
    if (packet.protocol === PROTOCOL_ICMP) {
      this.#receiveIcmp(packet, now);
      return;
    }
    const { tcp, udp } = this.protocols;
    const handler = packet.protocol === PROTOCOL_TCP ? tcp : packet.protocol === PROTOCOL_UDP ? udp : null;
    if (handler === null) this.refusePacket(packet, ICMP_UNREACHABLE, CODE_PROTOCOL, now);
    else handler(packet, now);
  }

  #receiveIcmp(packet: Ipv4Packet, now: number): void {
    const message = decodeIcmp(packet.bytes, packet.start, packet.end);
    if (message === null) {
      this.counters.malformed++;
      return;
    }
    if (message.type === ICMP_ECHO_REQUEST) {
      this.#answerEcho(packet.source, message, now);
      return;
    }
    const error = decodeIcmpError(message);
    if (error === null || error.source !== this.address || !this.#isPossibleHost(error.destination)) {
      this.counters.icmpIgnored++;
      return;
    }
    this.onError(error, now);
  }

  #answerEcho(destination: number, request: IcmpMessage, now: number): void {
    this.#sendIcmp(destination, { type: ICMP_ECHO_REPLY, code: 0, rest: request.rest }, request, now);
  }

  /** Sends a message with data[start..end) in it. */
  #sendIcmp(
    destination: number,
    header: Pick<IcmpMessage, 'type' | 'code' | 'rest'>,
    data: Pick<IcmpMessage, 'bytes' | 'start' | 'end'>,
    now: number,
  ): void {
    const end = ICMP_DATA_START + data.bytes.copy(this.outgoing, ICMP_DATA_START, data.start, data.end);
    writeIcmpHeader(this.outgoing, OUTGOING_PAYLOAD_START, end, header);
    this.send(destination, PROTOCOL_ICMP, end - OUTGOING_PAYLOAD_START, {}, now);
  }

  /**
   * Reports to the sender of a packet that it cannot be delivered. RFC 1122 section 3.2.2 forbids it about an ICMP message, and about anything
   * but the first fragment, and about packets to everyone or from nobody.
   *
   * The number of errors is limited, and by chance an error takes up to three times its share of the limit. Otherwise a stranger could send probes with
   * other addresses and see by the errors that are left which of our ports are open (CVE-2020-25705).
   */
  refusePacket(packet: Ipv4Packet, type: number, code: number, now: number): void {
    const isAllowed =
      packet.protocol !== PROTOCOL_ICMP &&
      packet.fragmentOffset === 0 &&
      packet.destination === this.address &&
      this.#isPossibleHost(packet.source);
    const share = 1 + Math.floor(this.#setup.random() * 3);
    if (!isAllowed || !this.#errorBucket.take(now, share)) {
      this.counters.icmpErrorsSuppressed++;
      return;
    }
    this.counters.icmpErrorsSent++;
    const { bytes, headerStart: start } = packet;
    const end = Math.min(packet.end, start + MAX_QUOTED_BYTES);
    this.#sendIcmp(packet.source, { type, code, rest: 0 }, { bytes, start, end }, now);
  }

  /**
   * Believes an error of the kind 'fragmentation-needed'. Call it only if the quoted header is one that was really sent: for TCP its sequence number must be in
   * flight (RFC 5927 section 7.2). Returns whether packets to this destination must be smaller from now on.
   */
  lowerPathMtu(destination: number, mtu: number, now: number): boolean {
    return this.#pathMtu.lower(destination, mtu, now);
  }

  /**
   * A frame of ours has waited for a neighbour that does not answer. No router says so but we ourselves, so the error is hard: an attempt to connect ends
   * with it, and does not depend on whether the next SYN comes while `send` still refuses.
   */
  #reportUnreachable(frame: Buffer, now: number): void {
    const packet = decodeQuotedIpv4(frame, ETHERNET_HEADER_BYTES, frame.length) as Ipv4Packet;
    if (packet.fragmentOffset > 0) return;
    const { source, destination, protocol, bytes, start, end } = packet;
    const quoted = { source, destination, protocol, bytes, start, end };
    this.onError({ kind: 'unreachable', errno: EHOSTUNREACH, isHard: true, mtu: null, ...quoted }, now);
  }

  #isBroadcast(address: number): boolean {
    return address === LIMITED_BROADCAST || address === this.#broadcast;
  }

  /** Whether one host, here or elsewhere, can have this address. In our own network, the first address and the last one are nobody's. */
  #isPossibleHost(address: number): boolean {
    if (!isHostAddress(address) || this.#isBroadcast(address)) return false;
    const { prefixLength } = this.#setup;
    const isNetwork =
      isSameNetwork(address, this.address, prefixLength) && address === networkOf(address, prefixLength);
    return !isNetwork || this.#broadcast === null;
  }
}
