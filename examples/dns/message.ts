/**
 * DNS messages on the wire, RFC 1035 section 4: the decoder is strict, and the encoder uses no compression. Pure.
 *
 * A name is a list of labels, each after its length, up to an empty label. The rest of a name can be a pointer to an earlier name.
 * Some parsers have hung on circles of pointers. Here each pointer must lead further back than the one before, so the walk ends.
 */

/** RFC 1035 section 3.2.2, RFC 3596, RFC 6891. */
export const A = 1;
export const TXT = 16;
export const AAAA = 28;
export const OPT = 41;
export const IN = 1;

/** RFC 1035 section 4.1.1: the bits of the header's second word. */
export const QR = 0x8000;
export const OPCODE = 0x7800;
export const AA = 0x0400;
export const TC = 0x0200;
export const RD = 0x0100;
export const RCODE = 0x000f;

export const NOERROR = 0;
export const FORMERR = 1;
export const NXDOMAIN = 3;
export const NOTIMP = 4;
export const REFUSED = 5;
export const rcodeNames = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

export const HEADER_SIZE = 12;
/** RFC 1035 section 4.2.1: the largest message in a datagram, unless both sides use EDNS. */
export const DEFAULT_UDP_SIZE = 512;

/** RFC 1035 section 2.3.4. */
const MAX_LABEL = 63;
const MAX_NAME = 255;
/** A length with both upper bits set begins a pointer. */
const POINTER = 0xc0;

/** Labels as received, one character per byte. Names are equal in upper and lower case, although their bytes differ. */
export type Name = readonly string[];

export interface Question {
  readonly name: Name;
  readonly type: number;
  readonly class: number;
}

export interface ResourceRecord extends Question {
  readonly ttl: number;
  readonly data: Buffer;
}

export interface Message {
  readonly id: number;
  readonly flags: number;
  readonly questions: readonly Question[];
  readonly answers: readonly ResourceRecord[];
  readonly additionals: readonly ResourceRecord[];
}

/** The message says what the sender did wrong. */
export class MalformedMessage extends Error {}

class Reader {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.at === this.#bytes.length;
  }

  take(length: number): Buffer {
    if (this.at + length > this.#bytes.length) throw new MalformedMessage('it ends too early');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  u8 = (): number => this.take(1).readUInt8();
  u16 = (): number => this.take(2).readUInt16BE();
  u32 = (): number => this.take(4).readUInt32BE();

  name(): Name {
    const labels: string[] = [];
    let size = 1;
    let earliest = this.at;
    let end: number | null = null;
    for (let length = this.u8(); length !== 0; length = this.u8()) {
      if (length >= POINTER) {
        const target = ((length & ~POINTER) << 8) | this.u8();
        if (target < HEADER_SIZE || target >= earliest) throw new MalformedMessage('a pointer that does not lead back');
        end ??= this.at;
        earliest = target;
        this.at = target;
      } else {
        size += 1 + length;
        if (length > MAX_LABEL || size > MAX_NAME) throw new MalformedMessage('a name that is too long');
        labels.push(this.take(length).toString('latin1'));
      }
    }
    this.at = end ?? this.at;
    return labels;
  }

  question = (): Question => ({ name: this.name(), type: this.u16(), class: this.u16() });

  record = (): ResourceRecord => ({ ...this.question(), ttl: this.u32(), data: this.take(this.u16()) });
}

/** Throws MalformedMessage. It adds one record after the other, so a large count alone does not reserve memory. */
export function decodeMessage(bytes: Buffer): Message {
  const reader = new Reader(bytes);
  const [id, flags, ...counts] = [0, 1, 2, 3, 4, 5].map(reader.u16) as [number, number, ...number[]];
  const many = <T>(count: number | undefined, read: () => T): T[] => {
    const all: T[] = [];
    for (let i = 0; i < (count as number); i++) all.push(read());
    return all;
  };
  const questions = many(counts[0], reader.question);
  const [answers, , additionals] = counts.slice(1).map((count) => many(count, reader.record));
  if (!reader.isAtEnd) throw new MalformedMessage('bytes after its end');
  return { id, flags, questions, answers: answers ?? [], additionals: additionals ?? [] };
}

function encodeQuestion({ name, type, class: klass }: Question): Buffer {
  const parts = name.flatMap((label) => [Uint8Array.of(label.length), Buffer.from(label, 'latin1')]);
  return Buffer.concat([...parts, Uint8Array.of(0), words(type, klass)]);
}

function encodeRecord(record: ResourceRecord): Buffer {
  const ttl = Buffer.alloc(4);
  ttl.writeUInt32BE(record.ttl);
  return Buffer.concat([encodeQuestion(record), ttl, words(record.data.length), record.data]);
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt16BE(value, 2 * i);
  return bytes;
}

export function encodeMessage({ id, flags, questions, answers, additionals }: Message): Buffer {
  return Buffer.concat([
    words(id, flags, questions.length, answers.length, 0, additionals.length),
    ...questions.map(encodeQuestion),
    ...[...answers, ...additionals].map(encodeRecord),
  ]);
}

/** RFC 1035 section 4.2.2: over TCP, each message comes after its length. */
export function framed(message: Buffer): Buffer {
  return Buffer.concat([words(message.length), message]);
}

/** Returns the labels of `www.example.org`, or null if they are too long or have other characters than visible ASCII. */
export function parseName(text: string): Name | null {
  const labels = text.replace(/\.$/, '').split('.');
  const areValid = labels.every((label) => /^[!-~]+$/.test(label) && label.length <= MAX_LABEL);
  const size = labels.reduce((sum, label) => sum + 1 + label.length, 1);
  return areValid && size <= MAX_NAME ? labels : null;
}

/** `\DDD`, RFC 1035 section 5.1: for bytes that a terminal would run as commands, or that would look like another name. */
export function escapeByte(byte: string): string {
  return `\\${String(byte.charCodeAt(0)).padStart(3, '0')}`;
}

/** Returns the readable form of a name, with its last dot. */
export function formatName(name: Name): string {
  return `${name.map((label) => label.replace(/[^!-~]|[.\\]/g, escapeByte)).join('.')}.`;
}

export function formatType(type: number): string {
  return { [A]: 'A', [TXT]: 'TXT', [AAAA]: 'AAAA' }[type] ?? `TYPE${type}`; // RFC 3597 section 5
}
