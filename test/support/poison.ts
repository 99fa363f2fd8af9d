/**
 * Poison: memory that is overwritten the moment it is given back. Whoever still counts on what was in it, the kernel or a program,
 * gets rubbish; and so it is shown that nobody does. `mistakes` are for the proof that it would be seen.
 */

import type { Piece } from '../../simplenet/send-memory.ts';
import type { UringLoop } from '../../simplenet/uring-loop.ts';

export const POISON = 0xdd;

/** Each receive buffer and each piece of send memory. */
export function poison({ buffers, sendMemory }: UringLoop): void {
  const { give, received } = buffers;
  buffers.give = (id) => {
    received.call(buffers, id, buffers.bufferBytes).fill(POISON); // the kernel fills it not before `publish`
    give.call(buffers, id);
  };
  const { giveBack } = sendMemory;
  sendMemory.giveBack = (piece) => {
    if (piece.size >= 0) piece.bytes.fill(POISON);
    giveBack.call(sendMemory, piece);
  };
}

/** To be made on a loop that is poisoned already. */
export const mistakes: Readonly<Record<string, (loop: UringLoop) => void>> = {
  'a receive buffer is given back before its bytes are delivered'({ buffers }) {
    const { give, received } = buffers;
    const givenEarly = new Set<number>();
    buffers.received = (id, length) => {
      give.call(buffers, id);
      givenEarly.add(id);
      return received.call(buffers, id, length);
    };
    buffers.give = (id) => {
      if (!givenEarly.delete(id)) give.call(buffers, id);
    };
  },

  'a piece is given back when the kernel was asked to send it, and not when it has'({ ring, sendMemory }) {
    const { take } = sendMemory;
    const taken = new Map<number, Piece>();
    sendMemory.take = (byteLength) => {
      const piece = take.call(sendMemory, byteLength);
      taken.set(piece.address, piece);
      return piece;
    };
    const { send } = ring;
    ring.send = (fd, tag, address, length, flags) => {
      send.call(ring, fd, tag, address, length, flags);
      taken.get(address)?.bytes.fill(POISON);
    };
  },
};
