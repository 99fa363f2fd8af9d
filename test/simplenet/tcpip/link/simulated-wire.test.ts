/**
 * The simulated wire: each fault at its probability, each limit at n and n + 1, time, and turns on the simulated host and on Node's.
 *
 * Next: tap-link.test.ts
 */

import { isDeepStrictEqual } from 'node:util';
import { type Test, test } from 'tap';
import type { Host } from '../../../../simplenet/loop/host.ts';
import { nodeHost } from '../../../../simplenet/loop/node-host.ts';
import type { Link } from '../../../../simplenet/tcpip/link/link.ts';
import { createWire, type FrameFate, type WireOptions } from '../../../../simplenet/tcpip/link/simulated-wire.ts';
import { SimulatedHost } from '../../../simulation/simulated-host.ts';
import { SimulatedKernel } from '../../../simulation/simulated-kernel.ts';

const IPV4 = 0x0800;
const ARP = 0x0806;

/** A frame that says which one it is. */
function frameOf(number: number, length = 60, type = IPV4): Buffer {
  const frame = Buffer.alloc(length);
  frame.writeUInt16BE(type, 12);
  if (length >= 18) frame.writeUInt32BE(number, 14);
  return frame;
}

function sendAll(link: Link, count: number, length = 60, type = IPV4): boolean[] {
  return Array.from({ length: count }, (_, number) => link.send(frameOf(number, length, type), length));
}

const into = Buffer.alloc(2_000);

/** The frames that have arrived. */
function framesAt(link: Link): Buffer[] {
  const frames: Buffer[] = [];
  for (let length = link.receive(into); length > 0; length = link.receive(into)) {
    frames.push(Buffer.from(into.subarray(0, length)));
  }
  return frames;
}

const numbersAt = (link: Link) => framesAt(link).map((frame) => frame.readUInt32BE(14));

const upTo = (count: number) => Array.from({ length: count }, (_, number) => number);

/** Records the fates of frames. */
function fates(): { of: FrameFate[]; onFrame: NonNullable<WireOptions['onFrame']> } {
  const of: FrameFate[] = [];
  return { of, onFrame: (_frame, _from, fate) => void of.push(fate) };
}

function simulatedHost(): SimulatedHost {
  return new SimulatedHost(new SimulatedKernel());
}

test('frames arrive whole, in order, in both directions, and the sender keeps its memory', async (t) => {
  const [left, right] = createWire();
  t.same([left.mtu, right.mtu], [1500, 1500]);
  const memory = frameOf(1, 100);
  t.equal(left.send(memory, 80), true);
  memory.fill(0xff);
  t.equal(left.send(frameOf(2), 60), true);
  t.equal(right.send(frameOf(3), 60), true);
  t.same(framesAt(right), [frameOf(1, 80), frameOf(2)]);
  t.same(framesAt(left), [frameOf(3)]);
  t.equal(left.receive(into), 0);
});

test('a frame that does not fit into the buffer is dropped', async (t) => {
  const [left, right] = createWire();
  left.send(frameOf(1, 61), 61);
  left.send(frameOf(2, 60), 60);
  t.equal(right.receive(into.subarray(0, 60)), 60);
  t.equal(into.readUInt32BE(14), 2);
  t.equal(right.receive(into.subarray(0, 60)), 0);
});

test('a frame has a header, and no more than the MTU behind it', async (t) => {
  const [left, right] = createWire({ mtu: 100 });
  t.equal(left.send(frameOf(1, 14), 14), true);
  t.equal(left.send(frameOf(1, 114), 114), true);
  for (const length of [0, 13, 115, -1, Number.NaN]) {
    t.throws(() => left.send(frameOf(1, 200), length), RangeError, String(length));
  }
  t.throws(() => left.send(frameOf(1, 60), 61), RangeError, 'more than there is');
  t.equal(framesAt(right).length, 2);
});

test('each fault comes as often as it should, and the same seed repeats all of it', async (t) => {
  const run = (seed: number) => {
    const { of, onFrame } = fates();
    const [left, right] = createWire({ seed, lose: 0.1, duplicate: 0.2, reorder: 0.05, corrupt: 0.15, onFrame });
    const host = simulatedHost();
    right.watch(host, () => false).unref();
    sendAll(left, 10_000);
    host.advance(10);
    return { of, arrived: framesAt(right).map((frame) => frame.toString('hex')) };
  };
  const { of, arrived } = run(1);
  const count = (fate: FrameFate) => of.filter((one) => one === fate).length;
  const expected = { lost: 1_000, duplicated: 2_000, late: 500, corrupted: 1_500, carried: 5_000 };
  for (const [fate, number] of Object.entries(expected)) {
    const found = count(fate as FrameFate);
    t.ok(Math.abs(found - number) < 0.1 * number, `${found} ${fate}`);
  }
  t.equal(arrived.length, 10_000 - count('lost') + count('duplicated'));
  t.ok(isDeepStrictEqual(run(1), { of, arrived })); // t.same of so many takes seconds
  t.notOk(isDeepStrictEqual(run(2).of, of));
});

test('a corrupted packet differs in one bit, and headers of Ethernet and packets without a check sum are spared', async (t) => {
  const seen: Buffer[] = [];
  const { of, onFrame } = fates();
  const [left, right] = createWire({
    corrupt: 1,
    onFrame: (frame, from, fate) => {
      seen.push(frame);
      onFrame(frame, from, fate);
    },
  });
  for (let seed = 0; seed < 200; seed++) left.send(frameOf(seed, 20), 20);
  const positions = new Set<number>();
  for (const [number, frame] of framesAt(right).entries()) {
    const original = frameOf(number, 20);
    t.same(seen[number], original, 'onFrame gets what was sent');
    const changes = [...frame].map((byte, at) => byte ^ (original[at] as number));
    const changed = changes.findIndex((change) => change !== 0);
    t.ok(changed >= 14 && Number.isInteger(Math.log2(changes[changed] as number)));
    t.equal(changes.filter((change) => change !== 0).length, 1);
    positions.add(changed);
  }
  t.equal(positions.size, 6, 'each byte of the packet gets its turn');
  left.send(frameOf(1, 60, ARP), 60);
  left.send(frameOf(1, 14), 14);
  t.same(framesAt(right), [frameOf(1, 60, ARP), frameOf(1, 14)]);
  t.same(of.slice(-3), ['corrupted', 'carried', 'carried']);
});

test('drop chooses frames by their number, and chance has no part in it', async (t) => {
  const { of, onFrame } = fates();
  const asked: number[][] = [];
  const [left, right] = createWire({
    drop: (frame, index, from) => {
      asked.push([frame.readUInt32BE(14), index, from]);
      return from === 0 && index === 1;
    },
    onFrame,
  });
  sendAll(left, 3);
  sendAll(right, 2);
  t.same(asked, [
    [0, 0, 0],
    [1, 1, 0],
    [2, 2, 0],
    [0, 0, 1],
    [1, 1, 1],
  ]);
  t.same(
    [numbersAt(right), numbersAt(left)],
    [
      [0, 2],
      [0, 1],
    ],
  );
  t.same(of, ['carried', 'lost', 'carried', 'carried', 'carried']);
});

test('delay and jitter: nothing arrives before its time, and the order stays', async (t) => {
  const host = simulatedHost();
  const [left, right] = createWire({ delayMs: 10, jitterMs: 5 });
  right.watch(host, () => false);
  sendAll(left, 100);
  host.advance(9.9);
  t.same(numbersAt(right), []);
  host.advance(2.6);
  const early = numbersAt(right);
  t.ok(early.length > 0 && early.length < 100, `${early.length} of 100 after 12.5 ms`);
  host.advance(2.5);
  t.same([...early, ...numbersAt(right)], upTo(100));
});

test('a late frame is overtaken', async (t) => {
  const host = simulatedHost();
  const [left, right] = createWire({ reorder: 0.3, reorderMs: 4, delayMs: 1 });
  right.watch(host, () => false);
  const arrived: number[] = [];
  for (let number = 0; number < 50; number++) {
    left.send(frameOf(number), 60);
    host.advance(1);
    arrived.push(...numbersAt(right));
  }
  host.advance(5);
  arrived.push(...numbersAt(right));
  t.notSame(arrived, upTo(50));
  t.same(
    arrived.toSorted((a, b) => a - b),
    upTo(50),
  );
  for (const [place, number] of arrived.entries())
    t.ok(Math.abs(place - number) <= 4, `${number} came as number ${place}`);
});

test('bytesPerSecond: frames follow each other, and queueBytes of them may wait', async (t) => {
  const host = simulatedHost();
  const { of, onFrame } = fates();
  // A frame of 100 bytes takes 1 ms.
  const [left, right] = createWire({ bytesPerSecond: 100_000, queueBytes: 300, delayMs: 2, onFrame });
  right.watch(host, () => false);
  t.same(sendAll(left, 4, 100), [true, true, true, true], 'a router loses silently');
  t.same(of, ['carried', 'carried', 'carried', 'overflowed']);
  const arrivals: number[][] = [];
  for (let ms = 1; ms <= 6; ms++) {
    host.advance(1);
    arrivals.push(numbersAt(right));
  }
  t.same(arrivals, [[], [], [0], [1], [2], []]);
  t.equal(left.send(frameOf(9, 100), 100), true);
  host.advance(3);
  t.same(numbersAt(right), [9], 'an idle wire begins at once');
});

test('capacityBytes may be under way or unread: the next frame is refused, in this direction alone', async (t) => {
  const { of, onFrame } = fates();
  const [left, right] = createWire({ capacityBytes: 180, onFrame });
  t.same(sendAll(left, 4), [true, true, true, false]);
  t.equal(of[3], 'refused');
  t.same(sendAll(right, 1), [true]);
  t.equal(right.receive(into), 60);
  t.same(sendAll(left, 2), [true, false]);
  t.same(numbersAt(right), [1, 2, 0]);
});

test('a closed end takes and gives nothing, and the other one is not told', async (t) => {
  const { of, onFrame } = fates();
  const [left, right] = createWire({ onFrame });
  sendAll(left, 1);
  sendAll(right, 1);
  right.close();
  right.close();
  t.equal(right.receive(into), 0);
  t.same(sendAll(right, 1), [false]);
  t.same(sendAll(left, 1), [true]);
  t.same(of, ['carried', 'carried', 'refused', 'lost']);
  t.same(numbersAt(left), [0], 'what was under way arrives');
});

test('options that make no sense', async (t) => {
  for (const options of [{ lose: -0.1 }, { duplicate: 1.1 }, { reorder: Number.NaN }, { lose: 0.6, corrupt: 0.6 }]) {
    t.throws(() => createWire(options), RangeError, JSON.stringify(options));
  }
  for (const options of [
    { delayMs: -1 },
    { jitterMs: Number.POSITIVE_INFINITY },
    { bytesPerSecond: 0 },
    { queueBytes: -1 },
  ]) {
    t.throws(() => createWire(options), RangeError, JSON.stringify(options));
  }
  t.throws(() => createWire({ lose: 2 }), { message: 'lose must be a probability from 0 to 1, not 2' });
});

/** Two ends that answer each other: each frame comes back with the next number. Returns the numbers, and when they came. */
function volley(host: Host, options: WireOptions, until: number): { seen: [number, number][]; close: () => void } {
  const seen: [number, number][] = [];
  const ends = createWire(options);
  const startedAt = host.now();
  const watches = ends.map((end) => {
    const watch = end.watch(host, () => {
      const length = end.receive(into);
      if (length === 0) return false;
      const number = into.readUInt32BE(14);
      seen.push([number, Math.round(host.now() - startedAt)]);
      if (number < until) end.send(frameOf(number + 1), 60);
      return false;
    });
    watch.unref();
    watch.ref();
    return watch;
  });
  ends[0].send(frameOf(1), 60);
  const close = () => {
    for (const watch of watches) watch.close();
  };
  return { seen, close };
}

test('turns on the simulated host: an alarm rings when the next frame arrives, and hours cost nothing', async (t) => {
  const host = simulatedHost();
  const { seen } = volley(host, { delayMs: 600_000 }, 20);
  host.run(() => seen.length === 20);
  t.same(
    seen,
    upTo(20).map((number) => [number + 1, (number + 1) * 600_000]),
  );
  t.equal(host.step(), false, 'nothing is left to do');
  t.same(host.raised, []);
});

test('turns follow as long as frames wait, and an earlier frame moves the alarm', async (t) => {
  const host = simulatedHost();
  const [left, right] = createWire({ delayMs: 100, reorder: 0.5, reorderMs: 1_000 });
  const arrived: number[] = [];
  left.send(frameOf(99), 60); // before anyone watches
  const watch = right.watch(host, () => {
    if (right.receive(into) > 0) arrived.push(into.readUInt32BE(14));
    return false;
  });
  sendAll(left, 40);
  host.run(() => arrived.length === 41);
  t.same(
    arrived.toSorted((a, b) => a - b),
    [...upTo(40), 99],
  );
  t.equal(host.alarmCount, 0);
  watch.turnSoon();
  t.equal(host.step(), true, 'a turn without a frame');
  left.send(frameOf(1), 60);
  t.equal(host.alarmCount, 1);
  watch.close();
  t.equal(host.alarmCount, 0, 'a closed watch leaves no alarm');
  left.send(frameOf(2), 60);
  t.equal(host.step(), false);
});

async function volleyOnNode(t: Test, options: WireOptions): Promise<[number, number][]> {
  const { seen, close } = volley(nodeHost, options, 10);
  t.teardown(close);
  while (seen.length < 10) await new Promise((resolve) => setTimeout(resolve, 1));
  t.same(
    seen.map(([number]) => number),
    upTo(10).map((number) => number + 1),
  );
  return seen;
}

test('turns on Node’s loop, with and without delay', async (t) => {
  await volleyOnNode(t, {});
  const seen = await volleyOnNode(t, { delayMs: 2 });
  t.ok((seen[9] as [number, number])[1] >= 20, 'ten times 2 ms');
});
