/**
 * Compression: permessage-deflate of an endpoint: its options, how many connections may keep a context, and its place in Node's thread pool.
 *
 * What it costs. A connection that keeps contexts holds up to two windows for each direction: with 12 bits at most 16 KiB, and less if it has sent and received less. `maxContexts` bounds the
 * number of these connections; further ones agree on no context takeover, hold nothing between two messages, and compress less well. While zlib works on a message, it takes
 * up to 300 KiB; on this thread one message at a time, and in the pool `maxThreads`.
 *
 * It refuses to compress a message below `minBytes`: a packet holds it anyway.
 *
 * CRIME and BREACH: if a message contains a secret and text of an attacker, its length says how much of the secret the attacker has guessed. With context takeover that also
 * applies across messages. A program that sends secrets beside text of others leaves compression off.
 *
 * Next: handshake.ts
 */

import { Gate } from '../gate.ts';
import { checkOptionNames, described } from '../nearest-name.ts';
import { agreeOnDeflate, type DeflateTerms, MAX_WINDOW_BITS, MIN_SERVER_WINDOW_BITS } from './deflate-agreement.ts';
import { DeflatedOnce, type DeflateSettings, MessageDeflate } from './message-deflate.ts';
import type { ExtensionOffer, MessageExtension, NegotiatedExtension, SharedPayload } from './message-transform.ts';

/**
 * The options of `webSocket({ ... }, { compression })`. `compression: true` takes the defaults.
 *
 * ```ts
 * import { Router, webSocket } from 'simplenet/http';
 *
 * const chat = webSocket({ message: (ws, text) => void ws.send(text) }, { compression: { minBytes: 1_024 } });
 * new Router().get('/chat', chat);
 * ```
 */
export interface CompressionOptions {
  /** A message that is smaller is sent as it is: 512 unless set. */
  readonly minBytes?: number | undefined;
  /** How hard zlib tries, from 1 (fast) to 9 (small): 6 unless set. */
  readonly level?: number | undefined;
  /** The window of what is sent, from 9 (512 bytes) to 15 (32 KiB): 12 unless set. Memory of a connection is up to twice the window. */
  readonly windowBits?: number | undefined;
  /** The window of what is received, from 8 to 15: 12 unless set. A client that cannot limit its window is asked not to keep a context. */
  readonly clientWindowBits?: number | undefined;
  /** How many connections may keep contexts: 4,096 unless set. Further ones begin each message with nothing. 0: none does. */
  readonly maxContexts?: number | undefined;
  /** A message up to this size is compressed on this thread: 16 KiB unless set, which takes less than 0.2 ms. */
  readonly syncBytes?: number | undefined;
  /** How many threads of Node's pool, which has four, compress at a time: 2 unless set. */
  readonly maxThreads?: number | undefined;
}

/** A message to many is compressed on this thread up to so many times `syncBytes`: once for all, it costs less than sending it to each as it is. */
const SHARED_FACTOR = 16;

type Defaults = { readonly [Name in keyof CompressionOptions]-?: number };

const DEFAULTS: Defaults = {
  minBytes: 512,
  level: 6,
  windowBits: 12,
  clientWindowBits: 12,
  maxContexts: 4_096,
  syncBytes: 16_384,
  maxThreads: 2,
};

const ranges: Readonly<Record<keyof Defaults, readonly [least: number, most: number]>> = {
  minBytes: [0, Number.POSITIVE_INFINITY],
  level: [1, 9],
  windowBits: [MIN_SERVER_WINDOW_BITS, MAX_WINDOW_BITS],
  clientWindowBits: [8, MAX_WINDOW_BITS],
  maxContexts: [0, Number.POSITIVE_INFINITY],
  syncBytes: [0, Number.POSITIVE_INFINITY],
  maxThreads: [1, Number.POSITIVE_INFINITY],
};

/** Throws for options that make no sense. */
export function checkCompression(options: CompressionOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`compression of webSocket must be true, false or its options, not ${described(options)}`);
  }
  checkOptionNames('compression of webSocket', options, ranges);
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    if (value === undefined) continue;
    const [least, most] = ranges[name as keyof Defaults];
    const isNumber = Number.isInteger(value) || value === Number.POSITIVE_INFINITY;
    if (!isNumber || (value as number) < least || (value as number) > most) {
      throw new RangeError(
        `${name} of compression must be a whole number from ${least} to ${most}, not ${described(value)}`,
      );
    }
  }
}

/** The extension of an endpoint with this option, or null. */
export function compressionOf(option: boolean | CompressionOptions): Compression | null {
  if (option === false) return null;
  return new Compression(option === true ? {} : option);
}

/** permessage-deflate of an endpoint. */
export class Compression implements MessageExtension {
  readonly #options: Defaults;
  readonly #settings: DeflateSettings;
  #contexts = 0;

  /** The options have been checked. */
  constructor(options: CompressionOptions) {
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    this.#options = { ...DEFAULTS, ...Object.fromEntries(given) };
    const { minBytes, level, syncBytes, maxThreads } = this.#options;
    const gate = new Gate(maxThreads);
    const inPool = (job: (leave: () => void) => void) => gate.enter(() => job(() => gate.leave()));
    this.#settings = { minBytes, level, syncBytes, inPool };
  }

  negotiate(offers: readonly ExtensionOffer[]): NegotiatedExtension | null {
    const { windowBits, clientWindowBits, maxContexts } = this.#options;
    const mayKeep = this.#contexts < maxContexts;
    const agreement = agreeOnDeflate(offers, {
      serverBits: windowBits,
      clientBits: clientWindowBits,
      serverKeepsContext: mayKeep,
      clientKeepsContext: mayKeep,
    });
    return agreement && { answer: agreement.answer, createTransform: () => this.#transformFor(agreement) };
  }

  encodeShared(message: Buffer): SharedPayload | null {
    const { minBytes, level, syncBytes } = this.#settings;
    if (message.length < minBytes || message.length > syncBytes * SHARED_FACTOR) return null;
    return DeflatedOnce.from(message, this.#options.windowBits, level);
  }

  #transformFor(agreement: DeflateTerms): MessageDeflate {
    const contexts = agreement.serverKeepsContext || agreement.clientKeepsContext ? 1 : 0;
    this.#contexts += contexts;
    return new MessageDeflate(agreement, this.#settings, () => {
      this.#contexts -= contexts;
    });
  }
}
