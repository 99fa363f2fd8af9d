/** Which connection makes room for a new one, and what the search for it costs. */

import { test } from 'tap';
import {
  type AwaitedClient,
  Eviction,
  type IdleClient,
  longestIdle,
  MAX_BEHIND_MS,
  MAX_CANDIDATES,
  SEARCHED_PER_CALL,
  slowest,
} from '../../../http/connection/eviction.ts';
import { Random } from '../../simulation/random.ts';

const BUSY = Number.POSITIVE_INFINITY;

class FakeConnection implements IdleClient {
  hasRequest = false;
  isClosed = false;
  /** How often the search has looked at a connection. */
  static looks = 0;
  #idleSince: number;

  constructor(idleSince: number) {
    this.#idleSince = idleSince;
  }

  get idleSince(): number {
    FakeConnection.looks++;
    return this.isClosed ? BUSY : this.#idleSince;
  }

  set idleSince(since: number) {
    this.#idleSince = since;
  }

  closeIfSilent(): boolean {
    if (!this.hasRequest) this.isClosed = true;
    return this.isClosed;
  }
}

function world(idleSince: readonly number[]) {
  FakeConnection.looks = 0;
  const all = idleSince.map((since) => new FakeConnection(since));
  const connections = new Set<IdleClient>(all);
  const eviction = new Eviction(connections, longestIdle);
  const close = () => {
    const closed = eviction.evict() as FakeConnection | null;
    if (closed !== null) connections.delete(closed);
    return closed === null ? null : all.indexOf(closed);
  };
  const add = (since: number) => {
    const connection = new FakeConnection(since);
    all.push(connection);
    connections.add(connection);
    return connection;
  };
  return { all, connections, close, add };
}

test('the longest idle one closes first, and one at work never', async (t) => {
  const { close } = world([30, BUSY, 10, 20, BUSY]);
  t.same([close(), close(), close(), close(), close()], [2, 3, 0, null, null]);
  t.equal(world([]).close(), null);
});

test('what has happened since the search is seen', async (t) => {
  const { all, close, add } = world([10, 20, 30, 40, 50]);
  const [, second, third, fourth] = all as [FakeConnection, FakeConnection, FakeConnection, FakeConnection];
  t.equal(close(), 0);
  second.idleSince = 60; // it has had a request
  third.idleSince = BUSY;
  fourth.hasRequest = true; // it lies in the kernel
  add(55);
  t.same([close(), close(), close()], [4, 5, 1]);
  fourth.hasRequest = false;
  t.same([close(), close()], [3, null], 'a later search finds it');
});

test('for any order of requests and new connections, it is the longest idle one', async (t) => {
  const random = new Random(15);
  const { all, connections, close, add } = world([]);
  for (let now = 1; now < 3_000; now++) {
    const one = all[random.below(all.length + 1)];
    if (random.chance(0.5)) add(now);
    else if (one !== undefined && !one.isClosed) one.idleSince = random.chance(0.8) ? now : BUSY;
    if (connections.size < 40) continue;
    const since = [...connections].map((connection) => connection.idleSince);
    const oldest = Math.min(...since);
    const closed = close();
    if (closed === null) t.equal(oldest, BUSY);
    else t.equal(all[closed] && since[[...since].indexOf(oldest)], oldest, `${now}`);
    if (closed !== null && !all[closed]?.isClosed) t.fail('it is closed');
    if (closed === null) all.find((connection) => !connection.isClosed)!.idleSince = now;
  }
});

test('one search is enough for as many as it keeps, and the next goes on in order', async (t) => {
  for (const count of [MAX_CANDIDATES, MAX_CANDIDATES + 1]) {
    const { connections, close } = world(Array.from({ length: count }, (_, i) => count - i));
    for (let i = 0; i < MAX_CANDIDATES; i++) t.equal(close(), count - 1 - i);
    t.equal(FakeConnection.looks, count + MAX_CANDIDATES, 'a search looks once, and a candidate is checked once');
    t.equal(connections.size, count - MAX_CANDIDATES);
    t.equal(close(), count === MAX_CANDIDATES ? null : 0);
  }
});

test('in any order of the connections, those kept are the longest idle ones', async (t) => {
  const random = new Random(3);
  const count = 5 * MAX_CANDIDATES;
  const ascending = Array.from({ length: count }, (_, i) => i);
  const shuffled = ascending.map((i) => [random.below(1e9), i] as const).sort(([a], [b]) => a - b);
  for (const order of [ascending, ascending.toReversed(), shuffled.map(([, i]) => i)]) {
    const { close } = world(order);
    for (let i = 0; i < MAX_CANDIDATES; i++) if (order[close() as number] !== i) t.fail(`${i}`);
    t.equal(order[close() as number], MAX_CANDIDATES);
  }
});

test('of equally idle ones as many are kept', async (t) => {
  const { close } = world(Array.from({ length: MAX_CANDIDATES + 1 }, () => 7));
  for (let i = 0; i <= MAX_CANDIDATES; i++) t.not(close(), null);
  t.equal(close(), null);
});

test('a search that finds nothing is paid for by those who came: a flood does not make each of them cost one', async (t) => {
  const size = 100 * SEARCHED_PER_CALL;
  const { all, close } = world(Array.from({ length: size }, () => BUSY));
  t.equal(close(), null);
  t.equal(FakeConnection.looks, size, 'the first search is free');
  for (let i = 1; i < 100; i++) t.equal(close(), null);
  t.equal(FakeConnection.looks, size, 'no other until it is paid for');
  (all[5] as FakeConnection).idleSince = 1;
  t.equal(close(), 5, 'the hundredth pays for it');
  t.equal(FakeConnection.looks, 2 * size + 1);
});

test('few connections are searched for each new one', async (t) => {
  const { all, close } = world(Array.from({ length: SEARCHED_PER_CALL }, () => BUSY));
  t.equal(close(), null);
  (all[9] as FakeConnection).idleSince = 1;
  t.equal(close(), 9);
});

class FakeClient implements AwaitedClient {
  behindMs: number;
  isRefused = false;

  constructor(behindMs: number) {
    this.behindMs = behindMs;
  }

  press(): number {
    return this.behindMs;
  }

  refuseIfSlow(): boolean {
    this.isRefused = this.behindMs >= MAX_BEHIND_MS;
    return this.isRefused;
  }
}

test('of clients the one that is furthest behind goes first, and one that is behind by less than a second stays', async (t) => {
  const behind = [0, MAX_BEHIND_MS, 3_000, -50, Number.NEGATIVE_INFINITY, MAX_BEHIND_MS - 1, 2_000];
  const clients = behind.map((behindMs) => new FakeClient(behindMs));
  const eviction = new Eviction(new Set(clients), slowest);
  t.equal(eviction.evict(), clients[2]);
  (clients[6] as FakeClient).behindMs = 10; // it has sent more since the search
  t.equal(eviction.evict(), clients[1]);
  (clients[1] as FakeClient).behindMs = 0;
  (clients[2] as FakeClient).behindMs = 0;
  t.equal(eviction.evict(), null);
});
