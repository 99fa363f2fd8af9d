/** rateLimit: the bucket, its fields, its keys, and the bound of its table. */

import { test } from 'tap';
import { Buckets } from '../../../http/handlers/rate-limit.ts';
import { inject, type RateLimitOptions, Router, rateLimit, serve } from '../../../http/index.ts';

function siteOf(...options: RateLimitOptions[]): Router {
  const router = new Router();
  for (const each of options) router.use(rateLimit(each));
  return router.get('/', (_request, response) => response.text('ok'));
}

test('limit requests pass, and one more is 429 with its fields', async (t) => {
  const site = siteOf({ limit: 3, windowMs: 90_000 });
  for (const [left, full] of [
    [2, 30],
    [1, 60],
    [0, 90],
  ]) {
    const { status, headers } = await inject(site, '/');
    t.equal(status, 200);
    t.equal(headers.get('ratelimit-policy'), '"default";q=3;w=90');
    t.equal(headers.get('ratelimit'), `"default";r=${left};t=${full}`);
    t.equal(headers.get('retry-after'), null);
  }
  const refused = await inject(site, { url: '/', headers: { Accept: 'application/json' } });
  t.equal(refused.headers.get('retry-after'), '30');
  t.equal(refused.headers.get('ratelimit'), '"default";r=0;t=30', 'the same moment as Retry-After');
  t.equal(refused.headers.get('ratelimit-policy'), '"default";q=3;w=90');
  const detail = 'too many requests: wait 30 s';
  t.same([refused.status, refused.json()], [429, { status: 429, title: 'Too Many Requests', detail }]);
  t.equal((await inject(site, '/')).text(), `${detail}\n`);
  t.equal((await inject(site, { url: '/', remoteAddress: '192.0.2.1' })).status, 200, 'another client');
});

test('two limits on one route make a list', async (t) => {
  const site = siteOf({ limit: 2, windowMs: 1_000, name: 'burst' }, { limit: 9, windowMs: 1_500, name: 'long' });
  const { headers } = await inject(site, '/');
  t.equal(headers.get('ratelimit-policy'), '"burst";q=2;w=1, "long";q=9;w=2');
  t.equal(headers.get('ratelimit'), '"burst";r=1;t=1, "long";r=8;t=1');
  const bare = await inject(siteOf({ limit: 1, windowMs: 1_000, fields: false }), '/');
  t.same([bare.headers.get('ratelimit'), bare.headers.get('ratelimit-policy')], [null, null]);
});

test('by default an IPv6 client is its /64; a key of the program is another choice', async (t) => {
  const site = siteOf({ limit: 1, windowMs: 1_000 });
  const from = async (remoteAddress: string) => (await inject(site, { url: '/', remoteAddress })).status;
  t.same([await from('2001:db8::1'), await from('2001:db8::ffff:2'), await from('2001:db8:0:1::1')], [200, 429, 200]);
  const byUser = siteOf({ limit: 1, windowMs: 1_000, key: ({ headers }) => headers.get('user') });
  const as = async (user?: string) =>
    (await inject(byUser, { url: '/', headers: user === undefined ? {} : { User: user } })).status;
  t.same([await as('ada'), await as('ada'), await as('bob'), await as(), await as()], [200, 429, 200, 200, 200]);
  const long = 'x'.repeat(256);
  t.same([await as(long), await as(`${long}1`), await as(`${long}2`), await as(`${long}2`)], [200, 200, 200, 429]);
  const wrong = siteOf({ limit: 1, windowMs: 1, key: () => 7 as unknown as string });
  t.equal((await inject(wrong, { url: '/', onError: () => {} })).status, 500);
});

/** Takes all tokens of a full bucket, and returns how many there were. */
function drain(buckets: Buckets, nowMs: number): number {
  let count = 0;
  while (buckets.take('a', nowMs) === 0) count++;
  return count;
}

test('a token comes back each windowMs / limit, not earlier', async (t) => {
  for (const [limit, windowMs] of [
    [1, 1],
    [7, 60_000],
    [3, 10],
    [1_000, 86_400_000],
  ] as const) {
    const buckets = new Buckets(limit, windowMs, 1);
    const startMs = 1e9 + 0.25;
    t.equal(drain(buckets, startMs), limit);
    const waitMs = buckets.take('a', startMs);
    t.equal(waitMs, windowMs / limit);
    t.ok(buckets.take('a', startMs + Math.ceil(waitMs) - 1) > 0);
    t.equal(drain(buckets, startMs + Math.ceil(waitMs)), 1);
    t.equal(drain(buckets, startMs + 2 * windowMs + 1), limit, 'full, and not fuller');
  }
});

test('a refused request takes nothing', async (t) => {
  const buckets = new Buckets(1, 1_000, 1);
  buckets.take('a', 0);
  for (let ms = 1; ms < 1_000; ms++) if (buckets.take('a', ms) === 0) t.fail(`a token after ${ms} ms`);
  t.equal(buckets.take('a', 1_000), 0);
});

test('maxKeys buckets, and one more: the fullest makes room', async (t) => {
  const buckets = new Buckets(10, 1_000, 3);
  for (let i = 0; i < 10; i++) buckets.take('empty', 0);
  for (let i = 0; i < 5; i++) buckets.take('half', 0);
  buckets.take('nearly full', 0);
  t.equal(buckets.size, 3);
  buckets.take('new', 0);
  t.equal(buckets.size, 3);
  t.ok(buckets.take('empty', 0) > 0, 'stays');
  buckets.take('half', 0);
  t.equal(buckets.left, 4, 'stays');
  buckets.take('nearly full', 0);
  t.equal(buckets.left, 9, 'a new one, in the place of the other new one');
  t.equal(buckets.size, 3);

  buckets.take('later', 10_000);
  t.equal(buckets.size, 2, 'those that are full again have left, but for one');
  const one = new Buckets(1, 1_000, 1);
  for (const key of ['a', 'b', 'c']) t.equal(one.take(key, 0), 0);
  t.equal(one.take('d', 5_000), 0);
  t.equal(one.size, 1);
});

test('an attacker with many addresses neither makes the table grow nor resets a client', async (t) => {
  const maxKeys = 1_000;
  const buckets = new Buckets(100, 60_000, maxKeys);
  for (let i = 0; i < 100; i++) buckets.take('abuser', 0);
  for (let i = 0; i < 20_000; i++) buckets.take(`2001:db8:${i}`, 0);
  t.equal(buckets.size, maxKeys);
  t.ok(buckets.take('abuser', 0) > 0, 'still limited');
});

test('the clock is that of the loop', async (t) => {
  const server = serve(siteOf({ limit: 1, windowMs: 20 }));
  t.teardown(() => server.close({ idleGraceMs: 1 }));
  const status = async () => {
    const response = await fetch(server.url);
    await response.arrayBuffer();
    return response.status;
  };
  t.equal(await status(), 200);
  while ((await status()) !== 200);
});

test('mistakes throw when the middleware is made', async (t) => {
  const right = { limit: 1_000_000, windowMs: 86_400_000, maxKeys: 10_000_000, name: 'x'.repeat(64) };
  t.ok(rateLimit(right));
  const wrong: [object, RegExp][] = [
    [{ limit: 0 }, /limit of rateLimit must be a whole number from 1 to 1000000, not 0/],
    [{ limit: 1_000_001 }, /not 1000001/],
    [{ limit: 1.5 }, /not 1.5/],
    [{ windowMs: 86_400_001 }, /windowMs/],
    [{ maxKeys: 10_000_001 }, /maxKeys/],
    [{ maxKeys: 0 }, /maxKeys/],
    [{ name: 'x'.repeat(65) }, /cannot name/],
    [{ name: 'a"b' }, /cannot name/],
    [{ name: '' }, /cannot name/],
    [{ key: 'ip' }, /must be a function/],
    [{ windowS: 1 }, /did you mean 'windowMs'/],
  ];
  for (const [options, message] of wrong) t.throws(() => rateLimit({ ...right, ...options }), { message });
});
