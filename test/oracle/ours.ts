/**
 * Our protocol core as a Reader: HeadParser, RequestHead and the body decoders, driven as connection.ts drives them.
 *
 * This is the one file of the oracle and the fuzzer that knows how they are called. The bytes of each call lie in a buffer of
 * their own, between other bytes that would change the result if they were read: so a parser that looks beyond its range
 * is caught by disagreeing with itself.
 */

import { HttpError } from '../../http/http-error.ts';
import { defaultLimits, type Limits } from '../../http/limits.ts';
import { type BodyDecoder, ChunkedDecoder, LengthDecoder } from '../../http/request/body-decoder.ts';
import { CHUNKED, NO_BODY } from '../../http/request/body-framing.ts';
import { INCOMPLETE, OFFSETS_PER_FIELD } from '../../http/request/field-parser.ts';
import { HeadParser } from '../../http/request/head-parser.ts';
import { HeaderList } from '../../http/request/header-list.ts';
import { RequestHead } from '../../http/request/request-head.ts';
import type { Field, Message, Part, Reader, Reading, Rest } from './reading.ts';

export interface CoreOptions {
  readonly limits?: Limits;
  /** Chooses what lies around the bytes. The result must never depend on it. */
  readonly salt?: number;
}

/** Each of these, read by mistake, would end something, go on with something or break it. */
const poisons = ['\r\n', 'A', '\r\n\r\n', ': ', '0', '\n', '\0', ' HTTP/1.1\r\n', ';'].map((text) => Buffer.from(text));

const MAX_POISON_BEFORE = 7;
const POISON_BEHIND = 24;

/** A request of which so much is known as its head says. */
interface Draft {
  readonly head: RequestHead;
  readonly fields: readonly Field[];
  readonly decoder: BodyDecoder | null;
}

class Core {
  readonly #limits: Limits;
  readonly #parser: HeadParser;
  readonly #messages: Message[] = [];
  #salt: number;
  #draft: Draft | null = null;
  #body = '';

  constructor({ limits = defaultLimits, salt = 0 }: CoreOptions) {
    this.#limits = limits;
    this.#parser = new HeadParser(limits);
    this.#salt = salt;
  }

  read(bytes: Buffer, cuts: readonly number[]): Reading {
    let from = 0;
    try {
      for (const to of cuts) {
        while (from < to) {
          const used = this.#step(bytes.subarray(from, to));
          if (used === INCOMPLETE) break;
          if (used < 0) return this.#refused(-used);
          from += used;
          if (!this.#isMessageWhole()) continue;
          const message = this.#finish(from);
          this.#messages.push(message);
          if (!message.keepAlive) return this.#reading({ kind: 'ignored' });
        }
      }
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      return this.#refused(error.status);
    }
    const isNothing = this.#draft === null && !this.#parser.hasBegun;
    return this.#reading(isNothing ? { kind: 'nothing' } : { kind: 'unfinished', within: this.#part() });
  }

  #refused(status: number): Reading {
    return this.#reading({ kind: 'refused', within: this.#part(), why: String(status) });
  }

  /** Hands these bytes, placed among poison, to whoever is to read them; answers how many were used, or a negated status. */
  #step(bytes: Buffer): number {
    const poison = poisons[this.#salt % poisons.length] as Buffer;
    const start = this.#salt++ % MAX_POISON_BEFORE;
    const end = start + bytes.length;
    const buffer = Buffer.allocUnsafe(end + POISON_BEHIND).fill(poison);
    buffer.set(bytes, start);
    if (this.#draft === null) return this.#readHead(buffer, start, end);
    const { decoder } = this.#draft;
    const used = decoder?.decode(buffer, start, end, (from, to) => {
      this.#body += buffer.toString('latin1', from, to);
    });
    if (used === undefined || used <= start || used > end)
      throw new Error(`a decoder used ${used} of ${start}..${end}`);
    return used - start;
  }

  #readHead(buffer: Buffer, start: number, end: number): number {
    const parser = this.#parser;
    const used = parser.parse(buffer, start, end);
    if (used <= INCOMPLETE) return used;
    if (used <= start || used > end) throw new Error(`the parser used ${used} of ${start}..${end}`);
    const head = new RequestHead(buffer.toString('latin1', start, used), parser, this.#limits.bodyBytes);
    this.#draft = { head, fields: fieldsOf(head, parser), decoder: this.#decoderOf(head.framing) };
    this.#body = '';
    parser.reset();
    return used - start;
  }

  #decoderOf(framing: number): BodyDecoder | null {
    if (framing === NO_BODY || framing === 0) return null;
    return framing === CHUNKED ? new ChunkedDecoder(this.#limits) : new LengthDecoder(framing);
  }

  #isMessageWhole(): boolean {
    return this.#draft !== null && (this.#draft.decoder?.isDone ?? true);
  }

  #finish(end: number): Message {
    const { head, fields, decoder } = this.#draft as Draft;
    this.#draft = null;
    const { method, target, minorVersion, keepAlive } = head;
    return {
      method,
      target,
      minorVersion,
      fields,
      body: this.#body,
      trailers: [...(decoder?.trailers ?? [])],
      keepAlive,
      end,
    };
  }

  #part(): Part {
    return this.#draft === null ? 'head' : 'body';
  }

  #reading(rest: Rest): Reading {
    return { messages: this.#messages, rest };
  }
}

/** The parser's offsets say where the fields are, and a HeaderList cuts them anew: they must mean the same. */
function fieldsOf(head: RequestHead, parser: HeadParser): Field[] {
  const { count, offsets } = parser.fields;
  const fields = Array.from({ length: count }, (_, i): Field => {
    const [nameStart, nameEnd, valueStart, valueEnd] = offsets.subarray(i * OFFSETS_PER_FIELD);
    return [head.text.slice(nameStart, nameEnd), head.text.slice(valueStart, valueEnd)];
  });
  const cut = [...new HeaderList(head.text, head.fieldsAt)];
  const isSame =
    cut.length === count &&
    cut.every(([name, value], i) => {
      const [ourName, ourValue] = fields[i] as Field;
      return name === ourName && value === ourValue;
    });
  if (!isSame) throw new Error(`the parser found ${JSON.stringify(fields)}, and HeaderList ${JSON.stringify(cut)}`);
  return fields;
}

export function createReader(options: CoreOptions = {}): Reader {
  return (bytes, cuts) => new Core(options).read(bytes, cuts);
}
