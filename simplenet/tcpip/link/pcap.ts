/**
 * pcap: the file format of tcpdump and Wireshark, a header and one record for each frame (draft-ietf-opsawg-pcap).
 *
 *     file    magic u32 | version u16 u16 | 0 u32 | 0 u32 | largest frame u32 | link type u32        24 bytes
 *     record  seconds u32 | microseconds u32 | captured bytes u32 | bytes on the wire u32 | frame ...  16 bytes and the frame
 *
 * We write little-endian and microseconds. We read either byte order, and nanoseconds as well; the magic number says which. This
 * file opens no files: bytes in, bytes out.
 *
 * Next: capture-link.ts
 */

const HEADER_BYTES = 24;
const RECORD_BYTES = 16;

const MICROSECONDS_MAGIC = 0xa1b2c3d4;
const NANOSECONDS_MAGIC = 0xa1b23c4d;
const MAJOR_VERSION = 2;
const MINOR_VERSION = 4;
const LINKTYPE_ETHERNET = 1;

/** The largest frame that tcpdump captures. A larger length in a file is damage, not a frame. */
const MAX_FRAME_BYTES = 262_144;

export interface PcapRecord {
  /** Milliseconds since 1970, with a fraction. */
  readonly wallMs: number;
  /** How long the frame was on the wire. Some captures keep only its beginning. */
  readonly wireBytes: number;
  /** The frame is bytes[start..end). */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** What a file of Ethernet frames begins with. */
export function pcapHeader(): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MICROSECONDS_MAGIC, 0);
  header.writeUInt16LE(MAJOR_VERSION, 4);
  header.writeUInt16LE(MINOR_VERSION, 6);
  header.writeUInt32LE(MAX_FRAME_BYTES, 16);
  header.writeUInt32LE(LINKTYPE_ETHERNET, 20);
  return header;
}

/** A record with a copy of the frame. */
export function pcapRecord(frame: Uint8Array, wallMs: number): Buffer {
  const microseconds = Math.round(wallMs * 1_000);
  const record = Buffer.allocUnsafe(RECORD_BYTES + frame.length);
  record.writeUInt32LE(Math.floor(microseconds / 1_000_000), 0);
  record.writeUInt32LE(microseconds % 1_000_000, 4);
  record.writeUInt32LE(frame.length, 8);
  record.writeUInt32LE(frame.length, 12);
  record.set(frame, RECORD_BYTES);
  return record;
}

/**
 * Returns the records of a file, or null if it is not a capture of Ethernet frames. A record that is cut off or damaged ends the list:
 * tcpdump may have been stopped while it wrote.
 */
export function readPcap(bytes: Buffer): PcapRecord[] | null {
  if (bytes.length < HEADER_BYTES) return null;
  const isLittleEndian = isMagic(bytes.readUInt32LE(0));
  if (!isLittleEndian && !isMagic(bytes.readUInt32BE(0))) return null;
  const u32 = (at: number) => (isLittleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  // Above the link type are bits about the check sum of Ethernet, which these frames do not have.
  if ((u32(20) & 0xffff) !== LINKTYPE_ETHERNET) return null;
  const ticksPerMs = u32(0) === NANOSECONDS_MAGIC ? 1_000_000 : 1_000;
  const records: PcapRecord[] = [];
  for (let at = HEADER_BYTES; at + RECORD_BYTES <= bytes.length; ) {
    const start = at + RECORD_BYTES;
    const end = start + u32(at + 8);
    if (end > bytes.length || end - start > MAX_FRAME_BYTES) break;
    records.push({ wallMs: u32(at) * 1_000 + u32(at + 4) / ticksPerMs, wireBytes: u32(at + 12), bytes, start, end });
    at = end;
  }
  return records;
}

function isMagic(value: number): boolean {
  return value === MICROSECONDS_MAGIC || value === NANOSECONDS_MAGIC;
}
