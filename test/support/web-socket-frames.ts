/**
 * Frames of WebSocket for tests, written and read by rules of their own: one byte at a time, so that they share no mistake with http/websocket/.
 */

export const CONTINUATION = 0x0;
export const TEXT = 0x1;
export const BINARY = 0x2;
export const CLOSE = 0x8;
export const PING = 0x9;
export const PONG = 0xa;

export interface FrameOptions {
  readonly isFinal?: boolean;
  /** The three reserved bits: 4 is RSV1. */
  readonly reserved?: number;
  /** Null: no mask. */
  readonly mask?: readonly [number, number, number, number] | null;
  /** In how many bytes the length is written: as few as possible unless given. */
  readonly lengthBytes?: 1 | 2 | 8;
  /** What the header says, if it is not the length of the payload. */
  readonly declared?: bigint;
}

/** A frame as a client sends it. */
export function clientFrame(opcode: number, payload: string | Uint8Array = '', options: FrameOptions = {}): Buffer {
  const { isFinal = true, reserved = 0, mask = [0x37, 0xfa, 0x21, 0x3d] } = options;
  const bytes = Buffer.from(payload as string);
  const declared = options.declared ?? BigInt(bytes.length);
  const lengthBytes = options.lengthBytes ?? (declared < 126n ? 1 : declared < 65_536n ? 2 : 8);
  const header = [(isFinal ? 0x80 : 0) | (reserved << 4) | opcode];
  const maskBit = mask === null ? 0 : 0x80;
  if (lengthBytes === 1) header.push(maskBit | Number(declared));
  else {
    header.push(maskBit | (lengthBytes === 2 ? 126 : 127));
    for (let i = lengthBytes - 1; i >= 0; i--) header.push(Number((declared >> BigInt(8 * i)) & 0xffn));
  }
  if (mask === null) return Buffer.concat([Buffer.from(header), bytes]);
  const masked = bytes.map((byte, i) => byte ^ (mask[i % 4] as number));
  return Buffer.concat([Buffer.from([...header, ...mask]), masked]);
}

export interface ServerFrame {
  readonly opcode: number;
  readonly reserved: number;
  readonly payload: Buffer;
}

/** The frames that a server has sent, and the bytes of an incomplete one. Throws for what a server must not send. */
export function serverFrames(bytes: Buffer): { readonly frames: ServerFrame[]; readonly rest: Buffer } {
  const frames: ServerFrame[] = [];
  let rest = bytes;
  for (;;) {
    const [first, second] = rest;
    if (first === undefined || second === undefined) return { frames, rest };
    if ((first & 0x80) === 0) throw new Error('a server frame in fragments');
    if ((second & 0x80) !== 0) throw new Error('a server frame with a mask');
    let at = 2;
    let length = second;
    if (second >= 126) {
      const lengthBytes = second === 126 ? 2 : 8;
      if (rest.length < at + lengthBytes) return { frames, rest };
      length = Number(`0x${rest.subarray(at, at + lengthBytes).toString('hex')}`);
      if (length < (second === 126 ? 126 : 65_536)) throw new Error('a length in more bytes than it needs');
      at += lengthBytes;
    }
    if (rest.length < at + length) return { frames, rest };
    frames.push({ opcode: first & 0x0f, reserved: (first >> 4) & 7, payload: rest.subarray(at, at + length) });
    rest = rest.subarray(at + length);
  }
}

/** What a close frame says. */
export function closeOf(payload: Buffer): { readonly code: number; readonly reason: string } {
  return { code: payload.length === 0 ? 1005 : payload.readUInt16BE(0), reason: payload.toString('utf8', 2) };
}
