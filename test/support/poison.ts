/**
 * Poison: memory that is overwritten the moment it is given back. Whoever still counts on what was in it, the kernel or a program,
 * gets rubbish; and so it is shown that nobody does. `mistakes` are for the proof that it would be seen.
 */

import type { Piece } from '../../simplenet/io-uring/send-memory.ts';
import type { UringLoop } from '../../simplenet/io-uring/uring-loop.ts';

export const POISON = 0xdd;

/** Each receive buffer and each piece of send memory. */
export function poison({ buffers, sendMemory }: UringLoop): void {
  const { done, received } = buffers;
  buffers.done = (flags, length) => {
    received.call(buffers, flags, length).fill(POISON); // the kernel may fill it only after this
    done.call(buffers, flags, length);
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
    const { done, received } = buffers;
    buffers.received = (flags, length) => {
      const bytes = received.call(buffers, flags, length);
      done.call(buffers, flags, length);
      return bytes;
    };
    buffers.done = () => {};
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
