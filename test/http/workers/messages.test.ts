/** Channel: messages between workers are dropped above a limit, by number and by weight; orders are not. */

import { test } from 'tap';
import {
  Channel,
  MAX_WAITING_BYTES,
  MAX_WAITING_MESSAGES,
  type Sender,
  weightOf,
} from '../../../http/workers/messages.ts';

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

test('what waits is weighed, too', async (t) => {
  const { sent, taken, channel } = scene();
  t.ok(channel.offer({ n: 1 }, MAX_WAITING_BYTES - 1));
  t.ok(channel.offer({ n: 2 }, 1));
  t.notOk(channel.offer({ n: 3 }, 1));
  taken[1]?.();
  t.ok(channel.offer({ n: 4 }, 1));
  t.same(sent, [{ n: 1 }, { n: 2 }, { n: 4 }]);
});

test('the weight of a message is about that of its texts and buffers, wherever they are', async (t) => {
  const MB = 1024 ** 2;
  const text = 'x'.repeat(MB);
  const circle: { self?: object; text: string } = { text };
  circle.self = circle;
  const all = [
    text,
    new Uint8Array(MB),
    new ArrayBuffer(MB),
    { a: [text] },
    new Map([['a', text]]),
    new Set([text]),
    circle,
  ];
  for (const each of all) t.equal(Math.floor(weightOf(each) / MB), 1);
  t.ok(weightOf(null) < 100);
  t.ok(weightOf({ a: 1, b: undefined, c: [true] }) < 100);
});

test('a message that cannot be cloned throws, and does not wait', async (t) => {
  const { sender, channel } = scene();
  const { send } = sender;
  sender.send = () => {
    throw new DOMException('() => {} could not be cloned', 'DataCloneError');
  };
  for (let n = 0; n <= MAX_WAITING_MESSAGES; n++) t.throws(() => channel.offer({ n }), { name: 'DataCloneError' });
  sender.send = send;
  t.ok(channel.offer({ n: 1 }));
});

test('a channel is drained when all is taken', async (t) => {
  const { taken, channel } = scene();
  await channel.drained();
  channel.order({ n: 1 });
  channel.order({ n: 2 });
  let isDrained = false;
  const drained = channel.drained().then(() => {
    isDrained = true;
  });
  taken[0]?.();
  await null;
  t.notOk(isDrained);
  taken[1]?.();
  await drained;
});

test('to a process that has gone nothing is sent', async (t) => {
  const { sent, sender, channel } = scene();
  sender.connected = false;
  channel.order({ n: 1 });
  t.ok(channel.offer({ n: 2 }));
  t.same(sent, []);
});
