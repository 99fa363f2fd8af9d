/**
 * Plan: what one simulated client says and how it behaves, and what the program of the server does with each message; all drawn from the seed.
 *
 * Next: peer-deflate.ts
 */

import type { Random } from '../simulation/random.ts';
import { BINARY, CONTINUATION, type FrameOptions, TEXT } from '../support/web-socket-frames.ts';

export interface Message {
  readonly isText: boolean;
  readonly data: Buffer;
}

/** What the program does when the message comes. */
export type Deed = 'echo' | 'nothing' | 'burst' | 'publish' | 'ping' | 'close' | 'terminate';

/** How a client ends when it has said everything, or part of it. */
export type Leaving = 'close' | 'wait' | 'half-close' | 'reset' | keyof typeof faults;

/** What breaks the protocol, and the code that the server answers with. */
export const faults = {
  unmasked: { code: 1_002, frame: [TEXT, 'x', { mask: null }] },
  'not UTF-8': { code: 1_007, frame: [TEXT, Buffer.from([0xff]), {}] },
  'too long': { code: 1_009, frame: [BINARY, '', { declared: 1n << 40n }] },
  'a continuation of none': { code: 1_002, frame: [CONTINUATION, 'x', {}] },
} as const satisfies Record<
  string,
  { readonly code: number; readonly frame: readonly [number, string | Buffer, FrameOptions] }
>;

export interface Plan {
  readonly messages: readonly Message[];
  readonly deeds: readonly Deed[];
  /** The most bytes of one send, and of one receive. */
  readonly pieceBytes: number;
  readonly readBytes: number;
  /** It stops now and then for so long. */
  readonly pauseMs: number;
  readonly leaving: Leaving;
  /** It leaves when it has sent so many messages. */
  readonly sends: number;
  readonly code: number | null;
  /** It answers no ping and no close frame. */
  readonly isDeaf: boolean;
  /** What it offers in Sec-WebSocket-Extensions. */
  readonly offer: string;
}

const ALL = 1_000_000;

/** The code with which the program closes. */
export const PROGRAM_CODE = 4_321;

export const SLOW_EXTENSION = 'slow';

const words = ['grüße ', 'und ', 'küsse ', '🙂', 'x'];

export function messageOf(random: Random, label: string): Message {
  const isText = random.chance(0.5);
  const length = random.pick([0, 1, 40, 40, 300, 3_000, random.below(12_000)]);
  let text = `${label} `;
  while (text.length < length) text += random.pick(words);
  // A text of the same words compresses; random bytes do not.
  const isNoise = !isText && random.chance(0.3);
  const data = isNoise
    ? Buffer.concat([Buffer.from(text.slice(0, 20)), Buffer.from(Array.from({ length }, () => random.below(256)))])
    : Buffer.from(text);
  return { isText, data };
}

export function planOf(random: Random, id: number): Plan {
  const count = random.pick([0, 1, 5, 12, 30]);
  const messages = Array.from({ length: count }, (_, i) => messageOf(random, `${id}.${i}`));
  const isCalm = random.chance(0.5);
  const ends: readonly Deed[] = isCalm ? [] : ['close', 'terminate'];
  const leaving = isCalm
    ? random.pick(['close', 'wait'] as const)
    : random.pick<Leaving>(['close', 'half-close', 'reset', ...(Object.keys(faults) as (keyof typeof faults)[])]);
  return {
    messages,
    deeds: messages.map(() =>
      random.chance(0.03) && ends.length > 0
        ? random.pick(ends)
        : random.pick<Deed>(['echo', 'echo', 'echo', 'nothing', 'burst', 'publish', 'ping']),
    ),
    pieceBytes: random.pick([count < 6 ? 3 : 200, 200, 2_000, ALL, ALL]),
    readBytes: isCalm ? ALL : random.pick([ALL, ALL, 300]),
    pauseMs: isCalm ? 0 : random.pick([0, 0, 0, 30, 900]),
    leaving,
    sends: isCalm ? count : random.below(count + 1),
    code: random.pick([null, 1_000, 1_001, 4_000]),
    isDeaf: !isCalm && random.chance(0.15),
    offer: random.pick([
      '',
      SLOW_EXTENSION,
      SLOW_EXTENSION,
      'permessage-deflate',
      'permessage-deflate; client_max_window_bits',
      'permessage-deflate; client_no_context_takeover; server_no_context_takeover',
      'permessage-deflate; server_max_window_bits=9; client_max_window_bits=9',
    ]),
  };
}

/** A message in frames: one, or several fragments. */
export function framesOf(
  random: Random,
  opcode: number,
  payload: Buffer,
  isTransformed: boolean,
): [number, Buffer, FrameOptions][] {
  const count = random.chance(0.7) ? 1 : 2 + random.below(3);
  const cuts = Array.from({ length: count - 1 }, () => random.below(payload.length + 1)).sort((a, b) => a - b);
  return [0, ...cuts].map((from, i) => [
    i === 0 ? opcode : CONTINUATION,
    payload.subarray(from, cuts[i] ?? payload.length),
    {
      isFinal: i === cuts.length,
      reserved: isTransformed && i === 0 ? 4 : 0,
      mask: [random.below(256), random.below(256), random.below(256), random.below(256)],
    },
  ]);
}
