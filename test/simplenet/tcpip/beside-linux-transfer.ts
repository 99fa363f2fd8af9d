/** One transfer of beside-linux.long.ts, by any event loop: a kernel's sockets or a stack of our own. */

import type { EventLoop, Stream } from '../../../simplenet/index.ts';

export const TRANSFER_BYTES = 10_000_000;
const PORT = 9;
const PIECE = Buffer.alloc(50_000, 'bytes ');

/** Reports how long each transfer takes, from the end of its handshake to its last byte. */
export function receiveTransfers(loop: EventLoop, address: string, onArrived: (ms: number) => void): void {
  loop.listen({ address, port: PORT }, () => {
    const startedAt = performance.now();
    let bytes = 0;
    return {
      onData(stream, { length }) {
        bytes += length;
        if (bytes < TRANSFER_BYTES) return;
        onArrived(performance.now() - startedAt);
        stream.close();
      },
    };
  });
}

export function sendTransfer(loop: EventLoop, address: string): void {
  let left = TRANSFER_BYTES;
  const sendMore = (stream: Stream) => {
    while (left > 0) {
      left -= PIECE.length;
      if (!stream.write(PIECE)) return;
    }
  };
  loop.connect({ address, port: PORT }, { onOpen: sendMore, onDrain: sendMore, onData() {} });
}
