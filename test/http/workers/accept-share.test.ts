/** AcceptShare: which worker takes a connection, by what all have accepted. */

import { test } from 'tap';
import { AcceptShare } from '../../../http/workers/accept-share.ts';

function sharesOf(count: number): { memory: ArrayBuffer; shares: AcceptShare[] } {
  const memory = new ArrayBuffer(AcceptShare.bytesFor(count));
  const shares = Array.from({ length: count }, (_, index) => new AcceptShare(memory, index));
  for (const share of shares) share.join();
  return { memory, shares };
}

function accept(share: AcceptShare, times: number): void {
  for (let i = 0; i < times; i++) share.accepted();
}

test('a worker that is two ahead leaves a connection once', async (t) => {
  const { shares } = sharesOf(2);
  const [one, other] = shares as [AcceptShare, AcceptShare];
  t.ok(one.mayAccept());
  accept(one, 1);
  t.ok(one.mayAccept(), 'one ahead');
  accept(one, 1);
  t.notOk(one.mayAccept(), 'two ahead');
  one.rested();
  t.ok(one.mayAccept(), 'nobody has taken it');
  t.notOk(one.mayAccept(), 'the next one it leaves again');
  t.ok(other.mayAccept());
  accept(other, 1);
  one.rested();
  t.ok(one.mayAccept());
  t.ok(one.mayAccept(), 'one ahead again');
});

test('a worker that rests is waited for only when it is eight behind', async (t) => {
  const { shares } = sharesOf(2);
  const [one, other] = shares as [AcceptShare, AcceptShare];
  accept(one, 2);
  t.notOk(one.mayAccept());
  accept(other, 10);
  t.ok(other.mayAccept(), 'eight ahead of one that rests');
  accept(other, 1);
  t.notOk(other.mayAccept(), 'nine ahead');
  other.rested();
  one.rested();
  t.ok(other.mayAccept(), 'it has left one');
  t.notOk(other.mayAccept(), 'nine ahead of one that accepts');
});

test('a worker that has left, or has not come yet, is not waited for', async (t) => {
  const memory = new ArrayBuffer(AcceptShare.bytesFor(3));
  const [one, other, third] = [0, 1, 2].map((index) => new AcceptShare(memory, index)) as [
    AcceptShare,
    AcceptShare,
    AcceptShare,
  ];
  one.join();
  accept(one, 100);
  t.ok(one.mayAccept(), 'alone');
  other.join();
  t.equal(other.count, 100, 'it begins beside the others');
  accept(one, 20);
  t.notOk(one.mayAccept());
  other.leave();
  other.rested();
  one.rested();
  t.ok(one.mayAccept());
  t.ok(one.mayAccept(), 'the other one has left');
  other.join();
  accept(other, 5);
  third.join();
  t.equal(third.count, 120, 'beside the one that has accepted least');
});

test('one that leaves while it rests stays away', async (t) => {
  const { shares } = sharesOf(2);
  const [one, other] = shares as [AcceptShare, AcceptShare];
  accept(one, 2);
  t.notOk(one.mayAccept());
  one.leave();
  one.rested();
  accept(other, 50);
  t.ok(other.mayAccept());
  t.ok(one.mayAccept(), 'a worker that drains takes what it has left');
});

test('the counts go round', async (t) => {
  const { memory, shares } = sharesOf(2);
  const [one, other] = shares as [AcceptShare, AcceptShare];
  const words = new Int32Array(memory);
  words[0] = 2 ** 31 - 1;
  words[2] = 2 ** 31 - 1;
  accept(one, 2);
  t.equal(one.count, -(2 ** 31) + 1);
  t.ok(other.mayAccept());
  t.notOk(one.mayAccept(), 'two ahead, although its number is smaller');
  other.join();
  t.equal(other.count, one.count);
});
