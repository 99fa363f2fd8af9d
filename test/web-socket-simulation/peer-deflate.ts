/**
 * PeerDeflate: permessage-deflate on the side of the client, as the answer of the handshake says. It also speaks the extension of this simulation.
 *
 * Next: web-socket-peer.ts
 */

import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { SLOW_EXTENSION } from './plan.ts';

const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
const FLUSH = { finishFlush: constants.Z_SYNC_FLUSH } as const;

/** What the extension `slow` does to a message, in both directions. */
export function turned(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte) => byte ^ 0xff));
}

export interface PeerExtension {
  encode(message: Buffer): Buffer;
  decode(payload: Buffer): Buffer;
}

export class PeerDeflate implements PeerExtension {
  readonly #bits: number;
  readonly #keepsSent: boolean;
  readonly #keepsReceived: boolean;
  #sent: Buffer = Buffer.alloc(0);
  #received: Buffer = Buffer.alloc(0);

  constructor(answer: string) {
    this.#bits = Number(/client_max_window_bits=(\d+)/.exec(answer)?.[1] ?? 15);
    this.#keepsSent = !answer.includes('client_no_context_takeover');
    this.#keepsReceived = !answer.includes('server_no_context_takeover');
  }

  encode(message: Buffer): Buffer {
    const dictionary = this.#sent.length === 0 ? {} : { dictionary: this.#sent };
    const bytes = deflateRawSync(message, { ...FLUSH, windowBits: this.#bits, ...dictionary });
    if (this.#keepsSent) this.#sent = Buffer.concat([this.#sent, message]).subarray(-(1 << this.#bits));
    return bytes.subarray(0, -TAIL.length);
  }

  decode(payload: Buffer): Buffer {
    const dictionary = this.#received.length === 0 ? {} : { dictionary: this.#received };
    const message = inflateRawSync(Buffer.concat([payload, TAIL]), { ...FLUSH, ...dictionary });
    if (this.#keepsReceived) this.#received = Buffer.concat([this.#received, message]).subarray(-(1 << 15));
    return message;
  }
}

/** The extension that the head of the 101 names, or null. */
export function extensionOf(head: string): PeerExtension | null {
  const answer = /^Sec-WebSocket-Extensions: (.*)$/m.exec(head)?.[1]?.trim();
  if (answer === undefined) return null;
  return answer === SLOW_EXTENSION ? { encode: turned, decode: turned } : new PeerDeflate(answer);
}
