/**
 * What a besieged server serves, and how much memory that takes it. It is the same in a simulation and over TAP.
 */

import { createHash } from 'node:crypto';
import { Router } from '../../../http/index.ts';
import { collectGarbage } from '../../support/collect-garbage.ts';

const PIECE_BYTES = 40_000;
export const LARGE_BYTES = 4_000_000;
const LARGE = Buffer.alloc(LARGE_BYTES, 'The quick brown fox jumps over the lazy dog. ');

export function besiegedSite(): Router {
  const site = new Router();
  site.get('/small', (_request, response) => response.text('hello'));
  site.get('/stream', async (_request, response) => {
    for (let sent = 0; sent < LARGE_BYTES; sent += PIECE_BYTES)
      await response.write(Buffer.allocUnsafeSlow(PIECE_BYTES));
    response.end();
  });
  site.get('/large', (_request, response) => response.end(LARGE));
  site.post('/hash', async (request, response) => {
    response.text(
      createHash('sha256')
        .update(await request.bytes())
        .digest('hex'),
    );
  });
  return site;
}

/** The heap and buffers of this process, after a collection. */
export function heldBytes(): number {
  collectGarbage();
  collectGarbage(); // V8 frees buffers in the background after a collection, and counts that at the next one
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
