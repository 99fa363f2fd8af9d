/** Damaged frames at a whole stack with open connections: some thousands. stack-fuzz.long.ts throws millions. */

import t from 'tap';
import { StackFuzzer } from './stack-fuzzer.ts';

const ROUNDS = 12;

t.test('a stack survives damaged frames of its own connections', async (t) => {
  const fuzzer = new StackFuzzer(1);
  for (let round = 0; round < ROUNDS; round++) t.equal(await fuzzer.round(), null);
  t.ok(await fuzzer.isServed(), 'the friend is served');
  t.ok(fuzzer.good > 0, `${fuzzer.good} exchanges were good beside it, ${fuzzer.failed} were not`);
  t.same(await fuzzer.site.close(), []);
});
