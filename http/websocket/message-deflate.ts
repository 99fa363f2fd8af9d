/**
 * MessageDeflate: compresses and decompresses the messages of one connection (RFC 7692 section 7.2).
 *
 * Each message is one run of zlib, which begins with the context of its direction as a dictionary (context-window.ts), and no zlib state stays between two messages. That gives:
 *
 * - A message that gets no shorter is sent as it is, and is then no part of the context.
 * - A message to many subscribers is compressed once, without a context, and becomes the context of each of them.
 * - Small messages are compressed on this thread, which costs a third of the way to the thread pool and back, and keeps their order. Large ones
 *   go to the pool, a few at a time. The caller keeps the order of those: it starts the next one of a direction when the last one is done.
 *
 * A decompressed message is cut off at the limit while zlib works, so a bomb gets no more memory than an honest message.
 *
 * zlib ends each message with an empty block of which RFC 7692 removes the last four bytes. A decompressor has then returned all bytes, so nothing needs to be appended for it.
 *
 * Next: compression.ts
 */

import { constants, deflateRaw, deflateRawSync, inflateRaw, inflateRawSync, type ZlibOptions } from 'node:zlib';
import { INVALID_PAYLOAD, MESSAGE_TOO_BIG, WebSocketFault } from './close-code.ts';
import { ContextWindow } from './context-window.ts';
import { type DeflateTerms, MIN_SERVER_WINDOW_BITS } from './deflate-agreement.ts';
import type { MessageTransform, SharedPayload } from './message-transform.ts';

/** What all connections of an endpoint share. */
export interface DeflateSettings {
  /** A smaller message is sent as it is. */
  readonly minBytes: number;
  readonly level: number;
  /** A message up to this size is compressed on this thread; also decompressed, by its compressed size. */
  readonly syncBytes: number;
  /** Runs a job of the thread pool when it is its turn. */
  readonly inPool: (job: (leave: () => void) => void) => void;
}

/** 00 00 ff ff. */
const TAIL_BYTES = 4;
/** What may come of `syncBytes`, and more only in the pool. */
const MAX_SYNC_GROWTH = 16;
const MAX_CHUNK_BYTES = 65_536;
const MIN_CHUNK_BYTES = 1_024;
/** zlib writes no less than an empty block and its mark behind a message that it cannot compress. */
const SPARE_BYTES = 64;

/**
 * A message may consist of several complete streams of DEFLATE (section 7.2.3.4), each of which costs a run of zlib. Two bytes are a stream, so without a limit
 * a megabyte would take seconds.
 */
const MAX_STREAMS = 16;

const TOO_LARGE = 'ERR_BUFFER_TOO_LARGE';

/** What zlib returns with the option `info`. */
interface Inflated {
  readonly buffer: Buffer;
  /** How much of the input it has read: less than all if a stream has ended. */
  readonly engine: { readonly bytesWritten: number };
}

const NOTHING = Buffer.alloc(0);

/** A message for many connections, compressed once, with nothing before it. */
export class DeflatedOnce implements SharedPayload {
  readonly bytes: Buffer;
  readonly #message: Buffer;
  /** The window that a reader needs. */
  readonly #bits: number;
  readonly #ends = new Map<number, Buffer>();

  private constructor(bytes: Buffer, message: Buffer, bits: number) {
    this.bytes = bytes;
    this.#message = message;
    this.#bits = bits;
  }

  /** Returns null if the message gets no shorter. `message` must not change any more. */
  static from(message: Buffer, bits: number, level: number): DeflatedOnce | null {
    const needed = neededBits(bits, message.length);
    const bytes = deflateNow(message, needed, NOTHING, level);
    return bytes === null ? null : new DeflatedOnce(bytes, message, needed);
  }

  fits(bits: number): boolean {
    return this.#bits <= bits;
  }

  /** The end of the message for a window of this size: the same bytes for all connections. */
  endFor(maxBytes: number): Buffer {
    const message = this.#message;
    if (message.length <= maxBytes) return message;
    let end = this.#ends.get(maxBytes);
    if (end === undefined) {
      end = Buffer.from(message.subarray(message.length - maxBytes)); // a copy, which does not hold the whole message
      this.#ends.set(maxBytes, end);
    }
    return end;
  }
}

export class MessageDeflate implements MessageTransform {
  readonly #settings: DeflateSettings;
  readonly #serverBits: number;
  readonly #sent: ContextWindow | null;
  readonly #received: ContextWindow | null;
  readonly #onClose: () => void;

  constructor(terms: DeflateTerms, settings: DeflateSettings, onClose: () => void) {
    this.#settings = settings;
    this.#serverBits = terms.serverBits;
    this.#sent = terms.serverKeepsContext ? new ContextWindow(terms.serverBits) : null;
    this.#received = terms.clientKeepsContext ? new ContextWindow(terms.clientBits) : null;
    this.#onClose = onClose;
  }

  /** The memory of its contexts. */
  get heldBytes(): number {
    return (this.#sent?.heldBytes ?? 0) + (this.#received?.heldBytes ?? 0);
  }

  encode(payload: Buffer): Buffer | null | Promise<Buffer | null> {
    let message = payload;
    const { minBytes, level, syncBytes } = this.#settings;
    if (message.length < minBytes) return null;
    const window = this.#sent;
    const keep = (compressed: Buffer | null) => {
      if (compressed !== null) window?.add(message);
      return compressed;
    };
    const context = window?.bytes ?? NOTHING;
    if (message.length <= syncBytes) return keep(deflateNow(message, this.#serverBits, context, level));
    message = Buffer.from(message); // the program may use its bytes again
    return this.#deflateInPool(message, context).then(keep);
  }

  takesShared(shared: SharedPayload): boolean {
    if (!(shared instanceof DeflatedOnce) || !shared.fits(this.#serverBits)) return false;
    if (this.#sent !== null) this.#sent.share(shared.endFor(this.#sent.maxBytes));
    return true;
  }

  decode(payload: Buffer, maxBytes: number): Buffer | Promise<Buffer> {
    const { syncBytes } = this.#settings;
    const window = this.#received;
    const keep = (message: Buffer) => {
      window?.add(message);
      return message;
    };
    if (payload.length <= syncBytes) {
      const message = this.#inflateNow(payload, Math.min(maxBytes, syncBytes * MAX_SYNC_GROWTH), maxBytes);
      if (message !== null) return keep(message);
    }
    return this.#inflateInPool(payload, maxBytes).then(keep);
  }

  close(): void {
    this.#onClose();
  }

  #deflateInPool(message: Buffer, context: Buffer): Promise<Buffer | null> {
    const options = deflateOptions(message, this.#serverBits, context, this.#settings.level);
    return new Promise((resolve, reject) => {
      this.#settings.inPool((leave) =>
        deflateRaw(message, options, (error, bytes) => {
          leave();
          /* c8 ignore next -- zlib compresses any bytes; it fails only without memory. */
          if (error !== null) return reject(error);
          resolve(ifShorter(bytes, message));
        }),
      );
    });
  }

  /** Returns null if the message is too long for this thread, although it is allowed. */
  #inflateNow(payload: Buffer, limit: number, maxBytes: number): Buffer | null {
    const streams = new StreamSequence(this.#received?.bytes ?? NOTHING, payload, limit);
    try {
      while (!streams.isDone) streams.take(inflateRawSync(streams.rest, streams.options()) as unknown as Inflated);
    } catch (error) {
      const fault = faultOf(error);
      if (fault.code === MESSAGE_TOO_BIG && limit < maxBytes) return null;
      throw fault;
    }
    return streams.message;
  }

  async #inflateInPool(payload: Buffer, maxBytes: number): Promise<Buffer> {
    const streams = new StreamSequence(this.#received?.bytes ?? NOTHING, payload, maxBytes);
    while (!streams.isDone) streams.take(await this.#inflateOne(streams));
    return streams.message;
  }

  #inflateOne(streams: StreamSequence): Promise<Inflated> {
    const options = streams.options();
    return new Promise((resolve, reject) => {
      this.#settings.inPool((leave) =>
        inflateRaw(streams.rest, options, (error, result) => {
          leave();
          if (error === null) resolve(result as unknown as Inflated);
          else reject(faultOf(error));
        }),
      );
    });
  }
}

/** The streams of DEFLATE in one message: one, except where a client marks a block as the last one. */
class StreamSequence {
  readonly #context: Buffer;
  readonly #limit: number;
  readonly #found: Buffer[] = [];
  #foundBytes = 0;
  /** What is not decompressed yet. */
  rest: Buffer;

  constructor(context: Buffer, payload: Buffer, limit: number) {
    this.#context = context;
    this.rest = payload;
    this.#limit = limit;
  }

  get isDone(): boolean {
    return this.rest.length === 0;
  }

  get message(): Buffer {
    const [first = NOTHING, ...more] = this.#found;
    return more.length === 0 ? first : Buffer.concat(this.#found);
  }

  options(): ZlibOptions {
    const options = {
      info: true,
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: Math.max(1, this.#limit - this.#foundBytes), // zlib takes no 0; `take` counts as well
      chunkSize: Math.min(MAX_CHUNK_BYTES, Math.max(MIN_CHUNK_BYTES, 4 * this.rest.length)),
    };
    const dictionary = this.#found.length === 0 ? this.#context : Buffer.concat([this.#context, ...this.#found]);
    return dictionary.length === 0 ? options : { ...options, dictionary };
  }

  take({ buffer, engine }: Inflated): void {
    this.#found.push(buffer);
    this.#foundBytes += buffer.length;
    if (this.#foundBytes > this.#limit) throw tooBig();
    this.rest = this.rest.subarray(engine.bytesWritten);
    if (!this.isDone && this.#found.length === MAX_STREAMS) {
      throw new WebSocketFault(INVALID_PAYLOAD, `a compressed message has more than ${MAX_STREAMS} final blocks`);
    }
  }
}

function tooBig(): WebSocketFault {
  return new WebSocketFault(MESSAGE_TOO_BIG, 'a message is too long when it is decompressed');
}

function faultOf(error: unknown): WebSocketFault {
  if (error instanceof WebSocketFault) return error;
  if ((error as { readonly code?: unknown }).code === TOO_LARGE) return tooBig();
  return new WebSocketFault(INVALID_PAYLOAD, `a message cannot be decompressed: ${(error as Error).message}`);
}

function deflateNow(message: Buffer, bits: number, context: Buffer, level: number): Buffer | null {
  return ifShorter(deflateRawSync(message, deflateOptions(message, bits, context, level)), message);
}

function deflateOptions(message: Buffer, bits: number, context: Buffer, level: number): ZlibOptions {
  const windowBits = neededBits(bits, context.length + message.length);
  const options = {
    level,
    windowBits,
    memLevel: Math.min(8, windowBits - 6),
    finishFlush: constants.Z_SYNC_FLUSH,
    chunkSize: Math.min(MAX_CHUNK_BYTES, message.length + SPARE_BYTES),
  };
  return context.length === 0 ? options : { ...options, dictionary: context };
}

/** Takes the last bytes off that RFC 7692 section 7.2.1 removes. */
function ifShorter(deflated: Buffer, message: Buffer): Buffer | null {
  const length = deflated.length - TAIL_BYTES;
  return length < message.length ? deflated.subarray(0, length) : null;
}

/** A window need not be longer than what is in it: a small one is set up faster. */
function neededBits(bits: number, byteLength: number): number {
  return Math.max(MIN_SERVER_WINDOW_BITS, Math.min(bits, Math.ceil(Math.log2(byteLength))));
}
