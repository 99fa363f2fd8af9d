/** Bytes for long transfers: each word has its own number, so a piece that is lost, doubled or in a wrong place changes the hash. */

import { createHash } from 'node:crypto';

const PIECE_WORDS = 16_384;
const WORD_BYTES = 4;

export function* piecesOf(byteLength: number): Generator<Buffer> {
  for (let word = 0; word * WORD_BYTES < byteLength; word += PIECE_WORDS) {
    const words = Uint32Array.from({ length: PIECE_WORDS }, (_, i) => word + i);
    yield Buffer.from(words.buffer, 0, Math.min(words.byteLength, byteLength - word * WORD_BYTES));
  }
}

export function hashOf(byteLength: number): string {
  const hash = createHash('sha256');
  for (const piece of piecesOf(byteLength)) hash.update(piece);
  return hash.digest('hex');
}
