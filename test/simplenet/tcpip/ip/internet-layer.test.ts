/** The internet layer as a whole: frames in, frames out, and each attack that its header names. */

import t from 'tap';
import {
  EACCES,
  ECONNREFUSED,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETUNREACH,
  ENOBUFS,
} from '../../../../simplenet/kernel/abi.ts';
import { decodeArp } from '../../../../simplenet/tcpip/ip/arp-packet.ts';
import { decodeIcmp, type IcmpError } from '../../../../simplenet/tcpip/ip/icmp.ts';
import {
  InternetLayer,
  type InternetSetup,
  OUTGOING_PAYLOAD_START,
} from '../../../../simplenet/tcpip/ip/internet-layer.ts';
import { defaultIpLimits, type IpLimits } from '../../../../simplenet/tcpip/ip/ip-limits.ts';
import { decodeIpv4, type Ipv4Packet } from '../../../../simplenet/tcpip/ip/ipv4-packet.ts';
import { decodeUdp, writeUdpHeader } from '../../../../simplenet/tcpip/ip/udp-datagram.ts';
import { decodeEthernet } from '../../../../simplenet/tcpip/link/ethernet-frame.ts';
import {
  arpReply,
  arpRequest,
  datagram,
  datagramWithOptions,
  echoReply,
  echoRequest,
  portUnreachable,
  protocolUnreachable,
  unknownProtocol,
} from './captured.ts';
import {
  arpAnswer,
  arpFrame,
  EVERYONE_MAC,
  FakeLink,
  icmpFrame,
  ipv4Frame,
  OUR_ADDRESS,
  OUR_MAC,
  PEER,
  PEER_MAC,
} from './fake-link.ts';

const BROADCAST = 0x0a0900ff;
const GATEWAY = 0x0a0900fe;
const FAR = 0xcb007105;
const TCP = 6;
const UDP = 17;
const PORT_UNREACHABLE = [3, 3] as const;

interface Shape extends Partial<Omit<InternetSetup, 'limits'>> {
  readonly mtu?: number;
  readonly limits?: Partial<IpLimits>;
}

/** A layer with what it has sent, delivered and reported. The payloads of packets are copied, because their frames are not ours. */
function create(shape: Shape = {}) {
  const link = new FakeLink(shape.mtu);
  const layer = new InternetLayer({
    ...{ link, hardwareAddress: OUR_MAC, address: OUR_ADDRESS, prefixLength: 24, gateway: null, random: () => 0 },
    ...shape,
    limits: { ...defaultIpLimits, ...shape.limits },
  });
  const delivered: { protocol: number; payload: string; packet: Ipv4Packet }[] = [];
  const handler = (packet: Ipv4Packet) => {
    const payload = packet.bytes.toString('latin1', packet.start, packet.end);
    delivered.push({ protocol: packet.protocol, payload, packet });
  };
  layer.protocols.tcp = handler;
  layer.protocols.udp = handler;
  const errors: IcmpError[] = [];
  layer.onError = (error) => void errors.push(error);
  const receive = (frame: Buffer, now = 0) => layer.receive(frame, frame.length, now);
  return { link, layer, delivered, errors, receive };
}

/** A layer that knows where its peer is. */
function createKnowing(shape: Shape = {}) {
  const created = create(shape);
  created.layer.send(PEER, UDP, 0, {}, 0);
  created.receive(arpAnswer());
  created.layer.onDeadline(defaultIpLimits.arpRetryMs);
  created.link.take();
  return created;
}

function send(layer: InternetLayer, destination: number, payload: string | Buffer, options = {}, now = 0): number {
  const bytes = Buffer.from(payload);
  bytes.copy(layer.outgoing, OUTGOING_PAYLOAD_START);
  return layer.send(destination, UDP, bytes.length, options, now);
}

function packetIn(frame: Buffer | undefined): Ipv4Packet {
  const packet = frame === undefined ? null : decodeIpv4(frame, 14, frame.length);
  if (packet === null) throw new Error('there is no packet');
  return packet;
}

const payloadIn = (frame: Buffer | undefined) => packetIn(frame).bytes.subarray(packetIn(frame).start);

function arpIn(frame: Buffer | undefined) {
  const packet = frame === undefined ? null : decodeArp(frame, 14, frame.length);
  if (frame === undefined || packet === null) throw new Error('there is no ARP packet');
  return { to: decodeEthernet(frame, 0, frame.length)?.destination, ...packet };
}

t.test('what Linux has asked is answered as Linux has answered', async (t) => {
  const { link, layer, receive } = create();
  receive(arpRequest);
  t.same(link.take(), [arpReply]);
  receive(echoRequest);
  const frames = link.take();
  t.equal(frames.length, 2);
  t.match(arpIn(frames[0]), { to: PEER_MAC, operation: 1, target: PEER }, 'a claim is checked when it is used');
  t.same(payloadIn(frames[1]), payloadIn(echoReply));
  t.match(packetIn(frames[1]), { source: OUR_ADDRESS, destination: PEER, ttl: 64 });

  layer.protocols.udp = (packet, now) => layer.refusePacket(packet, ...PORT_UNREACHABLE, now);
  receive(datagram);
  t.same(payloadIn(link.take()[0]), payloadIn(portUnreachable));
  receive(datagramWithOptions);
  t.same(payloadIn(link.take()[0]).subarray(8), datagramWithOptions.subarray(14), 'with its options');
  receive(unknownProtocol);
  t.same(payloadIn(link.take()[0]), payloadIn(protocolUnreachable));
});

t.test('send: the packet waits for ARP, and then goes', async (t) => {
  const { link, layer, receive } = create();
  t.equal(send(layer, PEER, 'hello'), 0);
  t.match(arpIn(link.take()[0]), {
    to: EVERYONE_MAC,
    operation: 1,
    sender: OUR_ADDRESS,
    target: PEER,
    targetHardware: 0,
  });
  t.equal(send(layer, PEER, 'world'), 0);
  t.same(link.take(), []);
  receive(arpAnswer());
  const frames = link.take();
  t.same(
    frames.map((frame) => `${payloadIn(frame)}`),
    ['hello', 'world'],
  );
  t.match(decodeEthernet(frames[0] as Buffer, 0, 39), { destination: PEER_MAC, source: OUR_MAC, type: 0x0800 });
  t.equal(send(layer, PEER, 'again'), 0);
  t.equal(`${payloadIn(link.take()[0])}`, 'again');
  t.equal(layer.counters.sentPackets, 3);
});

t.test('send: what the options say', async (t) => {
  const { link, layer } = createKnowing({ random: () => 0.5 });
  send(layer, PEER, 'x');
  send(layer, PEER, 'x', { dontFragment: true, ttl: 1 });
  const [first, second] = link.take();
  t.match(packetIn(first), {
    ttl: 64,
    dontFragment: false,
    identification: 32_768,
    source: OUR_ADDRESS,
    protocol: UDP,
  });
  t.match(packetIn(second), { ttl: 1, dontFragment: true, identification: 0 });
});

t.test('send: where nothing can be sent to', async (t) => {
  const { link, layer } = create();
  const results = [BROADCAST, 0xffff_ffff, 0x7f000001, 0, 0xe000_0001, FAR].map((to) => send(layer, to, 'x'));
  t.same(results, [-EACCES, -EACCES, ...Array(4).fill(-ENETUNREACH)]);
  t.same([link.take(), layer.counters.sentPackets], [[], 0]);
});

t.test('send: what goes to our own address never reaches the link, and has a bound', async (t) => {
  const { link, layer } = create();
  const texts: string[] = [];
  let wishes = 0;
  layer.onLooped = () => {
    wishes++;
  };
  layer.protocols.udp = ({ bytes, start, end }) => texts.push(bytes.toString('latin1', start, end));
  t.equal(layer.receiveLooped(0), false);
  t.equal(send(layer, OUR_ADDRESS, 'to myself'), 0);
  t.same([texts, wishes], [[], 1], 'not within the call');
  t.equal(layer.receiveLooped(0), true);
  t.same(texts, ['to myself']);
  t.equal(layer.receiveLooped(0), false);
  const packet = 'x'.repeat(65_536 - 20); // larger than a packet can be
  t.equal(send(layer, OUR_ADDRESS, packet), -EMSGSIZE);
  const half = 'x'.repeat(32_768 - 20); // 32 of them are the bound
  for (let i = 0; i < 32; i++) t.equal(send(layer, OUR_ADDRESS, half), 0);
  t.equal(send(layer, OUR_ADDRESS, ''), -ENOBUFS);
  t.equal(layer.receiveLooped(0), true);
  t.equal(send(layer, OUR_ADDRESS, half), 0, 'there is room again');
  t.same([link.take(), layer.counters.linkOverflows], [[], 1]);
});

t.test('send: a far destination is reached by the gateway', async (t) => {
  const { link, layer, receive } = create({ gateway: GATEWAY });
  t.equal(send(layer, FAR, 'far'), 0);
  t.equal(arpIn(link.take()[0]).target, GATEWAY);
  receive(arpAnswer({ sender: GATEWAY, senderHardware: 0x0200_0000_00fe }));
  const [frame] = link.take();
  t.match(decodeEthernet(frame as Buffer, 0, 99), { destination: 0x0200_0000_00fe });
  t.equal(packetIn(frame).destination, FAR);
});

t.test('send: a neighbour that does not answer', async (t) => {
  const { link, layer, errors } = create();
  send(layer, PEER, 'first and longer than eight bytes');
  for (const now of [1_000, 2_000]) layer.onDeadline(now);
  t.equal(link.take().length, 3);
  t.equal(layer.deadlineAt, 3_000);
  layer.onDeadline(3_000);
  t.match(errors, [
    { kind: 'unreachable', errno: EHOSTUNREACH, isHard: true, mtu: null, protocol: UDP, destination: PEER },
  ]);
  t.equal(errors[0]?.bytes.toString('latin1', errors[0].start, errors[0].end), 'first and longer than eight bytes');
  t.equal(send(layer, PEER, 'second', {}, 3_001), -EHOSTUNREACH);
  layer.onDeadline(6_000);
  t.equal(send(layer, PEER, 'third', {}, 6_001), 0);
});

t.test('send: fragments that wait for a neighbour in vain are reported once', async (t) => {
  const { layer, errors } = create();
  send(layer, PEER, Buffer.alloc(4_000));
  for (const now of [1_000, 2_000, 3_000]) layer.onDeadline(now);
  t.equal(errors.length, 1);
});

t.test('send: no room on the link, for waiting packets, or for another neighbour', async (t) => {
  const { link, layer } = createKnowing({ limits: { arpQueuedBytes: 100, arpEntries: 2 } });
  link.hasRoom = false;
  t.equal(send(layer, PEER, 'x'), -ENOBUFS);
  t.equal(layer.counters.linkOverflows, 1);
  link.hasRoom = true;
  t.equal(send(layer, PEER + 100, Buffer.alloc(67)), -ENOBUFS, '101 bytes do not wait');
  t.equal(send(layer, PEER + 100, Buffer.alloc(66)), 0, '100 do');

  const full = createKnowing({ limits: { arpEntries: 1 } });
  t.equal(send(full.layer, PEER + 100, 'x'), -ENOBUFS, 'the peer is in use');
});

t.test('send: packets that had to make room are counted', async (t) => {
  const { layer } = create({ limits: { arpQueuedPackets: 2 } });
  for (let i = 0; i < 3; i++) send(layer, PEER, 'x');
  t.equal(layer.counters.queueOverflows, 1);
});

t.test('send: fragments, that the other side puts together', async (t) => {
  const { link, layer } = createKnowing();
  const other = create({ address: PEER, hardwareAddress: PEER_MAC });
  for (const length of [1480, 1481, 2960, 2961, 4000, 65_515]) {
    const payload = Buffer.from(Array.from({ length }, (_, i) => (i * 11) & 0xff));
    t.equal(send(layer, PEER, payload), 0);
    const frames = link.take();
    t.equal(frames.length, Math.ceil(length / 1480), `${length}`);
    for (const frame of frames) other.receive(frame);
    t.equal(other.delivered.pop()?.payload === payload.toString('latin1'), true);
  }
  t.equal(send(layer, PEER, Buffer.alloc(65_516)), -EMSGSIZE);
  t.equal(send(layer, PEER, Buffer.alloc(1481), { dontFragment: true }), -EMSGSIZE);
  t.equal(send(layer, PEER, Buffer.alloc(1480), { dontFragment: true }), 0);
});

t.test('send: if the link has no room for a fragment, the others are not sent', async (t) => {
  const { link, layer } = createKnowing();
  const accepts = link.send.bind(link);
  link.send = (frame, length) => {
    const isSent = accepts(frame, length);
    link.hasRoom = false;
    return isSent;
  };
  t.equal(send(layer, PEER, Buffer.alloc(4_000)), -ENOBUFS);
  t.equal(link.take().length, 1);
});

t.test('path MTU: an error is handed up, and believed when the owner says so', async (t) => {
  const { link, layer, errors, receive } = createKnowing();
  send(layer, PEER, Buffer.alloc(1480), { dontFragment: true });
  const quoted = (link.take()[0] as Buffer).subarray(14, 42);
  receive(icmpFrame(3, 4, 1400, quoted));
  t.match(errors, [{ kind: 'fragmentation-needed', errno: EMSGSIZE, mtu: 1400, destination: PEER, protocol: UDP }]);
  t.equal(layer.maxPayloadTo(PEER), 1480, 'nothing has changed yet');
  t.equal(layer.lowerPathMtu(PEER, 1400, 0), true);
  t.equal(layer.maxPayloadTo(PEER), 1380);
  t.equal(layer.maxPayloadTo(FAR), 1480);
  t.equal(send(layer, PEER, Buffer.alloc(1381), { dontFragment: true }), -EMSGSIZE);
  send(layer, PEER, Buffer.alloc(1381));
  t.same(
    link.take().map((frame) => frame.length - 34),
    [1376, 5],
    'fragments are multiples of eight',
  );

  t.equal(layer.lowerPathMtu(PEER, 100, 0), true);
  t.equal(layer.maxPayloadTo(PEER), 532);
  t.equal(send(layer, PEER, Buffer.alloc(532), { dontFragment: true }), 0);
  t.match(packetIn(link.take()[0]), { dontFragment: false }, 'below the floor routers fragment');
  t.equal(layer.deadlineAt, 600_000);
  layer.onDeadline(600_000);
  t.equal(layer.maxPayloadTo(PEER), 1480);
});

t.test('a link with jumbo frames, and one with more than a packet can have', async (t) => {
  t.equal(create({ mtu: 9_000 }).layer.maxPayloadTo(PEER), 8_980);
  t.equal(create({ mtu: 100_000 }).layer.maxPayloadTo(PEER), 65_515);
});

t.test('receive: by protocol', async (t) => {
  const { layer, delivered, receive } = create();
  receive(ipv4Frame(Buffer.from('datagram'), { protocol: UDP }));
  receive(ipv4Frame(Buffer.from('segment'), { protocol: TCP }));
  t.same(
    delivered.map(({ protocol, payload }) => [protocol, payload]),
    [
      [UDP, 'datagram'],
      [TCP, 'segment'],
    ],
  );
  t.match(layer.counters, { receivedFrames: 2, receivedPackets: 2 });
});

t.test('receive: a protocol without a handler is refused', async (t) => {
  const { link, layer, receive } = createKnowing();
  layer.protocols.tcp = null;
  layer.protocols.udp = null;
  for (const protocol of [TCP, UDP, 2, 253]) {
    receive(ipv4Frame(Buffer.from('anything at all'), { protocol }));
    const icmp = payloadIn(link.take()[0]);
    t.match(decodeIcmp(icmp, 0, icmp.length), { type: 3, code: 2 }, `${protocol}`);
  }
});

t.test('receive: frames that are not for us, and frames cut off', async (t) => {
  const { layer, delivered, link, receive } = create();
  receive(ipv4Frame(Buffer.from('x'), { to: PEER_MAC }));
  receive(ipv4Frame(Buffer.from('x'), { to: 0x0100_5e00_0001 }));
  receive(ipv4Frame(Buffer.from('x'), { destination: PEER + 5 }));
  receive(ipv4Frame(Buffer.from('x'), { destination: 0xe000_0001 }));
  const otherType = ipv4Frame(Buffer.from('x'));
  otherType.writeUInt16BE(0x86dd, 12);
  receive(otherType);
  t.equal(layer.counters.notForUs, 5);
  for (let length = 0; length < echoRequest.length; length++) layer.receive(echoRequest, length, 0);
  t.equal(layer.counters.malformed, echoRequest.length);
  t.same([delivered, link.take()], [[], []]);
});

t.test('broadcast: UDP gets it, everything else is ignored', async (t) => {
  const { link, layer, delivered, receive } = createKnowing();
  for (const destination of [BROADCAST, 0xffff_ffff]) {
    receive(ipv4Frame(Buffer.from('to all'), { destination, to: EVERYONE_MAC }));
    t.match(delivered.pop(), { payload: 'to all', packet: { destination } });
    receive(ipv4Frame(Buffer.from('to all'), { destination, to: EVERYONE_MAC, protocol: TCP }));
    receive(ipv4Frame(Buffer.from('to all'), { destination, to: EVERYONE_MAC, protocol: 253 }));
    receive(icmpFrame(8, 0, 1, Buffer.from('smurf'), { destination, to: EVERYONE_MAC }));
    receive(ipv4Frame(Buffer.alloc(64), { destination, to: EVERYONE_MAC, moreFragments: true }));
  }
  layer.protocols.udp = null;
  receive(ipv4Frame(Buffer.from('to all'), { destination: BROADCAST, to: EVERYONE_MAC }));
  t.equal(layer.counters.broadcastsIgnored, 8);
  t.same([delivered, link.take(), layer.deadlineAt], [[], [], Number.POSITIVE_INFINITY]);
});

t.test('a frame to everyone with a packet to us alone is dropped', async (t) => {
  const { link, layer, delivered, receive } = createKnowing();
  receive(icmpFrame(8, 0, 1, Buffer.from('who is there?'), { to: EVERYONE_MAC }));
  receive(ipv4Frame(Buffer.from('x'), { to: EVERYONE_MAC, protocol: TCP }));
  t.equal(layer.counters.notForUs, 2);
  t.same([delivered, link.take()], [[], []]);
});

t.test('LAND and martians: sources that no other host can have', async (t) => {
  const { link, layer, delivered, receive } = createKnowing();
  const sources = {
    'our own (LAND)': OUR_ADDRESS,
    loopback: 0x7f000001,
    'this network': 0,
    'in this network': 0x00010203,
    multicast: 0xe000_0001,
    reserved: 0xf000_0001,
    'limited broadcast': 0xffff_ffff,
    'broadcast of our network': BROADCAST,
    'our network itself': 0x0a090000,
  };
  for (const [what, source] of Object.entries(sources)) {
    const before = layer.counters.martians;
    receive(ipv4Frame(Buffer.from('x'), { source }));
    receive(icmpFrame(8, 0, 1, Buffer.from('x'), { source }));
    receive(ipv4Frame(Buffer.alloc(64), { source, moreFragments: true }));
    t.equal(layer.counters.martians, before + 3, what);
  }
  receive(ipv4Frame(Buffer.from('x'), { from: 0x0100_0000_0001 }));
  t.equal(layer.counters.martians, 28, 'a frame from a group of hosts');
  t.same([delivered, link.take(), layer.deadlineAt], [[], [], Number.POSITIVE_INFINITY]);
  receive(ipv4Frame(Buffer.from('x'), { source: 0x0a0901ff }));
  t.equal(delivered.length, 1, 'the broadcast of another network may be a host');
});

t.test('networks of two addresses and of one have no broadcast', async (t) => {
  const pair = create({ address: 0x0a090001, prefixLength: 31 });
  pair.receive(ipv4Frame(Buffer.from('x'), { source: 0x0a090000, destination: 0x0a090001 }));
  t.equal(pair.delivered.length, 1);
  create({ address: 0x0a090001, prefixLength: 32 });
  t.throws(() => create({ address: 0x0a090000 }), { name: 'RangeError', message: /address of a network/ });
  t.throws(() => create({ address: BROADCAST }), RangeError);
  t.throws(() => create({ address: 0x7f000001 }), RangeError);
  t.throws(() => create({ gateway: FAR }), { message: 'the gateway 203.0.113.5 is not in a network of this host' });
});

t.test('echo: the largest request comes in fragments, and so does the answer', async (t) => {
  const { link, receive } = createKnowing();
  const request = icmpFrame(8, 0, 0x1234_0001, Buffer.alloc(65_507, 'ping'));
  const payload = request.subarray(34);
  for (let at = 0; at < payload.length; at += 1480) {
    const moreFragments = at + 1480 < payload.length;
    receive(ipv4Frame(payload.subarray(at, at + 1480), { protocol: 1, moreFragments, fragmentOffset: at }));
  }
  const answer = Buffer.concat(link.take().map((frame) => frame.subarray(34)));
  t.match(decodeIcmp(answer, 0, answer.length), { type: 0, code: 0, rest: 0x1234_0001 });
  t.same(answer.subarray(8), payload.subarray(8));
});

t.test('ICMP: damaged messages, and those without meaning for us', async (t) => {
  const { link, layer, errors, receive } = createKnowing();
  const damaged = icmpFrame(8, 0, 1, Buffer.from('ping'));
  damaged[44] = (damaged[44] as number) ^ 1;
  receive(damaged);
  t.equal(layer.counters.malformed, 1);
  for (const type of [0, 4, 5, 13, 17]) receive(icmpFrame(type, 0, 1, Buffer.alloc(28)));
  t.equal(layer.counters.icmpIgnored, 5);
  t.same([link.take(), errors], [[], []]);
});

t.test('ICMP errors: only about packets of our own to a possible host', async (t) => {
  const { layer, errors, receive } = createKnowing();
  const quote = (shape: object) => ipv4Frame(Buffer.from('12345678'), shape).subarray(14);
  receive(icmpFrame(3, 3, 0, quote({ source: OUR_ADDRESS, destination: PEER })));
  t.match(errors, [{ errno: ECONNREFUSED, source: OUR_ADDRESS, destination: PEER }]);
  receive(icmpFrame(3, 3, 0, quote({ source: PEER, destination: OUR_ADDRESS })));
  receive(icmpFrame(3, 3, 0, quote({ source: OUR_ADDRESS, destination: BROADCAST })));
  receive(icmpFrame(3, 3, 0, quote({ source: OUR_ADDRESS, destination: 0xe000_0001 })));
  receive(icmpFrame(3, 3, 0, Buffer.alloc(28)));
  t.equal(errors.length, 1);
  t.equal(layer.counters.icmpIgnored, 4);
});

t.test('an owner need not listen to errors', async (t) => {
  const layer = new InternetLayer({
    ...{ link: new FakeLink(), hardwareAddress: OUR_MAC, address: OUR_ADDRESS, prefixLength: 24, gateway: null },
    ...{ random: () => 0, limits: defaultIpLimits },
  });
  const quoted = ipv4Frame(Buffer.from('12345678'), { source: OUR_ADDRESS, destination: PEER }).subarray(14);
  const frame = icmpFrame(3, 3, 0, quoted);
  layer.receive(frame, frame.length, 0);
  t.equal(layer.counters.icmpIgnored, 0);
});

t.test('refusePacket: never about what must not be answered', async (t) => {
  const { link, layer, delivered, receive } = createKnowing();
  receive(ipv4Frame(Buffer.from('x')));
  const packet = delivered.pop()?.packet as Ipv4Packet;
  const forbidden: Readonly<Record<string, Partial<Ipv4Packet>>> = {
    'an ICMP message': { protocol: 1 },
    'a later fragment': { fragmentOffset: 8 },
    'a packet to everyone': { destination: BROADCAST },
    'a packet to a group': { destination: 0xe000_0001 },
    'a packet from nobody': { source: 0 },
    'a packet from everyone': { source: 0xffff_ffff },
  };
  for (const [what, change] of Object.entries(forbidden)) {
    layer.refusePacket({ ...packet, ...change }, ...PORT_UNREACHABLE, 0);
    t.same(link.take(), [], what);
  }
  t.match(layer.counters, { icmpErrorsSuppressed: 6, icmpErrorsSent: 0 });
  layer.refusePacket({ ...packet, moreFragments: true }, ...PORT_UNREACHABLE, 0);
  t.equal(link.take().length, 1, 'but about a first fragment');
});

t.test('refusePacket: the quote is cut to 576 bytes in all', async (t) => {
  const { link, layer, delivered, receive } = createKnowing();
  for (const [length, expected] of [
    [528, 548],
    [529, 548],
    [100, 120],
  ] as const) {
    receive(ipv4Frame(Buffer.alloc(length, 'q')));
    layer.refusePacket(delivered.pop()?.packet as Ipv4Packet, ...PORT_UNREACHABLE, 0);
    const [frame] = link.take();
    t.equal(payloadIn(frame).length - 8, expected);
    t.ok((frame as Buffer).length - 14 <= 576);
  }
});

t.test('refusePacket: a burst of n, then a rate; by chance an error costs up to three', async (t) => {
  const limits = { icmpErrorsPerSecond: 10, icmpErrorBurst: 6 };
  let chance = 0;
  const { link, layer, delivered, receive } = createKnowing({ limits, random: () => chance });
  receive(ipv4Frame(Buffer.from('x')));
  const packet = delivered.pop()?.packet as Ipv4Packet;
  const refuse = (times: number, now: number) => {
    for (let i = 0; i < times; i++) layer.refusePacket(packet, ...PORT_UNREACHABLE, now);
    return link.take().length;
  };
  t.equal(refuse(7, 0), 6);
  t.equal(layer.counters.icmpErrorsSuppressed, 1);
  t.equal(refuse(3, 99), 0);
  t.equal(refuse(3, 100), 1);
  chance = 0.999;
  t.equal(refuse(9, 10_000), 2, 'six tokens are two errors of three');
});

t.test('fragments that do not arrive: the sender is told, if the first has come', async (t) => {
  const { link, layer, receive } = createKnowing();
  receive(ipv4Frame(Buffer.alloc(64, 'f'), { moreFragments: true, identification: 7 }), 0);
  receive(ipv4Frame(Buffer.alloc(64, 'f'), { moreFragments: true, identification: 8, fragmentOffset: 64 }), 0);
  t.equal(layer.deadlineAt, 30_000);
  layer.onDeadline(30_000);
  const frames = link.take();
  t.equal(frames.length, 1);
  const icmp = payloadIn(frames[0]);
  t.match(decodeIcmp(icmp, 0, icmp.length), { type: 11, code: 1 });
  t.match(decodeIpv4(icmp, 8, icmp.length), { identification: 7, moreFragments: true });
  t.match(layer.counters, { reassemblyTimeouts: 1, fragmentsRefused: 0 });
});

t.test('a datagram from fragments is one packet for UDP, and its memory is its own', async (t) => {
  const { layer, delivered, receive } = create();
  const bytes = Buffer.alloc(208, 'd');
  writeUdpHeader(bytes, 0, 208, { source: PEER, sourcePort: 5, destination: OUR_ADDRESS, destinationPort: 6 });
  receive(ipv4Frame(bytes.subarray(104), { fragmentOffset: 104 }));
  receive(ipv4Frame(bytes.subarray(0, 104), { moreFragments: true }));
  t.match(decodeUdp(delivered[0]?.packet as Ipv4Packet), { sourcePort: 5, destinationPort: 6 });
  receive(ipv4Frame(bytes.subarray(0, 96), { moreFragments: true, identification: 9 }));
  receive(ipv4Frame(bytes.subarray(88), { fragmentOffset: 88, identification: 9 }));
  t.equal(layer.counters.fragmentsRefused, 1, 'an overlap');
});

t.test('ARP: requests for us are answered to their sender, others are not', async (t) => {
  const { link, layer, receive } = create();
  receive(arpFrame({}));
  t.match(arpIn(link.take()[0]), {
    ...{ to: PEER_MAC, operation: 2, sender: OUR_ADDRESS, senderHardware: OUR_MAC },
    ...{ target: PEER, targetHardware: PEER_MAC },
  });
  receive(arpFrame({ target: PEER + 7 }));
  receive(arpAnswer());
  t.same(link.take(), []);
  const cutOff = arpFrame({}).subarray(0, 41);
  receive(cutOff);
  t.equal(layer.counters.malformed, 1);
});

t.test('ARP: a probe whether our address is free is answered, and teaches nothing', async (t) => {
  const { link, layer, receive } = create();
  receive(arpFrame({ sender: 0 }));
  t.match(arpIn(link.take()[0]), { to: PEER_MAC, operation: 2, sender: OUR_ADDRESS, target: 0 });
  send(layer, PEER, 'x');
  t.equal(arpIn(link.take()[0]).to, EVERYONE_MAC);
  receive(arpFrame({ sender: 0, target: PEER }));
  t.same(link.take(), []);
});

t.test('ARP: senders that cannot be neighbours', async (t) => {
  const { link, layer, receive } = create();
  const bad = {
    'in another network': { sender: FAR },
    'a broadcast address': { sender: 0xffff_ffff },
    loopback: { sender: 0x7f000001 },
    'with the hardware address of a group': { senderHardware: 0x0300_0000_0001 },
    'with no hardware address': { senderHardware: 0 },
    'with ours, so it is our own frame': { senderHardware: OUR_MAC },
  };
  for (const [what, packet] of Object.entries(bad)) {
    const before = layer.counters.martians;
    receive(arpFrame(packet));
    t.equal(layer.counters.martians, before + 1, what);
  }
  t.same(link.take(), []);
});

t.test('ARP: our address is announced, and defended once in ten seconds', async (t) => {
  const { link, layer, receive } = create();
  const announcement = {
    to: EVERYONE_MAC,
    operation: 1,
    sender: OUR_ADDRESS,
    target: OUR_ADDRESS,
    senderHardware: OUR_MAC,
  };
  layer.announce(0);
  t.match(arpIn(link.take()[0]), announcement);
  t.equal(layer.deadlineAt, 2_000);
  layer.onDeadline(2_000);
  t.match(arpIn(link.take()[0]), announcement);
  t.equal(layer.deadlineAt, Number.POSITIVE_INFINITY);
  for (const now of [20_000, 20_001, 29_999]) receive(arpFrame({ sender: OUR_ADDRESS, target: PEER }), now);
  t.match(link.take().map(arpIn), [announcement]);
  receive(arpFrame({ sender: OUR_ADDRESS }), 30_000);
  t.match(link.take().map(arpIn), [announcement], 'and not answered');
  t.equal(layer.counters.addressConflicts, 4);
});

t.test('ARP: a link without room loses what ARP sends, and counts it', async (t) => {
  const { link, layer, receive } = create();
  link.hasRoom = false;
  receive(arpFrame({}));
  t.equal(layer.counters.linkOverflows, 1);
});

t.test('ARP flood: the peer in use is still reached', async (t) => {
  const { link, layer, receive } = createKnowing({ prefixLength: 8, limits: { arpEntries: 32 } });
  for (let i = 0; i < 10_000; i++)
    receive(arpFrame({ sender: 0x0a100000 + i, senderHardware: 0x0200_0001_0000 + i }), 1);
  link.take();
  t.equal(send(layer, PEER, 'still here', {}, 2), 0);
  t.equal(`${payloadIn(link.take()[0])}`, 'still here');
});
