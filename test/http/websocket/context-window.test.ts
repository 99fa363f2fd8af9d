/** The window of a context beside the plain rule: the last bytes of all that was added. */

import { test } from 'tap';
import { ContextWindow } from '../../../http/websocket/context-window.ts';
import { Random } from '../../simulation/random.ts';

const BITS = 9;
const MAX_BYTES = 512;

test('it keeps the last bytes, however they come, and holds at most two windows', async (t) => {
  const random = new Random(1);
  for (let run = 0; run < 50; run++) {
    const window = new ContextWindow(BITS);
    let all = Buffer.alloc(0);
    for (let i = 0; i < 60; i++) {
      const message = Buffer.alloc(random.below(random.pick([4, 300, 2_000])), String.fromCharCode(65 + (i % 26)));
      if (random.chance(0.1)) {
        all = message.subarray(Math.max(0, message.length - MAX_BYTES));
        window.share(all);
      } else {
        window.add(message);
        all = Buffer.concat([all, message]);
      }
      const isRight = window.bytes.equals(all.subarray(Math.max(0, all.length - MAX_BYTES)));
      if (!isRight || window.heldBytes > 2 * MAX_BYTES)
        t.fail(`run ${run}, message ${i}: it holds ${window.heldBytes}`);
    }
  }
  t.pass();
});

test('a shared end is not written to, and costs nothing', async (t) => {
  const window = new ContextWindow(BITS);
  t.equal(window.heldBytes, 0);
  window.add(Buffer.from('first'));
  const end = Buffer.from('shared');
  window.share(end);
  t.equal(window.heldBytes, 0);
  window.add(Buffer.from(' and own'));
  t.equal(String(window.bytes), 'shared and own');
  t.equal(String(end), 'shared');
});
