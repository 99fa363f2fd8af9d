/** Topics of an endpoint, which the same endpoint of other workers has too. */

import { test } from 'tap';
import { peers } from '../../../http/peers.ts';
import { SharedMessage } from '../../../http/websocket/shared-message.ts';
import { type Subscriber, type Topic, topicsOfWorkers } from '../../../http/websocket/topics.ts';

class Reader implements Subscriber {
  subscribed: Topic[] | null = null;
  readonly got: (string | Uint8Array)[] = [];

  sendShared({ data }: SharedMessage): void {
    this.got.push(data);
  }
}

test('what is published goes to the subscribers here, and is told to the other workers', async (t) => {
  const told: [string, unknown][] = [];
  peers.join({
    index: 0,
    tell: (subject, message) => void told.push([subject, message]),
    askOthers: async () => [],
    tally: () => void t.fail(),
  });
  t.teardown(() => peers.join(null));
  const topics = topicsOfWorkers(null);
  const others = topicsOfWorkers(null);
  const [reader, writer, elsewhere] = [new Reader(), new Reader(), new Reader()];
  topics.add('room', reader);
  topics.add('room', writer);
  others.add('room', elsewhere);
  t.equal(topics.publish('room', new SharedMessage('hello', null), writer), 1);
  t.same([reader.got, writer.got, elsewhere.got], [['hello'], [], []]);
  const [[subject = '', message] = []] = told;
  t.same([told.length, message], [1, { name: 'room', data: 'hello' }]);

  // What another worker has told about the same endpoint.
  peers.told(subject, { name: 'room', data: Uint8Array.of(1, 2) });
  peers.told(subject, { name: 'another room', data: 'x' });
  t.same(reader.got, ['hello', Uint8Array.of(1, 2)]);
  t.same(writer.got, [Uint8Array.of(1, 2)]);
  t.same(elsewhere.got, [], 'each endpoint has its own');
  t.equal(told.length, 1, 'it is not told again');
});

test('without workers nothing is told', async (t) => {
  const topics = topicsOfWorkers(null);
  const reader = new Reader();
  topics.add('room', reader);
  t.equal(topics.publish('room', new SharedMessage('hello', null), null), 1);
  t.same(reader.got, ['hello']);
});

test('a subscriber that has subscribed and unsubscribed 10,000 topics leaves nothing behind', (t) => {
  const topics = topicsOfWorkers(null);
  const reader = new Reader();
  const names = Array.from({ length: 10_000 }, (_, i) => `topic ${i}`);
  for (const name of names) topics.add(name, reader);
  topics.delete('topic 1', reader);
  topics.delete('topic 1', reader);
  topics.delete('topic 0', new Reader());
  t.same(
    reader.subscribed?.slice(0, 3).map(({ name }) => name),
    ['topic 0', 'topic 2', 'topic 3'],
    'the others keep their order',
  );
  for (const name of names.reverse()) topics.delete(name, reader);
  t.same(reader.subscribed, []);
  t.ok(names.every((name) => topics.subscribers(name) === 0));
  t.end();
});
