/**
 * Siege: an HTTP server on a stack of our own, a friendly client on another one, and an attacker at the same end of the wire.
 *
 *     server 10.9.0.2 ---- wire ---- friend 10.9.0.1
 *                              \____ attacker: 10.9.0.66, the router 10.9.0.254, and every address that it forges
 *
 * The attacker makes any frame, and hears all that the server sends to this end. The attacks (attacks.ts) are written for this class, so each can be made
 * in two worlds: besieged-server.ts has a simulated wire and a simulated clock, besieged-over-tap.ts TAP devices in a bridge of Linux and real time.
 */

import type { Timeouts } from '../../../http/index.ts';
import type { Stream } from '../../../simplenet/loop/event-loop.ts';
import type { Host } from '../../../simplenet/loop/host.ts';
import { ARP_REPLY, ARP_REQUEST, type ArpPacket, decodeArp, writeArp } from '../../../simplenet/tcpip/ip/arp-packet.ts';
import { finishChecksum, pseudoHeaderSum, sumWords } from '../../../simplenet/tcpip/ip/checksum.ts';
import { writeIcmpHeader } from '../../../simplenet/tcpip/ip/icmp.ts';
import {
  DEFAULT_TTL,
  decodeIpv4,
  type Ipv4Header,
  type Ipv4Packet,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  writeIpv4Header,
} from '../../../simplenet/tcpip/ip/ipv4-packet.ts';
import {
  BROADCAST_HARDWARE_ADDRESS,
  decodeEthernet,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  writeEthernetHeader,
} from '../../../simplenet/tcpip/link/ethernet-frame.ts';
import type { Link } from '../../../simplenet/tcpip/link/link.ts';
import { observeFrames } from '../../../simplenet/tcpip/link/observed-link.ts';
import { createStack, type Stack, type StackOptions, type StackStatistics } from '../../../simplenet/tcpip/stack.ts';
import {
  ACK,
  decodeSegment,
  encodeSegmentHead,
  FIN,
  noOptions,
  PSH,
  RST,
  SYN,
  type TcpOptions,
  type TcpSegment,
} from '../../../simplenet/tcpip/tcp/segment.ts';
import { Random } from '../../simulation/random.ts';

export const SERVER = 0x0a090002;
export const FRIEND = 0x0a090001;
export const ATTACKER = 0x0a090042;
const ROUTER = 0x0a0900fe;
const SERVER_MAC = 0x0200_0000_0002;
const FRIEND_MAC = 0x0200_0000_0001;
export const ATTACKER_MAC = 0x0200_0000_0042;
const PAYLOAD_START = 34;
const MAX_FRAME_BYTES = 1514;

/** What both stacks have in common, and what is the server's own. */
export const networkOptions = { gateway: '10.9.0.254', arpRequests: 3 };
export const serverOptions = { address: '10.9.0.2/24', hardwareAddress: '02:00:00:00:00:02', seed: 2 };

/** Makes the world of an attack. The options are those of the server. */
export type Besiege = (options?: Partial<StackOptions>, timeouts?: Partial<Timeouts>) => Promise<Siege>;

export interface SegmentFields {
  readonly from?: number;
  readonly fromPort?: number;
  readonly toPort?: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly window?: number;
  readonly text?: string | Buffer;
  readonly options?: Partial<TcpOptions>;
}

export interface Heard {
  readonly packet: Ipv4Packet;
  /** Null for what is not TCP. */
  readonly segment: TcpSegment | null;
}

const letters: Readonly<Record<string, number>> = { F: FIN, S: SYN, R: RST, P: PSH, A: ACK };

export abstract class Siege {
  readonly host: Host;
  readonly friend: Stack;
  readonly random = new Random(1);
  /** How long the friend waits for a whole response. */
  patienceMs = 10_000;
  /** Turned off in floods: 100,000 copies are not what is to be measured. */
  isListening = true;
  /** How many packets of the server were heard, ARP not counted. */
  sentPackets = 0;
  /** How many frames the attacker has sent. */
  protected forgedFrames = 0;
  /** The latest segment for the friend: what an attacker on the path would know. */
  toFriend: TcpSegment | null = null;
  /** Called for each frame that the friend sends. */
  onFriendFrame: ((frame: Buffer) => void) | null = null;
  /** Called for each SYN, ACK, whether the attacker is listening or not. */
  onSynAck: ((port: number, sequence: number) => void) | null = null;
  /** What the server has sent to others than the friend, since the attacker has listened last. */
  #heard: Heard[] = [];
  /** Addresses of the local network in whose name the attacker answers ARP. */
  readonly #claimed = new Set<number>([ATTACKER, ROUTER]);
  readonly #link: Link;
  readonly #frame = Buffer.alloc(MAX_FRAME_BYTES);

  /** `link` is the end of the friend and of the attacker. Whoever observes the wire calls `hear`. */
  constructor(host: Host, link: Link) {
    this.host = host;
    this.#link = link;
    const friendLink = observeFrames(link, (frame, direction) => {
      if (direction === 'sent') this.onFriendFrame?.(frame);
      else this.received(frame);
    });
    const own = { address: '10.9.0.1/24', hardwareAddress: '02:00:00:00:00:01', seed: 1 };
    this.friend = createStack({ host, link: friendLink, ...networkOptions, ...own });
  }

  /** Whether a minute costs nothing here. Where it does, nobody waits until what an attack has left ends by its time limits. */
  abstract readonly isSimulated: boolean;
  /** How soon a friendly client is served here, on a wire without delay. */
  abstract readonly promptMs: number;
  /** How many frames are sent before the others get a turn. */
  protected abstract readonly framesAtOnce: number;
  /** A frame has come to this end. */
  protected abstract received(frame: Buffer): void;
  /** What the stack of the server has counted. */
  abstract statistics(): Promise<StackStatistics>;
  /** What the server holds: heap and buffers, after a collection. */
  abstract memoryBytes(): Promise<number>;
  /** Lets so much time pass, and all that happens in it. */
  abstract pass(ms: number): Promise<void>;
  abstract until(condition: () => boolean): Promise<void>;
  /** Waits until the server has got what was sent to it. */
  protected abstract delivered(): Promise<void>;
  /** Everything ends, and nothing is left. Returns what has gone wrong. */
  abstract close(): Promise<string[]>;

  /** The server may already answer these addresses; otherwise its first answers in a flood would wait for ARP, in a bounded queue. */
  protected claimAddresses(): void {
    for (const sender of this.#claimed) this.arp({ sender });
  }

  // The friend.

  /** The body of a response of the server, and how long it took; null if it did not come whole. */
  async get(path: string): Promise<{ body: Buffer; ms: number } | null> {
    return this.request(`GET ${path} HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n`);
  }

  async post(path: string, body: Buffer): Promise<{ body: Buffer; ms: number } | null> {
    const head = `POST ${path} HTTP/1.1\r\nHost: server\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`;
    return this.request(head, body);
  }

  async request(head: string, content: Buffer = Buffer.alloc(0)): Promise<{ body: Buffer; ms: number } | null> {
    const startedAt = this.host.now();
    const parts: Buffer[] = [];
    let isOver = false;
    let isGood = false;
    const stream = this.friend.connect(
      { address: '10.9.0.2', port: 80 },
      {
        onData: (_stream, bytes) => parts.push(Buffer.from(bytes)),
        onClose: (_stream, error) => {
          isOver = true;
          isGood = error === null;
        },
      },
    );
    stream.setDeadline(this.patienceMs);
    stream.write(Buffer.concat([Buffer.from(head), content]));
    await this.until(() => isOver);
    const response = Buffer.concat(parts);
    const end = response.indexOf('\r\n\r\n');
    const length = /content-length: (\d+)/i.exec(response.toString('latin1', 0, end))?.[1];
    const body = response.subarray(end + 4);
    if (
      !isGood ||
      !response.toString('latin1', 0, 15).startsWith('HTTP/1.1 200 OK') ||
      body.length !== Number(length)
    ) {
      return null;
    }
    return { body, ms: this.host.now() - startedAt };
  }

  /** An open connection of the friend. */
  async connect(): Promise<{ stream: Stream; received: () => string; error: () => unknown; port: number }> {
    let received = '';
    let error: unknown;
    let isOpen = false;
    const stream = this.friend.connect(
      { address: '10.9.0.2', port: 80 },
      {
        onOpen: () => {
          isOpen = true;
        },
        onData: (_stream, bytes) => {
          received += bytes.toString('latin1');
        },
        onClose: (_stream, reason) => {
          error = reason ?? 'closed';
        },
      },
    );
    await this.until(() => isOpen);
    const port = (stream.localAddress as { port: number }).port;
    return { stream, received: () => received, error: () => error, port };
  }

  /** Writes, and waits until the attacker has heard the acknowledgment, so it knows the numbers that both sides expect next. */
  async writeAcknowledged(stream: Stream, text: string): Promise<void> {
    const wanted = ((this.toFriend?.acknowledgment ?? 0) + text.length) >>> 0;
    stream.write(Buffer.from(text));
    await this.until(() => this.toFriend?.acknowledgment === wanted);
  }

  // The attacker.

  /** What the server has sent to the attacker and to forged addresses since the last call. */
  async listen(ms = 100): Promise<Heard[]> {
    await this.pass(ms);
    const heard = this.#heard;
    this.#heard = [];
    return heard;
  }

  /** Segments only, from the port of the server, for the given port. */
  async listenTo(port: number, ms = 100): Promise<TcpSegment[]> {
    const heard = await this.listen(ms);
    return heard.flatMap(({ segment }) => (segment !== null && segment.destinationPort === port ? [segment] : []));
  }

  /** Throws the frames of `make`, in pieces that the wire has room for. */
  async flood(count: number, make: (index: number) => void): Promise<void> {
    for (let index = 0; index < count; index++) {
      make(index);
      if (index % this.framesAtOnce === this.framesAtOnce - 1) await this.delivered();
    }
    await this.delivered();
  }

  /** Any frame. */
  inject(frame: Buffer, length: number): void {
    if (this.#link.send(frame, length)) this.forgedFrames++;
  }

  /** A segment to the server. */
  send(flags: string, fields: SegmentFields = {}): void {
    const { from = ATTACKER, fromPort = 5_000, toPort = 80, seq = 0, ack = 0, window = 65_535, options = {} } = fields;
    const frame = this.#frame;
    const payload = encodeSegmentHead(frame, PAYLOAD_START, {
      sourcePort: fromPort,
      destinationPort: toPort,
      sequence: seq >>> 0,
      acknowledgment: ack >>> 0,
      flags: [...flags].reduce((sum, letter) => sum | (letters[letter] as number), 0),
      window,
      urgent: 0,
      options: { ...noOptions, ...options },
    });
    const text = Buffer.from(fields.text ?? '');
    const end = payload + text.copy(frame, payload);
    const sum = sumWords(frame, PAYLOAD_START, end, pseudoHeaderSum(from, SERVER, PROTOCOL_TCP, end - PAYLOAD_START));
    frame.writeUInt16BE(finishChecksum(sum), PAYLOAD_START + 16);
    this.#sendPacket({ source: from, protocol: PROTOCOL_TCP }, end - PAYLOAD_START);
  }

  /** A packet, or a fragment of one, with this payload. */
  sendPacket(header: Partial<Ipv4Header>, payload: Buffer): void {
    payload.copy(this.#frame, PAYLOAD_START);
    this.#sendPacket(header, payload.length);
  }

  icmp(type: number, code: number, rest: number, data: Buffer, header: Partial<Ipv4Header> = {}): void {
    const end = PAYLOAD_START + 8 + data.copy(this.#frame, PAYLOAD_START + 8);
    writeIcmpHeader(this.#frame, PAYLOAD_START, end, { type, code, rest });
    this.#sendPacket({ protocol: PROTOCOL_ICMP, ...header }, end - PAYLOAD_START);
  }

  arp(packet: Partial<ArpPacket>, to = SERVER_MAC): void {
    const frame = this.#frame;
    writeEthernetHeader(frame, 0, to, ATTACKER_MAC, ETHERTYPE_ARP);
    const end = writeArp(frame, 14, {
      operation: ARP_REQUEST,
      senderHardware: ATTACKER_MAC,
      sender: ATTACKER,
      targetHardware: 0,
      target: SERVER,
      ...packet,
    });
    this.inject(frame, end);
  }

  /** The header of a packet of the server, with the beginning of its segment: what an ICMP error quotes. */
  quote(to: number, fromPort: number, toPort: number, seq: number): Buffer {
    const bytes = Buffer.alloc(28);
    writeIpv4Header(bytes, 0, headerOf({ source: SERVER, destination: to, protocol: PROTOCOL_TCP }), 1_000);
    bytes.writeUInt16BE(fromPort, 20);
    bytes.writeUInt16BE(toPort, 22);
    bytes.writeUInt32BE(seq >>> 0, 24);
    return bytes;
  }

  /** The attacker connects under its own address. Returns the numbers that follow. */
  async handshake(fields: SegmentFields = {}): Promise<{ seq: number; ack: number }> {
    const { fromPort = 5_000, options = {} } = fields;
    this.#heard = [];
    this.send('S', { ...fields, seq: 0, options });
    const synAck = (await this.listenTo(fromPort, 10)).find(({ flags }) => (flags & SYN) !== 0);
    if (synAck === undefined) throw new Error('no SYN, ACK');
    const ack = (synAck.sequence + 1) >>> 0;
    this.send('A', { ...fields, seq: 1, ack, options: answering(options, synAck) });
    return { seq: 1, ack };
  }

  #sendPacket(header: Partial<Ipv4Header>, length: number): void {
    writeEthernetHeader(this.#frame, 0, SERVER_MAC, ATTACKER_MAC, ETHERTYPE_IPV4);
    writeIpv4Header(this.#frame, 14, headerOf(header), length);
    this.inject(this.#frame, PAYLOAD_START + length);
  }

  /** The server has sent this frame. */
  protected hear(frame: Buffer): void {
    const ethernet = decodeEthernet(frame, 0, frame.length);
    if (ethernet === null) throw new Error('the server has sent no frame');
    if (ethernet.type === ETHERTYPE_ARP) {
      this.#answerArp(decodeArp(frame, ethernet.start, ethernet.end));
      return;
    }
    this.sentPackets++;
    if (this.onSynAck !== null && frame[PAYLOAD_START + 13] === (SYN | ACK)) {
      this.onSynAck(frame.readUInt16BE(PAYLOAD_START + 2), frame.readUInt32BE(PAYLOAD_START + 4));
    }
    if (!this.isListening) return;
    const copy = Buffer.from(frame);
    const packet = decodeIpv4(copy, ethernet.start, ethernet.end);
    if (packet === null) throw new Error('the server has sent no packet');
    const isTcp = packet.protocol === PROTOCOL_TCP;
    const segment = isTcp ? decodeSegment(copy, packet.start, packet.end) : null;
    if (packet.destination === FRIEND && ethernet.destination === FRIEND_MAC) this.toFriend = segment;
    else this.#heard.push({ packet, segment });
  }

  #answerArp(request: ArpPacket | null): void {
    if (request === null || request.operation !== ARP_REQUEST || !this.#claimed.has(request.target)) return;
    const { target, sender, senderHardware } = request;
    this.host.soon(() => {
      this.arp({ operation: ARP_REPLY, sender: target, target: sender, targetHardware: senderHardware });
    });
  }
}

function answering(options: Partial<TcpOptions>, synAck: TcpSegment): Partial<TcpOptions> {
  const { timestampValue = -1 } = options;
  return timestampValue < 0 ? {} : { timestampValue: timestampValue + 1, timestampEcho: synAck.options.timestampValue };
}

function headerOf(header: Partial<Ipv4Header>): Ipv4Header {
  const usual: Ipv4Header = {
    source: ATTACKER,
    destination: SERVER,
    protocol: PROTOCOL_TCP,
    ttl: DEFAULT_TTL,
    identification: 1,
    dontFragment: false,
    moreFragments: false,
    fragmentOffset: 0,
    typeOfService: 0,
  };
  return { ...usual, ...header };
}

/** An address that may be anyone's, far away. */
export function anyAddress(random: Random): number {
  return (0x14000000 + random.below(0x40000000)) >>> 0;
}

export { BROADCAST_HARDWARE_ADDRESS, SERVER_MAC };
