/** Peers: a process without workers is its only peer; a worker reaches the others by its link. */

import { test } from 'tap';
import { Peers } from '../../http/peers.ts';

test('without workers a process tells nobody, and answers itself', async (t) => {
  const peers = new Peers();
  const told: unknown[] = [];
  peers.onTold('news', (message) => told.push(message));
  peers.tell('news', 1);
  t.same(told, []);
  t.equal(peers.index, null);
  t.same(await peers.askAll('count'), [], 'no answer');
  peers.onAsked('count', () => 4);
  t.same(await peers.askAll('count'), [4]);
  peers.onAsked('count', () => 5);
  t.same(await peers.askAll('count'), [5], 'the last one answers');
});

test('a worker tells and asks by its link', async (t) => {
  const peers = new Peers();
  const sent: unknown[] = [];
  peers.join({
    index: 2,
    tell: (subject, message) => void sent.push([subject, message]),
    askOthers: async (subject) => [`${subject} of another`],
  });
  t.equal(peers.index, 2);
  peers.tell('news', { a: 1 });
  t.same(sent, [['news', { a: 1 }]]);
  t.same(await peers.askAll('count'), ['count of another']);
  peers.onAsked('count', () => 0);
  t.same(await peers.askAll('count'), [0, 'count of another']);
});

test('each listener of a subject is told, until it ends that', async (t) => {
  const peers = new Peers();
  const told: unknown[] = [];
  const endFirst = peers.onTold('news', (message) => told.push(['first', message]));
  const endSecond = peers.onTold('news', (message) => told.push(['second', message]));
  peers.told('news', 1);
  endFirst();
  peers.told('news', 2);
  peers.told('other', 3);
  endSecond();
  endSecond();
  peers.told('news', 4);
  t.same(told, [
    ['first', 1],
    ['second', 1],
    ['second', 2],
  ]);
});
