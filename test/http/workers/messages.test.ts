/** Channel: messages between workers are dropped above a limit, orders are not. */

import { test } from 'tap';
import { Channel, MAX_WAITING_MESSAGES, type Sender } from '../../../http/workers/messages.ts';

function scene() {
  const sent: object[] = [];
  const taken: (() => void)[] = [];
  const sender = {
    connected: true,
    send(message: object, callback: (error: Error | null) => void) {
      sent.push(message);
      taken.push(() => callback(null));
      return true;
    },
  };
  return { sent, taken, sender, channel: new Channel<{ n: number }>(sender as Sender) };
}

test('what is not taken is counted, and above the limit dropped', async (t) => {
  const { sent, taken, channel } = scene();
  for (let n = 0; n < MAX_WAITING_MESSAGES; n++) t.ok(channel.offer({ n }));
  t.notOk(channel.offer({ n: -1 }));
  t.equal(sent.length, MAX_WAITING_MESSAGES);
  channel.order({ n: -2 });
  t.same(sent.at(-1), { n: -2 }, 'an order goes out in any case');
  taken[0]?.();
  t.notOk(channel.offer({ n: -3 }), 'the order waits, too');
  taken[1]?.();
  t.ok(channel.offer({ n: -4 }));
});

test('to a process that has gone nothing is sent', async (t) => {
  const { sent, sender, channel } = scene();
  sender.connected = false;
  channel.order({ n: 1 });
  t.ok(channel.offer({ n: 2 }));
  t.same(sent, []);
});
