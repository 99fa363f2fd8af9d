/** An HTTP server and its clients on two stacks, over wires that lose, duplicate, reorder and damage: all responses must be whole. */

import { createHash } from 'node:crypto';
import t from 'tap';
import { Random } from '../../simulation/random.ts';
import { BesiegedServer } from './besieged-server.ts';
import { LARGE_BYTES } from './besieged-site.ts';

const SEEDS = Number(process.env.SEEDS ?? 6);
const CLIENTS = 6;
const PATIENCE_MS = 600_000;
const MAX_UPLOAD_BYTES = 60_000;

t.test('every response is whole', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed);
    const wire = {
      seed,
      mtu: random.pick([1500, 576, 9000]),
      lose: random.next() * 0.1,
      duplicate: random.next() * 0.05,
      reorder: random.next() * 0.1,
      corrupt: random.next() * 0.02,
      delayMs: random.below(30),
      jitterMs: random.below(10),
    };
    // A slow wire is no fault of the client, so the server is patient.
    const site = new BesiegedServer(
      { arpRequests: 20 },
      { headerMs: PATIENCE_MS, writeMs: PATIENCE_MS, bodyGraceMs: PATIENCE_MS },
      wire,
    );
    site.patienceMs = PATIENCE_MS;
    site.isListening = false;
    const clients = Array.from({ length: CLIENTS }, async (_, index) => {
      if (index === 0 && seed % 3 === 0) {
        t.equal((await site.get('/large'))?.body.length, LARGE_BYTES, `large, seed ${seed}`);
      } else if (index % 2 === 0) {
        t.equal(`${(await site.get('/small'))?.body}`, 'hello', `small, seed ${seed}`);
      } else {
        const upload = Buffer.from(Array.from({ length: random.below(MAX_UPLOAD_BYTES) }, () => random.below(256)));
        const response = await site.post('/hash', upload);
        t.equal(`${response?.body}`, createHash('sha256').update(upload).digest('hex'), `upload, seed ${seed}`);
      }
    });
    await Promise.all(clients);
    t.same(await site.close(), []);
  }
});
