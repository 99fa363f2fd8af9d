/**
 * Capture link: a link made of a link, which hands a copy of each frame to a capture for tcpdump and Wireshark.
 *
 * Next: ../ip/checksum.ts
 */

import type { Link } from './link.ts';
import { observeFrames } from './observed-link.ts';
import { pcapHeader, pcapRecord } from './pcap.ts';

/**
 * `sink` gets the header of a pcap file at once, and then a record for each frame that is sent or received: what it gets, one behind the other, is
 * the file. `wallNow` returns milliseconds since 1970; a fraction is kept down to microseconds.
 *
 * ```ts
 * import { createWriteStream } from 'node:fs';
 * import { captureFrames, createStack, openTap } from 'simplenet';
 *
 * const file = createWriteStream('tap0.pcap');
 * const link = captureFrames(openTap('tap0'), (bytes) => file.write(bytes), Date.now);
 * createStack({ link, address: '10.9.0.2/24' });
 * ```
 */
export function captureFrames(link: Link, sink: (bytes: Buffer) => void, wallNow: () => number): Link {
  sink(pcapHeader());
  return observeFrames(link, (frame) => sink(pcapRecord(frame, wallNow())));
}
