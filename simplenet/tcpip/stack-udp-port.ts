/**
 * StackUdpPort: a UDP port of the stack. As with a socket, a datagram that cannot be sent is lost, and `onError` is called soon.
 *
 * Next: stack.ts
 */

import { ENOBUFS } from '../kernel/abi.ts';
import type { InternetAddress, SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import type { UdpHandler, UdpPort } from '../loop/event-loop.ts';
import type { Alarm } from '../loop/host.ts';
import { formatIpv4Number } from './ip/ipv4-address.ts';
import type { UdpDatagram } from './ip/udp-datagram.ts';
import { internetAddressOf } from './stack-address.ts';
import type { StackContext, StackMember } from './stack-context.ts';
import type { UdpReceiver } from './udp-layer.ts';

export class StackUdpPort implements UdpPort, UdpReceiver, StackMember {
  needsSettle = false;
  readonly #context: StackContext;
  readonly #handler: UdpHandler;
  #address: InternetAddress = { address: '', port: 0 };
  #isClosing = false;
  /** Reports a refusal when it rings. Further refusals until then are not reported. */
  #report: Alarm | null = null;

  constructor(context: StackContext, handler: UdpHandler) {
    this.#context = context;
    this.#handler = handler;
  }

  get address(): InternetAddress {
    return this.#address;
  }

  /** The layer brings the datagrams of this address. */
  opened(address: InternetAddress): void {
    this.#address = address;
  }

  send(bytes: Uint8Array, to: SocketAddress): boolean {
    if (this.#isClosing) return false;
    const { address, port } = internetAddressOf(to);
    const { udp, turn } = this.#context;
    const result = udp.send(this.#address.port, address, port, bytes, turn.now());
    if (result >= 0) return true;
    if (result !== -ENOBUFS) this.#reportSoon(new SystemError('sendto', result, to));
    return false;
  }

  received(datagram: UdpDatagram, source: number): void {
    if (this.#isClosing) return;
    const from = { address: formatIpv4Number(source), port: datagram.sourcePort };
    const bytes = datagram.bytes.subarray(datagram.start, datagram.end);
    this.#context.turn.guard(this, () => this.#handler.onMessage(this, bytes, from));
  }

  /** ICMP says that a datagram of this port has not arrived. */
  refused(errno: number, destination: number, port: number): void {
    this.#reportSoon(new SystemError('recvfrom', -errno, { address: formatIpv4Number(destination), port }));
  }

  /** The handler threw. The port goes on with the next datagram. */
  onThrow(): void {}

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#report?.cancel();
    this.#context.turn.settleLater(this);
  }

  lose(error: SystemError): void {
    if (this.#isClosing) return;
    this.close();
    this.#handler.onError?.(this, error);
  }

  settle(): void {
    this.#context.udp.close(this.#address.port);
    this.#context.forget(this);
  }

  /** With an alarm, not at the end of the turn: a program that sends again on each report would hold the thread. */
  #reportSoon(error: SystemError): void {
    if (this.#isClosing || this.#handler.onError === undefined || this.#report !== null) return;
    this.#report = this.#context.host.alarm(0, () => {
      this.#report = null;
      this.#context.turn.guard(this, () => this.#handler.onError?.(this, error));
    });
  }
}
