/**
 * Address resolution: ARP on one link. It answers requests for our address, asks for those of others, and keeps the packets that wait.
 *
 * The states of the neighbours are in arp-cache.ts, and the defence of our own address is in address-claim.ts. This file connects both with frames.
 *
 * Next: ipv4-packet.ts
 */

import {
  BROADCAST_HARDWARE_ADDRESS,
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  isGroupAddress,
  writeEthernetHeader,
  writeHardwareAddress,
} from '../link/ethernet-frame.ts';
import type { Link } from '../link/link.ts';
import { AddressClaim } from './address-claim.ts';
import { ArpCache, NO_ROOM, UNREACHABLE, UNRESOLVED } from './arp-cache.ts';
import { ARP_BYTES, ARP_REPLY, ARP_REQUEST, type ArpPacket, decodeArp, writeArp } from './arp-packet.ts';
import type { InternetCounters } from './internet-counters.ts';
import type { IpLimits } from './ip-limits.ts';
import { isHostAddress, isSameNetwork } from './ipv4-address.ts';

export { NO_ROOM, UNREACHABLE, UNRESOLVED };

export interface AddressSetup {
  readonly link: Link;
  readonly hardwareAddress: number;
  readonly address: number;
  readonly prefixLength: number;
  readonly limits: IpLimits;
}

export class AddressResolution {
  readonly #setup: AddressSetup;
  readonly #counters: InternetCounters;
  readonly #cache: ArpCache;
  readonly #claim: AddressClaim;
  readonly #frame = Buffer.alloc(ETHERNET_HEADER_BYTES + ARP_BYTES);

  /** `onUnreachable` gets each frame that has waited for a neighbour that does not answer. */
  constructor(setup: AddressSetup, counters: InternetCounters, onUnreachable: (frame: Buffer, now: number) => void) {
    this.#setup = setup;
    this.#counters = counters;
    this.#claim = new AddressClaim(() => this.#sendRequest(setup.address, BROADCAST_HARDWARE_ADDRESS));
    this.#cache = new ArpCache(setup.limits, {
      ask: (address, hardwareAddress) => this.#sendRequest(address, hardwareAddress),
      release: (frame, hardwareAddress) => this.#release(frame, hardwareAddress),
      fail: onUnreachable,
      drop: () => {
        counters.queueOverflows++;
      },
    });
  }

  get neighbours(): number {
    return this.#cache.size;
  }

  get waitingBytes(): number {
    return this.#cache.waitingBytes;
  }

  get deadlineAt(): number {
    return Math.min(this.#cache.deadlineAt, this.#claim.deadlineAt);
  }

  onDeadline(now: number): void {
    this.#claim.onDeadline(now);
    if (this.#cache.deadlineAt <= now) this.#cache.onDeadline(now);
  }

  announce(now: number): void {
    this.#claim.announce(now);
  }

  /** Returns the hardware address of a neighbour, or UNRESOLVED, UNREACHABLE or NO_ROOM. */
  lookUp(neighbour: number, now: number): number {
    return this.#cache.lookUp(neighbour, now);
  }

  /** Keeps a copy of a frame until the neighbour, which is UNRESOLVED, has answered. Returns false if there is no room. */
  hold(neighbour: number, frame: Buffer): boolean {
    const copy = Buffer.allocUnsafeSlow(frame.length);
    copy.set(frame);
    return this.#cache.hold(neighbour, copy);
  }

  /** Takes an ARP packet from the link. */
  receive(bytes: Buffer, start: number, end: number, now: number): void {
    const packet = decodeArp(bytes, start, end);
    const { address, hardwareAddress, prefixLength } = this.#setup;
    if (packet === null) {
      this.#counters.malformed++;
      return;
    }
    const { sender, senderHardware } = packet;
    // A frame of our own may come back to us. No host has a group address, and 0 would make us send to nobody.
    if (senderHardware === hardwareAddress || senderHardware === 0 || isGroupAddress(senderHardware)) {
      this.#counters.martians++;
      return;
    }
    if (sender === address) {
      this.#counters.addressConflicts++;
      this.#claim.defend(now);
      return;
    }
    const isForUs = packet.operation === ARP_REQUEST && packet.target === address;
    // A probe of RFC 5227 has the sender 0.0.0.0: it asks whether the address is free, and there is nothing to learn.
    const isProbe = sender === 0;
    if (!isProbe && !(isHostAddress(sender) && isSameNetwork(sender, address, prefixLength))) {
      this.#counters.martians++;
      return;
    }
    if (!isProbe) this.#cache.learn(sender, senderHardware, isForUs, now);
    if (isForUs) this.#sendReply(packet);
  }

  #sendReply(request: ArpPacket): void {
    const { senderHardware: targetHardware, sender: target } = request;
    this.#send(targetHardware, { ...this.#sender, operation: ARP_REPLY, targetHardware, target });
  }

  #sendRequest(target: number, hardwareAddress: number): void {
    this.#send(hardwareAddress, { ...this.#sender, operation: ARP_REQUEST, targetHardware: 0, target });
  }

  get #sender(): Pick<ArpPacket, 'sender' | 'senderHardware'> {
    return { sender: this.#setup.address, senderHardware: this.#setup.hardwareAddress };
  }

  #send(hardwareAddress: number, packet: ArpPacket): void {
    const start = writeEthernetHeader(this.#frame, 0, hardwareAddress, this.#setup.hardwareAddress, ETHERTYPE_ARP);
    writeArp(this.#frame, start, packet);
    this.#sendFrame(this.#frame);
  }

  #release(frame: Buffer, hardwareAddress: number): void {
    writeHardwareAddress(frame, 0, hardwareAddress);
    this.#sendFrame(frame);
  }

  #sendFrame(frame: Buffer): void {
    if (!this.#setup.link.send(frame, frame.length)) this.#counters.linkOverflows++;
  }
}
