/** The buffers that grow: by themselves, and in a connection whose peer is played segment by segment. */

import t from 'tap';
import { BufferBudget, GrowingBuffer } from '../../../../simplenet/tcpip/tcp/growing-buffer.ts';
import { windowShiftFor } from '../../../../simplenet/tcpip/tcp/tcp-receiver.ts';
import { FixedWindow } from './fixed-window.ts';
import { type Machine, type MachineOptions, machineIn } from './machine.ts';

t.test('a buffer doubles up to its maximum, and gives back once what it has taken', async (t) => {
  const budget = new BufferBudget(1_000);
  const buffer = new GrowingBuffer(100, 350, budget);
  const sizes = [1, 2, 3].map(() => {
    buffer.grow();
    return buffer.bytes;
  });
  t.same(sizes, [200, 350, 350]);
  t.equal(budget.leftBytes, 750);
  buffer.release();
  buffer.release();
  t.equal(budget.leftBytes, 1_000);
  const fixed = new GrowingBuffer(100, 0, budget);
  fixed.grow();
  t.equal(fixed.bytes, 100, 'a maximum below the first size');
});

t.test('the budget: as much as it has, and not a byte more', async (t) => {
  const budget = new BufferBudget(100);
  t.equal(budget.take(101), false);
  t.equal(budget.take(100), true);
  t.equal(budget.take(1), false);
  const buffer = new GrowingBuffer(10, 20, budget);
  buffer.grow();
  t.equal(buffer.bytes, 10, 'without the budget it stays as it is');
});

t.test('the shift of the window: it reaches the maximum, and leaves 64 steps to the first size', async (t) => {
  t.equal(windowShiftFor(65_535, 65_535), 0);
  t.equal(windowShiftFor(65_536, 0), 1);
  t.equal(windowShiftFor(262_144, 4_194_304), 7);
  t.equal(windowShiftFor(127, 4_194_304), 0);
  t.equal(windowShiftFor(128, 4_194_304), 1);
  t.equal(windowShiftFor(2 ** 31 - 1, 2 ** 31 - 1), 14);
});

const ROUND_TRIP_MS = 50;
const SEGMENT = 'x'.repeat(1_000);

/** Established, with a measured round trip of 50 ms. */
function measured(budget: BufferBudget, setup: MachineOptions['setup'] = {}): Machine {
  const sizes = {
    sendBufferBytes: 40_000,
    maxSendBufferBytes: 40_000,
    receiveBufferBytes: 8_000,
    maxReceiveBufferBytes: 20_000,
  };
  const machine = machineIn('ESTABLISHED', {
    setup: { ...sizes, bufferBudget: budget, ...setup },
    options: { mss: 1_000, windowScale: 0 },
  });
  machine.connection.write(Buffer.from('x'), 0, 1, false);
  machine.flush();
  machine.now += ROUND_TRIP_MS;
  machine.receive('A', { seq: 1, ack: 2 });
  machine.flush();
  machine.sent();
  return machine;
}

/** The peer sends segments from `from` on, and the program takes them if it reads. Returns where they end. */
function receive(machine: Machine, from: number, count: number, isReading: boolean): number {
  for (let i = 0; i < count; i++) {
    machine.receive('A', { seq: from + i * 1_000, ack: 2, text: SEGMENT });
    if (isReading) machine.connection.consume(1_000);
    machine.connection.keepInput();
  }
  machine.flush();
  return from + count * 1_000;
}

const windowOf = (machine: Machine) => machine.outgoing.at(-1)?.window;

t.test('the receive window grows for a program that takes half of it in a round trip', async (t) => {
  const budget = new BufferBudget(100_000);
  const machine = measured(budget);
  let seq = receive(machine, 1, 4, true);
  t.equal(windowOf(machine), 8_000, 'the round trip has not passed');
  machine.now += ROUND_TRIP_MS;
  seq = receive(machine, seq, 1, true);
  t.equal(windowOf(machine), 16_000);
  seq = receive(machine, seq, 6, true);
  machine.now += ROUND_TRIP_MS;
  seq = receive(machine, seq, 1, true);
  t.equal(windowOf(machine), 16_000, 'less than half of it');
  seq = receive(machine, seq, 8, true);
  machine.now += ROUND_TRIP_MS;
  receive(machine, seq, 1, true);
  t.equal(windowOf(machine), 20_000, 'its maximum');
  t.equal(budget.leftBytes, 88_000);
  machine.connection.refuseInput(machine.now);
  t.equal(budget.leftBytes, 100_000);
});

t.test('it does not grow for a program that does not read', async (t) => {
  const budget = new BufferBudget(100_000);
  const machine = measured(budget);
  const seq = receive(machine, 1, 6, false);
  machine.now += ROUND_TRIP_MS;
  receive(machine, seq, 1, false);
  t.equal(windowOf(machine), 1_000);
  t.equal(budget.leftBytes, 100_000);
});

t.test('nor without a budget', async (t) => {
  const machine = measured(new BufferBudget(7_999));
  const seq = receive(machine, 1, 6, true);
  machine.now += ROUND_TRIP_MS;
  receive(machine, seq, 1, true);
  t.equal(windowOf(machine), 8_000);
});

t.test('nor on a path so short that a Gbit/s fits into the first window', async (t) => {
  // The handshake took no time, so the smoothed round trip is an eighth of 50 ms.
  for (const [receiveBufferBytes, isGrowing] of [
    [781_250, true],
    [781_251, false],
  ] as const) {
    const budget = new BufferBudget(2_000_000);
    const machine = measured(budget, { receiveBufferBytes, maxReceiveBufferBytes: 2_000_000 });
    machine.now += ROUND_TRIP_MS;
    for (let at = 0; at < receiveBufferBytes / 2; at += 50_000) {
      machine.receive('A', { seq: 1 + at, ack: 2, text: 'x'.repeat(50_000) });
      machine.connection.consume(50_000);
      machine.connection.keepInput();
      machine.flush();
    }
    machine.now += ROUND_TRIP_MS;
    machine.receive('A', { seq: 1 + Math.ceil(receiveBufferBytes / 100_000) * 50_000, ack: 2, text: 'x' });
    t.equal(budget.leftBytes < 2_000_000, isGrowing, `${receiveBufferBytes} bytes`);
  }
});

t.test('an aborted connection gives its memory back', async (t) => {
  const budget = new BufferBudget(100_000);
  const machine = measured(budget);
  const seq = receive(machine, 1, 4, true);
  machine.now += ROUND_TRIP_MS;
  receive(machine, seq, 1, true);
  t.equal(budget.leftBytes, 92_000);
  machine.connection.abort();
  t.equal(budget.leftBytes, 100_000);
});

t.test('the send buffer grows while the congestion window is more than half of it', async (t) => {
  for (const [windowBytes, bufferBytes] of [
    [5_000, 10_000],
    [5_001, 20_000],
  ] as const) {
    const budget = new BufferBudget(100_000);
    const congestion = (segmentBytes: number) => new FixedWindow(segmentBytes, windowBytes);
    const machine = measured(budget, { sendBufferBytes: 10_000, congestion });
    machine.connection.write(Buffer.alloc(50_000), 0, 50_000, false);
    t.equal(machine.connection.queuedBytes, 50_000 - bufferBytes);
    t.equal(budget.leftBytes, 110_000 - bufferBytes);
    machine.connection.abort();
    t.equal(budget.leftBytes, 100_000);
  }
});
