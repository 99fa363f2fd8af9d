/**
 * Attacks from the local network and from far away, each beside a friendly client that must be served. Sizes are chosen by the tests:
 * small in attacks.test.ts, heavy in attacks.long.ts. Those with a `besiege` are also made over TAP (attacks-over-tap.ts).
 */

import type { Test } from 'tap';
import { ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST, ICMP_UNREACHABLE } from '../../../simplenet/tcpip/ip/icmp.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../../simplenet/tcpip/ip/ipv4-packet.ts';
import { defaultStackLimits } from '../../../simplenet/tcpip/stack-limits.ts';
import { ACK, RST, SYN } from '../../../simplenet/tcpip/tcp/segment.ts';
import { BesiegedServer } from './besieged-server.ts';
import { LARGE_BYTES } from './besieged-site.ts';
import {
  ATTACKER_MAC,
  anyAddress,
  type Besiege,
  BROADCAST_HARDWARE_ADDRESS,
  FRIEND,
  SERVER,
  type Siege,
} from './siege.ts';

const MEBIBYTE = 1024 * 1024;
/** The largest part of a flood between two looks at the tables of the server. */
const FRAMES_PER_LOOK = 1_000;
/** A burst of so many frames may overflow a queue on its way. */
const ANSWERED_SHARE = 0.9;
const modern = { mss: 1460, windowScale: 7, sackPermitted: true, timestampValue: 1_000, timestampEcho: 0 };

const inSimulation: Besiege = (options, timeouts) => Promise.resolve(new BesiegedServer(options, timeouts));

async function isServed(t: Test, site: Siege, when: string): Promise<void> {
  const response = await site.get('/small');
  t.equal(`${response?.body}`, 'hello', `the friend is served ${when}`);
  t.ok((response?.ms ?? Number.POSITIVE_INFINITY) < site.promptMs, `${response?.ms} ms ${when}`);
}

async function end(t: Test, site: Siege): Promise<void> {
  t.same(await site.close(), [], 'nothing was thrown');
}

async function isBounded(t: Test, site: Siege, before: number, maxBytes: number): Promise<void> {
  const growth = (await site.memoryBytes()) - before;
  t.ok(growth < maxBytes, `${(growth / MEBIBYTE).toFixed(1)} MiB more`);
  t.comment(`memory: ${(growth / MEBIBYTE).toFixed(1)} MiB more; ${JSON.stringify(await site.statistics())}`);
}

/** What the attack has left ends by its time limits. In real time nobody waits for that. */
async function endsByItself(t: Test, site: Siege, withinMs: number, names: readonly string[]): Promise<void> {
  if (!site.isSimulated) return;
  await site.pass(withinMs);
  const statistics = await site.statistics();
  for (const name of names) t.equal(statistics[name], 0, `${name} of the attack end`);
}

/** SYNs from addresses that nobody has. Beyond the backlog, cookies are sent, and a friend's handshake needs nothing but his own ACK. */
export async function synFlood(t: Test, count: number, besiege: Besiege = inSimulation): Promise<void> {
  const site = await besiege();
  await isServed(t, site, 'before');
  const before = await site.memoryBytes();
  site.isListening = false;
  for (let part = 0; part < 4; part++) {
    await site.flood(count / 4, (index) => {
      site.send('S', {
        from: anyAddress(site.random),
        fromPort: 1 + site.random.below(65_535),
        seq: site.random.below(2 ** 32),
        options: index % 2 === 0 ? modern : {},
      });
    });
    t.equal((await site.statistics()).halfOpen, defaultStackLimits.backlog, 'the backlog is full');
    await isServed(t, site, `after ${((part + 1) * count) / 4} SYNs`);
  }
  const { cookiesAccepted = 0, connections = 0 } = await site.statistics();
  t.ok(cookiesAccepted >= 4, 'by cookies');
  t.ok(connections <= defaultStackLimits.backlog + 4, `${connections} connections`);
  await isBounded(t, site, before, 24 * MEBIBYTE);
  await endsByItself(t, site, 200_000, ['halfOpen']);
  await end(t, site);
}

/** The same from addresses of the local network, each of which must be asked for by ARP. */
export async function localSynFlood(t: Test, count: number): Promise<void> {
  const site = new BesiegedServer();
  await isServed(t, site, 'before');
  site.isListening = false;
  await site.flood(count, (index) =>
    site.send('S', { from: SERVER + 1 + (index % 200), fromPort: 1 + (index % 60_000) }),
  );
  await isServed(t, site, 'after');
  const { neighbours = 0, waitingBytes = 0 } = await site.statistics();
  t.ok(neighbours <= defaultStackLimits.arpEntries, `${neighbours} neighbours`);
  t.ok(waitingBytes <= defaultStackLimits.arpQueuedBytes, `${waitingBytes} bytes wait`);
  await end(t, site);
}

/** ACKs that guess a cookie, while cookies are believed. */
export async function cookieGuesses(t: Test, count: number): Promise<void> {
  const site = new BesiegedServer({ backlog: 1 });
  site.send('S', { from: anyAddress(site.random) });
  site.send('S', { from: anyAddress(site.random) });
  await site.pass(10);
  t.equal((await site.statistics()).cookiesSent, 1);
  site.isListening = false;
  await site.flood(count, () => {
    site.send('A', { from: anyAddress(site.random), seq: site.random.below(2 ** 32), ack: site.random.below(2 ** 32) });
  });
  const { cookiesAccepted, connections, resetsSent = 0 } = await site.statistics();
  t.same([cookiesAccepted, connections], [0, 1]);
  t.ok(resetsSent <= 2 * defaultStackLimits.resetsPerSecond, `${resetsSent} resets`);
  await isServed(t, site, 'beside the guesses');
  await end(t, site);
}

/** A stranger who knows addresses and ports, and guesses numbers (RFC 5961). */
export async function blindInjection(t: Test, count: number, besiege: Besiege = inSimulation): Promise<void> {
  const site = await besiege({}, { headerMs: 600_000 });
  const { stream, received, error, port } = await site.connect();
  await site.writeAcknowledged(stream, 'GET /small HTTP/1.1\r\nHost: serv');
  const forged = { from: FRIEND, fromPort: port };
  const any = () => site.random.below(2 ** 32);
  const friendNext = site.toFriend?.acknowledgment ?? 0;
  const sentBefore = site.sentPackets;
  const startedAt = site.host.now();
  for (let index = 0; index < count; index++) {
    const seq = any();
    if (seq === friendNext) continue; // one in four milliards is a hit
    site.send(['R', 'RA', 'S', 'A', 'PA', 'FA', 'SA'][index % 7] as string, {
      ...forged,
      seq,
      ack: any(),
      text: 'GET /',
    });
    // In the window, but not exact; and exact, but with an acknowledgment of what was not sent.
    site.send('R', { ...forged, seq: friendNext + 1 + site.random.below(10_000) });
    site.send('S', { ...forged, seq: friendNext + site.random.below(10_000) });
    site.send('PA', {
      ...forged,
      seq: friendNext,
      ack: (site.toFriend?.sequence ?? 0) + 100_000 + index,
      text: 'evil',
    });
    await site.pass(0.5);
  }
  const answers = site.sentPackets - sentBefore;
  const seconds = 1 + (site.host.now() - startedAt) / 1_000;
  t.ok(answers > 1 && answers <= 1 + defaultStackLimits.challengeAcksPerSecond * seconds, `${answers} challenge ACKs`);
  await site.pass(1_100); // the limit of challenge ACKs has recovered
  stream.write(Buffer.from('er\r\n\r\n'));
  await site.until(() => received().endsWith('hello') || error() !== undefined);
  t.match(received(), /^HTTP\/1\.1 200 OK[\s\S]*hello$/);
  t.equal(error(), undefined, 'the connection lives');
  stream.abort();
  await end(t, site);
}

/** Challenge ACKs: answered, counted, and never to an exact hit (RFC 5961 sections 3 to 5, 7). */
export async function challengeAcks(t: Test): Promise<void> {
  const site = new BesiegedServer();
  const { ack } = await site.handshake();
  await site.pass(1_000);
  for (let i = 0; i < 3; i++) {
    const fields = [
      { flags: 'R', seq: 1 + 1_000 },
      { flags: 'S', seq: 1 },
      { flags: 'PA', seq: 1, ack: ack + 1, text: 'evil' },
    ][i] as { flags: string; seq: number; ack?: number; text?: string };
    await site.listen(1_000);
    site.send(fields.flags, { ack, ...fields });
    const [challenge, ...others] = await site.listenTo(5_000, 10);
    t.same([challenge?.flags, challenge?.acknowledgment, challenge?.sequence], [ACK, 1, ack], fields.flags);
    t.same(others, []);
  }
  await site.listen(2_000);
  for (let i = 0; i < 100; i++) {
    site.send('R', { seq: 500 });
    await site.pass(1);
  }
  const most = defaultStackLimits.challengeAcksPerSecond;
  const answers = (await site.listenTo(5_000, 10)).length;
  t.ok(answers >= most && answers <= most + 2, `${answers} answers in 0.1 s`);
  site.send('R', { seq: 1 });
  await site.pass(10);
  t.equal((await site.statistics()).connections, 0, 'the exact number ends it');
  await end(t, site);
}

/**
 * Somebody on the path sends bytes in the name of the friend. From then on each side gets numbers that it finds wrong, and answers
 * with an ACK that the other finds wrong: the limits of challenge ACKs end that (ACK storm).
 */
export async function ackStorm(t: Test, besiege: Besiege = inSimulation): Promise<void> {
  const site = await besiege();
  const { stream, port } = await site.connect();
  await site.writeAcknowledged(stream, 'GET /small HTTP/1.1\r\n');
  const { acknowledgment: seq, sequence: ack } = site.toFriend ?? { acknowledgment: 0, sequence: 0 };
  // The friend's own option has timestamps, so the forged segment must have one that is not old.
  const options = { timestampValue: (site.toFriend?.options.timestampEcho ?? 0) + 1, timestampEcho: 0 };
  const before = site.sentPackets;
  site.send('PA', { from: FRIEND, fromPort: port, seq, ack, text: 'X-Evil: 1\r\n', options });
  await site.pass(10_000);
  const sent = site.sentPackets - before;
  t.ok(sent > 0 && sent <= 11 * defaultStackLimits.challengeAcksPerSecond, `${sent} packets of the server in 10 s`);
  stream.abort();
  await isServed(t, site, 'afterwards');
  await end(t, site);
}

/** Fragments of packets that never become whole, or overlap, or are too large. */
export async function fragmentFlood(t: Test, count: number, besiege: Besiege = inSimulation): Promise<void> {
  const site = await besiege();
  await isServed(t, site, 'before');
  const before = await site.memoryBytes();
  const piece = Buffer.alloc(1_480, 7);
  for (let sent = 0; sent < count; sent += FRAMES_PER_LOOK) {
    await site.flood(Math.min(count - sent, FRAMES_PER_LOOK), (number) => {
      const index = sent + number;
      site.sendPacket(
        {
          source: anyAddress(site.random),
          protocol: site.random.pick([PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP]),
          identification: index & 0xffff,
          moreFragments: index % 3 !== 0,
          fragmentOffset: 8 * (1 + site.random.below(7_000)),
        },
        index % 2 === 0 ? piece : piece.subarray(0, 8),
      );
    });
    const { incompleteBytes = 0, incompletePackets = 0 } = await site.statistics();
    if (incompleteBytes > defaultStackLimits.reassemblyBytes) t.fail(`${incompleteBytes} bytes of fragments`);
    if (incompletePackets > defaultStackLimits.reassemblyPackets) t.fail(`${incompletePackets} packets in fragments`);
  }
  await isBounded(t, site, before, 8 * MEBIBYTE);
  await isServed(t, site, 'after');
  await endsByItself(t, site, 40_000, ['incompleteBytes', 'incompletePackets']);
  await end(t, site);
}

/** Each echo request is answered only if it can be put together in one way. */
export async function fragmentTricks(t: Test): Promise<void> {
  const site = new BesiegedServer();
  const echo = Buffer.alloc(400);
  echo[0] = ICMP_ECHO_REQUEST;
  echo.writeUInt16BE(0xf7ff, 2); // all other bytes are zero
  let identification = 0;
  const answers = async (pieces: readonly [offset: number, bytes: number, more: boolean][]): Promise<number> => {
    identification++;
    for (const [fragmentOffset, bytes, moreFragments] of pieces) {
      const header = { protocol: PROTOCOL_ICMP, identification, fragmentOffset, moreFragments };
      site.sendPacket(header, fragmentOffset === 0 ? echo.subarray(0, bytes) : Buffer.alloc(bytes));
    }
    const heard = await site.listen();
    return heard.filter(({ packet }) => packet.bytes[packet.start] === ICMP_ECHO_REPLY).length;
  };
  t.equal(
    await answers([
      [0, 48, true],
      [48, 24, false],
    ]),
    1,
    'two fragments',
  );
  t.equal(
    await answers([
      [48, 24, false],
      [0, 48, true],
    ]),
    1,
    'the other way round',
  );
  t.equal(
    await answers([
      [0, 48, true],
      [48, 48, true],
      [96, 8, false],
    ]),
    1,
    'the smallest ones',
  );
  t.equal(
    await answers([
      [0, 40, true],
      [40, 48, false],
    ]),
    0,
    'a smaller one before the last',
  );
  t.equal(
    await answers([
      [0, 48, true],
      [40, 48, false],
    ]),
    0,
    'overlapping ones',
  );
  t.equal(
    await answers([
      [40, 48, false],
      [0, 48, true],
    ]),
    0,
    'overlapping the other way round',
  );
  t.equal(
    await answers([
      [0, 96, true],
      [48, 48, false],
    ]),
    0,
    'one within another',
  );
  t.equal(
    await answers([
      [0, 48, true],
      [48, 48, false],
      [48, 96, true],
    ]),
    1,
    'what comes after the end begins another packet',
  );
  t.equal(
    await answers([
      [0, 48, true],
      [65_520, 48, false],
    ]),
    0,
    'larger than a packet can be (ping of death)',
  );
  t.equal(
    await answers([
      [0, 50, true],
      [48, 24, false],
    ]),
    0,
    'not a multiple of eight bytes',
  );
  await end(t, site);
}

/** Thousands of clients that ask for a large file and take nothing of it (sockstress, CVE-2008-4609). */
export async function zeroWindows(
  t: Test,
  count: number,
  window: number,
  path = '/large',
  besiege: Besiege = inSimulation,
): Promise<void> {
  const site = await besiege();
  await isServed(t, site, 'before');
  const before = await site.memoryBytes();
  site.isListening = false;
  const ports = Array.from({ length: count }, (_, index) => 1_024 + index);
  const isn = new Map<number, number>();
  site.onSynAck = (port, sequence) => isn.set(port, (sequence + 1) >>> 0);
  await site.flood(count, (index) => site.send('S', { fromPort: ports[index] as number, seq: 0, window }));
  await site.until(() => isn.size >= count * ANSWERED_SHARE);
  await site.flood(count, (index) => {
    const fromPort = ports[index] as number;
    const ack = isn.get(fromPort);
    if (ack !== undefined) {
      site.send('PA', { fromPort, seq: 1, ack, window, text: `GET ${path} HTTP/1.1\r\nHost: server\r\n\r\n` });
    }
  });
  await site.pass(1_000);
  const { connections = 0 } = await site.statistics();
  t.ok(connections >= count * ANSWERED_SHARE, `${connections} connections wait`);
  await isBounded(t, site, before, 16 * MEBIBYTE + count * 160 * 1024);
  await isServed(t, site, 'beside them');
  await endsByItself(t, site, 200_000, ['connections']);
  await end(t, site);
}

/** What a host must not believe, let alone answer. */
export async function impossibleSources(t: Test, besiege: Besiege = inSimulation): Promise<void> {
  const site = await besiege();
  const sources = [SERVER, 0x7f000001, 0, 0xffffffff, 0xe0000001, 0x0a0900ff, 0x0a090000, 0xf0000001];
  for (const from of sources) {
    site.send('S', { from, fromPort: 80 }); // LAND, from our own address and port
    site.icmp(ICMP_ECHO_REQUEST, 0, 1, Buffer.alloc(56), { source: from });
    site.sendPacket({ source: from, protocol: PROTOCOL_UDP }, Buffer.alloc(8));
  }
  t.same(await site.listen(5_000), [], 'no answer');
  t.equal((await site.statistics()).martians, 3 * sources.length);
  const before = site.sentPackets;
  for (const destination of [0x0a0900ff, 0xffffffff]) {
    site.icmp(ICMP_ECHO_REQUEST, 0, 1, Buffer.alloc(56), { source: FRIEND, destination }); // smurf: the friend would get all answers
    site.sendPacket({ source: FRIEND, destination, protocol: PROTOCOL_UDP }, Buffer.from('0007000700080000', 'hex'));
    site.sendPacket({ source: FRIEND, destination, protocol: PROTOCOL_TCP }, Buffer.alloc(20));
  }
  await site.pass(1_000);
  t.equal(site.sentPackets, before, 'nothing is sent to the friend');
  await isServed(t, site, 'afterwards');
  await end(t, site);
}

/** Claims of addresses: floods of them, and lies about the friend and about us. */
export async function arpLies(t: Test, count: number): Promise<void> {
  const site = new BesiegedServer();
  await isServed(t, site, 'before');
  await site.flood(count, (index) => {
    site.arp({ sender: (0x0a090000 + site.random.below(2 ** 16)) >>> 0, senderHardware: 0x0200_0001_0000 + index });
    site.arp({ operation: 2, sender: FRIEND, senderHardware: ATTACKER_MAC });
    site.arp({ sender: FRIEND, senderHardware: ATTACKER_MAC, target: FRIEND }, BROADCAST_HARDWARE_ADDRESS);
    site.arp({ sender: SERVER, senderHardware: ATTACKER_MAC, target: SERVER }, BROADCAST_HARDWARE_ADDRESS);
  });
  const { neighbours = 0 } = await site.statistics();
  t.ok(neighbours <= defaultStackLimits.arpEntries, `${neighbours} neighbours`);
  await isServed(t, site, 'during the lies');
  t.same(
    (await site.listen()).filter(({ packet }) => packet.destination === FRIEND),
    [],
    'the attacker gets none of it',
  );
  await end(t, site);
}

/** ICMP errors about connections, with numbers that are guessed and with right ones (RFC 5927). */
export async function icmpLies(t: Test, count: number): Promise<void> {
  const site = new BesiegedServer();
  const { stream, received, error, port } = await site.connect();
  stream.write(Buffer.from('GET /large HTTP/1.1\r\nHost: server\r\n\r\n'));
  const rests = [0, 1, 67, 68, 100, 551, 1_499, 65_535];
  await site.flood(count, (index) => {
    const seq = index % 4 === 0 ? (site.toFriend?.sequence ?? 0) : site.random.below(2 ** 32);
    const quote = site.quote(FRIEND, 80, port, seq);
    const rest = site.random.pick(rests);
    site.icmp(ICMP_UNREACHABLE, site.random.below(16), rest, quote);
    site.icmp(ICMP_UNREACHABLE, 4, rest, quote);
    site.icmp(5, site.random.below(4), 0x0a090042, quote); // redirect
    site.icmp(11, 0, 0, quote);
    site.icmp(12, 0, 0, quote);
    site.icmp(4, 0, 0, quote); // source quench
    site.icmp(ICMP_UNREACHABLE, 4, 68, site.quote(anyAddress(site.random), 80, port, seq));
  });
  await site.pass(20_000);
  t.ok(received().length > LARGE_BYTES, `${received().length} bytes have come`);
  t.equal(error(), undefined, 'the connection lives');
  const { pathMtus = 0 } = await site.statistics();
  t.ok(pathMtus <= 1, `${pathMtus} paths: only that to the friend was believed`);
  const largest = site.toFriend === null ? 0 : site.toFriend.end - site.toFriend.start;
  t.ok(largest <= 1_460);
  stream.abort();
  await isServed(t, site, 'afterwards');
  await end(t, site);
}

/** A client that acknowledges what was never sent, and reports blocks that never were (optimistic ACKs). */
export async function wrongAcknowledgments(t: Test): Promise<void> {
  const site = new BesiegedServer();
  const { ack } = await site.handshake({ options: modern, window: 100 });
  const options = (sackBlocks: number[] = []) => ({ timestampValue: 2_000, timestampEcho: 0, sackBlocks });
  site.send('PA', {
    seq: 1,
    ack,
    window: 100,
    text: 'GET /large HTTP/1.1\r\nHost: server\r\n\r\n',
    options: options(),
  });
  const segments = await site.listenTo(5_000, 20);
  const sentBytes = Math.max(...segments.map(({ sequence, start, end }) => sequence + end - start - ack));
  const next = 1 + 'GET /large HTTP/1.1\r\nHost: server\r\n\r\n'.length;
  for (const blocks of [
    [ack + 1_000_000, ack + 2_000_000],
    [ack - 1_000, ack - 1],
    [ack + 100, ack + 50],
    [ack, ack],
    [ack, ack + 2 ** 31],
  ]) {
    const sackBlocks = blocks.map((block) => block >>> 0);
    site.send('A', { seq: next, ack, window: 100, options: options(sackBlocks) });
  }
  for (let i = 1; i <= 50; i++)
    site.send('A', { seq: next, ack: ack + sentBytes + i * 1_460, window: 100, options: options() });
  const answers = await site.listenTo(5_000, 20);
  const payload = answers.filter(({ start, end }) => end > start);
  t.ok(payload.length <= segments.length, `${payload.length} segments with text`);
  const mayBeSent = 100 << 7;
  t.ok(sentBytes > 0 && sentBytes <= mayBeSent, `${sentBytes} bytes were sent`);
  for (const { sequence, start, end } of payload) t.ok(sequence + end - start - ack <= mayBeSent);
  await isServed(t, site, 'afterwards');
  site.send('R', { seq: next, ack });
  await end(t, site);
}

/** Options of a SYN that would make us work: an MSS of one byte, the largest shift and one beyond it. */
export async function strangeOptions(t: Test): Promise<void> {
  const site = new BesiegedServer();
  for (const [index, mss] of [0, 1, 47, 48, 87, 65_535].entries()) {
    const fromPort = 6_000 + index;
    const windowScale = index % 2 === 0 ? 15 : 255;
    const { ack } = await site.handshake({ fromPort, options: { mss, windowScale } });
    const fields = { fromPort, seq: 1, ack, window: 65_535 };
    site.send('PA', { ...fields, text: 'GET /large HTTP/1.1\r\nHost: server\r\n\r\n' });
    const segments = (await site.listenTo(fromPort, 20)).filter(({ start, end }) => end > start);
    const sizes = segments.map(({ start, end }) => end - start);
    // A segment for each byte would cost us a thousand times what it costs the attacker (CVE-2019-11479).
    t.ok(
      Math.max(...sizes) >= 64 && Math.max(...sizes) <= 1_460,
      `mss ${mss}: segments of ${Math.max(...sizes)} bytes`,
    );
    t.ok(segments.length <= 64, `${segments.length} segments at once`);
    site.send('R', { ...fields, seq: 1 + 'GET /large HTTP/1.1\r\nHost: server\r\n\r\n'.length });
  }
  await isServed(t, site, 'afterwards');
  await end(t, site);
}

/** Timestamps of the future in segments that are not believed must not make the true ones old (PAWS, RFC 7323 section 5.3). */
export async function timestampLies(t: Test): Promise<void> {
  const site = new BesiegedServer();
  const { stream, received, port } = await site.connect();
  stream.write(Buffer.from('GET /small HTTP/1.1\r\n'));
  await site.pass(100);
  const { acknowledgment, sequence } = site.toFriend ?? { acknowledgment: 0, sequence: 0 };
  const recent = site.toFriend?.options.timestampEcho ?? 0;
  for (const ahead of [1, 1_000, 2 ** 30, 2 ** 31 - 1]) {
    const options = { timestampValue: (recent + ahead) >>> 0, timestampEcho: 0 };
    const forged = { from: FRIEND, fromPort: port, options };
    site.send('A', { ...forged, seq: acknowledgment + 500_000, ack: sequence });
    site.send('A', { ...forged, seq: acknowledgment - 500_000, ack: sequence });
    site.send('A', { ...forged, seq: acknowledgment, ack: sequence + 500_000 });
    site.send('A', { ...forged, seq: acknowledgment, ack: sequence - 2_000_000_000 });
  }
  await site.pass(100);
  stream.write(Buffer.from('Host: server\r\n\r\n'));
  await site.pass(2_000);
  t.match(received(), /hello$/, 'the true segments are not taken for old ones');
  stream.abort();
  await end(t, site);
}

/** TIME_WAIT is not ended by old segments or resets (RFC 1337), and bounded. */
export async function timeWait(t: Test, count: number): Promise<void> {
  const site = new BesiegedServer({ timeWaits: count / 2 });
  const text = 'GET /small HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n';
  const next = 1 + text.length;
  let last = { fromPort: 0, seq: 0, ack: 0 };
  for (let i = 0; i < count; i++) {
    const fromPort = 10_000 + i;
    const { ack } = await site.handshake({ fromPort });
    site.send('PA', { fromPort, seq: 1, ack, text });
    const segments = await site.listenTo(fromPort, 20);
    const fin = segments.find(({ flags }) => (flags & 1) !== 0);
    if (fin === undefined) throw new Error('no FIN');
    const end = (fin.sequence + fin.end - fin.start + 1) >>> 0;
    site.send('FA', { fromPort, seq: next, ack: end });
    last = { fromPort, seq: next + 1, ack: end };
  }
  await site.listen();
  t.equal((await site.statistics()).timeWaits, count / 2, 'the oldest has made room');
  for (const seq of [last.seq, last.seq + 1, 1]) {
    site.send('R', { ...last, seq });
    site.send('RA', { ...last, seq });
    site.send('PA', { ...last, seq: seq - 20, text: 'old bytes' });
  }
  await site.listen();
  const isThere = (await site.statistics()).timeWaits;
  t.ok(isThere === count / 2 || isThere === count / 2 - 1, `${isThere} are there`);
  site.send('S', { fromPort: last.fromPort, seq: last.seq + 100_000 });
  const [synAck] = await site.listenTo(last.fromPort, 20);
  t.equal(synAck?.flags, SYN | ACK, 'a new connection may take the place');
  await site.pass(200_000);
  t.equal((await site.statistics()).timeWaits, 0);
  await end(t, site);
}

/** What cannot be delivered is refused at a limited rate, so nobody can use us to flood others. */
export async function closedPorts(t: Test, count: number): Promise<void> {
  const site = new BesiegedServer();
  await isServed(t, site, 'before');
  site.isListening = false;
  const startedAt = site.host.now();
  await site.flood(count, (index) => {
    const source = anyAddress(site.random);
    if (index % 2 === 0) site.send('S', { from: source, toPort: 81 + site.random.below(60_000) });
    else site.sendPacket({ source, protocol: PROTOCOL_UDP }, udpTo(1 + site.random.below(65_535)));
  });
  const seconds = 1 + (site.host.now() - startedAt) / 1_000;
  const { resetsSent = 0, icmpErrorsSent = 0, resetsSuppressed = 0 } = await site.statistics();
  t.ok(resetsSent <= defaultStackLimits.resetsPerSecond * seconds, `${resetsSent} resets`);
  t.ok(resetsSent + resetsSuppressed >= count / 2, `${resetsSuppressed} kept back`);
  const errors = defaultStackLimits.icmpErrorBurst + defaultStackLimits.icmpErrorsPerSecond * seconds;
  t.ok(icmpErrorsSent > 0 && icmpErrorsSent <= errors, `${icmpErrorsSent} ICMP errors`);
  await isServed(t, site, 'after');
  await end(t, site);
}

function udpTo(port: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16BE(9, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.writeUInt16BE(8, 4);
  return bytes;
}

/** Segments beyond a hole: each of one byte, as far apart as possible, and never the one that is missing. */
export async function holes(t: Test, count: number): Promise<void> {
  const site = new BesiegedServer();
  await isServed(t, site, 'before');
  const before = await site.memoryBytes();
  site.isListening = false;
  const acks = new Map<number, number>();
  site.onSynAck = (port, sequence) => acks.set(port, (sequence + 1) >>> 0);
  await site.flood(count, (index) => site.send('S', { fromPort: 2_000 + index, seq: 0 }));
  await site.pass(10);
  await site.flood(count, (index) => {
    const fromPort = 2_000 + index;
    for (let hole = 0; hole < 400; hole++) {
      site.send('PA', { fromPort, seq: 3 + hole * 2, ack: acks.get(fromPort) ?? 0, text: 'x' });
    }
  });
  await isBounded(t, site, before, 8 * MEBIBYTE + count * 256 * 1_024);
  await isServed(t, site, 'beside them');
  await site.pass(60_000);
  t.equal((await site.statistics()).connections, 0, 'no head has come in time');
  await end(t, site);
}

/** An RST for what is not there gets no answer; nor does a segment with all flags, or none. */
export async function strangeFlags(t: Test): Promise<void> {
  const site = new BesiegedServer();
  for (const flags of ['', 'F', 'FP', 'R', 'RA', 'SF', 'SFRPA', 'SR']) site.send(flags, { fromPort: 7_000, text: 'x' });
  const answers = await site.listenTo(7_000);
  t.ok(
    answers.every((segment) => (segment.flags & SYN) === 0),
    'no handshake begins',
  );
  t.ok(answers.every((segment) => (segment.flags & RST) !== 0));
  t.equal((await site.statistics()).connections, 0);
  await isServed(t, site, 'afterwards');
  await end(t, site);
}
