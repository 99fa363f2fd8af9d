/** Two machines over a network that loses, duplicates and reorders: thousands of seeds. */

import t from 'tap';
import { runSeeds } from './exchange-seeds.ts';

t.test('every byte is right, or both sides end with an error', async (t) => {
  runSeeds(t, 100_000, 3_000);
});
