/** A link that keeps what is sent, and frames to receive from it. */

import { type ArpPacket, writeArp } from '../../../../simplenet/tcpip/ip/arp-packet.ts';
import { writeIcmpHeader } from '../../../../simplenet/tcpip/ip/icmp.ts';
import { type Ipv4Header, PROTOCOL_UDP, writeIpv4Header } from '../../../../simplenet/tcpip/ip/ipv4-packet.ts';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, writeEthernetHeader } from '../../../../simplenet/tcpip/link/ethernet-frame.ts';
import type { Link } from '../../../../simplenet/tcpip/link/link.ts';

export const OUR_MAC = 0x0200_0000_0002;
export const PEER_MAC = 0x0200_0000_0001;
export const EVERYONE_MAC = 0xffff_ffff_ffff;
export const OUR_ADDRESS = 0x0a090002;
export const PEER = 0x0a090001;

export class FakeLink implements Link {
  readonly mtu: number;
  readonly sent: Buffer[] = [];
  hasRoom = true;

  constructor(mtu = 1500) {
    this.mtu = mtu;
  }

  send(frame: Uint8Array, length: number): boolean {
    if (this.hasRoom) this.sent.push(Buffer.from(frame.subarray(0, length)));
    return this.hasRoom;
  }

  /** What has been sent since the last call. */
  take(): Buffer[] {
    return this.sent.splice(0);
  }

  receive(): number {
    return 0;
  }

  watch(): never {
    throw new Error('these tests have no host');
  }

  close(): void {}
}

export interface FrameShape extends Partial<Ipv4Header> {
  readonly to?: number;
  readonly from?: number;
}

/** A frame from the peer to us, with an IPv4 packet in it. */
export function ipv4Frame(payload: Buffer, shape: FrameShape = {}): Buffer {
  const { to = OUR_MAC, from = PEER_MAC, ...fields } = shape;
  const bytes = Buffer.concat([Buffer.alloc(34), payload]);
  writeEthernetHeader(bytes, 0, to, from, ETHERTYPE_IPV4);
  const header = {
    ...{ source: PEER, destination: OUR_ADDRESS, protocol: PROTOCOL_UDP, ttl: 64, identification: 1, typeOfService: 0 },
    ...{ dontFragment: false, moreFragments: false, fragmentOffset: 0 },
  };
  writeIpv4Header(bytes, 14, { ...header, ...fields }, payload.length);
  return bytes;
}

export function icmpFrame(type: number, code: number, rest: number, data: Buffer, shape: FrameShape = {}): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), data]);
  writeIcmpHeader(bytes, 0, bytes.length, { type, code, rest });
  return ipv4Frame(bytes, { protocol: 1, ...shape });
}

export function arpFrame(packet: Partial<ArpPacket>, to = EVERYONE_MAC): Buffer {
  const bytes = Buffer.alloc(42);
  const whole = {
    operation: 1,
    senderHardware: PEER_MAC,
    sender: PEER,
    targetHardware: 0,
    target: OUR_ADDRESS,
    ...packet,
  };
  writeEthernetHeader(bytes, 0, to, whole.senderHardware, ETHERTYPE_ARP);
  writeArp(bytes, 14, whole);
  return bytes;
}

/** The answer of the peer to our request. */
export const arpAnswer = (packet: Partial<ArpPacket> = {}) =>
  arpFrame({ operation: 2, targetHardware: OUR_MAC, ...packet }, OUR_MAC);
