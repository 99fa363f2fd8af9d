/**
 * TCP segments: the header of RFC 9293 section 3.1 and its options, from bytes and to bytes. Pure.
 *
 * Options that we know: maximum segment size (RFC 9293 section 3.7.1), window scale and timestamps (RFC 7323), SACK (RFC 2018).
 * A known option with another length than its own is skipped like an unknown one, as Linux does. An option that
 * reaches beyond the header makes the whole segment malformed, because nothing tells where the next option begins.
 *
 * The checksum is not checked here: tcp-layer.ts adds up the pseudo-header and the segment in one pass.
 *
 * Next: tcp-states.ts
 */

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;
export const ECE = 0x40;
export const CWR = 0x80;

/** The header without options. */
export const HEADER_BYTES = 20;
/** The data offset has four bits and counts words of four bytes. */
export const MAX_OPTION_BYTES = 40;
/** RFC 7323 section 2.3: a larger shift is used as if it were this one. */
export const MAX_WINDOW_SCALE = 14;

const END_OF_OPTIONS = 0;
const NO_OPERATION = 1;
const MAXIMUM_SEGMENT_SIZE = 2;
const WINDOW_SCALE = 3;
const SACK_PERMITTED = 4;
const SACK = 5;
const TIMESTAMPS = 8;

const CHECKSUM_OFFSET = 16;
const SACK_BLOCK_BYTES = 8;

export interface TcpOptions {
  /** The largest segment that the sender of this SYN can receive, without headers; null without the option. */
  readonly mss: number | null;
  /** The shift count of a SYN; null without the option. */
  readonly windowScale: number | null;
  readonly sackPermitted: boolean;
  /** TSval of RFC 7323, or -1 without the option. */
  readonly timestampValue: number;
  /** TSecr of RFC 7323, or -1 without the option. */
  readonly timestampEcho: number;
  /** Pairs of sequence numbers: the first byte of a block, and the byte after its last one. */
  readonly sackBlocks: readonly number[];
}

export const noOptions: TcpOptions = {
  mss: null,
  windowScale: null,
  sackPermitted: false,
  timestampValue: -1,
  timestampEcho: -1,
  sackBlocks: [],
};

export interface SegmentHead {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgment: number;
  readonly flags: number;
  /** The field of 16 bits as it is on the wire, not yet scaled. */
  readonly window: number;
  readonly urgent: number;
  readonly options: TcpOptions;
}

/** A decoded segment. Its payload is bytes[start..end). */
export interface TcpSegment extends SegmentHead {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** How many sequence numbers a segment takes: its bytes, and one each for SYN and FIN. */
export function sequenceLength(segment: { flags: number; start: number; end: number }): number {
  return segment.end - segment.start + ((segment.flags & SYN) >>> 1) + (segment.flags & FIN);
}

/** Decodes the segment in bytes[start..end). Returns null if it is malformed. */
export function decodeSegment(bytes: Buffer, start: number, end: number): TcpSegment | null {
  if (end - start < HEADER_BYTES) return null;
  const headBytes = ((bytes[start + 12] as number) >>> 4) * 4;
  const payloadStart = start + headBytes;
  if (headBytes < HEADER_BYTES || payloadStart > end) return null;
  const options = headBytes === HEADER_BYTES ? noOptions : decodeOptions(bytes, start + HEADER_BYTES, payloadStart);
  if (options === null) return null;
  return {
    sourcePort: bytes.readUInt16BE(start),
    destinationPort: bytes.readUInt16BE(start + 2),
    sequence: bytes.readUInt32BE(start + 4),
    acknowledgment: bytes.readUInt32BE(start + 8),
    flags: bytes[start + 13] as number,
    window: bytes.readUInt16BE(start + 14),
    urgent: bytes.readUInt16BE(start + 18),
    options,
    bytes,
    start: payloadStart,
    end,
  };
}

function decodeOptions(bytes: Buffer, start: number, end: number): TcpOptions | null {
  let mss: number | null = null;
  let windowScale: number | null = null;
  let sackPermitted = false;
  let timestampValue = -1;
  let timestampEcho = -1;
  let sackBlocks = noOptions.sackBlocks;
  let at = start;
  while (at < end) {
    const kind = bytes[at] as number;
    if (kind === END_OF_OPTIONS) break;
    if (kind === NO_OPERATION) {
      at++;
      continue;
    }
    // RFC 9293 MUST-7: a length below two would be an endless loop, and one that is too large would read the payload.
    const length = at + 1 < end ? (bytes[at + 1] as number) : 0;
    if (length < 2 || at + length > end) return null;
    if (kind === TIMESTAMPS && length === 10) {
      timestampValue = bytes.readUInt32BE(at + 2);
      timestampEcho = bytes.readUInt32BE(at + 6);
    } else if (kind === SACK && length > 2 && (length - 2) % SACK_BLOCK_BYTES === 0) {
      sackBlocks = decodeSackBlocks(bytes, at + 2, at + length);
    } else if (kind === MAXIMUM_SEGMENT_SIZE && length === 4) {
      mss = bytes.readUInt16BE(at + 2);
    } else if (kind === WINDOW_SCALE && length === 3) {
      windowScale = Math.min(bytes[at + 2] as number, MAX_WINDOW_SCALE);
    } else if (kind === SACK_PERMITTED && length === 2) {
      sackPermitted = true;
    }
    at += length;
  }
  return { mss, windowScale, sackPermitted, timestampValue, timestampEcho, sackBlocks };
}

function decodeSackBlocks(bytes: Buffer, start: number, end: number): number[] {
  const blocks: number[] = [];
  for (let at = start; at < end; at += 4) blocks.push(bytes.readUInt32BE(at));
  return blocks;
}

/** How many SACK blocks fit beside these options. */
export function maxSackBlocks(hasTimestamps: boolean): number {
  const timestampBytes = hasTimestamps ? 12 : 0;
  return Math.floor((MAX_OPTION_BYTES - timestampBytes - 4) / SACK_BLOCK_BYTES);
}

/**
 * Writes the header with its options into `bytes` from `at` on and returns its end. The checksum is zero. Every option ends on a
 * boundary of four bytes, in the order in which Linux writes them. SACK blocks that do not fit are left out.
 */
export function encodeSegmentHead(bytes: Buffer, at: number, head: SegmentHead): number {
  const end = encodeOptions(bytes, at + HEADER_BYTES, head.options);
  bytes.writeUInt16BE(head.sourcePort, at);
  bytes.writeUInt16BE(head.destinationPort, at + 2);
  bytes.writeUInt32BE(head.sequence, at + 4);
  bytes.writeUInt32BE(head.acknowledgment, at + 8);
  bytes[at + 12] = ((end - at) / 4) << 4;
  bytes[at + 13] = head.flags;
  bytes.writeUInt16BE(head.window, at + 14);
  bytes.writeUInt16BE(0, at + CHECKSUM_OFFSET);
  bytes.writeUInt16BE(head.urgent, at + 18);
  return end;
}

function encodeOptions(bytes: Buffer, start: number, options: TcpOptions): number {
  let at = start;
  if (options.mss !== null) {
    bytes[at] = MAXIMUM_SEGMENT_SIZE;
    bytes[at + 1] = 4;
    bytes.writeUInt16BE(options.mss, at + 2);
    at += 4;
  }
  const hasTimestamps = options.timestampValue >= 0;
  if (options.sackPermitted) {
    // Beside timestamps, SACK-permitted takes the place of their two bytes of padding.
    if (!hasTimestamps) at = writePadding(bytes, at, 2);
    bytes[at] = SACK_PERMITTED;
    bytes[at + 1] = 2;
    at += 2;
  } else if (hasTimestamps) {
    at = writePadding(bytes, at, 2);
  }
  if (hasTimestamps) {
    bytes[at] = TIMESTAMPS;
    bytes[at + 1] = 10;
    bytes.writeUInt32BE(options.timestampValue, at + 2);
    bytes.writeUInt32BE(options.timestampEcho, at + 6);
    at += 10;
  }
  if (options.windowScale !== null) {
    at = writePadding(bytes, at, 1);
    bytes[at] = WINDOW_SCALE;
    bytes[at + 1] = 3;
    bytes[at + 2] = options.windowScale;
    at += 3;
  }
  return encodeSackBlocks(bytes, start, at, options.sackBlocks);
}

function encodeSackBlocks(bytes: Buffer, start: number, from: number, blocks: readonly number[]): number {
  const room = Math.floor((start + MAX_OPTION_BYTES - from - 4) / SACK_BLOCK_BYTES);
  const count = Math.min(room, blocks.length / 2);
  if (count <= 0) return from;
  let at = writePadding(bytes, from, 2);
  bytes[at] = SACK;
  bytes[at + 1] = 2 + count * SACK_BLOCK_BYTES;
  at += 2;
  for (let i = 0; i < count * 2; i++) at = bytes.writeUInt32BE(blocks[i] as number, at);
  return at;
}

function writePadding(bytes: Buffer, at: number, length: number): number {
  bytes.fill(NO_OPERATION, at, at + length);
  return at + length;
}

/** How many bytes encodeSegmentHead writes for these options. */
export function headBytes(options: TcpOptions): number {
  const before =
    (options.mss === null ? 0 : 4) +
    (options.timestampValue >= 0 ? 12 : options.sackPermitted ? 4 : 0) +
    (options.windowScale === null ? 0 : 4);
  const room = Math.floor((MAX_OPTION_BYTES - before - 4) / SACK_BLOCK_BYTES);
  const count = Math.max(0, Math.min(room, options.sackBlocks.length / 2));
  return HEADER_BYTES + before + (count > 0 ? 4 + count * SACK_BLOCK_BYTES : 0);
}
