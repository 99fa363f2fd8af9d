/**
 * BodyMemory: who may go on, who waits, and who is next.
 *
 * Next: request-body.test.ts
 */

import { test } from 'tap';
import { type BodyAccount, BodyMemory } from '../../http/body-memory.ts';

const LIMIT = 100_000;

class World {
  readonly memory = new BodyMemory(LIMIT, 1_000, (delayMs, callback) => {
    this.alarms.push(delayMs);
    this.late = callback;
    return { cancel: () => this.cancelled++ };
  });
  readonly alarms: number[] = [];
  late: (() => void) | null = null;
  cancelled = 0;
  readonly resumed: string[] = [];
  readonly refused: string[] = [];

  account(name: string, bytes = 0): BodyAccount {
    const account: BodyAccount = {
      bytes: 0,
      alarm: null,
      onRoom: () => this.resumed.push(name),
      onLate: () => this.refused.push(name),
    };
    this.memory.resize(account, bytes);
    return account;
  }
}

test('nobody waits up to the limit; one byte more, and one body goes on alone', async (t) => {
  const world = new World();
  const { memory } = world;
  const a = world.account('a', LIMIT);
  const b = world.account('b');
  t.notOk(memory.mustWait(a));
  t.notOk(memory.mustWait(b));
  memory.resize(a, LIMIT + 1);
  t.equal(memory.usedBytes, LIMIT + 1);
  t.notOk(memory.mustWait(a), 'the one that goes on');
  t.notOk(memory.mustWait(a));
  t.ok(memory.mustWait(b));
  t.ok(memory.mustWait(b), 'asked again, it waits as before');
  t.same(world.alarms, [1_000], 'once');
  t.equal(memory.waitingCount, 1);
});

test('they go on in the order in which they came, as many as there is room for', async (t) => {
  const world = new World();
  const { memory } = world;
  const full = world.account('full', 2 * LIMIT);
  t.notOk(memory.mustWait(full));
  const waiting = ['b', 'c', 'd'].map((name) => world.account(name));
  for (const account of waiting) t.ok(memory.mustWait(account));
  memory.complete(full);
  t.same(world.resumed, ['b'], 'no room, but somebody must go on');
  memory.resize(full, LIMIT);
  memory.complete(full);
  t.same(world.resumed, ['b'], 'it is not the one any more');
  memory.close(full);
  t.same(world.resumed, ['b', 'c', 'd']);
  t.equal(memory.waitingCount, 0);
  t.equal(world.cancelled, 3);
  t.equal(memory.usedBytes, 0);
});

test('room for one receive wakes one body, and another one goes on without room', async (t) => {
  const world = new World();
  const { memory } = world;
  const full = world.account('full', LIMIT + 1);
  memory.mustWait(full);
  for (const name of ['b', 'c', 'd']) memory.mustWait(world.account(name));
  memory.resize(full, LIMIT - 1);
  memory.complete(full);
  t.same(world.resumed, ['b', 'c']);
  t.equal(memory.waitingCount, 1);
});

test('who waits for too long is told, and waits no more', async (t) => {
  const world = new World();
  const { memory } = world;
  memory.mustWait(world.account('full', LIMIT + 1));
  const b = world.account('b');
  memory.mustWait(b);
  world.late?.();
  t.same(world.refused, ['b']);
  t.equal(memory.waitingCount, 0);
});

test('who leaves while it waits leaves nothing, and no place is taken by the one that left', async (t) => {
  const world = new World();
  const { memory } = world;
  const a = world.account('a', LIMIT + 1);
  const b = world.account('b', 10);
  const c = world.account('c');
  memory.mustWait(a);
  memory.mustWait(b);
  memory.mustWait(c);
  memory.close(b);
  memory.close(b);
  t.equal(memory.usedBytes, LIMIT + 1);
  t.equal(memory.waitingCount, 1);
  t.same(world.resumed, []);
  memory.close(a);
  t.same(world.resumed, ['c']);
  t.equal(memory.usedBytes, 0);
});
