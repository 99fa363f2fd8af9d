/** Internet layer: the interface; the body follows. */

import type { Link } from '../link/link.ts';
import type { IpLimits } from './ip-limits.ts';
import type { Ipv4Packet } from './ipv4-packet.ts';

/** Where the layer above writes its payload in `outgoing`: behind the headers of Ethernet and IPv4. */
export const OUTGOING_PAYLOAD_START = 34;

export interface SendOptions {
  readonly dontFragment?: boolean;
  readonly ttl?: number;
  readonly source?: number;
}

export interface InternetSetup {
  readonly link: Link;
  readonly hardwareAddress: number;
  readonly address: number;
  readonly prefixLength: number;
  readonly gateway: number | null;
  readonly limits: IpLimits;
  /** From 0 up to, and without, 1. */
  readonly random: () => number;
}

/** An ICMP error about a packet that we sent, or a neighbour that ARP does not find. */
export interface IcmpError {
  readonly kind: 'unreachable' | 'fragmentation-needed' | 'time-exceeded' | 'parameter-problem';
  /** As in abi.ts, above 0. */
  readonly errno: number;
  /** Whether it says that the peer will never answer (RFC 1122 section 4.2.3.9). */
  readonly isHard: boolean;
  /** The largest packet that passes, header included; null for other errors. The owner judges the quoted header, and then calls `lowerPathMtu`. */
  readonly mtu: number | null;
  /** Of the packet that the error is about. */
  readonly protocol: number;
  readonly destination: number;
  /** Its transport header: bytes[start..end), at least 8 bytes. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

export type PacketHandler = (packet: Ipv4Packet, now: number) => void;

export class InternetLayer {
  readonly outgoing: Buffer;
  readonly address: number;
  /** Set by the owner. A packet for a protocol without handler is refused with ICMP. */
  readonly protocols: { tcp: PacketHandler | null; udp: PacketHandler | null } = { tcp: null, udp: null };
  onError: (error: IcmpError, now: number) => void = () => {};
  readonly #setup: InternetSetup;

  constructor(setup: InternetSetup) {
    this.#setup = setup;
    this.address = setup.address;
    this.outgoing = Buffer.alloc(14 + 65_535);
  }

  /** Sends outgoing[OUTGOING_PAYLOAD_START .. +length). Returns 0 or -errno. The payload may be overwritten. */
  send(_destination: number, _protocol: number, _length: number, _options: SendOptions, _now: number): number {
    return 0;
  }

  receive(_frame: Buffer, _length: number, _now: number): void {}

  refusePacket(_packet: Ipv4Packet, _type: number, _code: number, _now: number): void {}

  /** How many bytes the payload of a packet to `destination` may have: the path MTU without the header of IPv4. */
  maxPayloadTo(_destination: number, _now: number): number {
    return this.#setup.link.mtu - 20;
  }

  /** The owner has found that a 'fragmentation-needed' error quotes what it has really sent. */
  lowerPathMtu(_destination: number, _mtu: number, _now: number): void {}

  /** Gratuitous ARP. */
  announce(_now: number): void {}

  get deadlineAt(): number {
    return Number.POSITIVE_INFINITY;
  }

  onDeadline(_now: number): void {}
}
