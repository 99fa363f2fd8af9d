/**
 * Lines for frames: a conversation that tcpdump has captured and printed, frames that tcpdump prints beside us, and no exception for any bytes.
 *
 * Next: udp-layer.test.ts
 */

import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { test } from 'tap';
import { FlowNumbers, frameText, traceFrames } from '../../../simplenet/tcpip/frame-text.ts';
import { writeArp } from '../../../simplenet/tcpip/ip/arp-packet.ts';
import { writeIcmpHeader } from '../../../simplenet/tcpip/ip/icmp.ts';
import { type Ipv4Header, writeIpv4Header } from '../../../simplenet/tcpip/ip/ipv4-packet.ts';
import { writeEthernetHeader } from '../../../simplenet/tcpip/link/ethernet-frame.ts';
import { pcapHeader, pcapRecord } from '../../../simplenet/tcpip/link/pcap.ts';
import { createWire } from '../../../simplenet/tcpip/link/simulated-wire.ts';
import { encodeSegmentHead, noOptions, type SegmentHead } from '../../../simplenet/tcpip/tcp/segment.ts';
import { missing, withoutTap } from '../../support/programs.ts';

/** A TCP connection, a ping, a datagram to a closed port and a connection to one, on Linux: the frames, and what `tcpdump -n -t` printed. */
const captured: readonly (readonly [hex: string, line: string])[] = [
  [
    '00000000000000000000000008004500003c925e4000400694490a0900010a09000296731f9aceb3d18300000000a002ffd7144300000204ffd70402080a8c4e076e000000000103030a',
    'IP 10.9.0.1.38515 > 10.9.0.2.8090: Flags [S], seq 3467891075, win 65495, options [mss 65495,sackOK,TS val 2353923950 ecr 0,nop,wscale 10], length 0',
  ],
  [
    '00000000000000000000000008004500003c00004000400626a80a0900020a0900011f9a9673f36c1d77ceb3d184a012ffcb144300000204ffd70402080a1835a6178c4e076e0103030a',
    'IP 10.9.0.2.8090 > 10.9.0.1.38515: Flags [S.], seq 4083948919, ack 3467891076, win 65483, options [mss 65495,sackOK,TS val 406169111 ecr 2353923950,nop,wscale 10], length 0',
  ],
  [
    '000000000000000000000000080045000034925f4000400694500a0900010a09000296731f9aceb3d184f36c1d7880100040143b00000101080a8c4e076e1835a617',
    'IP 10.9.0.1.38515 > 10.9.0.2.8090: Flags [.], ack 1, win 64, options [nop,nop,TS val 2353923950 ecr 406169111], length 0',
  ],
  [
    '00000000000000000000000008004500003c92604000400694470a0900010a09000296731f9aceb3d184f36c1d7880180040144300000101080a8c4e07751835a6177175657374696f6e',
    'IP 10.9.0.1.38515 > 10.9.0.2.8090: Flags [P.], seq 1:9, ack 1, win 64, options [nop,nop,TS val 2353923957 ecr 406169111], length 8',
  ],
  [
    '000000000000000000000000080045000034b8e1400040066dce0a0900020a0900011f9a9673f36c1d78ceb3d18c80100040143b00000101080a1835a61e8c4e0775',
    'IP 10.9.0.2.8090 > 10.9.0.1.38515: Flags [.], ack 9, win 64, options [nop,nop,TS val 406169118 ecr 2353923957], length 0',
  ],
  [
    '000000000000000000000000080045000040b8e2400040066dc10a0900020a0900011f9a9673f36c1d78ceb3d18c80180040144700000101080a1835a6208c4e077568656c6c6f2c20776f726c64',
    'IP 10.9.0.2.8090 > 10.9.0.1.38515: Flags [P.], seq 1:13, ack 9, win 64, options [nop,nop,TS val 406169120 ecr 2353923957], length 12',
  ],
  [
    '000000000000000000000000080045000034926140004006944e0a0900010a09000296731f9aceb3d18cf36c1d8480100040143b00000101080a8c4e07771835a620',
    'IP 10.9.0.1.38515 > 10.9.0.2.8090: Flags [.], ack 13, win 64, options [nop,nop,TS val 2353923959 ecr 406169120], length 0',
  ],
  [
    '000000000000000000000000080045000034b8e3400040066dcc0a0900020a0900011f9a9673f36c1d84ceb3d18c80110040143b00000101080a1835a6228c4e0777',
    'IP 10.9.0.2.8090 > 10.9.0.1.38515: Flags [F.], seq 13, ack 9, win 64, options [nop,nop,TS val 406169122 ecr 2353923959], length 0',
  ],
  [
    '000000000000000000000000080045000034926240004006944d0a0900010a09000296731f9aceb3d18cf36c1d8580110040143b00000101080a8c4e077b1835a622',
    'IP 10.9.0.1.38515 > 10.9.0.2.8090: Flags [F.], seq 9, ack 14, win 64, options [nop,nop,TS val 2353923963 ecr 406169122], length 0',
  ],
  [
    '000000000000000000000000080045000034b8e4400040066dcb0a0900020a0900011f9a9673f36c1d85ceb3d18d80100040143b00000101080a1835a6248c4e077b',
    'IP 10.9.0.2.8090 > 10.9.0.1.38515: Flags [.], ack 10, win 64, options [nop,nop,TS val 406169124 ecr 2353923963], length 0',
  ],
  [
    '00000000000000000000000008004500003499a6400040018d0e0a0900010a09000208000062507f0001d92e0c6b0000000071330400000000001011121314151617',
    'IP 10.9.0.1 > 10.9.0.2: ICMP echo request, id 20607, seq 1, length 32',
  ],
  [
    '0000000000000000000000000800450000341d5a00004001495b0a0900020a09000100000862507f0001d92e0c6b0000000071330400000000001011121314151617',
    'IP 10.9.0.2 > 10.9.0.1: ICMP echo reply, id 20607, seq 1, length 32',
  ],
  [
    '00000000000000000000000008004500001f72cd40004011b3ec0a0900010a090002d0b41267000b143178797a',
    'IP 10.9.0.1.53428 > 10.9.0.2.4711: UDP, length 3',
  ],
  [
    '000000000000000000000000080045c0003b1d5b0000400148930a0900020a0900010303132b000000004500001f72cd40004011b3ec0a0900010a090002d0b41267000b143178797a',
    'IP 10.9.0.2 > 10.9.0.1: ICMP 10.9.0.2 udp port 4711 unreachable, length 39',
  ],
  [
    '00000000000000000000000008004500003ca6514000400680560a0900010a0900028751270fd9f01a0500000000a002ffd7144300000204ffd70402080a9ae25f49000000000103030a',
    'IP 10.9.0.1.34641 > 10.9.0.2.9999: Flags [S], seq 3656391173, win 65495, options [mss 65495,sackOK,TS val 2598526793 ecr 0,nop,wscale 10], length 0',
  ],
  [
    '00000000000000000000000008004500002800004000400626bc0a0900020a090001270f875100000000d9f01a0650140000f9640000',
    'IP 10.9.0.2.9999 > 10.9.0.1.34641: Flags [R.], seq 0, ack 3656391174, win 0, length 0',
  ],
];

const textOf = (frame: Buffer, flows: FlowNumbers | null = null) => frameText(frame, 0, frame.length, flows);

test('what tcpdump has printed for a conversation of Linux', async (t) => {
  const flows = new FlowNumbers();
  for (const [hex, line] of captured) t.equal(textOf(Buffer.from(hex, 'hex'), flows), line);
});

const HERE = 0x02_00_00_00_00_0a;
const THERE = 0x02_00_00_00_00_0b;

const IPV4: Ipv4Header = {
  source: 0x0a090001,
  destination: 0x0a090002,
  protocol: 6,
  ttl: 64,
  identification: 7,
  dontFragment: false,
  moreFragments: false,
  fragmentOffset: 0,
  typeOfService: 0,
};

/** A frame with a packet of IPv4. */
function ipv4Frame(header: Partial<Ipv4Header>, payload: Uint8Array): Buffer {
  const frame = Buffer.alloc(34 + payload.length);
  writeEthernetHeader(frame, 0, THERE, HERE, 0x0800);
  writeIpv4Header(frame, 14, { ...IPV4, ...header }, payload.length);
  frame.set(payload, 34);
  return frame;
}

const HEAD: SegmentHead = {
  sourcePort: 47_001,
  destinationPort: 47_002,
  sequence: 1_000,
  acknowledgment: 2_000,
  flags: 0x10,
  window: 512,
  urgent: 0,
  options: noOptions,
};

function tcpFrame(head: Partial<SegmentHead>, payloadBytes = 0, header: Partial<Ipv4Header> = {}): Buffer {
  const segment = Buffer.alloc(60);
  const end = encodeSegmentHead(segment, 0, { ...HEAD, ...head });
  return ipv4Frame(header, Buffer.concat([segment.subarray(0, end), Buffer.alloc(payloadBytes)]));
}

/** A segment with the bytes of its options as they are. */
function optionsFrame(hex: string): Buffer {
  const segment = Buffer.alloc(20 + hex.length / 2);
  encodeSegmentHead(segment, 0, HEAD);
  segment[12] = (segment.length / 4) << 4;
  segment.write(hex, 20, 'hex');
  return ipv4Frame({}, segment);
}

function udpFrame(length: number, header: Partial<Ipv4Header> = {}, payloadBytes = length - 8): Buffer {
  const datagram = Buffer.alloc(8 + payloadBytes);
  for (const [at, value] of [47_001, 47_002, length].entries()) datagram.writeUInt16BE(value, 2 * at);
  return ipv4Frame({ protocol: 17, ...header }, datagram);
}

function icmpFrame(type: number, code: number, rest: number, data: Uint8Array): Buffer {
  const message = Buffer.concat([Buffer.alloc(8), data]);
  writeIcmpHeader(message, 0, message.length, { type, code, rest });
  return ipv4Frame({ protocol: 1 }, message);
}

/** An ICMP error about a packet to 10.9.0.2. */
function errorFrame(type: number, code: number, rest: number, protocol: number): Buffer {
  const quoted = ipv4Frame({ protocol }, Buffer.from('b799b79a00000000', 'hex')).subarray(14);
  return icmpFrame(type, code, rest, quoted);
}

function arpFrame(operation: number, targetHardware: number, padding = 0): Buffer {
  const frame = Buffer.alloc(42 + padding);
  writeEthernetHeader(frame, 0, THERE, HERE, 0x0806);
  writeArp(frame, 14, { operation, senderHardware: HERE, sender: 0x0a090001, targetHardware, target: 0x0a090002 });
  return frame;
}

/** Of each kind, at least one that tcpdump prints as we do. */
const samples: Readonly<Record<string, Buffer>> = {
  'ARP, Request who-has 10.9.0.2 tell 10.9.0.1, length 28': arpFrame(1, 0),
  'ARP, Request who-has 10.9.0.2 (02:00:00:00:00:0b) tell 10.9.0.1, length 28': arpFrame(1, THERE),
  'ARP, Reply 10.9.0.1 is-at 02:00:00:00:00:0a, length 46': arpFrame(2, THERE, 18),
  'IP 10.9.0.1.47001 > 10.9.0.2.47002: Flags [none], win 512, length 0': tcpFrame({ flags: 0 }),
  'IP 10.9.0.1.47001 > 10.9.0.2.47002: Flags [FSRP.UEW], seq 4294967295:2, ack 2000, win 512, urg 7, length 3':
    tcpFrame({ flags: 0xff, sequence: 0xffffffff, urgent: 7 }, 3),
  'IP 10.9.0.1.47001 > 10.9.0.2.47002: Flags [R], seq 1000, win 512, length 0': tcpFrame({ flags: 4 }),
  'IP 10.9.0.1.47001 > 10.9.0.2.47002: Flags [.], ack 2000, win 512, options [nop,nop,sack 2 {3000:4000}{5000:1}], length 0':
    tcpFrame({ options: { ...noOptions, sackBlocks: [3_000, 4_000, 5_000, 1] } }),
  'IP 10.9.0.1.47001 > 10.9.0.2.47002: Flags [.], ack 2000, win 512, options [unknown-253 0xbeef,unknown-77,nop,eol], length 0':
    optionsFrame('fd04beef' + '4d020100'),
  'IP 10.9.0.1.47001 > 10.9.0.2.47002: UDP, length 0': udpFrame(8),
  'IP 10.9.0.1.47001 > 10.9.0.2.47002: UDP, length 2000': udpFrame(2_008, { moreFragments: true }, 1_472),
  'IP 10.9.0.1 > 10.9.0.2: ip-proto-17': udpFrame(28, { fragmentOffset: 1_480 }),
  'IP 10.9.0.1 > 10.9.0.2:  ip-proto-253 20': ipv4Frame({ protocol: 253 }, Buffer.alloc(20)),
  'IP 10.9.0.1 > 10.9.0.2: ICMP echo request, id 258, seq 772, length 12': icmpFrame(8, 0, 0x01020304, Buffer.alloc(4)),
  'IP 10.9.0.1 > 10.9.0.2: ICMP net 10.9.0.2 unreachable, length 36': errorFrame(3, 0, 0, 17),
  'IP 10.9.0.1 > 10.9.0.2: ICMP host 10.9.0.2 unreachable, length 36': errorFrame(3, 1, 0, 17),
  'IP 10.9.0.1 > 10.9.0.2: ICMP 10.9.0.2 protocol 253 unreachable, length 36': errorFrame(3, 2, 0, 253),
  'IP 10.9.0.1 > 10.9.0.2: ICMP 10.9.0.2 tcp port 47002 unreachable, length 36': errorFrame(3, 3, 0, 6),
  'IP 10.9.0.1 > 10.9.0.2: ICMP 10.9.0.2 protocol 253 port 47002 unreachable, length 36': errorFrame(3, 3, 0, 253),
  'IP 10.9.0.1 > 10.9.0.2: ICMP 10.9.0.2 unreachable - need to frag (mtu 1400), length 36': errorFrame(3, 4, 1_400, 6),
  'IP 10.9.0.1 > 10.9.0.2: ICMP time exceeded in-transit, length 36': errorFrame(11, 0, 0, 6),
  'IP 10.9.0.1 > 10.9.0.2: ICMP ip reassembly time exceeded, length 36': errorFrame(11, 1, 0, 6),
  'IP 10.9.0.1 > 10.9.0.2: ICMP type-#77, length 12': icmpFrame(77, 0, 0, Buffer.alloc(4)),
};

test('each kind of frame', async (t) => {
  for (const [line, frame] of Object.entries(samples)) t.equal(textOf(frame), line);
});

test('lines of our own, where tcpdump prints more', async (t) => {
  const other = Buffer.alloc(60);
  writeEthernetHeader(other, 0, THERE, HERE, 0x88b5);
  t.equal(textOf(other), '02:00:00:00:00:0a > 02:00:00:00:00:0b, ethertype 0x88b5, length 46');
  writeEthernetHeader(other, 0, THERE, HERE, 0x86dd);
  t.equal(textOf(other), 'IP6, length 46');
  t.equal(textOf(errorFrame(3, 13, 0, 6)), 'IP 10.9.0.1 > 10.9.0.2: ICMP 10.9.0.2 unreachable - code 13, length 36');
});

test('what is malformed is said to be', async (t) => {
  t.equal(textOf(Buffer.alloc(13)), 'malformed frame, length 13');
  t.equal(textOf(arpFrame(1, 0).subarray(0, 41)), 'ARP, malformed, length 27');
  const packet = tcpFrame({});
  t.equal(textOf(packet.subarray(0, 53)), 'IP, malformed, length 39');
  const hosts = 'IP 10.9.0.1 > 10.9.0.2:';
  t.equal(textOf(ipv4Frame({ protocol: 6 }, Buffer.alloc(19))), `${hosts} TCP, malformed, length 19`);
  t.equal(textOf(optionsFrame('02ff05b4')), `${hosts} TCP, malformed, length 24`);
  t.equal(textOf(ipv4Frame({ protocol: 17 }, Buffer.alloc(7))), `${hosts} UDP, malformed, length 7`);
  t.equal(textOf(udpFrame(7, {}, 0)), `${hosts} UDP, malformed, length 8`);
  t.equal(textOf(ipv4Frame({ protocol: 1 }, Buffer.alloc(7))), `${hosts} ICMP, malformed, length 7`);
  t.equal(textOf(icmpFrame(3, 1, 0, Buffer.alloc(19))), `${hosts} ICMP, malformed, length 27`);
  const short = ipv4Frame({}, Buffer.alloc(3)).subarray(14);
  t.equal(textOf(icmpFrame(3, 3, 0, short)), `${hosts} ICMP 10.9.0.2 unreachable - code 3, length 31`);
  // An option of a known kind with another length than its own: nothing is read outside of it.
  for (const option of ['02030000', '03020000', '04030000', '05040000', '08040000']) {
    const kind = Number.parseInt(option.slice(0, 2), 16);
    t.match(textOf(optionsFrame(option)), new RegExp(`options \\[unknown-${kind}[,\\] ]`), option);
  }
});

test('relative numbers: each connection has its own, and a new SYN begins anew', async (t) => {
  const flows = new FlowNumbers();
  const numbers = (frame: Buffer) =>
    /(seq \d+(:\d+)?)?,? ?(ack \d+)?, win/.exec(textOf(frame, flows))?.[0].replace(', win', '');
  const back = { sourcePort: 47_002, destinationPort: 47_001 };
  const there = { source: IPV4.destination, destination: IPV4.source };
  t.equal(numbers(tcpFrame({ flags: 0x02 })), 'seq 1000', 'a SYN as it is');
  t.equal(
    numbers(tcpFrame({ ...back, flags: 0x12, sequence: 5_000, acknowledgment: 1_001 }, 0, there)),
    'seq 5000, ack 1001',
  );
  t.equal(numbers(tcpFrame({ flags: 0x18, sequence: 1_001, acknowledgment: 5_001 }, 10)), 'seq 1:11, ack 1');
  t.equal(numbers(tcpFrame({ ...back, sequence: 5_001, acknowledgment: 1_011 }, 0, there)), ', ack 11');
  t.match(
    textOf(
      tcpFrame({ ...back, sequence: 5_001, options: { ...noOptions, sackBlocks: [1_021, 1_031] } }, 0, there),
      flows,
    ),
    /sack 1 \{21:31\}/,
  );
  t.equal(
    numbers(tcpFrame({ sourcePort: 47_003, flags: 0x18, sequence: 77 }, 1)),
    'seq 77:78, ack 2000',
    'another port',
  );
  t.equal(
    numbers(tcpFrame({ ...back, flags: 0x12, sequence: 9_000, acknowledgment: 8_001 }, 0, there)),
    'seq 9000, ack 8001',
  );
  t.equal(numbers(tcpFrame({ flags: 0x18, sequence: 8_001, acknowledgment: 9_001 }, 1)), 'seq 1:2, ack 1');
});

test('1024 connections are remembered, and the oldest is forgotten for the next', async (t) => {
  const flows = new FlowNumbers();
  const first = () => textOf(tcpFrame({ sourcePort: 1, flags: 0x18 }, 1), flows);
  for (let port = 1; port <= 1_024; port++) textOf(tcpFrame({ sourcePort: port }), flows);
  t.match(first(), /seq 0:1, ack 1,/);
  textOf(tcpFrame({ sourcePort: 1_025 }), flows);
  t.match(first(), /seq 1000:1001, ack 2000,/);
});

test('any bytes: a line', async () => {
  const types = fc.constantFrom('0800', '0806', '86dd', '1234');
  fc.assert(
    fc.property(types, fc.uint8Array({ maxLength: 120 }), (type, payload) => {
      const frame = Buffer.concat([Buffer.alloc(12), Buffer.from(type, 'hex'), payload]);
      return !frameText(frame, 0, frame.length).includes('\n');
    }),
  );
  fc.assert(
    fc.property(fc.constantFrom(1, 6, 17, 99), fc.uint8Array({ maxLength: 120 }), (protocol, payload) => {
      return textOf(ipv4Frame({ protocol }, payload), new FlowNumbers()).startsWith('IP 10.9.0.1');
    }),
  );
});

/** What tcpdump prints for frames, without time; with -S the numbers of TCP are absolute. */
function tcpdumpLines(frames: readonly Buffer[], ...options: readonly string[]): string[] {
  const input = Buffer.concat([pcapHeader(), ...frames.map((frame) => pcapRecord(frame, 0))]);
  const [command, args] = withoutTap('tcpdump', ['-n', '-t', ...options, '-r', '-']);
  return spawnSync(command, args, { input, encoding: 'utf8' }).stdout.trimEnd().split('\n');
}

const anyTimestamp = fc.integer({ min: -1, max: 0xffffffff });
const anyNumber = fc.integer({ min: 0, max: 0xffffffff });
const anyHead = fc.record({
  sourcePort: fc.constantFrom(47_001, 47_002),
  sequence: anyNumber,
  acknowledgment: anyNumber,
  flags: fc.integer({ min: 0, max: 0xff }),
  window: fc.integer({ min: 0, max: 0xffff }),
  urgent: fc.integer({ min: 0, max: 0xffff }),
  options: fc.record({
    mss: fc.option(fc.integer({ min: 0, max: 0xffff })),
    windowScale: fc.option(fc.integer({ min: 0, max: 14 })),
    sackPermitted: fc.boolean(),
    timestampValue: anyTimestamp,
    timestampEcho: anyNumber,
    sackBlocks: fc.array(fc.tuple(anyNumber, anyNumber), { maxLength: 3 }).map((pairs) => pairs.flat()),
  }),
});

test('tcpdump prints the same lines', { skip: missing('tcpdump') }, async (t) => {
  const frames = Object.values(samples);
  t.same(tcpdumpLines(frames, '-S'), Object.keys(samples));
  const segments = fc.sample(fc.tuple(anyHead, fc.integer({ min: 0, max: 30 })), { numRuns: 400, seed: 3 });
  const framesOf = (flagMask: number) =>
    segments.map(([head, payloadBytes]) => {
      const flags = head.flags & flagMask;
      if (head.sourcePort === 47_001) return tcpFrame({ ...head, flags }, payloadBytes);
      const there = { source: IPV4.destination, destination: IPV4.source };
      return tcpFrame({ ...head, flags, destinationPort: 47_001 }, payloadBytes, there);
    });
  const absolute = framesOf(0xff);
  t.same(
    absolute.map((frame) => textOf(frame)),
    tcpdumpLines(absolute, '-S'),
  );
  // tcpdump makes the SACK blocks of the first segment of a connection relative, and its other numbers not. So a segment without SACK comes first.
  const relative = [tcpFrame({ flags: 0x12 }), ...framesOf(0xff & ~0x02)];
  const flows = new FlowNumbers();
  t.same(
    relative.map((frame) => textOf(frame, flows)),
    tcpdumpLines(relative),
    'and the same relative numbers',
  );
});

test('a traced link prints a line for each frame, and passes it on', async (t) => {
  const [left, right] = createWire();
  const lines: string[] = [];
  const link = traceFrames(left, (line, direction) => lines.push(`${direction}: ${line}`));
  const syn = tcpFrame({ flags: 0x02 });
  const synAck = tcpFrame({
    flags: 0x12,
    sourcePort: 47_002,
    destinationPort: 47_001,
    sequence: 9,
    acknowledgment: 1_001,
  });
  link.send(syn, syn.length);
  right.send(synAck, synAck.length);
  const into = Buffer.alloc(100);
  t.equal(link.receive(into), synAck.length);
  t.equal(right.receive(into), syn.length);
  t.same(lines, [
    'sent: IP 10.9.0.1.47001 > 10.9.0.2.47002: Flags [S], seq 1000, win 512, length 0',
    'received: IP 10.9.0.1.47002 > 10.9.0.2.47001: Flags [S.], seq 9, ack 1001, win 512, length 0',
  ]);
});
