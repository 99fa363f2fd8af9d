/** The promise of a window: every byte that the peer was allowed to send is taken, whatever the program reads meanwhile. */

import fc from 'fast-check';
import { test } from 'tap';
import { BufferBudget, GrowingBuffer } from '../../../../simplenet/tcpip/tcp/growing-buffer.ts';
import { ACK, noOptions } from '../../../../simplenet/tcpip/tcp/segment.ts';
import { add, difference } from '../../../../simplenet/tcpip/tcp/sequence.ts';
import { Receiver, windowShiftFor } from '../../../../simplenet/tcpip/tcp/tcp-receiver.ts';

const PEER_SEQUENCE = 4_294_967_000; // it wraps round soon

function receiverOf(bufferBytes: number, windowShift: number): Receiver {
  return new Receiver({
    peerSequence: PEER_SEQUENCE,
    buffer: new GrowingBuffer(bufferBytes, bufferBytes, new BufferBudget(0)),
    windowShift,
    segmentBytes: 1448,
    delayedAckMs: 40,
    options: { ...noOptions, windowScale: 0 },
    now: 0,
  });
}

test('a peer that fills each window that it is offered loses no byte of it', async (t) => {
  const steps = fc.array(fc.record({ sent: fc.integer({ min: 1, max: 1448 }), read: fc.nat({ max: 3_000 }) }), {
    maxLength: 60,
  });
  const property = fc.property(
    fc.integer({ min: 100, max: 10_000 }),
    fc.nat({ max: 6 }),
    steps,
    (size, shift, moves) => {
      const receiver = receiverOf(size, shift);
      const bytes = Buffer.alloc(1448);
      let edge = receiver.next;
      for (const { sent, read } of moves) {
        const offered = add(receiver.next, receiver.offerWindow(ACK) << shift);
        if (difference(offered, edge) > 0) edge = offered;
        const length = Math.min(sent, Math.max(0, difference(edge, receiver.next)));
        const expected = add(receiver.next, length);
        const head = { ...{ sourcePort: 1, destinationPort: 2, acknowledgment: 0, flags: ACK, window: 0, urgent: 0 } };
        receiver.receive({ ...head, sequence: receiver.next, options: noOptions, bytes, start: 0, end: length }, 0);
        if (receiver.next !== expected) return false;
        receiver.keep();
        for (let left = read; left > 0 && receiver.readable !== null; ) {
          const taken = Math.min(left, receiver.readable.length);
          receiver.consume(taken);
          left -= taken;
        }
      }
      return true;
    },
  );
  fc.assert(property, { numRuns: 500 });
  t.equal(windowShiftFor(4_000, 4_194_304), 5, 'such a buffer has steps of 32 bytes');
  t.pass();
});
