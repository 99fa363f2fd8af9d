/**
 * SegmentWriter: puts a segment into the frame that the internet layer sends.
 *
 * Next: bare-answers.ts
 */

import { EFAULT } from '../../kernel/abi.ts';
import { finishChecksum, pseudoHeaderSum, sumWords } from '../ip/checksum.ts';
import { type InternetLayer, OUTGOING_PAYLOAD_START } from '../ip/internet-layer.ts';
import { PROTOCOL_TCP } from '../ip/ipv4-packet.ts';
import type { Peer } from './connection-table.ts';
import { encodeSegmentHead } from './segment.ts';
import type { OutgoingSegment } from './tcp-setup.ts';

const CHECKSUM_OFFSET = 16;
/** RFC 1191: a router that cannot pass a segment on says so, and we send smaller ones. */
const sendOptions = { dontFragment: true };

export class SegmentWriter {
  readonly #internet: InternetLayer;

  constructor(internet: InternetLayer) {
    this.#internet = internet;
  }

  /** Returns 0 or -errno, of which -EFAULT says that the program has taken back memory that it had given away. */
  send(peer: Peer, segment: OutgoingSegment, now: number): number {
    const { outgoing, address } = this.#internet;
    const payloadStart = encodeSegmentHead(outgoing, OUTGOING_PAYLOAD_START, {
      sourcePort: peer.localPort,
      destinationPort: peer.remotePort,
      sequence: segment.sequence,
      acknowledgment: segment.acknowledgment,
      flags: segment.flags,
      window: segment.window,
      urgent: segment.urgent,
      options: segment.options,
    });
    if (!segment.copyPayload(outgoing, payloadStart)) return -EFAULT;
    const end = payloadStart + segment.length;
    const length = end - OUTGOING_PAYLOAD_START;
    const pseudoHeader = pseudoHeaderSum(address, peer.remoteAddress, PROTOCOL_TCP, length);
    const checksum = finishChecksum(sumWords(outgoing, OUTGOING_PAYLOAD_START, end, pseudoHeader));
    outgoing.writeUInt16BE(checksum, OUTGOING_PAYLOAD_START + CHECKSUM_OFFSET);
    return this.#internet.send(peer.remoteAddress, PROTOCOL_TCP, length, sendOptions, now);
  }
}
