/**
 * SlowExtension: permessage-deflate as it is, and beside it an extension that turns every bit and takes its time, so that messages wait for each other in simulated time.
 * The thread pool would take real time; so what compresses does it at once.
 *
 * Next: web-socket-day.ts
 */

import { Compression } from '../../http/websocket/compression.ts';
import type { MessageExtension, MessageTransform } from '../../http/websocket/message-transform.ts';
import type { Random } from '../simulation/random.ts';
import { turned } from './peer-deflate.ts';
import { SLOW_EXTENSION } from './plan.ts';

const MAX_DELAY_MS = 40;

/** `after` calls back in simulated time. */
export function extensionFor(random: Random, after: (ms: number, callback: () => void) => void): MessageExtension {
  const deflate = new Compression({ minBytes: 20, syncBytes: 1_000_000_000, maxContexts: random.pick([0, 3, 100]) });
  const perhapsLater = <T>(value: T): T | Promise<T> => {
    if (random.chance(0.4)) return value;
    return new Promise((resolve) => after(random.below(MAX_DELAY_MS), () => resolve(value)));
  };
  const slow: MessageTransform = {
    decode: (payload) => perhapsLater(turned(payload)),
    encode: (payload) => perhapsLater(random.chance(0.2) ? null : turned(payload)),
    takesShared: () => false,
    close() {},
  };
  return {
    negotiate: (offers) =>
      offers.some(({ name }) => name === SLOW_EXTENSION)
        ? { answer: SLOW_EXTENSION, createTransform: () => slow }
        : deflate.negotiate(offers),
    encodeShared: (payload) => deflate.encodeShared(payload),
  };
}
