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
    askOthers: async (subject, tally) => [`${subject} of another${tally === undefined ? '' : `, beside ${tally}`}`],
    tally: (subject, tally) => void sent.push([subject, 'last', tally]),
  });
  t.equal(peers.index, 2);
  peers.tell('news', { a: 1 });
  t.same(sent, [['news', { a: 1 }]]);
  t.same(await peers.askAll('count'), ['count of another']);
  peers.onAsked('count', () => 0);
  t.same(await peers.askAll('count'), [0, 'count of another']);
  let counted = 7;
  const end = peers.onTallied('tally', () => counted++);
  t.same(await peers.tallies('tally'), [7, 'tally of another, beside 7']);
  end();
  t.same(sent.at(-1), ['tally', 'last', 8]);
  t.same(await peers.askAll('tally'), ['tally of another'], 'it has ended');
});

test('a process without workers has its own tally alone', async (t) => {
  const peers = new Peers();
  const end = peers.onTallied('tally', () => 1);
  t.same(await peers.tallies('tally'), [1]);
  end();
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
