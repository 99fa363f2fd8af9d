/** Reassembly: fragments in any order make the packet, and each known attack is refused with bounded memory. */

import fc from 'fast-check';
import t from 'tap';
import { Fragments, MIN_FRAGMENT_BYTES } from '../../../../simplenet/tcpip/ip/fragments.ts';
import { defaultIpLimits, type IpLimits } from '../../../../simplenet/tcpip/ip/ip-limits.ts';
import { decodeIpv4, type Ipv4Packet } from '../../../../simplenet/tcpip/ip/ipv4-packet.ts';

const LAST = false;
const MORE = true;

const create = (limits: Partial<IpLimits> = {}) => new Fragments({ ...defaultIpLimits, ...limits });

/** The bytes of a payload, each different from its neighbours. */
const content = (start: number, end: number) =>
  Buffer.from(Array.from({ length: end - start }, (_, i) => ((start + i) * 7) & 0xff));

interface FragmentShape {
  readonly identification?: number;
  readonly source?: number;
  readonly headerBytes?: number;
  readonly bytes?: Buffer;
}

function fragment(start: number, end: number, moreFragments: boolean, shape: FragmentShape = {}): Ipv4Packet {
  const payload = shape.bytes ?? content(start, end);
  const header = shape.headerBytes ?? 20;
  return {
    ...{ source: shape.source ?? 0x0a090001, destination: 0x0a090002, protocol: 17, ttl: 64, typeOfService: 0 },
    ...{ identification: shape.identification ?? 1, dontFragment: false, moreFragments, fragmentOffset: start },
    bytes: Buffer.concat([Buffer.alloc(header), payload]),
    ...{ headerStart: 0, start: header, end: header + payload.length },
  };
}

/** The fragments of a packet, cut at these places. */
function cutAt(places: readonly number[], length: number, shape: FragmentShape = {}): Ipv4Packet[] {
  const starts = [0, ...places];
  return starts.map((start, i) => fragment(start, starts[i + 1] ?? length, i < places.length, shape));
}

const payloadOf = (packet: Ipv4Packet | null) => packet?.bytes.subarray(packet.start, packet.end);

/** Adds all, and returns what the last one made. */
function addAll(fragments: Fragments, parts: readonly Ipv4Packet[], now = 0): Ipv4Packet | null {
  return parts.map((part) => fragments.add(part, now)).at(-1) ?? null;
}

t.test('fragments in order make the packet, with a header that is right', async (t) => {
  const fragments = create();
  const packet = addAll(fragments, cutAt([1480, 2960], 4000));
  t.same(payloadOf(packet), content(0, 4000));
  t.match(packet, { moreFragments: false, fragmentOffset: 0, identification: 1, source: 0x0a090001 });
  t.same(decodeIpv4(packet?.bytes as Buffer, 0, 4020), packet, 'its bytes say the same');
  t.same([fragments.packets, fragments.bytes, fragments.deadlineAt], [0, 0, Number.POSITIVE_INFINITY]);
});

t.test('property: any cuts in any order, with copies', async () => {
  const shuffledCuts = fc
    .uniqueArray(fc.integer({ min: 6, max: 120 }), { maxLength: 20 })
    .map((units) => units.sort((a, b) => a - b).filter((unit, i) => unit - (units[i - 1] ?? 0) >= 6))
    .chain((units) => {
      const length = (units.at(-1) ?? 6) * 8 + 13;
      const parts = cutAt(
        units.map((unit) => unit * 8),
        length,
      );
      return fc.record({
        length: fc.constant(length),
        parts: fc.shuffledSubarray(parts, { minLength: parts.length }),
        copies: fc.subarray(parts),
      });
    });
  fc.assert(
    fc.property(shuffledCuts, ({ length, parts, copies }) => {
      const fragments = create();
      const head = parts.slice(0, -1);
      for (const part of [...head, ...copies.filter((copy) => head.includes(copy))]) {
        if (fragments.add(part, 0) !== null) return false;
      }
      const packet = fragments.add(parts.at(-1) as Ipv4Packet, 0);
      if (parts.length === 1) return payloadOf(packet)?.equals(content(0, length)) === true;
      return payloadOf(packet)?.equals(content(0, length)) === true && fragments.bytes === 0 && fragments.packets === 0;
    }),
  );
});

t.test('the frame may be used again: each fragment is copied', async (t) => {
  const fragments = create();
  const [first, second] = cutAt([64], 100) as [Ipv4Packet, Ipv4Packet];
  fragments.add(first, 0);
  first.bytes.fill(0xee);
  t.same(payloadOf(fragments.add(second, 0)), content(0, 100));
});

t.test('packets are told apart by source, destination, protocol and identification', async (t) => {
  const fragments = create();
  const first = fragment(0, 64, MORE);
  const others = [
    { ...fragment(64, 100, LAST), source: 1 },
    { ...fragment(64, 100, LAST), destination: 1 },
    { ...fragment(64, 100, LAST), protocol: 6 },
    { ...fragment(64, 100, LAST), identification: 2 },
  ];
  t.equal(addAll(fragments, [first, ...others]), null);
  t.equal(fragments.packets, 5);
  t.same(payloadOf(fragments.add(fragment(64, 100, LAST), 0)), content(0, 100));
});

t.test('overlap: the packet is refused, with the fragments that are still to come', async (t) => {
  const [first, second, third] = cutAt([80, 160], 200) as [Ipv4Packet, Ipv4Packet, Ipv4Packet];
  const overlaps: Readonly<Record<string, Ipv4Packet>> = {
    'into the one before': fragment(72, 152, MORE),
    'into the one after': fragment(80, 168, MORE),
    'within another': fragment(8, 72, MORE),
    'around another (teardrop)': fragment(0, 200, LAST),
    'at the same place, and shorter': fragment(0, 72, MORE),
    'at the same place, and longer': fragment(0, 88, MORE),
    'at the same place, with other bytes': fragment(0, 80, MORE, { bytes: Buffer.alloc(80) }),
  };
  for (const [what, overlap] of Object.entries(overlaps)) {
    const fragments = create();
    addAll(fragments, [first, third, overlap]);
    t.equal(fragments.refused, 1, what);
    t.same([fragments.packets, fragments.bytes], [1, 0], 'its bytes are dropped, and its name is kept');
    t.equal(addAll(fragments, [first, second, third]), null, 'the honest fragments are late');
    fragments.onDeadline(30_000, () => t.fail('nothing is reported about it'));
    t.same([fragments.packets, fragments.bytes], [0, 0]);
    t.same(payloadOf(addAll(fragments, [first, second, third], 30_000)), content(0, 200), 'and then it is forgotten');
  }
});

t.test('an exact copy is ignored', async (t) => {
  const fragments = create();
  const [first, second] = cutAt([80], 100) as [Ipv4Packet, Ipv4Packet];
  t.equal(addAll(fragments, [first, first, first]), null);
  t.same(payloadOf(fragments.add(second, 0)), content(0, 100));
  t.equal(fragments.refused, 0);
});

t.test('two ends: the packet is refused', async (t) => {
  const cases: Readonly<Record<string, readonly Ipv4Packet[]>> = {
    'a shorter one': [fragment(160, 200, LAST), fragment(80, 100, LAST)],
    'a longer one': [fragment(80, 100, LAST), fragment(160, 200, LAST)],
    'more behind the end': [fragment(80, 100, LAST), fragment(160, 240, MORE)],
    'more up to the end': [fragment(160, 208, LAST), fragment(80, 208, MORE)],
    'an end in front of what has come': [fragment(160, 240, MORE), fragment(80, 100, LAST)],
  };
  for (const [what, parts] of Object.entries(cases)) {
    const fragments = create();
    addAll(fragments, parts);
    t.same([fragments.refused, fragments.bytes], [1, 0], what);
  }
});

t.test('ping of death: a packet has 65,535 bytes with its header', async (t) => {
  const fragments = create();
  t.equal(fragments.add(fragment(65_472, 65_515, LAST), 0), null);
  t.equal(fragments.refused, 0, '65,535 are right');
  fragments.add(fragment(65_472, 65_516, LAST, { identification: 2 }), 0);
  t.equal(fragments.refused, 1, '65,536 are not');
  fragments.add(fragment(65_472, 65_515, LAST, { identification: 3, headerBytes: 24 }), 0);
  t.equal(fragments.refused, 2, 'options count');
  t.equal(fragments.packets, 1);
  const parts = cutAt(
    Array.from({ length: 44 }, (_, i) => 1480 * (i + 1)),
    65_515,
    { identification: 4 },
  );
  t.equal(addAll(fragments, parts)?.bytes.length, 65_535);
});

t.test('tiny fragments: none but the last has fewer than 48 bytes', async (t) => {
  const fragments = create();
  t.equal(MIN_FRAGMENT_BYTES, 48);
  fragments.add(fragment(0, 40, MORE), 0);
  fragments.add(fragment(8, 48, MORE), 0);
  t.same([fragments.refused, fragments.packets], [2, 0]);
  fragments.add(fragment(0, 48, MORE), 0);
  t.same([fragments.refused, fragments.packets], [2, 1]);
  t.same(payloadOf(fragments.add(fragment(48, 49, LAST), 0)), content(0, 49), 'the last may have one');
  fragments.add(fragment(0, 49, MORE), 0);
  t.equal(fragments.refused, 3, 'but a multiple of 8');
  fragments.add(fragment(48, 48, LAST), 0);
  t.equal(fragments.refused, 4, 'a fragment of nothing');
});

t.test('fragments of one packet: n fit, n + 1 do not', async (t) => {
  const parts = (count: number) =>
    cutAt(
      Array.from({ length: count - 1 }, (_, i) => 48 * (i + 1)),
      48 * count,
    );
  t.same(payloadOf(addAll(create({ reassemblyFragments: 5 }), parts(5))), content(0, 240));
  const fragments = create({ reassemblyFragments: 5 });
  t.equal(addAll(fragments, parts(6)), null);
  t.same([fragments.refused, fragments.bytes], [1, 0]);
});

t.test('packets: n fit, and with n + 1 the oldest is given up', async (t) => {
  const fragments = create({ reassemblyPackets: 3 });
  const begin = (identification: number) => fragments.add(fragment(0, 64, MORE, { identification }), identification);
  const end = (identification: number) => fragments.add(fragment(64, 100, LAST, { identification }), 10);
  for (const id of [1, 2, 3]) begin(id);
  t.same([fragments.packets, fragments.refused], [3, 0]);
  begin(4);
  t.same([fragments.packets, fragments.refused], [3, 1]);
  t.same(
    [2, 3, 4].map((id) => payloadOf(end(id))?.length),
    [100, 100, 100],
  );
  t.equal(end(1), null, 'the first was forgotten');
});

t.test('bytes: n fit, and with n + 1 the oldest is given up', async (t) => {
  const bytes = 3 * (64 + 256);
  const fragments = create({ reassemblyBytes: bytes });
  for (const identification of [1, 2, 3]) fragments.add(fragment(0, 64, MORE, { identification }), 0);
  t.same([fragments.packets, fragments.bytes, fragments.refused], [3, bytes, 0]);
  fragments.add(fragment(64, 65, LAST, { identification: 4 }), 0);
  t.same([fragments.packets, fragments.bytes, fragments.refused], [3, bytes - 63, 1]);
});

t.test('a packet that alone needs more bytes than there are', async (t) => {
  const fragments = create({ reassemblyBytes: 1000 });
  t.equal(addAll(fragments, cutAt([400, 800], 1200)), null);
  t.same([fragments.bytes <= 1000, fragments.refused], [true, 1]);
});

t.test('time: 30 s after its beginning a packet is forgotten, and its first fragment is reported', async (t) => {
  const fragments = create();
  fragments.add(fragment(0, 64, MORE), 1_000);
  fragments.add(fragment(128, 200, LAST), 20_000);
  fragments.add(fragment(64, 128, MORE, { identification: 2 }), 1_500);
  fragments.add(fragment(0, 64, MORE, { identification: 3 }), 2_000);
  t.equal(fragments.deadlineAt, 31_000);
  const reported: Ipv4Packet[] = [];
  const report = (beginning: Ipv4Packet) => void reported.push(beginning);
  fragments.onDeadline(30_999, report);
  t.same([fragments.packets, reported.length], [3, 0]);
  fragments.onDeadline(31_500, report);
  t.equal(fragments.packets, 1);
  t.match(
    reported,
    [{ identification: 1, moreFragments: true, fragmentOffset: 0 }],
    'not the one whose first is missing',
  );
  t.same(payloadOf(reported[0] as Ipv4Packet), content(0, 64));
  t.same(decodeIpv4(reported[0]?.bytes as Buffer, 0, 84), reported[0]);
  fragments.onDeadline(1e9, report);
  t.same([fragments.packets, fragments.bytes, reported.length], [0, 0, 2]);
});

t.test('floods: any fragments, and the memory stays within its bounds', async (t) => {
  const fragments = create({ reassemblyBytes: 100_000 });
  let most = 0;
  const payload = Buffer.alloc(1480);
  for (let i = 0; i < 30_000; i++) {
    const start = (i * 37 * 8) % 64_000;
    const bytes = payload.subarray(0, i % 3 === 0 ? 1480 : 48);
    fragments.add(
      fragment(start, start + bytes.length, i % 5 > 0, { identification: i % 999, source: i, bytes }),
      i / 1000,
    );
    most = Math.max(most, fragments.bytes);
    if (fragments.packets > 64) t.fail('too many packets');
  }
  t.ok(most <= 100_000, `${most}`);
  t.ok(most > 50_000, 'and the room is used');
  const honest = addAll(fragments, cutAt([1480, 2960], 4000, { identification: 1, source: 0xffff_0000 }), 200);
  t.same(payloadOf(honest), content(0, 4000), 'a packet whose fragments come together is complete');
});

t.test('property: whatever comes, nothing is thrown, and the count of bytes is right in the end', async () => {
  const anyFragment = fc
    .record({ id: fc.nat(3), offset: fc.nat(60), units: fc.nat(30), more: fc.boolean(), odd: fc.nat(7) })
    .map(({ id, offset, units, more, odd }) => {
      const length = units * 8 + (more ? 0 : odd);
      return fragment(offset * 8, offset * 8 + length, more, { identification: id });
    });
  fc.assert(
    fc.property(
      fc.array(anyFragment, { maxLength: 60 }),
      fc.integer({ min: 300, max: 3_000 }),
      (parts, reassemblyBytes) => {
        const fragments = create({ reassemblyBytes, reassemblyPackets: 3, reassemblyFragments: 4 });
        for (const [i, part] of parts.entries()) {
          fragments.add(part, i);
          if (fragments.bytes > reassemblyBytes || fragments.bytes < 0 || fragments.packets > 3) return false;
        }
        fragments.onDeadline(1e6, (beginning) => decodeIpv4(beginning.bytes, 0, beginning.end));
        return fragments.bytes === 0 && fragments.packets === 0;
      },
    ),
  );
});
