/**
 * BesiegedServer: an HTTP server on a stack of our own, a friendly client on another one, and an attacker on the same wire.
 *
 *     server 10.9.0.2 ---- wire ---- friend 10.9.0.1
 *                              \____ attacker: 10.9.0.66, the router 10.9.0.254, and every address that it forges
 *
 * The attacker makes any frame, and hears all that the server sends. Time is simulated; promises of the server are Node's own, so the
 * world waits for one real macrotask now and then.
 */

import { createHash } from 'node:crypto';
import { Router, type Server, serve, type Timeouts } from '../../../http/index.ts';
import type { Stream } from '../../../simplenet/loop/event-loop.ts';
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
import { createWire, type WireOptions } from '../../../simplenet/tcpip/link/simulated-wire.ts';
import { createStack, type Stack, type StackOptions } from '../../../simplenet/tcpip/stack.ts';
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
import { SimulatedHost } from '../../simulation/simulated-host.ts';
import { SimulatedKernel } from '../../simulation/simulated-kernel.ts';
import { collectGarbage } from '../../support/collect-garbage.ts';

export const SERVER = 0x0a090002;
export const FRIEND = 0x0a090001;
export const ATTACKER = 0x0a090042;
const ROUTER = 0x0a0900fe;
const SERVER_MAC = 0x0200_0000_0002;
export const FRIEND_MAC = 0x0200_0000_0001;
export const ATTACKER_MAC = 0x0200_0000_0042;
const PAYLOAD_START = 34;
const MAX_FRAME_BYTES = 1514;
/** Frames that wait on the wire are the memory of the test, so a flood comes in pieces. */
const FRAMES_AT_ONCE = 1_000;
const STEPS_PER_MACROTASK = 16;

const PIECE_BYTES = 40_000;
export const LARGE_BYTES = 4_000_000;
const LARGE = Buffer.alloc(LARGE_BYTES, 'The quick brown fox jumps over the lazy dog. ');

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

export class BesiegedServer {
  readonly host: SimulatedHost;
  readonly server: Stack;
  readonly friend: Stack;
  readonly http: Server;
  readonly random = new Random(1);
  /** How long the friend waits for a whole response. */
  patienceMs = 10_000;
  /** What the server has sent to others than the friend, since the attacker has listened last. */
  #heard: Heard[] = [];
  /** Turned off in floods: 100,000 copies are not what is to be measured. */
  isListening = true;
  /** How many packets the server has sent, ARP not counted. */
  sentPackets = 0;
  /** The latest segment for the friend: what an attacker on the path would know. */
  toFriend: TcpSegment | null = null;
  /** Addresses of the local network in whose name the attacker answers ARP. */
  readonly claimed = new Set<number>([ATTACKER, ROUTER]);
  /** Called for each frame that the friend sends. */
  onFriendFrame: ((frame: Buffer) => void) | null = null;
  /** Called for each SYN, ACK, whether the attacker is listening or not. */
  onSynAck: ((port: number, sequence: number) => void) | null = null;
  readonly #link: Link;
  readonly #frame = Buffer.alloc(MAX_FRAME_BYTES);

  constructor(options: Partial<StackOptions> = {}, timeouts: Partial<Timeouts> = {}, wire: WireOptions = {}) {
    this.host = new SimulatedHost(new SimulatedKernel({ seed: 1 }), { seed: 1 });
    const [left, right] = createWire(wire);
    this.#link = right;
    const serverLink = observeFrames(left, (frame, direction) => {
      if (direction === 'sent') this.#hear(frame);
    });
    const common = { host: this.host, gateway: '10.9.0.254', arpRequests: options.arpRequests ?? 3 };
    const own = { address: '10.9.0.2/24', hardwareAddress: '02:00:00:00:00:02', seed: 2 };
    this.server = createStack({ ...common, ...own, link: serverLink, ...options });
    const friendly = { address: '10.9.0.1/24', hardwareAddress: '02:00:00:00:00:01', seed: 1 };
    const friendLink = observeFrames(right, (frame, direction) => {
      if (direction === 'sent') this.onFriendFrame?.(frame);
    });
    this.friend = createStack({ ...common, ...friendly, link: friendLink });
    const router = new Router();
    router.get('/small', (_request, response) => response.text('hello'));
    router.get('/stream', async (_request, response) => {
      for (let sent = 0; sent < LARGE_BYTES; sent += PIECE_BYTES)
        await response.write(Buffer.allocUnsafeSlow(PIECE_BYTES));
      response.end();
    });
    router.get('/large', (_request, response) => response.end(LARGE));
    router.post('/hash', async (request, response) => {
      response.text(
        createHash('sha256')
          .update(await request.bytes())
          .digest('hex'),
      );
    });
    this.http = serve(router, { loop: this.server, host: '10.9.0.2', port: 80, timeouts });
    for (const sender of this.claimed) this.arp({ sender }); // or the first answers of a flood would wait for ARP, in a bounded queue
  }

  // Time.

  /** Lets so much time pass, and all that happens in it. */
  async pass(ms: number): Promise<void> {
    let isOver = false;
    this.host.alarm(ms, () => {
      isOver = true;
    });
    await this.#until(() => isOver);
  }

  async #until(condition: () => boolean): Promise<void> {
    for (let steps = 1; !condition(); steps++) {
      this.host.step();
      if (steps % STEPS_PER_MACROTASK === 0) await new Promise(setImmediate);
    }
    if (this.host.raised.length > 0) throw this.host.raised[0];
  }

  /** What the server holds: heap and buffers, after a collection. */
  memoryBytes(): number {
    collectGarbage();
    collectGarbage(); // V8 frees buffers in the background after a collection, and counts that at the next one
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  }

  /** Everything ends, and nothing is left. */
  async close(): Promise<string[]> {
    await Promise.all([this.http.close({ graceMs: 0 }), this.#until(() => this.server.openCount === 0)]);
    this.server.close();
    this.friend.close();
    await this.#until(() => this.host.alarmCount === 0);
    return this.host.raised.map(String);
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
    await this.#until(() => isOver);
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
    await this.#until(() => isOpen);
    const port = (stream.localAddress as { port: number }).port;
    return { stream, received: () => received, error: () => error, port };
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
      if (index % FRAMES_AT_ONCE === FRAMES_AT_ONCE - 1) await this.pass(1);
    }
    await this.pass(1);
  }

  /** Any frame. */
  inject(frame: Buffer, length: number): void {
    this.#link.send(frame, length);
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
    this.#link.send(frame, end);
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
    this.#link.send(this.#frame, PAYLOAD_START + length);
  }

  #hear(frame: Buffer): void {
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
    if (request === null || request.operation !== ARP_REQUEST || !this.claimed.has(request.target)) return;
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
