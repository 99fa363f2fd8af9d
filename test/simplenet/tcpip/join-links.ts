/** JoinLinks: what comes out of one link goes into the other, and the other way round: a cable between two links, such as a TAP device and a wire. */

import type { Host, Watch } from '../../../simplenet/loop/host.ts';
import type { Link } from '../../../simplenet/tcpip/link/link.ts';

/** A turn moves so many frames at most, so that other links have theirs. */
const MAX_FRAMES = 64;
const FRAME_BYTES = 2_048;

/** Returns what ends it: the watches are closed, and the links stay open. */
export function joinLinks(left: Link, right: Link, host: Host): () => void {
  const watches = [pump(left, right, host), pump(right, left, host)];
  return () => {
    for (const watch of watches) watch.close();
  };
}

function pump(from: Link, to: Link, host: Host): Watch {
  const frame = Buffer.alloc(FRAME_BYTES);
  return from.watch(host, () => {
    for (let count = 0; count < MAX_FRAMES; count++) {
      const length = from.receive(frame);
      if (length === 0) return false;
      to.send(frame, length);
    }
    return true;
  });
}
