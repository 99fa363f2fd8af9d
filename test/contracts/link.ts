/**
 * The contract of the Link seam (simplenet/tcpip/link/link.ts): scenarios that hold for every pair of links that are the ends of one
 * wire without faults. Each gets a fresh pair.
 */

import assert from 'node:assert/strict';
import { setImmediate as nextRound } from 'node:timers/promises';
import { nodeHost } from '../../simplenet/loop/node-host.ts';
import { writeEthernetHeader } from '../../simplenet/tcpip/link/ethernet-frame.ts';
import type { Link } from '../../simplenet/tcpip/link/link.ts';

export type Ends = readonly [left: Link, right: Link];
type Scenario = (ends: Ends) => Promise<void>;

/** Locally administered addresses of the two ends, and a type that IEEE 802 keeps free for experiments. */
const ADDRESSES = [0x02_00_00_00_00_0a, 0x02_00_00_00_00_0b] as const;
const EXPERIMENT = 0x88b5;

const HEADER_BYTES = 14;
const WAIT_MS = 5_000;

/** A frame from one end to the other, with bytes that differ from their neighbours. */
function frameOf(from: 0 | 1, length: number, salt = 0): Buffer {
  const frame = Buffer.alloc(length);
  writeEthernetHeader(frame, 0, ADDRESSES[1 - from] as number, ADDRESSES[from], EXPERIMENT);
  for (let i = HEADER_BYTES; i < length; i++) frame[i] = (i * 31 + (i >>> 8) * 17 + salt) & 0xff;
  return frame;
}

/** Waits for a frame. It may be under way for a moment, as the ends do not share a call. */
async function next(link: Link, into = Buffer.alloc(link.mtu + 100)): Promise<Buffer> {
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    const length = link.receive(into);
    if (length > 0) return Buffer.from(into.subarray(0, length));
    assert.ok(performance.now() < deadline, 'a frame arrives');
    await nextRound();
  }
}

export const linkContract: Readonly<Record<string, Scenario>> = {
  async 'frames arrive whole and in order, in both directions'([left, right]) {
    const lengths = [60, 61, 1_000, left.mtu + HEADER_BYTES];
    for (const [salt, length] of lengths.entries()) {
      assert.equal(left.send(frameOf(0, length, salt), length), true);
      assert.equal(right.send(frameOf(1, length, salt), length), true);
    }
    for (const [salt, length] of lengths.entries()) {
      assert.deepEqual(await next(right), frameOf(0, length, salt));
      assert.deepEqual(await next(left), frameOf(1, length, salt));
    }
    assert.equal(left.receive(Buffer.alloc(2_000)), 0);
  },

  async 'only the first bytes are sent, and the sender may reuse them at once'([left, right]) {
    const memory = frameOf(0, 200);
    left.send(memory, 100);
    memory.fill(0xff);
    assert.deepEqual(await next(right), frameOf(0, 200).subarray(0, 100));
  },

  async 'a frame that does not fit is dropped, and one that just fits is not'([left, right]) {
    for (const length of [101, 100, 99]) left.send(frameOf(0, length), length);
    const into = Buffer.alloc(100);
    assert.equal((await next(right, into)).length, 100);
    assert.equal((await next(right, into)).length, 99);
    assert.equal(right.receive(into), 0);
    const exact = left.mtu + HEADER_BYTES;
    left.send(frameOf(0, exact), exact);
    assert.deepEqual(await next(right, Buffer.alloc(exact)), frameOf(0, exact));
  },

  async 'a frame without a whole header, or larger than the MTU, is a mistake'([left]) {
    const room = new Uint8Array(left.mtu + 100);
    for (const length of [-1, 0, HEADER_BYTES - 1, left.mtu + HEADER_BYTES + 1, Number.NaN]) {
      assert.throws(() => left.send(room, length), RangeError, String(length));
    }
    assert.throws(() => left.send(new Uint8Array(60), 61), RangeError);
  },

  async 'a watch has turns while frames wait, and not after it was closed'([left, right]) {
    const into = Buffer.alloc(2_000);
    let received = 0;
    let calls = 0;
    const watch = right.watch(nodeHost, () => {
      calls++;
      if (right.receive(into) > 0) received++; // one frame in each turn
      return false;
    });
    for (let count = 1; count <= 5; count++) left.send(frameOf(0, 60), 60);
    await until(() => received === 5);
    const callsBefore = calls;
    watch.turnSoon();
    await until(() => calls > callsBefore);
    assert.equal(received, 5);
    watch.unref();
    watch.ref();
    watch.close();
    watch.close();
    left.send(frameOf(0, 60, 1), 60);
    assert.deepEqual(await next(right), frameOf(0, 60, 1), 'the link itself goes on');
    assert.equal(received, 5);
  },

  async 'a watch begins with the frames that wait already'([left, right]) {
    left.send(frameOf(0, 60), 60);
    let length = 0;
    const watch = right.watch(nodeHost, () => {
      length ||= right.receive(Buffer.alloc(2_000));
      return false;
    });
    await until(() => length === 60);
    watch.close();
  },

  async 'a closed link sends nothing and receives nothing'([left, right]) {
    left.send(frameOf(0, 60), 60);
    right.close();
    right.close();
    assert.equal(right.send(frameOf(1, 60), 60), false);
    assert.equal(right.receive(Buffer.alloc(2_000)), 0);
  },
};

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `${condition} holds`);
    await nextRound();
  }
}
