/** TcpLayer: which connection a segment belongs to, and what happens to segments without one. */

import t from 'tap';
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  ECONNREFUSED,
  EFAULT,
  EHOSTUNREACH,
  EMSGSIZE,
  ETIMEDOUT,
} from '../../../../simplenet/kernel/abi.ts';
import { PROTOCOL_UDP } from '../../../../simplenet/tcpip/ip/ipv4-packet.ts';
import type { TcpSegment } from '../../../../simplenet/tcpip/tcp/segment.ts';
import type { TcpEntry, TcpListener } from '../../../../simplenet/tcpip/tcp/tcp-layer.ts';
import { TIME_WAIT } from '../../../../simplenet/tcpip/tcp/tcp-states.ts';
import { flagsOf, LayerBench, PEER, sizes } from './layer-bench.ts';

function write(entry: TcpEntry, text: string | Buffer): void {
  const bytes = Buffer.from(text);
  entry.connection.write(bytes, 0, bytes.length, false);
}

t.test('a client connects, sends, and both close', async (t) => {
  const bench = new LayerBench();
  bench.listen();
  const { entry, next } = bench.accept();
  t.same([entry.localPort, entry.remoteAddress, entry.remotePort], [80, PEER, 5_000]);
  t.equal(bench.progress.length, 1, 'the owner that onAccept has set is told about the segment');
  bench.receive('PA', { seq: 1, ack: next, text: 'hello' });
  t.equal(entry.connection.readable?.toString(), 'hello');
  entry.connection.consume(5);
  write(entry, 'world');
  bench.layer.touch(entry);
  bench.layer.touch(entry);
  t.same(bench.sentFlags(), ['PA']);
  t.equal(bench.layer.hasUnacknowledged, true);
  bench.layer.close(entry, bench.now);
  t.same(bench.sentFlags(), ['FA']);
  bench.receive('FA', { seq: 6, ack: next + 6 });
  t.same(bench.sentFlags(), ['A']);
  t.equal(entry.connection.state, TIME_WAIT);
  t.equal(bench.layer.hasUnacknowledged, false);
  bench.layer.touch(entry);
  t.same(bench.sent(), [], 'the layer has let go of it');
  bench.receive('FA', { seq: 6, ack: next + 6 });
  t.same(bench.sentFlags(), ['A'], 'and answers in its place');
  bench.pass(1_000);
  t.equal(bench.layer.deadlineAt, bench.now + 59_000);
  bench.pass(59_000);
  t.equal(bench.layer.deadlineAt, Number.POSITIVE_INFINITY);
  bench.receive('A', { seq: 7, ack: next + 6 });
  t.same(bench.sentFlags(), ['R'], 'nothing is left');
});

t.test('a segment that is damaged or malformed is dropped', async (t) => {
  const bench = new LayerBench();
  bench.listen();
  const packet = bench.packet('S', {});
  packet.bytes.writeUInt8(99, 5);
  bench.layer.receive(packet, bench.now);
  bench.layer.receive({ ...bench.packet('S', {}), end: 0 }, bench.now);
  t.same(bench.sent(), []);
  t.equal(bench.layer.counters.malformedSegments, 2);
});

t.test('ports', async (t) => {
  const bench = new LayerBench({ firstEphemeralPort: 50_000, lastEphemeralPort: 50_001 });
  const listener = bench.listen(80);
  t.equal(bench.layer.listen(80, { ...sizes, backlog: 1, onAccept: () => {} }), -EADDRINUSE);
  const any = bench.listen(0);
  t.ok(any.port === 50_000 || any.port === 50_001);
  const first = bench.layer.connect(PEER, 443, sizes, bench.now) as TcpEntry;
  t.equal(first.localPort, any.port === 50_000 ? 50_001 : 50_000, 'not that of a listener');
  t.equal(bench.layer.connect(PEER, 443, sizes, bench.now), -EADDRNOTAVAIL);
  t.not(bench.layer.connect(PEER, 444, sizes, bench.now), -EADDRNOTAVAIL, 'one port for two peers');
  bench.listen(0);
  t.equal(bench.layer.listen(0, { ...sizes, backlog: 1, onAccept: () => {} }), -EADDRINUSE);
  listener.close();
  listener.close();
  t.equal(bench.listen(80).port, 80, 'free again');
});

t.test('connect', async (t) => {
  const bench = new LayerBench();
  const connect = (): TcpEntry => {
    const entry = bench.layer.connect(PEER, 443, sizes, bench.now) as TcpEntry;
    bench.own(entry);
    return entry;
  };
  const entry = connect();
  const [syn] = bench.sent();
  t.equal(flagsOf((syn as TcpSegment).flags), 'S');
  bench.receive('SA', { port: 443, to: entry.localPort, seq: 9, ack: (syn as TcpSegment).sequence + 1 });
  t.equal(entry.connection.isEstablished, true);
  t.same(bench.progress, [entry]);

  const refused = connect();
  const { sequence } = bench.sent().at(-1) as TcpSegment;
  bench.receive('RA', { port: 443, to: refused.localPort, ack: sequence + 1 });
  t.equal(refused.connection.error, ECONNREFUSED);

  const late = connect();
  bench.pass(180_000);
  t.equal(late.connection.error, ETIMEDOUT);
  t.ok(bench.progress.includes(late));

  const unreachable = connect();
  bench.result = -EHOSTUNREACH;
  bench.progress.length = 0;
  bench.layer.flush(bench.now);
  t.equal(unreachable.connection.error, EHOSTUNREACH);
  t.same(bench.progress, [unreachable], 'the owner is told, although no segment has come');
});

t.test('segments without a connection', async (t) => {
  const bench = new LayerBench({ resetsPerSecond: 2 });
  bench.listen();
  const reply = (flags: string, to: number): string[] => bench.receive(flags, { to, seq: 5, ack: 9 }).sentFlags();
  t.same(reply('S', 81), ['RA'], 'a closed port');
  t.same(reply('A', 80), ['R'], 'a listener knows no such connection');
  t.same(reply('A', 80), [], 'the third within a second');
  t.equal(bench.layer.counters.resetsSuppressed, 1);
  bench.pass(1_000);
  t.same(reply('R', 81), [], 'a reset gets none');
  t.same(reply('R', 80), []);
  t.same(reply('RA', 80), []);
  t.same(reply('SF', 80), [], 'no handshake');
  t.same(reply('P', 80), []);
  t.same(reply('SA', 80), ['R']);
});

t.test('the backlog', async (t) => {
  t.test('takes so many handshakes, and then sends cookies', async (t) => {
    const bench = new LayerBench();
    bench.listen(80, 2);
    for (let port = 1; port <= 2; port++) bench.receive('S', { port });
    t.equal(bench.sent().length, 2);
    t.equal(bench.layer.counters.cookiesSent, 0);
    const options = { mss: 1000, windowScale: 7, sackPermitted: true, timestampValue: 50, timestampEcho: 0 };
    bench.receive('S', { port: 3, seq: 77, options });
    const [cookie] = bench.sent() as [TcpSegment];
    t.equal(bench.layer.counters.cookiesSent, 1);
    t.equal(flagsOf(cookie.flags), 'SA');
    t.equal(cookie.options.sackPermitted, true);
    t.equal(cookie.options.windowScale, 0);
    t.equal(bench.layer.hasUnacknowledged, false);

    const echo = { timestampValue: 51, timestampEcho: cookie.options.timestampValue };
    bench.receive('PA', { port: 3, seq: 78, ack: cookie.sequence + 1, text: 'GET /', options: echo });
    t.equal(bench.layer.counters.cookiesAccepted, 1);
    const [entry] = bench.accepted as [TcpEntry];
    t.equal(entry.connection.readable?.toString(), 'GET /');
    write(entry, Buffer.alloc(3_000));
    bench.layer.touch(entry);
    const [reply] = bench.sent() as [TcpSegment];
    t.equal(reply.end - reply.start <= 988, true, 'the MSS of the SYN is remembered');
    t.ok(reply.options.timestampValue >= cookie.options.timestampValue, 'our clock never goes back');
  });

  t.test('a cookie without timestamps keeps the MSS alone', async (t) => {
    const bench = new LayerBench();
    bench.listen(80, 0);
    bench.receive('S', { seq: 77, options: { mss: 1000, windowScale: 7, sackPermitted: true } });
    const [cookie] = bench.sent() as [TcpSegment];
    t.same(
      [cookie.options.windowScale, cookie.options.sackPermitted, cookie.options.timestampValue],
      [null, false, -1],
    );
    bench.receive('A', { seq: 78, ack: cookie.sequence + 1 });
    t.equal(bench.accepted.length, 1);
  });

  t.test('a cookie is refused if it is wrong, old, or if none was sent', async (t) => {
    const bench = new LayerBench();
    bench.listen(80, 0);
    t.same(bench.receive('A', { seq: 78, ack: 1 }).sentFlags(), ['R'], 'none was sent');
    bench.receive('S', { seq: 77, options: { mss: 1000, timestampValue: 50, timestampEcho: 0 } });
    const [cookie] = bench.sent() as [TcpSegment];
    t.same(bench.receive('A', { seq: 78, ack: cookie.sequence + 2 }).sentFlags(), ['R'], 'a guess');
    t.same(bench.receive('A', { seq: 78, ack: cookie.sequence + 1, port: 6 }).sentFlags(), ['R'], 'of another client');
    const options = { timestampValue: 51, timestampEcho: 63 };
    t.same(
      bench.receive('A', { seq: 78, ack: cookie.sequence + 1, options }).sentFlags(),
      ['R'],
      'with options of no SYN',
    );
    bench.pass(200_000);
    t.same(bench.receive('A', { seq: 78, ack: cookie.sequence + 1 }).sentFlags(), ['R'], 'old');
    t.equal(bench.accepted.length, 0);
  });

  t.test('a handshake that fails makes room', async (t) => {
    const bench = new LayerBench({ acceptMs: 10_000 });
    bench.listen(80, 1);
    bench.receive('S', { port: 1, seq: 0 });
    bench.receive('R', { port: 1, seq: 1 });
    bench.receive('S', { port: 2 });
    bench.sent();
    t.equal(bench.layer.counters.cookiesSent, 0);
    bench.pass(10_000);
    bench.receive('S', { port: 3 });
    t.equal(bench.layer.counters.cookiesSent, 0, 'nor after the time for it');
    t.equal(bench.accepted.length, 0);
  });

  t.test(
    'a listener that ignores SYNs completes the handshakes under way, and one that closes resets them',
    async (t) => {
      const bench = new LayerBench();
      const listener: TcpListener = bench.listen();
      bench.receive('S', { port: 1 });
      const [reply] = bench.sent() as [TcpSegment];
      bench.receive('S', { port: 2 });
      bench.sent();
      listener.ignoreSyn();
      t.same(bench.receive('S', { port: 3 }).sent(), []);
      bench.receive('A', { port: 1, seq: 1, ack: reply.sequence + 1 });
      t.equal(bench.accepted.length, 1);
      listener.close();
      t.same(bench.sentFlags(), ['RA']);
      t.same(bench.receive('S', { port: 3 }).sentFlags(), ['RA']);
    },
  );
});

t.test('ACKs that the peer counts do not wait for the end of the turn', async (t) => {
  const bench = new LayerBench();
  bench.listen();
  const { next } = bench.accept();
  for (const seq of [10, 20, 30]) bench.receive('A', { seq, ack: next, text: 'x' });
  t.equal(bench.sent().length, 3);
});

t.test('a connection that such an ACK has ended is not sent from again', async (t) => {
  const bench = new LayerBench();
  bench.listen();
  const { entry, next } = bench.accept();
  bench.layer.close(entry, bench.now);
  bench.sent();
  bench.receive('FA', { seq: 4, ack: next + 1, text: 'd' });
  bench.layer.touch(entry);
  bench.receive('A', { seq: 1, ack: next + 1, text: 'abc' });
  t.equal(entry.connection.state, TIME_WAIT);
  t.same(bench.sentFlags(), ['A', 'A']);
});

t.test('TIME_WAIT', async (t) => {
  const closed = (bench: LayerBench, options: object = {}): { next: number } => {
    bench.receive('S', { options });
    const next = (bench.sent().at(-1) as TcpSegment).sequence + 1;
    const stamp = 'timestampValue' in options ? { options: { timestampValue: 101, timestampEcho: 1 } } : {};
    bench.receive('A', { seq: 1, ack: next, ...stamp });
    bench.layer.close(bench.accepted.at(-1) as TcpEntry, bench.now);
    bench.sent();
    bench.receive('FA', { seq: 1, ack: next + 1, ...stamp });
    bench.sent();
    return { next };
  };

  t.test('a SYN whose numbers are later opens the next connection', async (t) => {
    const bench = new LayerBench();
    bench.listen();
    const { next } = closed(bench);
    t.same(bench.receive('S', { seq: 1 }).sentFlags(), ['A'], 'not later');
    bench.pass(1_000);
    bench.receive('S', { seq: 3 });
    const [reply] = bench.sent() as [TcpSegment];
    t.equal(flagsOf(reply.flags), 'SA');
    t.equal(
      (reply.sequence - next) | 0,
      250_000 - 1,
      'our own numbers are later, too: they count microseconds by four',
    );
    t.equal(bench.layer.deadlineAt < bench.now + 2_000, true);
  });

  t.test('so does one whose timestamp is later', async (t) => {
    const bench = new LayerBench();
    bench.listen();
    closed(bench, { timestampValue: 100, timestampEcho: 0 });
    const syn = (timestampValue: number, seq: number): string[] =>
      bench.receive('S', { seq, options: { timestampValue, timestampEcho: 0 } }).sentFlags();
    t.same(syn(100, 9_000), ['A']);
    t.same(syn(101, 2), ['A'], 'the same timestamp: the number decides');
    t.same(syn(102, -5), ['SA']);
  });

  t.test('numbers of ours that are not later are moved on', async (t) => {
    const bench = new LayerBench();
    bench.listen();
    const { next } = closed(bench);
    bench.now -= 900_000; // the clock of initial numbers, as it was before
    bench.receive('S', { seq: 3 });
    const [reply] = bench.sent() as [TcpSegment];
    t.equal((reply.sequence - next) | 0, 1 + 65_537);
  });

  t.test('a reset at the right place ends it, others do not', async (t) => {
    const bench = new LayerBench();
    bench.listen();
    closed(bench);
    t.same(bench.receive('R', { seq: 50 }).sentFlags(), ['A']);
    t.same(bench.receive('R', { seq: -50 }).sentFlags(), []);
    bench.receive('R', { seq: 2 });
    bench.pass(1_000);
    t.equal(bench.layer.deadlineAt, Number.POSITIVE_INFINITY);
  });

  t.test('without a listener a SYN is one in the wrong place, and answers are bounded', async (t) => {
    const bench = new LayerBench({ resetsPerSecond: 2 });
    const listener = bench.listen();
    closed(bench);
    listener.close();
    t.same(bench.receive('S', { seq: 3 }).sentFlags(), ['A']);
    t.same(bench.receive('S', { seq: 3 }).sentFlags(), ['A']);
    t.same(bench.receive('S', { seq: 3 }).sentFlags(), []);
  });

  t.test('the oldest makes room', async (t) => {
    const bench = new LayerBench({ timeWaits: 2 });
    bench.listen();
    for (let port = 1; port <= 3; port++) {
      const { entry, next } = bench.accept(port);
      bench.layer.close(entry, bench.now);
      bench.sent();
      bench.receive('FA', { port, seq: 1, ack: next + 1 });
      bench.sent();
    }
    t.same(bench.receive('FA', { port: 1, seq: 1, ack: 5 }).sentFlags(), ['R']);
    t.same(bench.receive('FA', { port: 2, seq: 1, ack: 5 }).sentFlags(), ['A']);
    bench.pass(59_000).receive('FA', { port: 2, seq: 1, ack: 5 });
    bench.pass(1_000);
    t.equal(bench.layer.deadlineAt, bench.now + 59_000, 'a FIN that came again has begun the time again');
  });
});

t.test('orphans', async (t) => {
  t.test('send what is written and FIN, without an owner', async (t) => {
    const bench = new LayerBench();
    bench.listen();
    const { entry, next } = bench.accept();
    bench.progress.length = 0;
    write(entry, 'bye');
    bench.layer.orphan(entry, bench.now);
    t.same(bench.sentFlags(), ['FPA']);
    bench.receive('FA', { seq: 1, ack: next + 4 });
    t.same(bench.sentFlags(), ['A']);
    t.same(bench.progress, []);
    bench.pass(60_000);
    t.equal(bench.layer.deadlineAt, Number.POSITIVE_INFINITY);
  });

  t.test('of a peer that takes nothing are reset after their time', async (t) => {
    const bench = new LayerBench({ orphanMs: 20_000 });
    bench.listen();
    const { entry } = bench.accept();
    write(entry, 'bye');
    bench.layer.orphan(entry, bench.now);
    bench.pass(19_999);
    bench.sent();
    bench.pass(1);
    t.same(bench.sentFlags(), ['RA']);
    t.equal(entry.connection.error, ETIMEDOUT);
  });

  t.test('are bounded, and the oldest makes room', async (t) => {
    const bench = new LayerBench({ orphans: 2 });
    bench.listen();
    const entries = [1, 2, 3].map((port) => bench.accept(port).entry);
    for (const entry of entries.slice(0, 2)) bench.layer.orphan(entry, bench.now);
    t.same(bench.sentFlags(), ['FA', 'FA']);
    bench.layer.orphan(entries[2] as TcpEntry, bench.now);
    t.same(bench.sentFlags().sort(), ['FA', 'RA']);
    t.equal(entries[0]?.connection.isClosed, true);
    t.equal(bench.layer.counters.orphansReset, 1);
  });

  t.test('an attempt to connect is no orphan', async (t) => {
    const bench = new LayerBench();
    const entry = bench.layer.connect(PEER, 443, sizes, bench.now) as TcpEntry;
    bench.layer.orphan(entry, bench.now);
    t.same(bench.sent(), []);
    t.equal(entry.connection.isClosed, true);
    t.equal(bench.layer.deadlineAt, Number.POSITIVE_INFINITY);
  });

  t.test('a connection that has ended already is none', async (t) => {
    const bench = new LayerBench({ orphans: 0 });
    bench.listen();
    const { entry } = bench.accept();
    bench.receive('R', { seq: 1 }).sent();
    bench.layer.orphan(entry, bench.now);
    t.equal(bench.layer.counters.orphansReset, 0);
    t.same(bench.sent(), []);
  });
});

t.test('abort sends a reset, once', async (t) => {
  const bench = new LayerBench();
  bench.listen();
  const { entry } = bench.accept();
  bench.layer.abort(entry, bench.now);
  t.same(bench.sentFlags(), ['RA']);
  bench.layer.abort(entry, bench.now);
  t.same(bench.sentFlags(), []);
});

t.test('ICMP errors', async (t) => {
  const bench = new LayerBench();
  const entry = bench.layer.connect(PEER, 443, sizes, bench.now) as TcpEntry;
  bench.own(entry);
  const { sequence } = bench.sent()[0] as TcpSegment;
  bench.layer.onIcmpError(bench.icmp(entry, sequence, { protocol: PROTOCOL_UDP }), bench.now);
  bench.layer.onIcmpError(bench.icmp(entry, sequence, { end: 7 }), bench.now);
  bench.layer.onIcmpError(bench.icmp(entry, sequence, { destination: 1 }), bench.now);
  bench.layer.onIcmpError(bench.icmp(entry, sequence + 5), bench.now);
  t.equal(entry.connection.isClosed, false, 'guesses');
  bench.layer.onIcmpError(bench.icmp(entry, sequence, { mtu: 800, isHard: false }), bench.now);
  t.same(bench.lowered, [800]);
  bench.layer.onIcmpError(bench.icmp(entry, sequence), bench.now);
  t.equal(entry.connection.error, ECONNREFUSED);
  t.ok(bench.progress.includes(entry));
  t.same(bench.sent(), []);
});

t.test('a segment that is too large for the way is sent again in pieces', async (t) => {
  const bench = new LayerBench();
  bench.listen();
  const { entry } = bench.accept();
  bench.maxPayload = 420;
  bench.result = -EMSGSIZE;
  write(entry, Buffer.alloc(500));
  bench.layer.touch(entry);
  bench.layer.flush(bench.now);
  bench.result = 0;
  bench.pass(1_000);
  const [first] = bench.sent() as [TcpSegment];
  t.equal(first.end - first.start, 400);
});

t.test('memory that the program has taken back ends its connection', async (t) => {
  const bench = new LayerBench();
  bench.listen();
  const { entry } = bench.accept();
  const memory = new ArrayBuffer(4_096);
  entry.connection.write(Buffer.from(memory), 0, 4_096, true);
  structuredClone(memory, { transfer: [memory] });
  bench.layer.touch(entry);
  t.same(bench.sentFlags(), ['RA']);
  t.equal(entry.connection.error, EFAULT);
});

t.test('says how much its tables hold', async (t) => {
  const bench = new LayerBench();
  bench.listen();
  t.same(bench.layer.occupancy, { connections: 0, halfOpen: 0, orphans: 0, timeWaits: 0 });
  bench.receive('S', { port: 1 });
  t.same(bench.layer.occupancy, { connections: 1, halfOpen: 1, orphans: 0, timeWaits: 0 });
  const { entry, next } = bench.accept();
  t.same(bench.layer.occupancy, { connections: 2, halfOpen: 1, orphans: 0, timeWaits: 0 });
  bench.layer.orphan(entry, bench.now);
  bench.sent();
  t.same(bench.layer.occupancy, { connections: 2, halfOpen: 1, orphans: 1, timeWaits: 0 });
  bench.receive('FA', { seq: 1, ack: next + 1 });
  bench.sent();
  t.same(bench.layer.occupancy, { connections: 1, halfOpen: 1, orphans: 0, timeWaits: 1 });
});
