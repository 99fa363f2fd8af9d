/**
 * UdpLayer: brings each datagram to the port that it names, and sends datagrams. A datagram to a port that nobody has is answered with
 * ICMP "port unreachable" (RFC 1122 section 4.1.3.1).
 *
 * Next: tcp/sequence.ts
 */

import { EADDRINUSE, EADDRNOTAVAIL, EINVAL, EMSGSIZE } from '../kernel/abi.ts';
import { intrinsicByteLength, plainView } from '../kernel/intrinsic-bytes.ts';
import { CODE_PORT, ICMP_UNREACHABLE, type IcmpError } from './ip/icmp.ts';
import { type InternetLayer, OUTGOING_PAYLOAD_START } from './ip/internet-layer.ts';
import { type Ipv4Packet, PROTOCOL_UDP } from './ip/ipv4-packet.ts';
import { decodeUdp, MAX_UDP_PAYLOAD, UDP_HEADER_BYTES, type UdpDatagram, writeUdpHeader } from './ip/udp-datagram.ts';

/** The ports that a stack chooses from when the program asks for any: those that IANA leaves for that (RFC 6335). */
const FIRST_DYNAMIC_PORT = 49_152;
const LAST_PORT = 65_535;

/** What gets the datagrams of a port. */
export interface UdpReceiver {
  received(datagram: UdpDatagram, source: number): void;
  /** ICMP says that a datagram to this destination has not arrived. */
  refused(errno: number, destination: number, port: number): void;
}

export class UdpLayer {
  /** Malformed: a wrong checksum, or a length that cannot be. */
  readonly counters = { datagramsReceived: 0, datagramsSent: 0, malformedDatagrams: 0 };
  readonly #internet: InternetLayer;
  readonly #random: () => number;
  readonly #receivers = new Map<number, UdpReceiver>();

  constructor(internet: InternetLayer, random: () => number) {
    this.#internet = internet;
    this.#random = random;
  }

  /** Takes the port, or any free one for 0. Returns it, or -errno. */
  open(port: number, receiver: UdpReceiver): number {
    const taken = port === 0 ? this.#anyPort() : port;
    if (taken < 0) return taken;
    if (this.#receivers.has(taken)) return -EADDRINUSE;
    this.#receivers.set(taken, receiver);
    return taken;
  }

  close(port: number): void {
    this.#receivers.delete(port);
  }

  /** Returns 0 or -errno: those of InternetLayer.send, and EINVAL for port 0, which is nobody's. Throws for what is not bytes. */
  send(sourcePort: number, destination: number, destinationPort: number, bytes: Uint8Array, now: number): number {
    const byteLength = intrinsicByteLength(bytes);
    if (destinationPort === 0) return -EINVAL;
    if (byteLength > MAX_UDP_PAYLOAD) return -EMSGSIZE;
    const { outgoing, address: source } = this.#internet;
    const length = UDP_HEADER_BYTES + byteLength;
    outgoing.set(plainView(bytes, 0, byteLength), OUTGOING_PAYLOAD_START + UDP_HEADER_BYTES);
    const addresses = { source, sourcePort, destination, destinationPort };
    writeUdpHeader(outgoing, OUTGOING_PAYLOAD_START, OUTGOING_PAYLOAD_START + length, addresses);
    this.counters.datagramsSent++;
    return this.#internet.send(destination, PROTOCOL_UDP, length, {}, now);
  }

  receive(packet: Ipv4Packet, now: number): void {
    const datagram = decodeUdp(packet);
    if (datagram === null) {
      this.counters.malformedDatagrams++;
      return;
    }
    this.counters.datagramsReceived++;
    const receiver = this.#receivers.get(datagram.destinationPort);
    if (receiver !== undefined) receiver.received(datagram, packet.source);
    else this.#internet.refusePacket(packet, ICMP_UNREACHABLE, CODE_PORT, now);
  }

  onIcmpError(error: IcmpError): void {
    const { bytes, start, end } = error;
    if (end - start < UDP_HEADER_BYTES) return;
    this.#receivers
      .get(bytes.readUInt16BE(start))
      ?.refused(error.errno, error.destination, bytes.readUInt16BE(start + 2));
  }

  /** RFC 6056 section 3.3.1: begins at a random port, so that a blind attacker cannot guess it. */
  #anyPort(): number {
    const count = LAST_PORT - FIRST_DYNAMIC_PORT + 1;
    const first = Math.floor(this.#random() * count);
    for (let i = 0; i < count; i++) {
      const port = FIRST_DYNAMIC_PORT + ((first + i) % count);
      if (!this.#receivers.has(port)) return port;
    }
    return -EADDRNOTAVAIL;
  }
}
