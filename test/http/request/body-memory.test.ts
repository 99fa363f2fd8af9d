/**
 * BodyMemory: who may go on, who waits, and who is next.
 *
 * Next: request-body.test.ts
 */

import { test } from 'tap';
import { type BodyAccount, BodyMemory } from '../../../http/request/body-memory.ts';

const LIMIT = 100_000;

interface Ring {
  readonly delayMs: number;
  readonly callback: () => void;
}

class World {
  readonly memory = new BodyMemory(LIMIT, 1_000, (delayMs, callback) => {
    const ring = { delayMs, callback };
    this.rings.push(ring);
    return {
      cancel: () => {
        this.rings.splice(this.rings.indexOf(ring), 1);
      },
    };
  });
  /** Alarms that are set, in the order in which they will ring. */
  readonly rings: Ring[] = [];
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

  /** The next alarm rings. */
  ring(): void {
    this.rings.shift()?.callback();
  }
}

test('up to the limit no body waits; with one byte more, one body goes on alone', async (t) => {
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
  t.same(
    world.rings.map(({ delayMs }) => delayMs),
    [1_000, 1_000],
    'one for the one that goes on, one for the one that waits',
  );
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
  t.same(world.resumed, ['b'], 'there is no room, but one body must go on');
  memory.resize(full, LIMIT);
  memory.complete(full);
  t.same(world.resumed, ['b'], 'it is not the one any more');
  memory.close(full);
  t.same(world.resumed, ['b', 'c', 'd']);
  t.equal(memory.waitingCount, 0);
  t.equal(world.rings.length, 1, 'that of the one that goes on above the limit');
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

test('a body that waits for too long is refused, and waits no longer', async (t) => {
  const world = new World();
  const { memory } = world;
  memory.mustWait(world.account('full', LIMIT + 1));
  const b = world.account('b');
  memory.mustWait(b);
  world.rings.reverse(); // as if it had begun to wait before the other went on
  world.ring();
  t.same(world.refused, ['b']);
  t.equal(memory.waitingCount, 0);
});

test('the exemption passes to the one that has waited longest, and who had it waits like any other', (t) => {
  const world = new World();
  const { memory } = world;
  const drips = world.account('drips', LIMIT + 1);
  t.notOk(memory.mustWait(drips));
  const [b, c] = [world.account('b'), world.account('c')];
  t.ok(memory.mustWait(b));
  t.ok(memory.mustWait(c));
  world.ring();
  t.same(world.resumed, ['b'], 'one of them');
  t.notOk(memory.mustWait(b));
  t.ok(memory.mustWait(drips));
  t.equal(memory.waitingCount, 2);
  memory.complete(b);
  t.same(world.resumed, ['b', 'c']);
  memory.complete(c);
  t.same(world.resumed, ['b', 'c', 'drips'], 'and it goes on when no other body waits');
  t.notOk(memory.mustWait(drips));
  memory.close(drips);
  t.equal(world.rings.length, 0);
  t.end();
});

test('who has had the exemption for its time has it until another needs it, and is refused if it then waits for too long', (t) => {
  const world = new World();
  const { memory } = world;
  const drips = world.account('drips', LIMIT + 1);
  memory.mustWait(drips);
  world.ring();
  t.notOk(memory.mustWait(drips), 'no other body needs the exemption');
  const b = world.account('b');
  t.notOk(memory.mustWait(b), 'it waits for nothing');
  t.ok(memory.mustWait(drips));
  world.ring();
  t.same(
    world.refused,
    ['drips'],
    'before the exemption of the other is over: two cannot pass it to each other for good',
  );
  memory.close(drips);
  memory.close(b);
  t.equal(world.rings.length, 0);
  t.end();
});

test('who completes its body after it has lost the exemption waits no more', (t) => {
  const world = new World();
  const { memory } = world;
  const first = world.account('first', LIMIT + 1);
  memory.mustWait(first);
  const b = world.account('b');
  memory.mustWait(b);
  world.ring();
  memory.complete(first);
  t.equal(memory.waitingCount, 0);
  t.notOk(memory.mustWait(b));
  memory.close(b);
  t.equal(world.rings.length, 0);
  t.end();
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
