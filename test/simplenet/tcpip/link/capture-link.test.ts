/**
 * Links made of links: a capture has what was sent and received, and everything passes.
 *
 * Next: ../frame-text.test.ts
 */

import { test } from 'tap';
import { captureFrames } from '../../../../simplenet/tcpip/link/capture-link.ts';
import { observeFrames } from '../../../../simplenet/tcpip/link/observed-link.ts';
import { readPcap } from '../../../../simplenet/tcpip/link/pcap.ts';
import { createWire } from '../../../../simplenet/tcpip/link/simulated-wire.ts';

test('an observer sees what has passed, in both directions, and nothing that was refused', async (t) => {
  const [left, right] = createWire({ capacityBytes: 150 });
  const seen: string[] = [];
  const link = observeFrames(left, (frame, direction) => seen.push(`${direction} ${frame.length} ${frame[20]}`));
  const memory = Buffer.alloc(500).subarray(100);
  t.equal(link.mtu, 1500);
  t.equal(link.send(memory.fill(1), 60), true);
  t.equal(link.send(memory.fill(2), 80), true);
  t.equal(link.send(memory.fill(3), 60), false);
  right.send(memory.fill(4), 70);
  t.equal(link.receive(memory), 70);
  t.equal(link.receive(memory), 0);
  t.same(seen, ['sent 60 1', 'sent 80 2', 'received 70 4']);
  link.close();
  t.equal(left.send(memory, 60), false, 'close passes, too');
});

test('a capture is a pcap file, with the time of each frame', async (t) => {
  const [left, right] = createWire();
  const file: Buffer[] = [];
  let now = 1_000_000;
  const link = captureFrames(
    left,
    (bytes) => file.push(bytes),
    () => (now += 1.5),
  );
  const memory = Buffer.alloc(100);
  t.same(readPcap(Buffer.concat(file)), [], 'a header, at once');
  link.send(memory.fill(1), 60);
  right.send(memory.fill(2), 70);
  link.receive(memory);
  memory.fill(3);
  const frames = readPcap(Buffer.concat(file))?.map(({ wallMs, bytes, start, end }) => [
    wallMs,
    bytes.subarray(start, end),
  ]);
  t.same(frames, [
    [1_000_001.5, Buffer.alloc(60, 1)],
    [1_000_003, Buffer.alloc(70, 2)],
  ]);
});
