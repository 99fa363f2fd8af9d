/** LayerBench: a TcpLayer on an internet layer that only keeps what is sent. The peers are played by the test, segment by segment. */

import { finishChecksum, pseudoHeaderSum, sumWords } from '../../../../simplenet/tcpip/ip/checksum.ts';
import type { IcmpError, InternetLayer } from '../../../../simplenet/tcpip/ip/internet-layer.ts';
import { type Ipv4Packet, PROTOCOL_TCP } from '../../../../simplenet/tcpip/ip/ipv4-packet.ts';
import {
  decodeSegment,
  encodeSegmentHead,
  noOptions,
  type TcpOptions,
  type TcpSegment,
} from '../../../../simplenet/tcpip/tcp/segment.ts';
import {
  defaultTcpLayerLimits,
  type TcpEntry,
  TcpLayer,
  type TcpLayerLimits,
  type TcpListener,
} from '../../../../simplenet/tcpip/tcp/tcp-layer.ts';
import { Random } from '../../../simulation/random.ts';
import { FixedWindow } from './fixed-window.ts';
import { letters } from './machine.ts';

const OURS = 0x0a090002;
export const PEER = 0x0a090001;
const PAYLOAD_START = 34;
export const sizes = {
  sendBufferBytes: 20_000,
  maxSendBufferBytes: 20_000,
  receiveBufferBytes: 20_000,
  maxReceiveBufferBytes: 20_000,
};

export interface Sent {
  readonly to: number;
  readonly segment: TcpSegment;
}

export interface Fields {
  readonly from?: number;
  readonly port?: number;
  readonly to?: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly text?: string;
  readonly options?: Partial<TcpOptions>;
}

export class LayerBench {
  now = 1_000_000;
  readonly layer: TcpLayer;
  readonly accepted: TcpEntry[] = [];
  readonly progress: TcpEntry[] = [];
  readonly lowered: number[] = [];
  maxPayload = 1480;
  result = 0;
  #sent: Sent[] = [];

  constructor(limits: Partial<TcpLayerLimits> = {}) {
    const outgoing = Buffer.alloc(2_000);
    const internet = {
      outgoing,
      address: OURS,
      maxPayloadTo: () => this.maxPayload,
      lowerPathMtu: (_address: number, mtu: number) => this.lowered.push(mtu),
      send: (to: number, _protocol: number, length: number) => {
        if (this.result !== 0) return this.result;
        const frame = Buffer.from(outgoing.subarray(PAYLOAD_START, PAYLOAD_START + length));
        const sum = sumWords(frame, 0, length, pseudoHeaderSum(OURS, to, PROTOCOL_TCP, length));
        if (finishChecksum(sum) !== 0) throw new Error('a wrong checksum');
        this.#sent.push({ to, segment: decodeSegment(frame, 0, length) as TcpSegment });
        return 0;
      },
    };
    this.layer = new TcpLayer({
      internet: internet as unknown as InternetLayer,
      secret: Buffer.alloc(16, 7),
      random: () => this.random.next(),
      limits: { ...defaultTcpLayerLimits, ...limits },
      congestion: (bytes) => new FixedWindow(bytes),
    });
  }

  readonly random = new Random(1);

  listen(port = 80, backlog = 2): TcpListener {
    const onAccept = (entry: TcpEntry): void => {
      this.accepted.push(entry);
      this.own(entry);
    };
    return this.layer.listen(port, { ...sizes, backlog, onAccept }) as TcpListener;
  }

  own(entry: TcpEntry): void {
    entry.owner = { onProgress: () => this.progress.push(entry) };
  }

  receive(flags: string, fields: Fields = {}): this {
    const packet = this.packet(flags, fields);
    this.layer.receive(packet, this.now);
    return this;
  }

  packet(
    flags: string,
    { from = PEER, port = 5_000, to = 80, seq = 0, ack = 0, text = '', options = {} }: Fields,
  ): Ipv4Packet {
    const bytes = Buffer.alloc(100 + text.length);
    const payload = encodeSegmentHead(bytes, 0, {
      sourcePort: port,
      destinationPort: to,
      sequence: seq >>> 0,
      acknowledgment: ack >>> 0,
      flags: [...flags].reduce((sum, letter) => sum | (letters[letter] as number), 0),
      window: 10_000,
      urgent: 0,
      options: { ...noOptions, ...options },
    });
    const end = payload + bytes.write(text, payload);
    bytes.writeUInt16BE(finishChecksum(sumWords(bytes, 0, end, pseudoHeaderSum(from, OURS, PROTOCOL_TCP, end))), 16);
    return { source: from, destination: OURS, protocol: PROTOCOL_TCP, bytes, start: 0, end } as Ipv4Packet;
  }

  /** What was sent since the last call, after a flush. */
  sent(): TcpSegment[] {
    this.layer.flush(this.now);
    const segments = this.#sent.map(({ segment }) => segment);
    this.#sent = [];
    return segments;
  }

  /** Flags of what was sent. */
  sentFlags(): string[] {
    return this.sent().map(({ flags }) => flagsOf(flags));
  }

  pass(ms: number): this {
    const end = this.now + ms;
    while (this.layer.deadlineAt <= end) {
      this.now = Math.max(this.now, this.layer.deadlineAt);
      this.layer.onDeadline(this.now);
      this.layer.flush(this.now);
    }
    this.now = end;
    return this;
  }

  /** A client whose handshake is complete. Its next number is 1. */
  accept(port = 5_000): { entry: TcpEntry; next: number } {
    this.receive('S', { port });
    const next = ((this.sent().at(-1) as TcpSegment).sequence + 1) >>> 0;
    this.receive('A', { port, seq: 1, ack: next });
    this.sent();
    return { entry: this.accepted.at(-1) as TcpEntry, next };
  }

  icmp(entry: TcpEntry, sequence: number, more: Partial<IcmpError> = {}): IcmpError {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16BE(entry.localPort, 0);
    bytes.writeUInt16BE(entry.remotePort, 2);
    bytes.writeUInt32BE(sequence >>> 0, 4);
    const destination = entry.remoteAddress;
    const common = { kind: 'unreachable', errno: 111, isHard: true, mtu: null, protocol: PROTOCOL_TCP } as const;
    return { ...common, destination, bytes, start: 0, end: 8, ...more } as IcmpError;
  }
}

export function flagsOf(flags: number): string {
  return Object.keys(letters)
    .filter((letter) => (flags & (letters[letter] as number)) !== 0)
    .join('');
}
